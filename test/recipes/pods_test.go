package recipes

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const images = "../../images"

func read(t *testing.T, path string) []byte {
	b, err := os.ReadFile(filepath.Join(images, path))
	require.NoError(t, err)
	require.NotEmpty(t, b)
	return b
}

// pod parses strictly: an unknown or doubled key is an error.
func pod(t *testing.T, text []byte) corev1.Pod {
	var p corev1.Pod
	require.NoError(t, yaml.UnmarshalStrict(text, &p))
	require.Equal(t, "v1", p.APIVersion)
	require.Equal(t, "Pod", p.Kind)
	return p
}

func TestPodTemplates(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(images, "pod-templates", "*.yaml"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 9)
	for _, f := range files {
		if filepath.Base(f) == "jcasc.yaml" {
			continue
		}
		t.Run(filepath.Base(f), func(t *testing.T) {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			check(t, pod(t, b))
		})
	}
}

// check holds a template against what the API server and the kubernetes plugin
// would find wrong with it.
func check(t *testing.T, p corev1.Pod) {
	volumes := map[string]bool{
		"workspace-volume": true, // the plugin brings it
	}
	for _, v := range p.Spec.Volumes {
		volumes[v.Name] = true
	}
	require.NotEmpty(t, p.Spec.Containers)
	names := map[string]bool{}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		require.NotEmpty(t, c.Image, c.Name)
		require.False(t, names[c.Name] && c.Name != "footman", "two containers are called %s", c.Name)
		names[c.Name] = true
		for _, m := range c.VolumeMounts {
			require.True(t, volumes[m.Name], "%s mounts %s, which is no volume", c.Name, m.Name)
			require.True(t, filepath.IsAbs(m.MountPath))
		}
		if strings.HasPrefix(c.Image, "footman/") {
			commands := [][]string{c.Command}
			for _, probe := range []*corev1.Probe{c.LivenessProbe, c.StartupProbe, c.ReadinessProbe} {
				if probe != nil && probe.Exec != nil {
					commands = append(commands, probe.Exec.Command)
				}
			}
			for _, cmd := range commands {
				if len(cmd) > 0 {
					require.Contains(t, []string{"/usr/local/bin/jenkins-agent", "/kaniko/jenkins-agent"}, cmd[0], "%s: %s has no such program", c.Name, c.Image)
				}
			}
		}
		for res, want := range c.Resources.Requests {
			if limit, ok := c.Resources.Limits[res]; ok {
				require.LessOrEqual(t, want.Cmp(limit), 0, "%s asks for more %s than its limit", c.Name, res)
			}
		}
		if slices.Contains(c.Command, "hold") {
			env := map[string]string{}
			for _, e := range c.Env {
				env[e.Name] = e.Value
			}
			require.Equal(t, c.Name, env["JENKINS_CONTAINER_NAME"], "container() looks for it")
			require.True(t, strings.HasSuffix(env["JENKINS_CONTAINER_WORK"], "/container-work"))
			require.True(t, slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
				return m.Name == "workspace-volume" && strings.HasPrefix(c.Command[0], m.MountPath+"/")
			}), "%s starts %s, which is on no volume of its", c.Name, c.Command[0])
		}
		if s := c.SecurityContext; s != nil {
			require.Nil(t, s.Privileged)
		}
	}
}

type jcascTemplate struct {
	Name, Label, Yaml, YamlMergeStrategy, AgentContainer string
	IdleMinutes                                          int
	AgentInjection                                       bool
}

type jcascCloud struct {
	Name, Namespace, JenkinsUrl, ContainerCapStr, PodRetention string
	WebSocket                                                  bool
	Templates                                                  []jcascTemplate
}

func jcasc(t *testing.T) jcascCloud {
	var conf struct {
		Jenkins struct {
			Clouds []struct{ Kubernetes jcascCloud }
		}
	}
	require.NoError(t, yaml.UnmarshalStrict(read(t, "pod-templates/jcasc.yaml"), &conf))
	require.Len(t, conf.Jenkins.Clouds, 1)
	return conf.Jenkins.Clouds[0].Kubernetes
}

func TestJCasC(t *testing.T) {
	cloud := jcasc(t)
	require.True(t, cloud.WebSocket)
	require.Len(t, cloud.Templates, 2)
	for _, tpl := range cloud.Templates {
		p := pod(t, []byte(tpl.Yaml))
		check(t, p)
		if tpl.AgentInjection {
			require.True(t, slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == tpl.AgentContainer }))
		}
	}
	require.Contains(t, string(read(t, "pod-templates/pipelines/inherit.Jenkinsfile")), "inheritFrom '"+cloud.Templates[0].Name+"'")
}

// TestAWSPods takes along what issue 8's tests look at from another side.
func TestAWSPods(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(images, "aws", "pod-template*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		check(t, pod(t, b))
	}
}

// TestJenkinsfiles: each template has a pipeline that uses it, with containers
// that are in it.
func TestJenkinsfiles(t *testing.T) {
	templates, err := filepath.Glob(filepath.Join(images, "pod-templates", "*.yaml"))
	require.NoError(t, err)
	for _, f := range templates {
		name := strings.TrimSuffix(filepath.Base(f), ".yaml")
		if name == "jcasc" {
			continue // inherit.Jenkinsfile takes a template of its
		}
		text := string(read(t, "pod-templates/pipelines/"+name+".Jenkinsfile"))
		require.Contains(t, text, "yamlFile 'images/pod-templates/"+name+".yaml'", name)
		p := pod(t, read(t, "pod-templates/"+name+".yaml"))
		for _, m := range regexp.MustCompile(`(?:container\(|agentContainer )'([^']*)'`).FindAllStringSubmatch(text, -1) {
			require.True(t, slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == m[1] }), "%s: no container %s", name, m[1])
		}
		for _, pair := range []string{"{}", "()"} {
			require.Equal(t, strings.Count(text, pair[:1]), strings.Count(text, pair[1:]), name)
		}
	}
	pipelines, err := filepath.Glob(filepath.Join(images, "pod-templates", "pipelines", "*"))
	require.NoError(t, err)
	require.Len(t, pipelines, len(templates)-1)
}
