package recipes

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
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
	strict(t, read(t, "fargate/task-definition.json"), &in)
	var volumes []string
	for _, v := range in.Volumes {
		volumes = append(volumes, *v.Name)
	}
	agent := checkContainers(t, in.ContainerDefinitions, volumes)
	require.Contains(t, agent.Command, "-webSocket")
	for _, a := range agent.Command {
		require.NotEqual(t, "-secret", a, "the secret comes by secrets, never as an argument")
	}
	// What Fargate offers for half a vCPU.
	require.Equal(t, "512", *in.Cpu)
	require.Contains(t, []string{"1024", "2048", "3072", "4096"}, *in.Memory)
	require.Equal(t, []ecstypes.Compatibility{ecstypes.CompatibilityFargate}, in.RequiresCompatibilities)
	require.Equal(t, ecstypes.NetworkModeAwsvpc, in.NetworkMode)
}

// checkContainers holds containers against Fargate's limits and the agent's
// needs, and returns that of the agent, which the plugin takes for the first.
// The other one gives the volumes to the agent's user before it starts: Fargate
// makes them for root.
func checkContainers(t *testing.T, all []ecstypes.ContainerDefinition, volumes []string) ecstypes.ContainerDefinition {
	require.Len(t, all, 2)
	c, first := all[0], all[1]
	require.Equal(t, "volumes", *first.Name)
	require.False(t, *first.Essential)
	require.Equal(t, c.MountPoints, first.MountPoints)
	require.Equal(t, *c.Image, *first.Image, "one image to pull")
	require.Equal(t, []ecstypes.ContainerDependency{{ContainerName: first.Name, Condition: ecstypes.ContainerConditionSuccess}}, c.DependsOn)
	require.Equal(t, "jenkins-agent", *c.Name)
	require.EqualValues(t, 120, *c.StopTimeout, "Fargate's most, and the time of a spot notice")
	require.True(t, *c.ReadonlyRootFilesystem)
	require.True(t, *c.Essential)
	require.Equal(t, "1000", *c.User)
	require.False(t, *c.LinuxParameters.InitProcessEnabled)
	require.Equal(t, "awslogs", string(c.LogConfiguration.LogDriver))
	mounted := map[string]bool{}
	for _, m := range c.MountPoints {
		require.Contains(t, volumes, *m.SourceVolume)
		mounted[*m.ContainerPath] = true
	}
	require.True(t, mounted["/tmp"] && mounted["/home/jenkins"], "a read-only root needs both")
	drain := strings.Join(c.Command, " ")
	for _, e := range c.Environment {
		drain += " " + *e.Value
	}
	require.Contains(t, drain, "-drainTimeout 105s", "15 s are for the goodbye")
	return c
}

// TestECSCloud looks at the names that the plugin's setters and constructors
// have (amazon-ecs 1.50: ECSCloud, ECSTaskTemplate).
func TestECSCloud(t *testing.T) {
	var c struct {
		Jenkins struct {
			Clouds []struct {
				ECS map[string]any `json:"ecs"`
			} `json:"clouds"`
		} `json:"jenkins"`
	}
	require.NoError(t, yaml.UnmarshalStrict(read(t, "fargate/jcasc.yaml"), &c))
	require.Len(t, c.Jenkins.Clouds, 1)
	cloud := c.Jenkins.Clouds[0].ECS
	known := strings.Fields("name credentialsId assumedRoleArn cluster regionName tunnel jenkinsUrl allowedOverrides retentionTimeout " +
		"slaveTimeoutInSeconds retainAgents taskPollingIntervalInSeconds maxCpu maxMemory maxMemoryReservation maxAgents numExecutors templates")
	for name := range cloud {
		require.Contains(t, known, name)
	}
	known = strings.Fields("templateName label agentContainerName taskDefinitionOverride dynamicTaskDefinitionOverride image repositoryCredentials launchType " +
		"operatingSystemFamily cpuArchitecture defaultCapacityProvider capacityProviderStrategies networkMode remoteFSRoot uniqueRemoteFSRoot platformVersion " +
		"memory memoryReservation cpu ephemeralStorageSizeInGiB subnets securityGroups assignPublicIp privileged containerUser kernelCapabilities " +
		"logDriverOptions tags environments extraHosts mountPoints efsMountPoints portMappings ulimits executionRole placementStrategies taskrole " +
		"inheritFrom sharedMemorySize enableExecuteCommand")
	templates := cloud["templates"].([]any)
	require.Len(t, templates, 1)
	template := templates[0].(map[string]any)
	for name := range template {
		require.Contains(t, known, name)
	}
	require.Equal(t, "jenkins-agent", template["taskDefinitionOverride"])
	require.Equal(t, "/home/jenkins/agent", template["remoteFSRoot"])
	require.NotContains(t, cloud, "tunnel", "the task definition chooses WebSocket")
}

