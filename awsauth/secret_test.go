package awsauth

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseSecretRef(t *testing.T) {
	for in, want := range map[string]string{
		"aws-ssm:///jenkins/a1":                       "aws-ssm:/jenkins/a1",
		"aws-ssm:/jenkins/a1":                         "aws-ssm:/jenkins/a1",
		"aws-ssm:a1:3":                                "aws-ssm:a1:3",
		"aws-ssm:arn:aws:ssm:eu-west-1:1:parameter/x": "aws-ssm:arn:aws:ssm:eu-west-1:1:parameter/x",
		"aws-secretsmanager:jenkins/a1":               "aws-secretsmanager:jenkins/a1",
		"aws-secretsmanager://jenkins#a1":             "aws-secretsmanager:jenkins#a1",
		"aws-secretsmanager:arn:aws-cn:secretsmanager:cn-north-1:1:secret:x-AbCdEf#k1": "aws-secretsmanager:arn:aws-cn:secretsmanager:cn-north-1:1:secret:x-AbCdEf#k1",
	} {
		ref, ok, err := ParseSecretRef(in)
		require.True(t, ok, in)
		require.NoError(t, err, in)
		require.Equal(t, want, ref.String())
	}
	for _, in := range []string{"aws-ssm:", "aws-ssm://", "aws-secretsmanager:#k", "aws-ssm:a b", "aws-ssm:arn:aws:s3:::x",
		"aws-secretsmanager:arn:aws:ssm:eu-west-1:1:parameter/x", "aws-ssm:arn:aws:ssm"} {
		_, ok, err := ParseSecretRef(in)
		require.True(t, ok, in)
		require.ErrorContains(t, err, "awsauth: ", in)
	}
	for _, in := range []string{"", "0123abcd", "@file", "ssm:/x"} {
		_, ok, err := ParseSecretRef(in)
		require.False(t, ok, in)
		require.NoError(t, err)
	}
}

// place is AWS around a pod, task or instance: every service on one server.
func place(t *testing.T, h http.HandlerFunc, env map[string]string) Env {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	vars := map[string]string{"AWS_ENDPOINT_URL": srv.URL, "AWS_EC2_METADATA_SERVICE_ENDPOINT": srv.URL}
	for k, v := range env {
		vars[k] = strings.ReplaceAll(v, "SERVER", srv.URL)
	}
	return envOf(vars)
}

func read(t *testing.T, env Env, ref string) (string, error) {
	r, ok, err := ParseSecretRef(ref)
	require.True(t, ok)
	require.NoError(t, err)
	return ReadSecret(t.Context(), env, r)
}

var ownKeys = map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": secretMark, "AWS_SESSION_TOKEN": "ses"}

func TestReadSecret(t *testing.T) {
	var got *http.Request
	var asked map[string]any
	answer := `{"Parameter":{"Name":"/a","Type":"SecureString","Value":"0123\n"}}`
	env := place(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ := io.ReadAll(r.Body)
		asked = nil
		_ = json.Unmarshal(body, &asked)
		_, _ = io.WriteString(w, answer)
	}, ownKeys)
	s, err := read(t, env, "aws-ssm:///a")
	require.NoError(t, err)
	require.Equal(t, "0123", s)
	require.Equal(t, map[string]any{"Name": "/a", "WithDecryption": true}, asked)
	require.Equal(t, "AmazonSSM.GetParameter", got.Header.Get("X-Amz-Target"))
	require.Equal(t, "application/x-amz-json-1.1", got.Header.Get("Content-Type"))
	require.Equal(t, "ses", got.Header.Get("X-Amz-Security-Token"))
	require.Contains(t, got.Header.Get("Authorization"), "Credential=AKIA1/")
	require.Contains(t, got.Header.Get("Authorization"), "/eu-west-1/ssm/aws4_request")

	_, err = read(t, env, "aws-ssm:arn:aws:ssm:us-east-2:1:parameter/a")
	require.NoError(t, err)
	require.Contains(t, got.Header.Get("Authorization"), "/us-east-2/ssm/")

	for name, c := range map[string]struct{ ref, answer, want, err string }{
		"text":       {"aws-secretsmanager:x", `{"SecretString":"abc"}`, "abc", ""},
		"binary":     {"aws-secretsmanager:x", `{"SecretBinary":"YWJj"}`, "abc", ""},
		"key":        {"aws-secretsmanager:x#a1", `{"SecretString":"{\"a1\":\"abc\"}"}`, "abc", ""},
		"no such":    {"aws-secretsmanager:x#a2", `{"SecretString":"{\"a1\":\"abc\"}"}`, "", `no text under "a2"`},
		"no number":  {"aws-secretsmanager:x#a1", `{"SecretString":"{\"a1\":1}"}`, "", `no text under "a1"`},
		"no object":  {"aws-secretsmanager:x#a1", `{"SecretString":"SECRETMARK"}`, "", "no JSON object"},
		"bad binary": {"aws-secretsmanager:x", `{"SecretBinary":"%SECRETMARK"}`, "", "not base64"},
		"empty":      {"aws-ssm:x", `{"Parameter":{}}`, "", "is empty"},
		"a page":     {"aws-ssm:x", `<html>`, "", "is a proxy in between?"},
	} {
		answer = c.answer
		s, err := read(t, env, c.ref)
		require.Equal(t, c.want, s, name)
		if c.err == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.err, name)
		require.NotContains(t, err.Error(), secretMark, name)
	}
}

