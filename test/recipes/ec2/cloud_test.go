package ec2

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// cloud plays AWS for one instance: the metadata service, Parameter Store, and
// a server with the agent. All are at one address.
type cloud struct {
	mu     sync.Mutex // guards the fields below
	tree   map[string]string
	secret string // of /jenkins/agents/<name>
}

const (
	cloudAddress = "169.254.169.254"
	nodeName     = "build-7"
	instanceID   = "i-0123456789abcdef0"
)

func newCloud(t *testing.T, secret string) *cloud {
	const role = "jenkins-agents"
	c := &cloud{secret: secret, tree: map[string]string{
		"meta-data/instance-id": instanceID, "meta-data/placement/region": "eu-west-1", "meta-data/tags/instance/jenkins-agent": nodeName,
		"meta-data/iam/security-credentials/" + role: fmt.Sprintf(`{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":"ASIAEXAMPLE","SecretAccessKey":"key","Token":"token","LastUpdated":%q,"Expiration":%q}`,
			time.Now().UTC().Format(time.RFC3339), time.Now().Add(6*time.Hour).UTC().Format(time.RFC3339)),
		"dynamic/instance-identity/document": `{"region":"eu-west-1","instanceId":"` + instanceID + `"}`,
	}}
	l, err := net.Listen("tcp", cloudAddress+":80")
	require.NoError(t, err)
	s := &http.Server{Handler: c}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return c
}

// setNotice makes EC2 take the instance back, or not.
func (c *cloud) setNotice(action string) {
	const path = "meta-data/spot/instance-action"
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.tree, path)
	if action != "" {
		c.tree[path] = action
	}
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	const token = "x-aws-ec2-metadata-token"
	version, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch {
	case r.Method == http.MethodPost:
		c.parameter(w, r)
	case version == "footman":
		http.ServeFile(w, r, "/box/jenkins-agent")
	case r.Method == http.MethodPut && path == "api/token":
		w.Header().Set(token+"-ttl-seconds", r.Header.Get(token+"-ttl-seconds"))
		_, _ = io.WriteString(w, "the token")
	case r.Header.Get(token) != "the token": // IMDSv2 only
		w.WriteHeader(http.StatusUnauthorized)
	default:
		c.metadata(w, strings.TrimPrefix(path, "/"))
	}
}

// metadata answers with a value, or with the list of what is below a path.
func (c *cloud) metadata(w http.ResponseWriter, path string) {
	if v, ok := c.tree[path]; ok {
		_, _ = io.WriteString(w, v)
		return
	}
	below := map[string]bool{}
	for name := range c.tree {
		if rest, ok := strings.CutPrefix(name, strings.TrimSuffix(path, "/")+"/"); ok || path == "" {
			if path == "" {
				rest = name
			}
			first, more, deep := strings.Cut(rest, "/")
			if deep && more != "" {
				first += "/"
			}
			below[first] = true
		}
	}
	if len(below) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	var names []string
	for n := range below {
		names = append(names, n)
	}
	sort.Strings(names)
	_, _ = io.WriteString(w, strings.Join(names, "\n"))
}

// parameter is GetParameter.
func (c *cloud) parameter(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name           string
		WithDecryption bool
	}
	b, _ := io.ReadAll(r.Body)
	signed := strings.Contains(r.Header.Get("Authorization"), "Credential=ASIAEXAMPLE/") &&
		strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/ssm/") && r.Header.Get("X-Amz-Security-Token") == "token"
	if json.Unmarshal(b, &in) != nil || r.Header.Get("X-Amz-Target") != "AmazonSSM.GetParameter" || !signed || !in.WithDecryption {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","message":"not like this"}`)
		return
	}
	if in.Name != "/jenkins/agents/"+nodeName {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ParameterNotFound"}`)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]any{"Name": in.Name, "Type": "SecureString", "Value": c.secret, "Version": 1}})
}

func readFile(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}
