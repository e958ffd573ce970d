package aws

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/footman-ci/footman/awsauth"
	"github.com/stretchr/testify/assert/yaml"
	"github.com/stretchr/testify/require"
)

const recipes = "../../images/aws"

type podManifest struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Spec       struct {
		ServiceAccountName string `yaml:"serviceAccountName"`
		SecurityContext    struct {
			FSGroup *int `yaml:"fsGroup"`
		} `yaml:"securityContext"`
		InitContainers []container `yaml:"initContainers"`
		Containers     []container
		Volumes        []struct {
			Name      string
			ConfigMap *struct{ Name string }   `yaml:"configMap"`
			EmptyDir  *struct{ Medium string } `yaml:"emptyDir"`
		}
	}
}

type container struct {
	Name, Image     string
	Command, Args   []string
	Env             []struct{ Name, Value string }
	VolumeMounts    []mount `yaml:"volumeMounts"`
	SecurityContext struct {
		RunAsUser *int `yaml:"runAsUser"`
	} `yaml:"securityContext"`
}

type mount struct {
	Name      string
	MountPath string `yaml:"mountPath"`
	SubPath   string `yaml:"subPath"`
	ReadOnly  bool   `yaml:"readOnly"`
}

func (c container) env(name string) (string, bool) {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value, true
		}
	}
	return "", false
}

func (c container) resolves() bool {
	return slices.Contains(c.Args, "-awsauth") || slices.Contains(c.Command, "awsauth")
}

// flag returns the value of --name in either form.
func (c container) flag(name string) string {
	for i, a := range c.Args {
		a = strings.TrimLeft(a, "-")
		if v, ok := strings.CutPrefix(a, name+"="); ok {
			return v
		}
		if a == name && i+1 < len(c.Args) {
			return c.Args[i+1]
		}
	}
	return ""
}

// mounted returns the volume at a path of the container.
func (c container) mounted(p string) (m mount, ok bool) {
	for _, x := range c.VolumeMounts {
		if x.MountPath == p || strings.HasPrefix(p, x.MountPath+"/") && len(x.MountPath) > len(m.MountPath) {
			m, ok = x, true
		}
	}
	return m, ok
}

