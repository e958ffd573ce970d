package recipes

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
	"github.com/footman-ci/footman/test/recipes/localpod"
)

// task makes a pod of a task definition: what Fargate does with it, as far as
// localpod can. dependsOn becomes an init container, and volumes belong to root
// with 0755, as Fargate makes them.
func task(t *testing.T, in ecs.RegisterTaskDefinitionInput, env map[string]string, command []string) (corev1.PodSpec, map[string]string) {
	var spec corev1.PodSpec
	dirs := map[string]string{}
	for _, v := range in.Volumes {
		claim := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: *v.Name}
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: *v.Name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: claim}})
		dirs[*v.Name] = t.TempDir()
		require.NoError(t, os.Chmod(dirs[*v.Name], 0o755))
	}
	for _, c := range in.ContainerDefinitions {
		image := (*c.Image)[strings.Index(*c.Image, "footman/"):]
		var uid int64
		_, err := fmt.Sscan(*c.User, &uid)
		require.NoError(t, err)
		k := corev1.Container{Name: *c.Name, Image: image, Command: c.EntryPoint, Args: c.Command,
			SecurityContext: &corev1.SecurityContext{RunAsUser: &uid, ReadOnlyRootFilesystem: c.ReadonlyRootFilesystem}}
		if c.WorkingDirectory != nil {
			k.WorkingDir = *c.WorkingDirectory
		}
		for _, m := range c.MountPoints {
			k.VolumeMounts = append(k.VolumeMounts, corev1.VolumeMount{Name: *m.SourceVolume, MountPath: *m.ContainerPath})
		}
		for _, e := range c.Environment {
			k.Env = append(k.Env, corev1.EnvVar{Name: *e.Name, Value: *e.Value})
		}
		if !*c.Essential {
			spec.InitContainers = append(spec.InitContainers, k)
			continue
		}
		for name, value := range env {
			k.Env = append(k.Env, corev1.EnvVar{Name: name, Value: value})
		}
		if command != nil {
			k.Args = command
		}
		spec.Containers = append(spec.Containers, k)
	}
	return spec, dirs
}

