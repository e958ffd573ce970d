package recipes

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// tool finds a program, or skips loudly.
func tool(t *testing.T, name, pkg string) string {
	p, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s IS MISSING: THIS RECIPE IS NOT CHECKED HERE; install Debian's package %s", strings.ToUpper(name), pkg)
	}
	return p
}

func TestTaskDefinition(t *testing.T) {
	var in ecs.RegisterTaskDefinitionInput
	d := json.NewDecoder(bytes.NewReader(read(t, "fargate/task-definition.json")))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&in))
	require.Len(t, in.ContainerDefinitions, 1)
	c := in.ContainerDefinitions[0]
	require.LessOrEqual(t, *c.StopTimeout, int32(120), "Fargate's limit")
	require.True(t, *c.ReadonlyRootFilesystem)
	volumes := map[string]bool{}
	for _, v := range in.Volumes {
		volumes[*v.Name] = true
	}
	for _, m := range c.MountPoints {
		require.True(t, volumes[*m.SourceVolume], *m.SourceVolume)
	}
	for _, a := range c.Command {
		require.NotEqual(t, "-secret", a, "the secret comes by secrets, never as an argument")
	}
}

func TestHCL(t *testing.T) {
	for _, f := range []string{"fargate/main.tf", "aws/terraform/main.tf", "ec2/packer.pkr.hcl"} {
		file, diags := hclsyntax.ParseConfig(read(t, f), f, hcl.InitialPos)
		require.False(t, diags.HasErrors(), diags.Error())
		require.NotEmpty(t, file.Body.(*hclsyntax.Body).Blocks, f)
	}
}

func TestTerraformFormat(t *testing.T) {
	terraform := tool(t, "terraform", "terraform (of HashiCorp)")
	for _, dir := range []string{"fargate", "aws/terraform"} {
		out, err := exec.Command(terraform, "fmt", "-check", "-diff", filepath.Join(images, dir)).CombinedOutput()
		require.NoError(t, err, string(out))
	}
}

func TestUnit(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	text := string(read(t, "ec2/jenkins-agent.service"))
	// The program need not be installed where this test runs.
	text = strings.Replace(text, "ExecStart=/usr/local/bin/jenkins-agent", "ExecStart=/bin/true", 1)
	unit := filepath.Join(t.TempDir(), "jenkins-agent.service")
	require.NoError(t, os.WriteFile(unit, []byte(text), 0o644))
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "jenkins-agent.service:", "warnings count")
}

func TestShellScripts(t *testing.T) {
	shellcheck := tool(t, "shellcheck", "shellcheck")
	var scripts []string
	require.NoError(t, filepath.WalkDir(images, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".sh") {
			scripts = append(scripts, path)
		}
		return err
	}))
	require.GreaterOrEqual(t, len(scripts), 4)
	out, err := exec.Command(shellcheck, scripts...).CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestCloudInit(t *testing.T) {
	text := read(t, "ec2/cloud-init.yaml")
	require.True(t, bytes.HasPrefix(text, []byte("#cloud-config\n")))
	var c struct {
		Users      []any `json:"users"`
		WriteFiles []struct {
			Path, Content, Permissions string
		} `json:"write_files"`
		Runcmd [][]string `json:"runcmd"`
	}
	require.NoError(t, yaml.UnmarshalStrict(text, &c))
	require.NotEmpty(t, c.WriteFiles)
	for _, f := range c.WriteFiles {
		require.NotContains(t, f.Content, "SECRET=")
	}
}

// TestDockerfiles looks at what a registry's scanner and the kubelet would.
func TestDockerfiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(images, "*", "Dockerfile"))
	require.NoError(t, err)
	require.Len(t, files, 5)
	for _, f := range append(files, "../../Dockerfile") {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		text := string(b)
		for _, m := range regexp.MustCompile(`(?m)^USER (.*)$`).FindAllStringSubmatch(text, -1) {
			require.Regexp(t, `^\d+$`, m[1], "%s: runAsNonRoot wants a number", f)
		}
		for _, m := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`).FindAllStringSubmatch(text, -1) {
			require.Regexp(t, `^(scratch|\$\{[A-Z_]+\})$`, m[1], "%s: bases are arguments, so that any mirror will do", f)
		}
		require.Contains(t, text, "LABEL org.opencontainers.image.title=", f)
	}
	root, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	_, fromSource, _ := strings.Cut(string(root), "FROM scratch AS static")
	_, prebuilt, _ := strings.Cut(string(read(t, "static/Dockerfile")), "FROM scratch AS static")
	require.Equal(t, fromSource, prebuilt, "the two ways to the static image must end alike")
}
