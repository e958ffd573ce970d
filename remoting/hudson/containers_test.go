//go:build linux

package hudson

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/exec/container"
	"github.com/footman-ci/footman/exec/hold"
)

// pod is an agent with the container of a tool beside it. The tool's hold
// outlives agents.
type pod struct {
	root   string
	router *container.Router
}

func newPod(t *testing.T) *pod {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	p := &pod{root: t.TempDir()}
	h := &hold.Hold{Name: "maven", Place: hold.Place{Root: p.root}, Dir: p.root, Log: slog.New(slog.DiscardHandler),
		Environ: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "TOOL=maven"}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { return hold.Check(ctx, h.Place, "maven") == nil }, 10*time.Second, time.Millisecond)
	return p
}

// agent is a rig whose agent knows the pod.
func (p *pod) agent(t *testing.T) *rig {
	a := &Agent{Environ: []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "JAVA_HOME=/agent/java"}}
	p.router = &container.Router{Place: hold.Place{Root: p.root}, Self: "jnlp", Environ: a.Environ, Wait: -1, Log: slog.New(slog.DiscardHandler)}
	a.Containers = p.router
	return newRig(t, a)
}

var inMaven = []string{"FOOTMAN_CONTAINER=maven"}

func TestLaunchInContainer(t *testing.T) {
	r := newPod(t).agent(t)
	out := newSink()
	p := r.start(launch{cmd: []string{"sh", "-c", "echo $$TOOL-$$JAVA_HOME-$$A; cat; exit 3"}, env: append(inMaven, "A=x y", "PATH+M=/opt/m"), out: r.stream(out), revIn: false})
	require.EqualValues(t, 3, p.join())
	require.Equal(t, "maven--x y\n", out.String())

	// Our own container by its name, and a missing one.
	out = newSink()
	p = r.start(launch{cmd: []string{"sh", "-c", "echo $$TOOL-$$JAVA_HOME"}, env: []string{"FOOTMAN_CONTAINER=jnlp"}, out: r.stream(out)})
	require.Zero(t, p.join())
	require.Equal(t, "-/agent/java\n", out.String())
	_, err := r.launch(launch{cmd: []string{"true"}, env: []string{"FOOTMAN_CONTAINER=mvn"}})
	require.ErrorContains(t, err, `no container "mvn" listens in `)
	require.ErrorContains(t, err, "there are: maven.")
	_, err = r.launch(launch{cmd: []string{"no-such-tool"}, env: inMaven})
	require.ErrorContains(t, err, `no-such-tool: not found in container "maven" (PATH=/usr/local/bin:/usr/bin:/bin)`)
}

func TestKillOfLaunchInContainer(t *testing.T) {
	r := newPod(t).agent(t)
	out := newSink()
	p := r.start(launch{cmd: []string{"sh", "-c", "echo $$$$; sleep 100 & wait $!"}, env: inMaven, out: r.stream(out)})
	out.await(t, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	require.NoError(t, err)
	_, err = p.invoke(within(t, time.Minute), "kill")
	require.NoError(t, err)
	require.EqualValues(t, 143, p.join())
	require.Equal(t, syscall.ESRCH, syscall.Kill(pid, 0))
}

func TestDurableStepInContainer(t *testing.T) {
	r := newPod(t).agent(t)
	for _, c := range []struct {
		script, log string
		code        int
	}{
		{"#!/bin/sh\necho in $TOOL; exit 5", "in maven\n", 5},
		{"echo hello", "+ echo hello\nhello\n", 0},
		{"#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x; echo", strings.Repeat("x", 1_000_000) + "\n", 0},
	} {
		s, log := newStepIn(r, c.script, false, inMaven), &lineCheck{keep: true}
		require.Equal(t, c.code, s.run(log), c.script)
		require.True(t, log.String() == c.log, "%s: %.200q", c.script, log.String())
	}
}

// processesWith lists what has text in its environment.
func processesWith(text string) (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), text) {
			pids = append(pids, strings.Split(f, "/")[2])
		}
	}
	return pids
}

func TestAbortOfDurableStepInContainer(t *testing.T) {
	p := newPod(t)
	r := p.agent(t)
	s, log := newStepIn(r, "echo up; (trap '' HUP; sleep 1000) & sleep 1000", false, inMaven), &lineCheck{keep: true}
	require.Eventually(t, func() bool {
		s.writeLog(log.size(), log)
		return strings.Contains(log.String(), "+ sleep")
	}, 20*time.Second, 20*time.Millisecond)
	require.NotEmpty(t, processesWith(s.cookie))
	// Another agent in the meantime: the old one is gone with its connection.
	r = p.agent(t)
	s.r = r
	r.must(fields("hudson.Launcher$RemoteLauncher$KillTask", "modelEnvVars",
		fields("java.util.Collections$SingletonMap", "k", "JENKINS_SERVER_COOKIE", "v", s.cookie)))
	require.Equal(t, 143, s.run(&lineCheck{}))
	require.Eventually(t, func() bool { return len(processesWith(s.cookie)) == 0 }, 10*time.Second, 10*time.Millisecond)
}

// TestDurableStepSurvivesTheAgent ends the agent's channel while the step runs.
func TestDurableStepSurvivesTheAgent(t *testing.T) {
	p := newPod(t)
	var s *step
	log := &lineCheck{keep: true}
	dir := t.TempDir()
	outer := t // whose directory outlives the first agent
	require.True(t, t.Run("first agent", func(t *testing.T) {
		r := p.agent(t)
		r.t = outer
		s = newStepIn(r, fmt.Sprintf("#!/bin/sh\necho one; while [ ! -e %s/go ]; do sleep 0.02; done; echo two; exit 6", dir), false, inMaven)
		require.Eventually(t, func() bool {
			s.writeLog(log.size(), log)
			return log.String() == "one\n"
		}, 20*time.Second, 20*time.Millisecond)
	}))
	require.NoError(t, os.WriteFile(dir+"/go", nil, 0o644))
	s.r = p.agent(t)
	at := log.size()
	require.Eventually(t, func() bool {
		_, done := s.status()
		return done
	}, 20*time.Second, 20*time.Millisecond)
	code, _ := s.status()
	require.Equal(t, 6, code)
	s.writeLog(at, log)
	require.Equal(t, "one\ntwo\n", log.String())
}

// TestStepIsAsFastInContainer compares a launch here and there, as the channel
// sees it.
func TestStepIsAsFastInContainer(t *testing.T) {
	r := newPod(t).agent(t)
	measure := func(env []string) time.Duration {
		best := time.Hour
		for range 15 {
			began := time.Now()
			s := newStepIn(r, "#!/bin/sh\ntrue", false, env)
			require.Zero(t, s.run(&lineCheck{}))
			best = min(best, time.Since(began))
		}
		return best
	}
	here, there := measure(nil), measure(inMaven)
	t.Logf("a durable sh: %v in the agent's container, %v in another (polled every 20 ms)", here.Round(time.Millisecond), there.Round(time.Millisecond))
	require.Less(t, there, here+100*time.Millisecond)
}