// TestFargateRuns runs the task definition: as a task of one's own, and with
// what the plugin amazon-ecs puts in the place of its command.
func TestFargateRuns(t *testing.T) {
	k := newCluster(t)
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"TaskARN":"arn:aws:ecs:eu-west-1:111122223333:task/ci/0123","Family":"jenkins-agent","Revision":"7","LaunchType":"FARGATE"}`)
	}))
	defer metadata.Close()
	fargate := map[string]string{"AWS_EXECUTION_ENV": "AWS_ECS_FARGATE", "ECS_CONTAINER_METADATA_URI_V4": metadata.URL + "/v4/x"}

	t.Run("task of one's own", func(t *testing.T) {
		n := k.c.Node("fargate-1", workDir)
		def := taskDefinition(t)
		require.Equal(t, "JENKINS_SECRET", *def.ContainerDefinitions[0].Secrets[0].Name)
		command := append([]string{}, def.ContainerDefinitions[0].Command...)
		for i, a := range command {
			command[i] = strings.ReplaceAll(a, "https://jenkins.example.com/", k.c.URL())
		}
		k.fargate(t, n, def, with(fargate, "JENKINS_SECRET", n.Secret()), command)
	})
	t.Run("plugin", func(t *testing.T) {
		n := k.c.Node("fargate-plugin-1", workDir)
		def := taskDefinition(t)
		def.ContainerDefinitions[0].Environment = environmentOfTerraform(t)
		env := with(with(fargate, "SLAVE_NODE_NAME", n.Name()), "SLAVE_NODE_SECRET", n.Secret())
		k.fargate(t, n, def, env, []string{"-url", k.c.URL(), n.Secret(), n.Name()})
	})
	t.Run("without the container for volumes", func(t *testing.T) {
		def := taskDefinition(t)
		def.ContainerDefinitions = def.ContainerDefinitions[:1]
		def.ContainerDefinitions[0].WorkingDirectory = aws.String("/")
		spec, dirs := task(t, def, nil, []string{"-url", k.c.URL(), "-name", "n", "-secret", "0a", "-webSocket", "-workDir", workDir})
		p, err := localpod.Start(t.Context(), spec, localpod.Options{Dir: t.TempDir(), Images: k.image, Volumes: dirs})
		require.NoError(t, err)
		defer p.Kill()
		<-p.Container("jenkins-agent").Done()
		require.Contains(t, p.Container("jenkins-agent").Log(), "can't be made: mkdir /home/jenkins/agent: permission denied", "that is why it is there")
	})
}

func taskDefinition(t *testing.T) (def ecs.RegisterTaskDefinitionInput) {
	strict(t, read(t, "fargate/task-definition.json"), &def)
	return def
}

func with(env map[string]string, name, value string) map[string]string {
	out := map[string]string{name: value}
	for k, v := range env {
		out[k] = v
	}
	return out
}

// environmentOfTerraform is what main.tf sets, by its text.
func environmentOfTerraform(t *testing.T) (env []ecstypes.KeyValuePair) {
	for _, def := range terraformContainers(t) {
		if *def.Name == "jenkins-agent" {
			env = def.Environment
		}
	}
	require.NotEmpty(t, env)
	return env
}

// fargate runs a task until its agent is online, runs a step and stops the task
// as ECS does.
func (k *cluster) fargate(t *testing.T, n *controller.Node, def ecs.RegisterTaskDefinitionInput, env map[string]string, command []string) {
	spec, dirs := task(t, def, env, command)
	p, err := localpod.New(spec, localpod.Options{Dir: filepath.Join(k.dir, "tasks", n.Name()), Images: k.image, Volumes: dirs})
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			for _, c := range p.Containers() {
				t.Logf("%s:\n%s", c, c.Log())
			}
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, p.Start(ctx))
	require.NoError(t, n.WaitOnline(ctx))
	agent := p.Container("jenkins-agent")
	require.Eventually(t, func() bool {
		return strings.Contains(agent.Log(), "Running as ECS task arn:aws:ecs:eu-west-1:111122223333:task/ci/0123 definition=jenkins-agent:7 launch=FARGATE")
	}, 20*time.Second, 10*time.Millisecond)

	var out strings.Builder
	code, err := agent.Exec(ctx, def.ContainerDefinitions[0].HealthCheck.Command[1:], nil, &out, &out)
	require.NoError(t, err)
	require.Zero(t, code, out.String())

	log := &output.Buffer{}
	result := make(chan error, 1)
	go func() {
		r, err := n.Sh(ctx, "id -u; ! touch /file; touch /tmp/file ~/file; env | grep -c "+n.Secret()+" || true; echo is running; until [ -e go ]; do sleep 0.1; done; echo finished",
			controller.ShOptions{Log: log})
		if err == nil && r.ExitCode != 0 {
			err = fmt.Errorf("exit code %d", r.ExitCode)
		}
		result <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "\nis running\n") }, 20*time.Second, 10*time.Millisecond)
	require.Contains(t, log.String(), "\n1000\n")
	require.Contains(t, log.String(), "\n0\n", "the secret is not in the environment of builds")
	require.NoError(t, agent.Signal(syscall.SIGTERM))
	line := "\njenkins-agent: stopping (SIGTERM, ECS task ci/0123): what runs here has 1m45s left\n"
	require.Eventually(t, func() bool { return strings.Contains(log.String(), line) }, 40*time.Second, 20*time.Millisecond, log.String())
	require.NoError(t, os.WriteFile(filepath.Join(dirs["home"], "agent/workspace/demo/go"), nil, 0o644))
	require.NoError(t, <-result, log.String())
	require.Contains(t, log.String(), "\nfinished\n")
	select {
	case <-agent.Done():
	case <-time.After(20 * time.Second):
		require.Fail(t, "the task goes on", agent.Log())
	}
	require.Zero(t, agent.ExitCode())
}
