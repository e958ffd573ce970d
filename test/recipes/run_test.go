package recipes

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
	"github.com/footman-ci/footman/test/recipes/localpod"
)

// TestMain lets the test program become the containers that it starts.
func TestMain(m *testing.M) {
	localpod.Init()
	os.Exit(m.Run())
}

const (
	workDir   = "/home/jenkins/agent"
	plainPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// cluster has images of busybox and our programs, and a controller.
type cluster struct {
	dir  string
	c    *controller.Controller
	made map[string]localpod.Image
}

func newCluster(t *testing.T) *cluster {
	if os.Geteuid() != 0 {
		t.Skip("NOT ROOT: THE POD TEMPLATES ARE NOT RUN HERE, only parsed")
	}
	busybox := tool(t, "busybox", "busybox-static")
	if f, err := elf.Open(busybox); err != nil || slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Skip("BUSYBOX IS NOT STATIC: THE POD TEMPLATES ARE NOT RUN HERE; install Debian's package busybox-static")
	}
	k := &cluster{dir: t.TempDir(), made: map[string]localpod.Image{}}
	require.NoError(t, os.Chmod(k.dir, 0o755)) // other users go through it
	k.makeImages(t, busybox)
	p, err := localpod.Start(t.Context(), corev1.PodSpec{InitContainers: []corev1.Container{{Name: "try", Image: "busybox", Command: []string{"true"}}}},
		localpod.Options{Dir: filepath.Join(k.dir, "try"), Images: k.image})
	if failed := (*localpod.ErrInit)(nil); errors.As(err, &failed) && failed.Code == 128 {
		t.Skipf("NO CONTAINERS ON THIS MACHINE: THE POD TEMPLATES ARE NOT RUN HERE: %s", failed.Log)
	}
	require.NoError(t, err)
	p.Kill()
	k.c = controller.New(controller.Options{})
	require.NoError(t, k.c.Start())
	t.Cleanup(func() { k.c.Close() })
	return k
}

// makeImages builds our programs and lays out three roots: tools, tools without
// the nohup that durable steps need (bare), and one like footman/static, which
// stands for every image with an agent.
func (k *cluster) makeImages(t *testing.T, busybox string) {
	build := func(name string, flags ...string) []byte {
		out := filepath.Join(k.dir, name)
		cmd := exec.Command("go", slices.Concat([]string{"build", "-o", out}, flags, []string{"./cmd/" + name})...)
		cmd.Dir, cmd.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, string(text))
		b, err := os.ReadFile(out)
		require.NoError(t, err)
		return b
	}
	agent, shell := build("jenkins-agent", "-tags", "urfave_cli_no_docs"), build("jenkins-shell")
	bb, err := os.ReadFile(busybox)
	require.NoError(t, err)
	applets, err := exec.Command(busybox, "--list").Output()
	require.NoError(t, err)
	for _, name := range []string{"bare", "tools", "agent"} {
		root := filepath.Join(k.dir, "roots", name)
		put := func(path string, text []byte, mode fs.FileMode) {
			path = filepath.Join(root, path)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, text, mode))
		}
		put("bin/busybox", bb, 0o755)
		for _, a := range strings.Fields(string(applets)) {
			if a != "busybox" {
				require.NoError(t, os.Symlink("busybox", filepath.Join(root, "bin", a)))
			}
		}
		put("etc/image", []byte(name+"\n"), 0o644)
		put("etc/passwd", []byte("root:x:0:0:root:/:/bin/sh\njenkins:x:1000:1000:jenkins:/home/jenkins:/bin/sh\n"), 0o644)
		if name == "agent" {
			put("usr/local/bin/jenkins-agent", agent, 0o755)
			put("usr/local/bin/jenkins-shell", shell, 0o755)
			put("usr/share/jenkins/README", []byte("no agent.jar\n"), 0o644)
		}
		// As images/static/rootfs.sh does; Debian's busybox has none.
		if name != "bare" && !slices.Contains(strings.Fields(string(applets)), "nohup") {
			put("bin/nohup", []byte("#!/bin/sh\ntrap \"\" HUP\nexec \"$@\"\n"), 0o755)
		}
		require.NoError(t, os.MkdirAll(filepath.Join(root, "home/jenkins/agent"), 0o775))
		require.NoError(t, os.Chown(filepath.Join(root, "home/jenkins"), 1000, 0))
	}
	for name, root := range map[string]string{"busybox": "bare", "maven": "tools", "node": "bare"} {
		k.made[name] = localpod.Image{Root: filepath.Join(k.dir, "roots", root), Env: []string{plainPath}, Cmd: []string{"sh"}}
	}
	ours := localpod.Image{Root: filepath.Join(k.dir, "roots", "agent"), Env: []string{plainPath, "HOME=/home/jenkins"},
		Entrypoint: []string{"/usr/local/bin/jenkins-agent"}, WorkingDir: workDir, User: 1000, Group: 1000}
	for _, name := range []string{"static", "agent", "agent-java", "buildkit", "kaniko"} {
		k.made["footman/"+name] = ours
	}
	k.made["jenkins/inbound-agent"] = ours // a mirror, as injection.yaml says
}

