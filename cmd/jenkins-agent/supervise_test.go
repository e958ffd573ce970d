package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// pod is an agent as PID 1 of a PID namespace of its own.
type pod struct {
	*connected
	pid1 int // as the host sees it
}

// contain runs the agent as PID 1; prepare may change the command.
func contain(t *testing.T, prepare func(p *exec.Cmd), args ...string) *pod {
	x := &pod{connected: &connected{t: t, log: &output.Buffer{}, exited: make(chan struct{})}}
	x.c, x.n, x.dir = jenkins(t)
	x.p = program(t, "jenkins-agent", []string{"JENKINS_URL=" + x.c.URL(), "JENKINS_NAME=n1", "JENKINS_SECRET=" + x.n.Secret(),
		"JENKINS_WEB_SOCKET=true", "JENKINS_AGENT_WORKDIR=" + x.dir}, args...)
	if prepare != nil {
		prepare(x.p)
	}
	inNamespace(t, x.p)
	x.start()
	require.Eventually(t, func() bool {
		if kids := childrenOf(x.p.Process.Pid); len(kids) == 1 {
			x.pid1 = kids[0]
		}
		return x.pid1 != 0 || x.ended()
	}, 10*time.Second, time.Millisecond)
	return x
}

// inNamespace lets a command be PID 1 of a namespace of its own.
func inNamespace(t *testing.T, p *exec.Cmd) {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err == nil {
		err = exec.Command(unshare, "--pid", "--fork", "--mount-proc", "true").Run()
	}
	if err != nil {
		t.Skipf("SKIPPED LOUDLY: no PID namespace can be made here (%v); run as root with unshare", err)
	}
	p.Args = append([]string{"unshare", "--pid", "--fork", "--mount-proc", "--kill-child", p.Path}, p.Args[1:]...)
	p.Path = unshare
}

func (x *pod) ended() bool {
	select {
	case <-x.exited:
		return true
	default:
		return false
	}
}

func childrenOf(pid int) []int {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	var pids []int
	for _, f := range files {
		b, _ := os.ReadFile(f)
		for _, s := range strings.Fields(string(b)) {
			n, _ := strconv.Atoi(s)
			pids = append(pids, n)
		}
	}
	return pids
}

// agent is the host's pid of the supervised agent that runs now, 0 if none.
func (x *pod) agent() int {
	for _, pid := range childrenOf(x.pid1) {
		if cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.HasPrefix(string(cmd), filepath.Dir(x.p.Args[5])) {
			return pid
		}
	}
	return 0
}

func (x *pod) online() {
	x.t.Helper()
	require.NoError(x.t, x.n.WaitOnline(within(x.t, 30*time.Second)))
}

// crash kills the agent and returns how long until another one runs.
func (x *pod) crash() time.Duration {
	x.t.Helper()
	old := x.agent()
	require.NotZero(x.t, old)
	start := time.Now()
	require.NoError(x.t, syscall.Kill(old, syscall.SIGKILL))
	require.Eventually(x.t, func() bool { p := x.agent(); return p != 0 && p != old }, 20*time.Second, time.Millisecond)
	return time.Since(start)
}

func (x *pod) back(connections int) {
	x.t.Helper()
	require.Eventually(x.t, func() bool { i := x.n.Info(); return i.Connections == connections }, 20*time.Second, 2*time.Millisecond)
	x.online()
}

func TestAKilledAgentIsBackBeforeTheBuildNotices(t *testing.T) {
	x := contain(t, nil)
	x.online()
	const count = 20000
	check := controller.NewLineCheck("line-", count)
	done := make(chan error, 1)
	go func() {
		r, err := x.n.Sh(within(t, 2*time.Minute), fmt.Sprintf(
			"#!/bin/sh\ni=0; while [ $i -lt %d ]; do i=$((i+1)); printf 'line-%%06d\\n' $i; [ $((i %% 2000)) != 0 ] || sleep 0.2; done", count),
			controller.ShOptions{Log: check})
		if err == nil && r.ExitCode != 0 {
			err = fmt.Errorf("exit code %d", r.ExitCode)
		}
		done <- err
	}()
	require.Eventually(t, func() bool { // it runs
		m, _ := filepath.Glob(filepath.Join(x.dir, "workspace", "*@tmp", "durable-*", "jenkins-log.txt"))
		if len(m) == 0 {
			return false
		}
		fi, err := os.Stat(m[0])
		return err == nil && fi.Size() > 1000
	}, 20*time.Second, 5*time.Millisecond)
	start := time.Now()
	restarted := x.crash()
	x.back(2)
	back := time.Since(start)
	t.Logf("restarted after %s, online after %s", restarted.Round(time.Millisecond), back.Round(time.Millisecond))
	require.Less(t, restarted, 200*time.Millisecond*raceFactor)
	require.Less(t, back, 1500*time.Millisecond*raceFactor)
	require.NoError(t, <-done)
	require.NoError(t, check.Done())
	require.NotContains(t, x.log.String(), "already connected", "the cookie was handed over")
	require.NotContains(t, x.log.String(), x.n.Secret())

	start = x.signalTo(x.pid1, syscall.SIGTERM)
	require.Equal(t, exitOK, x.exit(10*time.Second))
	require.Less(t, time.Since(start), time.Second*raceFactor)
}