func TestReadSecretRefused(t *testing.T) {
	for name, c := range map[string]struct {
		ref    string
		status int
		answer string
		retry  bool
		want   string
	}{
		"missing":  {"aws-ssm:x", 400, `{"__type":"ParameterNotFound"}`, false, "ParameterNotFound: there is none of that name in eu-west-1"},
		"missing2": {"aws-secretsmanager:x", 400, `{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find it"}`, false, "none of that name"},
		"denied":   {"aws-ssm:x", 400, `{"__type":"com.amazonaws.ssm#AccessDeniedException","Message":"User: arn:x is not authorized"}`, false, "AccessDeniedException: User: arn:x is not authorized; the role needs ssm:GetParameter on it"},
		"throttle": {"aws-ssm:x", 400, `{"__type":"ThrottlingException","message":"Rate exceeded"}`, true, "ThrottlingException: Rate exceeded"},
		"broken":   {"aws-ssm:x", 503, `<html>`, true, "Parameter Store in eu-west-1 answered HTTP 503"},
		"redirect": {"aws-ssm:x", 302, ``, false, "answered HTTP 302"},
	} {
		env := place(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			_, _ = io.WriteString(w, c.answer)
		}, ownKeys)
		_, err := read(t, env, c.ref)
		require.ErrorContains(t, err, c.want, name)
		require.ErrorContains(t, err, "awsauth: "+c.ref, name)
		var e *IssueError
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, c.retry, e.Retry, name)
	}
}

// TestAmbient: whose keys sign, in each of the places that have some.
func TestAmbient(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(token, []byte("a.b.c"), 0o600))
	aws := func(w http.ResponseWriter, r *http.Request) {
		keys := func(id string) string {
			return `{"Code":"Success","AccessKeyId":"` + id + `","SecretAccessKey":"s","Token":"t","Expiration":"` + stsTime(time.Now().Add(time.Hour)) + `"}`
		}
		switch r.URL.Path {
		case "/latest/api/token":
			w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60")
			_, _ = io.WriteString(w, "tok")
		case "/latest/dynamic/instance-identity/document":
			_, _ = io.WriteString(w, `{"region":"ap-south-1"}`)
		case "/latest/meta-data/iam/security-credentials/":
			_, _ = io.WriteString(w, "role")
		case "/latest/meta-data/iam/security-credentials/role":
			_, _ = io.WriteString(w, keys("ASIAINSTANCE"))
		case "/task":
			_, _ = io.WriteString(w, keys("ASIATASK"))
		default:
			if r.Header.Get("X-Amz-Target") == "" { // STS
				_ = r.ParseForm()
				stsGrant(w, r.Form, time.Now().Add(time.Hour))
				return
			}
			auth := r.Header.Get("Authorization")
			_ = json.NewEncoder(w).Encode(map[string]any{"SecretString": auth[strings.Index(auth, "Credential=")+11 : strings.Index(auth, ", SignedHeaders")]})
		}
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want string // KEY…/region
	}{
		"keys":         {ownKeys, "AKIA1/eu-west-1"},
		"web identity": {map[string]string{"AWS_DEFAULT_REGION": "us-west-1", "AWS_ROLE_ARN": arnProd, "AWS_WEB_IDENTITY_TOKEN_FILE": token}, "ASIA1/us-west-1"},
		"task":         {map[string]string{"AWS_REGION": "us-west-1", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "SERVER/task"}, "ASIATASK/us-west-1"},
		"instance":     {nil, "ASIAINSTANCE/ap-south-1"},
	} {
		s, err := read(t, place(t, aws, c.env), "aws-secretsmanager:x")
		require.NoError(t, err, name)
		key, region, _ := strings.Cut(c.want, "/")
		require.Regexp(t, "^"+key+"/[0-9]+/"+region+"/secretsmanager/aws4_request$", s, name)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"no region":    {map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, "no region: set AWS_REGION"},
		"bad region":   {map[string]string{"AWS_REGION": "evil.example/#"}, "is no region"},
		"nothing":      {map[string]string{"AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}, "no AWS credentials: neither keys"},
		"token absent": {map[string]string{"AWS_REGION": "eu-west-1", "AWS_ROLE_ARN": arnProd, "AWS_WEB_IDENTITY_TOKEN_FILE": token + "x"}, "is not there"},
	} {
		_, err := read(t, place(t, aws, c.env), "aws-ssm:x")
		require.ErrorContains(t, err, c.want, name)
	}
}

func TestSecretEndpoint(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"https://ssm.eu-west-1.amazonaws.com/":      nil,
		"https://ssm.eu-west-1.api.aws/":            {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"https://ssm-fips.eu-west-1.amazonaws.com/": {"AWS_USE_FIPS_ENDPOINT": "true"},
		"https://vpce.example/":                     {"AWS_ENDPOINT_URL_SSM": "https://vpce.example/", "AWS_ENDPOINT_URL": "https://other.example/"},
	} {
		s, err := NewSDKIssuer(envOf(env))
		require.NoError(t, err)
		require.Equal(t, want, s.secretEndpoint(secretServices[0], "eu-west-1"))
	}
	s, err := NewSDKIssuer(envOf(nil))
	require.NoError(t, err)
	require.Equal(t, "https://secretsmanager.cn-north-1.amazonaws.com.cn/", s.secretEndpoint(secretServices[1], "cn-north-1"))
	require.Equal(t, "https://secretsmanager.eusc-de-east-1.amazonaws.eu/", s.secretEndpoint(secretServices[1], "eusc-de-east-1"))
}