func (k *cluster) image(name string) (localpod.Image, error) {
	name, _, _ = strings.Cut(name, ":")
	img, ok := k.made[name]
	if !ok {
		return img, errors.New("no image " + name)
	}
	return img, nil
}

// plugged is what the kubernetes plugin makes of a template: as PodTemplateBuilder
// and DefaultWorkspaceVolume do, held against pods that the plugin did make.
func (k *cluster) plugged(spec corev1.PodSpec, n *controller.Node, agentContainer string, injection bool) corev1.PodSpec {
	spec = *spec.DeepCopy()
	spec.Volumes = slices.DeleteFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == "workspace-volume" })
	empty := corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}
	spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "workspace-volume", VolumeSource: empty})
	for i := range spec.Containers {
		c := &spec.Containers[i]
		if c.Name == agentContainer {
			for name, value := range map[string]string{"JENKINS_URL": k.c.URL(), "JENKINS_SECRET": n.Secret(), "JENKINS_NAME": n.Name(),
				"JENKINS_AGENT_NAME": n.Name(), "JENKINS_AGENT_WORKDIR": workDir, "JENKINS_WEB_SOCKET": "true", "REMOTING_OPTS": "-noReconnectAfter 1d"} {
				c.Env = append(c.Env, corev1.EnvVar{Name: name, Value: value})
			}
			if injection {
				m := corev1.VolumeMount{Name: "jenkins-agent", MountPath: "/jenkins-agent"}
				spec.InitContainers = append(spec.InitContainers, corev1.Container{Name: "set-up-jenkins-agent", Image: "jenkins/inbound-agent:3355", VolumeMounts: []corev1.VolumeMount{m},
					Command: []string{"/bin/sh", "-c", "cp $(command -v jenkins-agent) /jenkins-agent/jenkins-agent;cp -R /usr/share/jenkins/. /jenkins-agent"}})
				spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "jenkins-agent", VolumeSource: empty})
				m.ReadOnly = true
				c.VolumeMounts = append(c.VolumeMounts, m)
				c.WorkingDir, c.Command, c.Args = workDir, []string{"/jenkins-agent/jenkins-agent"}, nil
				c.Env = append(c.Env, corev1.EnvVar{Name: "JENKINS_AGENT_FILE", Value: "/jenkins-agent/agent.jar"})
			}
		}
		at := workDir
		if c.WorkingDir != "" {
			at = c.WorkingDir
		}
		if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == at }) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "workspace-volume", MountPath: at})
		}
	}
	return spec
}

// runningPod is a pod whose agent is online.
type runningPod struct {
	*localpod.Pod
	*controller.Node
	agent *localpod.Container
}