// traps finds what is known to go wrong in pods with awsauth (notes in
// docs/awsauth.md).
func traps(p podManifest) (found []string) {
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	empty, config := map[string]bool{}, map[string]bool{}
	for _, v := range p.Spec.Volumes {
		empty[v.Name], config[v.Name] = v.EmptyDir != nil, v.ConfigMap != nil
		if v.EmptyDir != nil && v.EmptyDir.Medium != "Memory" && v.Name != "workspace-volume" {
			add("volume %s keeps keys on the node's disk", v.Name)
		}
	}
	if p.Spec.ServiceAccountName == "" {
		add("no serviceAccountName: EKS gives no token")
	}
	if p.Spec.SecurityContext.FSGroup == nil {
		add("no fsGroup: files are readable to all, the token perhaps to nobody")
	}
	all := slices.Concat(p.Spec.InitContainers, p.Spec.Containers)
	var dir, seen, volume string
	for _, c := range all {
		for _, m := range c.VolumeMounts {
			switch {
			case !empty[m.Name] && !config[m.Name]:
				add("%s mounts %s, which is not a volume of the pod", c.Name, m.Name)
			case config[m.Name] && path.Base(m.MountPath) == ".aws":
				add("%s: the ConfigMap at %s is read-only and hides the cache", c.Name, m.MountPath)
			case config[m.Name] && m.SubPath != "" && c.resolves():
				add("%s: a subPath mount never sees an edited ConfigMap", c.Name)
			case empty[m.Name] && m.SubPath != "":
				add("%s: subPath of the emptyDir leaves an empty config behind", c.Name)
			case empty[m.Name] && m.ReadOnly && c.resolves():
				add("%s: the directory to fill is read-only", c.Name)
			}
		}
		if !c.resolves() {
			continue
		}
		for _, n := range []string{"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
			if _, set := c.env(n); set {
				add("%s: %s is set, but the resolver needs what EKS sets", c.Name, n)
			}
		}
		d, s, ok := strings.Cut(c.flag("aws-dir"), "=")
		if !ok {
			s = d
		}
		dir, seen = d, s
		m, ok := c.mounted(dir)
		if !ok || !empty[m.Name] {
			add("%s fills %s, which is not in the emptyDir", c.Name, dir)
		}
		volume = m.Name
		file := c.flag("aws-config")
		if file == "" {
			file = c.flag("config")
		}
		if m, ok := c.mounted(file); !ok || !config[m.Name] {
			add("%s reads %s, which is not in a ConfigMap", c.Name, file)
		}
		if strings.HasPrefix(file, dir+"/") {
			add("%s: the ConfigMap lies inside the directory to fill", c.Name)
		}
	}
	if dir == "" {
		add("nobody resolves")
	}
	for _, c := range all {
		file, uses := c.env("AWS_CONFIG_FILE")
		arn, arnSet := c.env("AWS_ROLE_ARN")
		tok, tokSet := c.env("AWS_WEB_IDENTITY_TOKEN_FILE")
		switch {
		case c.resolves():
			continue
		case !uses && (arnSet || tokSet):
			add("%s: IRSA emptied without the generated config: no identity at all", c.Name)
		case uses && (!arnSet || !tokSet || arn != "" || tok != ""):
			add("%s: the generated config with the IRSA variables set: every tool is the pod's role", c.Name)
		}
		if !uses {
			continue
		}
		if off, _ := c.env("AWS_EC2_METADATA_DISABLED"); off != "true" {
			add("%s: falls back to the node's role", c.Name)
		}
		if r, _ := c.env("AWS_REGION"); r == "" {
			add("%s: no region", c.Name)
		}
		if file != seen+"/agent/config" {
			add("%s: AWS_CONFIG_FILE is %s, the agent writes %s/agent/config", c.Name, file, seen)
		}
		if m, ok := c.mounted(file); !ok || m.Name != volume || m.MountPath != seen {
			add("%s: credential_process names %s, which is not the volume there", c.Name, seen)
		}
		if !slices.ContainsFunc(c.VolumeMounts, func(m mount) bool { return m.Name == volume && path.Base(m.MountPath) == ".aws" }) {
			add("%s: the volume is not at HOME/.aws, where the AWS CLI has its cache", c.Name)
		}
	}
	return found
}

func readPod(t *testing.T, name string) podManifest {
	data, err := os.ReadFile(filepath.Join(recipes, name))
	require.NoError(t, err)
	return parsePod(t, string(data))
}

func parsePod(t *testing.T, text string) (p podManifest) {
	require.NotContains(t, text, "\t", "YAML has no tabs")
	require.NoError(t, yaml.Unmarshal([]byte(text), &p))
	require.Equal(t, "v1", p.APIVersion)
	require.Equal(t, "Pod", p.Kind)
	require.NotEmpty(t, p.Spec.Containers)
	require.Equal(t, "jnlp", p.Spec.Containers[0].Name)
	return p
}

func TestPodTemplates(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recipes, "pod-template*.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 3)
	source, err := os.ReadFile("../../cmd/jenkins-agent/awsauth.go")
	require.NoError(t, err)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			p := readPod(t, filepath.Base(f))
			require.Empty(t, traps(p))
			for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
				if !c.resolves() {
					continue
				}
				for _, a := range c.Args {
					if name, _, _ := strings.Cut(strings.TrimLeft(a, "-"), "="); strings.HasPrefix(a, "-") && name != "awsauth" {
						require.Contains(t, string(source), `"`+name+`"`, "an option of awsauth")
					}
				}
			}
		})
	}
}

