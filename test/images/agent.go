package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// agentDir is where the kubernetes plugin mounts the workspace volume.
const agentDir = "/home/jenkins/agent"

// agent is a container whose agent is online on a controller of its own.
type agent struct {
	*container
	ctl    *controller.Controller
	node   *controller.Node
	volume string // the work directory on this machine
	online time.Duration
	log    *output.Buffer
}

// contract is the environment that a pod template gives the jnlp container.
func contract(ctl *controller.Controller, n *controller.Node) []string {
	return []string{"JENKINS_URL=" + ctl.URL(), "JENKINS_AGENT_NAME=" + n.Name(), "JENKINS_NAME=" + n.Name(), "JENKINS_SECRET=" + n.Secret(),
		"JENKINS_AGENT_WORKDIR=" + agentDir, "JENKINS_WEB_SOCKET=true", "REMOTING_OPTS=-noReconnectAfter 1d"}
}

// workspace makes a volume for the work directory.
func (c *checker) workspace(uid, gid int, mode os.FileMode) (string, error) {
	dir, err := os.MkdirTemp(c.work, "volume-")
	if err != nil {
		return "", err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, mode)
}

// runAgent starts a container and waits until its agent is online.
func (c *checker) runAgent(ctx context.Context, im *image, s spec, o controller.Options) (*agent, error) {
	o.MonitorDelay = -1
	a := &agent{ctl: controller.New(o), log: &output.Buffer{}}
	if err := a.ctl.Start(); err != nil {
		return nil, err
	}
	a.node = a.ctl.Node("agent-1", agentDir)
	mode := os.FileMode(0o755)
	if s.groups != nil {
		mode = 0o775 | os.ModeSetgid // what a kubelet makes of a volume for fsGroup
	}
	gid := s.gid
	if len(s.groups) > 0 {
		gid = s.groups[0]
	}
	var err error
	if a.volume, err = c.workspace(s.uid, gid, mode); err != nil {
		_ = a.ctl.Close()
		return nil, err
	}
	s.volumes = append([]volume{{source: a.volume, target: agentDir}}, s.volumes...)
	s.env = append(contract(a.ctl, a.node), s.env...)
	s.log = a.log
	begin := time.Now()
	if a.container, err = c.start(ctx, im, s); err != nil {
		_ = a.ctl.Close()
		return nil, err
	}
	if err := a.await(ctx); err != nil {
		a.close()
		return nil, fmt.Errorf("the agent did not come online: %w: %s", err, tail(a.log.String()))
	}
	a.online = a.node.Info().Online.Sub(begin)
	return a, nil
}

// whileItRuns makes a context that ends with the container, too.
func (a *agent) whileItRuns(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	go func() {
		select {
		case <-a.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// await waits until the agent is online or its container has ended.
func (a *agent) await(ctx context.Context) error {
	ctx, cancel := a.whileItRuns(ctx, time.Minute)
	defer cancel()
	err := a.node.WaitOnline(ctx)
	select {
	case <-a.done:
		if a.err != nil {
			return fmt.Errorf("its container ended: %w", a.err)
		}
	default:
	}
	return err
}

// close ends the agent and its controller.
func (a *agent) close() error {
	err := a.stop()
	return errors.Join(err, a.ctl.Close())
}

// sh runs a pipeline step that must succeed, and returns what it printed.
func (a *agent) sh(ctx context.Context, script string) (string, error) {
	return a.shIn(ctx, "check", script)
}

// shIn is sh of a job of that name.
func (a *agent) shIn(ctx context.Context, job, script string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	go func() {
		select {
		case <-a.done:
			cancel() // nothing will answer
		case <-ctx.Done():
		}
	}()
	var log output.Buffer
	r, err := a.node.Sh(ctx, script, controller.ShOptions{Job: job, Log: &log})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit code %d", r.ExitCode)
	}
	if err != nil {
		return log.String(), fmt.Errorf("sh: %w: %s%s", err, tail(log.String()), tail(a.log.String()))
	}
	return log.String(), nil
}

// build is a whole build: sh, writeFile of 1 MB, stash and unstash.
func (a *agent) build(ctx context.Context) error {
	ctx, cancel := a.whileItRuns(ctx, 2*time.Minute)
	defer cancel()
	if _, err := a.shIn(ctx, "build", "rm -rf *; echo building; head -c 100000 /dev/zero >made; ls -l made"); err != nil {
		return err
	}
	ws := agentDir + "/workspace/build"
	text := strings.Repeat("0123456789abcde\n", 1<<16) // 1 MiB
	if err := a.node.WriteFile(ctx, ws+"/notes.txt", text); err != nil {
		return fmt.Errorf("writeFile: %w", err)
	}
	var tar, back bytes.Buffer
	n, err := a.node.Stash(ctx, ws, "**", &tar)
	if err == nil && n != 2 {
		err = fmt.Errorf("%d files", n)
	}
	if err != nil {
		return fmt.Errorf("stash: %w", err)
	}
	if err := a.node.Unstash(ctx, ws+"/copy", &tar); err != nil {
		return fmt.Errorf("unstash: %w", err)
	}
	if _, err := a.node.ReadFile(ctx, ws+"/copy/notes.txt", &back); err != nil {
		return fmt.Errorf("readFile: %w", err)
	}
	if back.String() != text {
		return errors.New("what was stashed came back different")
	}
	return nil
}

// path is where this machine sees a file of the workspace.
func (a *agent) path(name string) string { return filepath.Join(a.volume, "workspace/check", name) }

// tail is the end of a log, for an error.
func tail(s string) string {
	if len(s) > 2000 {
		s = "…" + s[len(s)-2000:]
	}
	if s != "" {
		s = "\n" + s
	}
	return s
}