func (k *cluster) run(t *testing.T, spec corev1.PodSpec, agentContainer string, injection bool) *runningPod {
	name := strings.ToLower(strings.Map(func(r rune) rune {
		if strings.ContainsRune("/._", r) {
			return '-'
		}
		return r
	}, t.Name()))
	r := &runningPod{Node: k.c.Node(name, workDir)}
	dir := filepath.Join(k.dir, "pods", name)
	o := localpod.Options{Dir: dir, Images: k.image, Volumes: map[string]string{}}
	spec = k.plugged(spec, r.Node, agentContainer, injection)
	for _, c := range spec.Containers {
		for i, e := range c.Env {
			if e.Name == "JENKINS_AGENT_HTTP" { // the port of a pod, but here all share the machine's
				c.Env[i].Value = freePort(t)
			}
		}
	}
	for i, v := range spec.Volumes {
		if v.HostPath != nil { // a socket of our own in place of the machine's
			path := filepath.Join(dir, v.Name+".sock")
			require.NoError(t, os.MkdirAll(dir, 0o755))
			l, err := net.Listen("unix", path)
			require.NoError(t, err)
			t.Cleanup(func() { l.Close() })
			spec.Volumes[i].HostPath.Path = path
		} else if v.EmptyDir == nil {
			o.Volumes[v.Name] = t.TempDir()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p, err := localpod.New(spec, o)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			for _, c := range p.Containers() {
				t.Logf("%s:\n%s", c, c.Log())
			}
		}
	})
	require.NoError(t, p.Start(ctx))
	r.Pod, r.agent = p, p.Container(agentContainer)
	require.NoError(t, r.WaitOnline(ctx), "the agent did not come online")
	return r
}

func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// sh runs a step, in another container if one is named.
func (r *runningPod) sh(t *testing.T, container, script string) string {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	env := map[string]string{}
	if container != "" {
		env["FOOTMAN_CONTAINER"] = container
	}
	var log bytes.Buffer
	res, err := r.Sh(ctx, "set -e\n"+script, controller.ShOptions{Env: env, ReturnStdout: true, Log: &log})
	require.NoError(t, err, log.String())
	require.Zero(t, res.ExitCode, log.String())
	return strings.TrimSpace(res.Stdout)
}

// stop is the pod's deletion: quick, and no container has to be killed.
func (r *runningPod) stop(t *testing.T) {
	took := r.Stop(30 * time.Second)
	for _, c := range r.Containers() {
		require.Zero(t, c.ExitCode(), "%s: %s", c, c.Log())
	}
	require.Less(t, took, 5*time.Second, "`cat` would have been waited for")
	t.Logf("deleted in %v", took.Round(time.Millisecond))
}

func TestPodsRun(t *testing.T) {
	k := newCluster(t)
	t.Run("templates", k.testTemplates)
	t.Run("hold", k.testHold)
	t.Run("inherit", k.testInherit)
}

// testTemplates runs every template: its init containers, its agent until it is
// online on the embedded controller, a step there, and the pod's deletion.
func (k *cluster) testTemplates(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(images, "pod-templates", "*.yaml"))
	require.NoError(t, err)
	for _, f := range files {
		name := filepath.Base(f)
		if name == "jcasc.yaml" || name == "inherit.yaml" {
			continue // testInherit
		}
		t.Run(name, func(t *testing.T) {
			agentContainer, injection := "jnlp", false
			if name == "injection.yaml" {
				agentContainer, injection = "maven", true
			}
			p := pod(t, read(t, filepath.Join("pod-templates", name)))
			r := k.run(t, p.Spec, agentContainer, injection)
			out := r.sh(t, "", "cat /etc/image; id -u; echo 1 >file; pwd; tr '\\0' ' ' </proc/1/cmdline")
			lines := strings.Split(out, "\n")
			require.Equal(t, map[bool]string{true: "tools", false: "agent"}[injection], lines[0])
			require.Equal(t, map[bool]string{true: "0", false: "1000"}[name == "kaniko.yaml"], lines[1])
			require.True(t, strings.HasPrefix(lines[2], workDir+"/workspace/"), lines[2])
			require.Contains(t, lines[3], "jenkins-agent", "the agent is its container's PID 1")
			var stash bytes.Buffer
			n, err := r.Stash(t.Context(), lines[2], "**", &stash)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			r.probe(t, p.Spec)
			r.stop(t)
		})
	}
}

// probe runs the exec probes of a pod once.
func (r *runningPod) probe(t *testing.T, spec corev1.PodSpec) {
	for _, c := range spec.Containers {
		if c.LivenessProbe == nil {
			continue
		}
		var out bytes.Buffer
		code, err := r.Container(c.Name).Exec(t.Context(), c.LivenessProbe.Exec.Command, nil, &out, &out)
		require.NoError(t, err)
		require.Zero(t, code, "%s: %s", c.Name, out.String())
	}
}