// TestTraps breaks the recipe in each known way; the check must notice.
func TestTraps(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(recipes, "pod-template.yaml"))
	require.NoError(t, err)
	for _, c := range []struct{ old, new, want string }{
		{"mountPath: /etc/jenkins-aws, readOnly: true", "mountPath: /etc/jenkins-aws/config, subPath: config", "never sees an edited ConfigMap"},
		{"{name: aws-config, mountPath: /etc/jenkins-aws", "{name: aws-config, mountPath: /home/jenkins/.aws", "hides the cache"},
		{"{name: aws, mountPath: /root/.aws}", "{name: aws, mountPath: /root/.aws, subPath: x}", "leaves an empty config"},
		{"{name: aws, mountPath: /home/jenkins/.aws}", "{name: aws, mountPath: /home/jenkins/.aws, readOnly: true}", "to fill is read-only"},
		{"-aws-config=/etc/jenkins-aws/config", "-aws-config=/home/jenkins/.aws/config", "inside the directory to fill"},
		{"-aws-dir=/home/jenkins/.aws=/run/jenkins-aws", "-aws-dir=/home/jenkins/.aws", "the agent writes /home/jenkins/.aws/agent/config"},
		{"-aws-dir=/home/jenkins/.aws=/run/jenkins-aws", "-aws-dir=/tmp/x=/run/jenkins-aws", "not in the emptyDir"},
		{`{name: AWS_ROLE_ARN, value: ""}`, `{name: AWS_ROLE_ARN, value: x}`, "every tool is the pod's role"},
		{`        - {name: AWS_ROLE_ARN, value: ""}` + "\n", ``, "every tool is the pod's role"},
		{`{name: AWS_EC2_METADATA_DISABLED, value: "true"}`, `{name: X, value: ""}`, "the node's role"},
		{`{name: AWS_CONFIG_FILE, value: /run/jenkins-aws/agent/config}`, `{name: X, value: ""}`, "no identity at all"},
		{"{medium: Memory, sizeLimit: 4Mi}", "{}", "the node's disk"},
		{"    fsGroup: 1000", "    runAsUser: 1000", "no fsGroup"},
		{"  serviceAccountName: jenkins-serviceaccount\n", "", "gives no token"},
		{"        - {name: aws, mountPath: /root/.aws}\n", "", "not at HOME/.aws"},
		{"        - -awsauth\n", "", "nobody resolves"},
	} {
		t.Run(c.want, func(t *testing.T) {
			broken := strings.Replace(string(data), c.old, c.new, 1)
			require.NotEqual(t, string(data), broken)
			require.Contains(t, strings.Join(traps(parsePod(t, broken)), "\n"), c.want)
		})
	}
}

