package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/footman-ci/footman/test/agentproc"
	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// check is one thing that an image must do. It returns what it saw.
type check struct {
	name string
	run  func(c *checker, ctx context.Context, im *image) (string, error)
}

func checksOf(image string) []check {
	all := []check{{"config", (*checker).config}}
	any := []check{{"any uid", (*checker).anyUID}, {"fsGroup", (*checker).fsGroup}}
	image, _, _ = strings.Cut(image, ":")
	switch image {
	case "static":
		return append(append(all, any...), check{"injection", (*checker).injection}, check{"24 MiB", (*checker).smallMemory}, check{"cold start", (*checker).coldStart})
	case "agent":
		return append(append(all, any...), check{"tools", (*checker).tools})
	case "agent-java":
		return append(append(all, any...), check{"tools", (*checker).tools}, check{"companion", (*checker).companion}, check{"64 MiB", (*checker).officialMemory})
	case "kaniko":
		return append(append(all, any...), check{"build", (*checker).kaniko})
	case "buildkit":
		return append(append(all, any...), check{"build", (*checker).buildkit})
	}
	return all
}

// config looks at what a cluster reads of an image before it runs it.
func (c *checker) config(_ context.Context, im *image) (string, error) {
	uid, err := im.uid()
	if err != nil {
		return "", err
	}
	for _, l := range []string{"title", "description", "source"} {
		if im.config.Labels["org.opencontainers.image."+l] == "" {
			return "", fmt.Errorf("no label org.opencontainers.image.%s", l)
		}
	}
	if h := im.config.Healthcheck; h == nil || !slices.Contains(h.Test, "health") {
		return "", errors.New("no HEALTHCHECK")
	}
	for _, e := range im.config.Env {
		if p, ok := strings.CutPrefix(e, "PATH="); ok && strings.Contains(p, "java") {
			return "", fmt.Errorf("PATH is not plain: %s", p)
		}
	}
	return fmt.Sprintf("USER %d, labels, HEALTHCHECK, plain PATH", uid), nil
}

// arbitrary is how OpenShift runs an image: any uid, group 0, nothing allowed.
var arbitrary = spec{uid: 54321, gid: 0, readOnly: true}

func (c *checker) anyUID(ctx context.Context, im *image) (string, error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	s := arbitrary
	s.env = []string{"JENKINS_AGENT_HTTP=" + port}
	a, err := c.runAgent(ctx, im, s, controller.Options{})
	if err != nil {
		return "", err
	}
	defer a.close()
	out, err := a.sh(ctx, `#!/bin/sh -e
echo "uid $(id -u) gid $(id -g)"
if echo x >/etc/x 2>/dev/null; then echo root can be written; exit 1; fi
sleep 0.1 & wait
tr '\0' ' ' </proc/1/cmdline; echo`)
	if err != nil {
		return "", err
	}
	if !strings.Contains(out, "uid 54321 gid 0") || !strings.Contains(out, "jenkins-agent") {
		return "", fmt.Errorf("the step said %q", out)
	}
	if err := a.build(ctx); err != nil {
		return "", err
	}
	if _, err := a.exec(ctx, im.config.Healthcheck.Test[1:]...); err != nil {
		return "", fmt.Errorf("HEALTHCHECK: %w", err)
	}
	return "online as uid 54321 with a read-only root and no capability; sh, writeFile 1 MB, stash; HEALTHCHECK passes", a.close()
}

// fsGroup is a pod with a volume that a supplementary group owns.
func (c *checker) fsGroup(ctx context.Context, im *image) (string, error) {
	uid, err := im.uid()
	if err != nil {
		return "", err
	}
	a, err := c.runAgent(ctx, im, spec{uid: uid, gid: uid, groups: []int{2000}, readOnly: true}, controller.Options{})
	if err != nil {
		return "", err
	}
	defer a.close()
	if _, err := a.sh(ctx, "touch stepped"); err != nil {
		return "", err
	}
	if err := a.node.WriteFile(ctx, agentDir+"/workspace/check/written", "x"); err != nil {
		return "", err
	}
	for _, name := range []string{"stepped", "written"} {
		st, err := os.Stat(a.path(name))
		if err != nil {
			return "", err
		}
		if st.Mode().Perm() != 0o664 {
			return "", fmt.Errorf("%s has mode %v: its group can't write to it", name, st.Mode())
		}
	}
	return fmt.Sprintf("as uid %d with fsGroup 2000 what steps and the agent write has mode 664", uid), a.close()
}

