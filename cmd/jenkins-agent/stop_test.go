package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// connected is an agent as a process of its own, online.
type connected struct {
	t      *testing.T
	c      *controller.Controller
	n      *controller.Node
	dir    string
	p      *exec.Cmd
	log    *output.Buffer
	exited chan struct{}
}

func connect(t *testing.T, args ...string) *connected {
	return connectWith(t, func(secret string) ([]string, string) { return nil, secret }, args...)
}

// connectWith chooses the environment and what -secret is.
func connectWith(t *testing.T, how func(secret string) (env []string, option string), args ...string) *connected {
	x := &connected{t: t, log: &output.Buffer{}, exited: make(chan struct{})}
	x.c, x.n, x.dir = jenkins(t)
	env, secret := how(x.n.Secret())
	x.p = program(t, "jenkins-agent", env, append([]string{"-url", x.c.URL(), "-webSocket", "-name", "n1",
		"-secret", secret, "-workDir", x.dir}, args...)...)
	x.start()
	require.NoError(t, x.n.WaitOnline(within(t, 30*time.Second)))
	return x
}

// start runs the process until the test ends.
func (x *connected) start() {
	x.p.Stdout, x.p.Stderr = x.log, x.log
	x.p.WaitDelay = time.Second // a build may hold the output open
	require.NoError(x.t, x.p.Start())
	go func() {
		_ = x.p.Wait()
		close(x.exited)
	}()
	x.t.Cleanup(func() {
		_ = x.p.Process.Kill()
		<-x.exited
		if x.t.Failed() {
			x.t.Log(x.log.String())
		}
	})
}

func (x *connected) signal(s os.Signal) time.Time {
	require.NoError(x.t, x.p.Process.Signal(s))
	return time.Now()
}

// exit waits for the end and returns the code.
func (x *connected) exit(d time.Duration) int {
	x.t.Helper()
	select {
	case <-x.exited:
	case <-time.After(d):
		require.FailNow(x.t, "the agent still runs", x.log.String())
	}
	return x.p.ProcessState.ExitCode()
}

func (x *connected) await(text string) {
	x.t.Helper()
	require.Eventually(x.t, func() bool { return strings.Contains(x.log.String(), text) }, 20*time.Second, 5*time.Millisecond, text)
}

// freestyle runs a job whose shell the controller waits for; it has started
// when the function returns.
func (x *connected) freestyle(script string) (result <-chan controller.Result, failed <-chan error) {
	started := &output.Buffer{}
	r, e := make(chan controller.Result, 1), make(chan error, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	go func() {
		defer cancel()
		res, err := x.n.Freestyle(ctx, "job", script, nil, started)
		r <- res
		e <- err
	}()
	require.Eventually(x.t, func() bool { return strings.Contains(started.String(), "is running") }, 20*time.Second, 5*time.Millisecond)
	return r, e
}

func TestSIGTERMWhileIdle(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		x := connect(t)
		start := x.signal(sig)
		require.Equal(t, exitOK, x.exit(10*time.Second))
		require.Less(t, time.Since(start), time.Second*raceFactor)
		require.NoError(t, x.n.WaitOffline(within(t, 10*time.Second)))
		require.Equal(t, 1, x.n.Info().Connections)
	}
}

func TestSIGTERMLetsABuildFinish(t *testing.T) {
	x := connect(t)
	result, failed := x.freestyle("echo is running; sleep 1; echo finished; exit 3")
	x.signal(syscall.SIGTERM)
	x.await("Stopping")
	_, err := x.n.Freestyle(within(t, 20*time.Second), "other", "echo never", nil, &output.Buffer{})
	require.ErrorContains(t, err, "the agent is going away")
	require.NoError(t, <-failed)
	require.Equal(t, 3, (<-result).ExitCode)
	require.Equal(t, exitOK, x.exit(10*time.Second))
}

func TestABuildThatTakesTooLongIsKilled(t *testing.T) {
	x := connect(t, "-drainTimeout", "300ms")
	_, failed := x.freestyle("echo is running; sleep 3600")
	start := x.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, x.exit(20*time.Second))
	require.GreaterOrEqual(t, time.Since(start), 300*time.Millisecond)
	require.Less(t, time.Since(start), 10*time.Second)
	require.Error(t, <-failed)
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	x := connect(t)
	_, failed := x.freestyle("echo is running; sleep 5")
	x.signal(syscall.SIGTERM)
	x.await("Stopping")
	start := x.signal(syscall.SIGTERM)
	require.Equal(t, exitKilled, x.exit(5*time.Second))
	require.Less(t, time.Since(start), time.Second*raceFactor)
	<-failed
}

// A durable step is nobody's to wait for: it goes on without the agent.
func TestSIGTERMDoesNotWaitForDurableSteps(t *testing.T) {
	x := connect(t)
	log := &output.Buffer{}
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, err := x.n.Sh(ctx, "echo is running; sleep 4; echo finished", controller.ShOptions{Log: log})
		done <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "is running") }, 20*time.Second, 5*time.Millisecond)
	start := x.signal(syscall.SIGTERM)
	require.Equal(t, exitOK, x.exit(10*time.Second))
	require.Less(t, time.Since(start), 2*time.Second*raceFactor)
	cancel()
	<-done
}

// The controller's own end of a connection is no reason to leave, except when
// nobody shall come back.
func TestDisconnectedByTheController(t *testing.T) {
	x := connect(t)
	x.n.Disconnect()
	require.NoError(t, x.n.WaitOffline(within(t, 10*time.Second)))
	require.NoError(t, x.n.WaitOnline(within(t, 20*time.Second)))
	require.Equal(t, 2, x.n.Info().Connections)

	y := connect(t, "-noReconnect")
	y.n.Disconnect()
	require.Equal(t, exitOK, y.exit(10*time.Second))
}