// TestConfigMap plans the profiles of the recipe as the agent would.
func TestConfigMap(t *testing.T) {
	var cm struct {
		Kind     string
		Metadata struct{ Name string }
		Data     map[string]string
	}
	data, err := os.ReadFile(filepath.Join(recipes, "configmap.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &cm))
	require.Equal(t, "ConfigMap", cm.Kind)
	for _, f := range []string{"pod-template.yaml", "pod-template-sidecar.yaml", "pod-template-cli-only.yaml"} {
		p := readPod(t, f)
		require.True(t, slices.ContainsFunc(p.Spec.Volumes, func(v struct {
			Name      string
			ConfigMap *struct{ Name string }   `yaml:"configMap"`
			EmptyDir  *struct{ Medium string } `yaml:"emptyDir"`
		}) bool {
			return v.ConfigMap != nil && v.ConfigMap.Name == cm.Metadata.Name
		}), f)
	}
	plan := awsauth.NewPlan(awsauth.ParseConfig([]byte(cm.Data["config"]), nil), func(n string) string {
		return map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/jenkins-ci-role", "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"}[n]
	}, awsauth.PlanOptions{})
	require.Empty(t, plan.Problems)
	require.Len(t, plan.Targets, 3)
	for _, target := range plan.Targets {
		require.NotNil(t, target.Leaf)
	}

	var sa struct {
		Kind     string
		Metadata struct {
			Name        string
			Annotations map[string]string
		}
	}
	data, err = os.ReadFile(filepath.Join(recipes, "service-account.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(data, &sa))
	require.Equal(t, "ServiceAccount", sa.Kind)
	require.Equal(t, plan.Default.Leaf.RoleARN, sa.Metadata.Annotations["eks.amazonaws.com/role-arn"])
	require.Equal(t, readPod(t, "pod-template.yaml").Spec.ServiceAccountName, sa.Metadata.Name)
}

func TestIAM(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(recipes, "iam", "*.json"))
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, f := range files {
		var doc struct {
			Version   string
			Statement []struct {
				Sid, Effect, Action string
				Resource            string
				Principal           map[string]string
				Condition           map[string]map[string]string
			}
		}
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		d := json.NewDecoder(bytes.NewReader(data))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&doc), f)
		require.Equal(t, "2012-10-17", doc.Version)
		for _, s := range doc.Statement {
			require.Equal(t, "Allow", s.Effect)
			require.Contains(t, []string{"sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"}, s.Action)
			require.NotContains(t, s.Resource, "*", "least privilege")
			if s.Action == "sts:AssumeRoleWithWebIdentity" {
				eq := s.Condition["StringEquals"]
				require.Len(t, eq, 2, "audience and subject: without the subject every pod of the cluster may")
			}
		}
	}
}

// TestTerraform parses the example with terraform itself where there is one;
// its providers cannot be had everywhere, so `validate` is not asked for.
func TestTerraform(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(recipes, "terraform", "main.tf"))
	require.NoError(t, err)
	text := string(data)
	for _, r := range regexp.MustCompile(`\b(?:data\.)?aws_iam_[a-z_]+\.[a-z_]+`).FindAllString(text, -1) {
		parts := strings.Split(strings.TrimPrefix(r, "data."), ".")
		require.Regexp(t, fmt.Sprintf(`(?m)^(resource|data) "%s" "%s"`, parts[0], parts[1]), text, "referred to, not defined")
	}
	bin, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("SKIPPED: no terraform on this machine; main.tf was only scanned")
	}
	out, err := exec.Command(bin, "fmt", "-check", "-diff", filepath.Join(recipes, "terraform")).CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestJenkinsfile checks what a text can be checked for without Groovy: closed
// braces, and names that the other recipes define.
func TestJenkinsfile(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(recipes, "Jenkinsfile"))
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)^\s*//.*$`).ReplaceAllString(string(data), "")
	require.Equal(t, strings.Count(text, "{"), strings.Count(text, "}"))
	require.Zero(t, strings.Count(text, "'''")%2)
	file := regexp.MustCompile(`yamlFile '([^']+)'`).FindStringSubmatch(text)
	require.NotNil(t, file)
	require.FileExists(t, filepath.Join("../..", file[1]))
	p := readPod(t, filepath.Base(file[1]))
	for _, m := range regexp.MustCompile(`container\('([^']+)'\)`).FindAllStringSubmatch(text, -1) {
		require.True(t, slices.ContainsFunc(p.Spec.Containers, func(c container) bool { return c.Name == m[1] }), m[1])
	}
	config, err := os.ReadFile(filepath.Join(recipes, "configmap.yaml"))
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`AWS_PROFILE = '([^']+)'|awsauth env (\w+)`).FindAllStringSubmatch(text, -1) {
		require.Contains(t, string(config), "[profile "+m[1]+m[2]+"]")
	}
}

// TestEveryRecipeIsChecked fails for a file that no test here reads.
func TestEveryRecipeIsChecked(t *testing.T) {
	known := []string{"README.md", "Jenkinsfile", "configmap.yaml", "service-account.yaml", "pod-template.yaml", "pod-template-sidecar.yaml", "pod-template-cli-only.yaml",
		"iam/trust-irsa.json", "iam/trust-deploy.json", "iam/policy-ci.json", "terraform/main.tf"}
	var found []string
	require.NoError(t, filepath.WalkDir(recipes, func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(recipes, name)
			found = append(found, rel)
		}
		return err
	}))
	require.ElementsMatch(t, known, found)
}