// unitFile is the unit where its program is one that this machine has.
func unitFile(t *testing.T) string {
	text := string(read(t, "ec2/jenkins-agent.service"))
	text = strings.Replace(text, "ExecStart=/usr/local/bin/jenkins-agent", "ExecStart=/bin/true", 1)
	unit := filepath.Join(t.TempDir(), "jenkins-agent.service")
	require.NoError(t, os.WriteFile(unit, []byte(text), 0o644))
	return unit
}

func TestUnit(t *testing.T) {
	analyze := tool(t, "systemd-analyze", "systemd")
	unit := unitFile(t)
	out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput()
	require.NoError(t, err, string(out))
	require.NotContains(t, string(out), "jenkins-agent.service:", "warnings count")
	// In tenths; with an empty unit it is 96. Builds need the network, devices
	// like /dev/null, writable memory that is executable, and namespaces.
	out, err = exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold=30", unit).CombinedOutput()
	require.NoError(t, err, string(out))
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "Overall exposure level") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

// The unit is one file, and what carries it has the same text.
func TestUnitIsTheSameEverywhere(t *testing.T) {
	unit := string(read(t, "ec2/jenkins-agent.service"))
	_, script, ok := strings.Cut(string(read(t, "ec2/user-data.sh")), "cat >/etc/systemd/system/jenkins-agent.service <<'EOF'\n")
	require.True(t, ok)
	script, _, ok = strings.Cut(script, "\nEOF\n")
	require.True(t, ok)
	require.Equal(t, unit, script+"\n", "user-data.sh")
	require.Equal(t, unit, cloudInit(t).file(t, "/etc/systemd/system/jenkins-agent.service"), "cloud-init.yaml")
	packer := string(read(t, "ec2/packer.pkr.hcl"))
	require.Contains(t, packer, `"${path.root}/jenkins-agent.service"`)
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
	setup := filepath.Join(t.TempDir(), "jenkins-agent-setup") // of cloud-init.yaml
	require.NoError(t, os.WriteFile(setup, []byte(cloudInit(t).file(t, "/usr/local/sbin/jenkins-agent-setup")), 0o600))
	scripts = append(scripts, setup)
	out, err := exec.Command(shellcheck, scripts...).CombinedOutput()
	require.NoError(t, err, string(out))
}

type cloudConfig struct {
	Users      []any `json:"users"`
	WriteFiles []struct {
		Path, Content, Permissions string
	} `json:"write_files"`
	Runcmd [][]string `json:"runcmd"`
}

func (c cloudConfig) file(t *testing.T, path string) string {
	for _, f := range c.WriteFiles {
		if f.Path == path {
			return f.Content
		}
	}
	require.Fail(t, "cloud-init.yaml does not write "+path)
	return ""
}

func cloudInit(t *testing.T) (c cloudConfig) {
	text := read(t, "ec2/cloud-init.yaml")
	require.True(t, bytes.HasPrefix(text, []byte("#cloud-config\n")))
	require.NoError(t, yaml.UnmarshalStrict(text, &c))
	return c
}