// injection is what the kubernetes plugin's init container runs.
func (c *checker) injection(ctx context.Context, im *image) (string, error) {
	dir, err := c.workspace(1000, 0, 0o777)
	if err != nil {
		return "", err
	}
	var log output.Buffer
	k, err := c.start(ctx, im, spec{uid: 1000, readOnly: true, log: &log, volumes: []volume{{source: dir, target: "/jenkins-agent"}},
		args: []string{"/bin/sh", "-c", "cp $(command -v jenkins-agent) /jenkins-agent/jenkins-agent; cp -R /usr/share/jenkins/. /jenkins-agent"}})
	if err == nil {
		err = k.wait()
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, log.String())
	}
	out, err := exec.CommandContext(ctx, dir+"/jenkins-agent", "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("the program that was copied: %w: %s", err, out)
	}
	if out, err = exec.CommandContext(ctx, dir+"/jenkins-shell", "sh", "-c", "echo $((6*7))").CombinedOutput(); err != nil || string(out) != "42\n" {
		return "", fmt.Errorf("the shell that was copied: %w: %s", err, out)
	}
	return "the init container's command copied an agent and a shell that run elsewhere", nil
}

const mib = 1 << 20

func (c *checker) smallMemory(ctx context.Context, im *image) (string, error) {
	if err := im.native(); err != nil {
		return "", err
	}
	m, err := c.limit(24 * mib)
	if err != nil {
		return "", err
	}
	defer m.close()
	s := arbitrary
	s.memory = m
	a, err := c.runAgent(ctx, im, s, controller.Options{})
	if err != nil {
		return "", err
	}
	defer a.close()
	if err := a.build(ctx); err != nil {
		return "", err
	}
	if err := a.close(); err != nil {
		return "", err
	}
	return fmt.Sprintf("online, sh, writeFile 1 MB, stash within a limit of 24 MiB; peak %.1f MiB with page cache", float64(m.peak())/mib), nil
}

func (c *checker) limit(n int64) (*memoryLimit, error) {
	if !c.cgroups {
		return nil, &notRun{"crun can't make control groups here"}
	}
	c.serial++
	return limitMemory(fmt.Sprintf("footman-limit-%d-%d", os.Getpid(), c.serial), n)
}

// starts is how often each way of starting is measured.
const starts = 9

// coldStart compares a container's start until its agent is online with that of
// the same file as a process of this machine.
func (c *checker) coldStart(ctx context.Context, im *image) (string, error) {
	if err := im.native(); err != nil {
		return "", err
	}
	var inside, outside []time.Duration
	for range starts {
		a, err := c.runAgent(ctx, im, arbitrary, controller.Options{})
		if err != nil {
			return "", err
		}
		inside = append(inside, a.online)
		if err := a.close(); err != nil {
			return "", err
		}
		d, err := c.bareStart(ctx, filepath.Join(im.root, im.config.Entrypoint[0]))
		if err != nil {
			return "", err
		}
		outside = append(outside, d)
	}
	in, out := median(inside), median(outside)
	return fmt.Sprintf("crun to online %s, the process alone %s: %.2f times, %s more (medians of %d)", ms(in), ms(out), float64(in)/float64(out), ms(in-out), starts), nil
}

func (c *checker) bareStart(ctx context.Context, agent string) (time.Duration, error) {
	ctl := controller.New(controller.Options{MonitorDelay: -1})
	if err := ctl.Start(); err != nil {
		return 0, err
	}
	defer ctl.Close()
	dir, err := c.workspace(0, 0, 0o755)
	if err != nil {
		return 0, err
	}
	n := ctl.Node("agent-1", dir)
	p, err := agentproc.Start(agentproc.Options{Command: []string{agent}, URL: ctl.URL(), Name: n.Name(), Secret: n.Secret(), WorkDir: dir})
	if err != nil {
		return 0, err
	}
	defer p.Stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := n.WaitOnline(ctx); err != nil {
		return 0, err
	}
	return n.Info().Online.Sub(p.Started), p.Stop()
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

// tools runs what a checkout needs.
func (c *checker) tools(ctx context.Context, im *image) (string, error) {
	// As the image's own user: ssh refuses to run without an entry in /etc/passwd.
	uid, err := im.uid()
	if err != nil {
		return "", err
	}
	a, err := c.runAgent(ctx, im, spec{uid: uid, gid: uid, readOnly: true}, controller.Options{})
	if err != nil {
		return "", err
	}
	defer a.close()
	out, err := a.sh(ctx, `#!/bin/sh -e
git --version; git lfs version; ssh -V 2>&1; tar --version | head -1; test -s /etc/ssl/certs/ca-certificates.crt
git init -q repo; cd repo; git lfs track '*.bin' >/dev/null; head -c 1000 /dev/zero >a.bin
git add .; git -c user.name=n -c user.email=e@example.org commit -qm one
git clone -q . ../clone; git -C ../clone log --oneline | wc -l; cmp a.bin ../clone/a.bin`)
	if err != nil {
		return "", err
	}
	first, _, _ := strings.Cut(out, "\n")
	return first + ", git-lfs, ssh, tar, CA roots: a commit and a clone with a file of LFS", a.close()
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