func (x *pod) signalTo(pid int, s syscall.Signal) time.Time {
	require.NoError(x.t, syscall.Kill(pid, s))
	return time.Now()
}

// A deleted program, as after an upgrade of the image's volume, still restarts.
func TestRestartWithoutItsFile(t *testing.T) {
	var copied string
	x := contain(t, func(p *exec.Cmd) {
		copied = filepath.Join(t.TempDir(), "jenkins-agent")
		require.NoError(t, exec.Command("cp", p.Path, copied).Run())
		p.Path, p.Args[0] = copied, copied
	})
	x.online()
	require.NoError(t, os.Remove(copied))
	x.crash()
	x.back(2)
}

func TestNoRestartAfterARefusal(t *testing.T) {
	x := contain(t, func(p *exec.Cmd) {
		for i, kv := range p.Env {
			if strings.HasPrefix(kv, "JENKINS_SECRET=") {
				p.Env[i] = "JENKINS_SECRET=00ff"
			}
		}
	}, "-giveUpAfter", "1ns")
	require.Equal(t, exitRefused, x.exit(20*time.Second))
	require.Equal(t, 1, strings.Count(x.log.String(), "Setting up agent"), x.log.String())
	require.NotContains(t, x.log.String(), "unexpectedly")
}

func TestNoEndlessRestarts(t *testing.T) {
	x := contain(t, nil)
	last := 0
	for !x.ended() {
		if p := x.agent(); p != 0 && p != last {
			last = p
			_ = syscall.Kill(p, syscall.SIGKILL)
		}
		time.Sleep(time.Millisecond)
	}
	require.Equal(t, 128+int(syscall.SIGKILL), x.exit(time.Second))
	require.Contains(t, x.log.String(), "keeps crashing")
	require.Equal(t, restartLimit, strings.Count(x.log.String(), "starting it again"))
}

func TestSignalsReachTheAgent(t *testing.T) {
	x := contain(t, nil)
	x.online()
	_, failed := x.freestyle("echo is running; sleep 20")
	x.signalTo(x.pid1, syscall.SIGTERM)
	x.await("Stopping")
	require.False(t, x.ended(), "a build runs")
	start := x.signalTo(x.pid1, syscall.SIGTERM)
	require.Equal(t, exitKilled, x.exit(5*time.Second))
	require.Less(t, time.Since(start), time.Second*raceFactor)
	<-failed
}

func TestOrphansAreReaped(t *testing.T) {
	x := contain(t, nil)
	x.online()
	const orphans = 1000
	log := &output.Buffer{}
	r, err := x.n.Sh(within(t, 2*time.Minute), fmt.Sprintf(
		"set +x; i=0; while [ $i -lt %d ]; do (sleep 0.01 &) ; i=$((i+1)); done; sleep 0.5", orphans), controller.ShOptions{Log: log})
	require.NoError(t, err)
	require.Zero(t, r.ExitCode, log.String())
	zombies := func() (n int) {
		for _, pid := range childrenOf(x.pid1) {
			if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && strings.Contains(string(b), ") Z ") {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return zombies() == 0 }, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, 1, x.n.Info().Connections, "and the agent lived")
}

func TestTheSupervisorsArithmetic(t *testing.T) {
	s, now := &supervisor{}, time.Now()
	var delays []time.Duration
	for range restartLimit {
		d, ok := s.crashed(now)
		require.True(t, ok)
		delays = append(delays, d)
	}
	require.Equal(t, restartDelay, delays[0])
	require.Equal(t, 2*restartDelay, delays[1])
	require.Equal(t, maxRestartDelay, delays[restartLimit-1])
	_, ok := s.crashed(now)
	require.False(t, ok)
	d, ok := s.crashed(now.Add(restartWindow + time.Second))
	require.True(t, ok, "old accidents are forgiven")
	require.Equal(t, restartDelay, d)
}

// A container ends with its agent, and durable steps with it: they may finish.
func TestSIGTERMWaitsForStepsOfAContainer(t *testing.T) {
	x := contain(t, nil)
	x.online()
	log := &output.Buffer{}
	type outcome struct {
		r   controller.Result
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := x.n.Sh(within(t, time.Minute), "echo is running; sleep 2; echo finished; exit 3", controller.ShOptions{Log: log})
		done <- outcome{r, err}
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "is running") }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, syscall.Kill(x.pid1, syscall.SIGTERM))
	o := <-done
	require.NoError(t, o.err)
	require.Equal(t, 3, o.r.ExitCode)
	require.Contains(t, log.String(), "\njenkins-agent: stopping (SIGTERM): what runs here has 20s left\n")
	require.Contains(t, log.String(), "\nfinished\n")
	require.Equal(t, exitOK, x.exit(10*time.Second))
}