// testHold is hold.yaml with the steps that make it worth having.
func (k *cluster) testHold(t *testing.T) {
	p := pod(t, read(t, "pod-templates/hold.yaml"))
	r := k.run(t, p.Spec, "jnlp", false)
	require.Equal(t, "tools\n0", r.sh(t, "maven", "cat /etc/image; id -u"))
	// What root makes over there, the agent's user can change and remove.
	dir := r.sh(t, "maven", "mkdir -p made/deep; echo 1 >made/deep/file; ls -l >/dev/null; pwd")
	r.sh(t, "", "echo 2 >>made/deep/file; rm -r made")
	r.sh(t, "maven", "mkdir -p made/deep; echo 1 >made/deep/file")
	require.NoError(t, r.DeleteRecursive(t.Context(), dir+"/made"))
	// An agent that is killed comes back under its supervisor, and the step with it.
	ws := filepath.Join(k.dir, "pods", r.Name(), "volumes", "workspace-volume", strings.TrimPrefix(dir, workDir))
	step := r.longStep(t, "killed")
	connections := r.Info().Connections
	require.NoError(t, syscall.Kill(supervised(t, r.agent.Pid), syscall.SIGKILL))
	require.Eventually(t, func() bool { return r.Info().Connections > connections }, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(ws, "killed"), nil, 0o644))
	require.Equal(t, "whole: true, 0 <nil>", <-step)
	// A pod that is deleted in the middle of a step: the agent lets that finish,
	// and the tool's container has to stay as long.
	step = r.longStep(t, "deleted")
	stopped := make(chan time.Duration, 1)
	go func() { stopped <- r.Stop(30 * time.Second) }()
	require.Eventually(t, func() bool { return strings.Contains(r.Container("maven").Log(), "lets builds finish first") }, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, os.WriteFile(filepath.Join(ws, "deleted"), nil, 0o644))
	require.Equal(t, "whole: true, 0 <nil>", <-step)
	<-stopped
	r.stop(t) // which finds them ended
}

// longStep runs a step in maven that ends when a file is in its workspace. It
// returns when the controller has asked how the step is doing, as the agent
// knows of no durable step before; what comes is how it ended.
func (r *runningPod) longStep(t *testing.T, file string) <-chan string {
	ended := make(chan string, 1)
	log := &output.Buffer{}
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		res, err := r.Sh(ctx, "set +x; echo up; until [ -e "+file+" ]; do sleep 0.1; done; echo went on",
			controller.ShOptions{Env: map[string]string{"FOOTMAN_CONTAINER": "maven"}, Log: log})
		ended <- fmt.Sprintf("whole: %v, %d %v", strings.Contains(log.String(), "went on\n"), res.ExitCode, err)
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "up\n") }, 20*time.Second, 20*time.Millisecond)
	return ended
}

// supervised is the agent itself: the child of a container's PID 1 that runs the
// same program.
func supervised(t *testing.T, pid int) int {
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task/*/children"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, child := range strings.Fields(string(b)) {
			if exe, err := os.Readlink(filepath.Join("/proc", child, "exe")); err == nil && filepath.Base(exe) == "jenkins-agent" {
				n, err := strconv.Atoi(child)
				require.NoError(t, err)
				return n
			}
		}
	}
	require.FailNow(t, "PID 1 has no agent below it")
	return 0
}

// testInherit merges inherit.yaml into jcasc.yaml's first template, as the
// plugin's yamlMergeStrategy merge does. The image has no nohup, which a durable
// step needs: hold's embedded shell stands in.
func (k *cluster) testInherit(t *testing.T) {
	parent := pod(t, []byte(jcasc(t).Templates[0].Yaml))
	child := pod(t, read(t, "pod-templates/inherit.yaml"))
	parent.Spec.Containers = append(parent.Spec.Containers, child.Spec.Containers...)
	r := k.run(t, parent.Spec, "jnlp", false)
	require.Equal(t, "agent", r.sh(t, "", "cat /etc/image"))
	require.Equal(t, "bare", r.sh(t, "node", "cat /etc/image"))
	r.stop(t)
}