func TestCloudInit(t *testing.T) {
	c := cloudInit(t)
	require.Equal(t, [][]string{{"/usr/local/sbin/jenkins-agent-setup"}}, c.Runcmd)
	c.file(t, "/usr/local/sbin/jenkins-agent-setup")
	require.Contains(t, c.file(t, "/etc/jenkins-agent/env.in"), "\nJENKINS_SECRET=aws-ssm:", "where the secret is, not what")
	for _, f := range c.WriteFiles {
		if strings.HasPrefix(f.Path, "/etc/jenkins-agent/") {
			require.Equal(t, "0600", f.Permissions, f.Path)
		}
	}
}

// TestCloudInitSchema asks cloud-init itself.
func TestCloudInitSchema(t *testing.T) {
	program := tool(t, "cloud-init", "cloud-init")
	out, err := exec.Command(program, "schema", "--config-file", filepath.Join(images, "ec2/cloud-init.yaml")).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "Valid")
}

// TestPacker asks packer itself. Debian's is of 2020 and has the amazon plugin
// built in: it knows neither how to fetch one nor what is newer than itself.
func TestPacker(t *testing.T) {
	text := string(read(t, "ec2/packer.pkr.hcl"))
	require.Equal(t, string(hclwrite.Format([]byte(text))), text, "run packer fmt")
	file, diags := hclsyntax.ParseConfig([]byte(text), "packer.pkr.hcl", hcl.InitialPos)
	require.False(t, diags.HasErrors(), diags.Error())
	require.Len(t, file.Body.(*hclsyntax.Body).Blocks, 6)

	program := tool(t, "packer", "packer")
	dir := t.TempDir()
	for name, re := range map[string]string{
		"required_plugins": `(?ms)^packer \{.*?^\}\n`, "metadata_options": `(?ms)^  metadata_options \{.*?^  \}\n`, "imds_support": `(?m)^  imds_support .*\n`,
	} {
		shorter := regexp.MustCompile(re).ReplaceAllString(text, "")
		require.NotEqual(t, text, shorter, name)
		text = shorter
	}
	for name, content := range map[string]string{"packer.pkr.hcl": text, "jenkins-agent.service": "", "binary": ""} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	for _, arch := range []string{"arm64", "x86_64"} {
		p := exec.Command(program, "validate", "-var", "arch="+arch, "-var", "binary="+filepath.Join(dir, "binary"), dir)
		p.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "HOME="+dir, "PACKER_CACHE_DIR="+dir)
		out, err := p.CombinedOutput()
		require.NoError(t, err, string(out))
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
		require.NotRegexp(t, `(?m)^ARG (TARGET|BUILD)[A-Z]+=`, text, "%s: a default hides what BuildKit sets for each platform", f)
		require.NotContains(t, text, "# syntax=", "%s: it is fetched from Docker Hub, whatever the mirror", f)
	}
	root, err := os.ReadFile("../../Dockerfile")
	require.NoError(t, err)
	_, fromSource, _ := strings.Cut(string(root), "FROM scratch AS static")
	_, prebuilt, _ := strings.Cut(string(read(t, "static/Dockerfile")), "FROM scratch AS static")
	require.Equal(t, fromSource, prebuilt, "the two ways to the static image must end alike")
	require.Contains(t, string(root), "make -s bin/linux-${TARGETARCH}/jenkins-agent", "the flags of the build are in the Makefile alone")

	// Kaniko replaces the root file system: what steps need is under /kaniko.
	nohup := string(read(t, "kaniko/rootfs/kaniko/bin/nohup"))
	require.True(t, strings.HasPrefix(nohup, "#!/kaniko/bin/sh\n"))
	link, err := os.Readlink(filepath.Join(images, "kaniko/rootfs/bin/sh"))
	require.NoError(t, err)
	require.Equal(t, "/kaniko/bin/sh", link)
}
