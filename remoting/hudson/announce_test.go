package hudson

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

const goodbye = "jenkins-agent: the machine goes away"

func announce(t *testing.T, a *Agent, last bool) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	a.Announce(ctx, goodbye, last)
	require.NoError(t, ctx.Err())
}

// waitFor makes a script wait for the file it names.
func waitFor(file string) string {
	return fmt.Sprintf("while [ ! -e '%s' ]; do sleep 0.02; done", file)
}

// The controller counts what WriteLog sends and keeps that as its offset: no
// byte of the log may be lost or repeated because of a line of ours.
func TestAnnounceInThePolledLogOfAStep(t *testing.T) {
	for name, c := range map[string]struct {
		script, before, after string
		capture               bool
	}{
		"whole lines": {"echo one\nWAIT\necho two", "one\n", "one\n" + goodbye + "\ntwo\n", false},
		"half a line": {"printf one\nWAIT\necho two", "one", "one\n" + goodbye + "\ntwo\n", false},
		"no output":   {"WAIT\necho two", "", goodbye + "\ntwo\n", false},
		// The result of returnStdout is a file of its own.
		"returnStdout": {"echo one\nWAIT\necho two", "", goodbye + "\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			a := &Agent{}
			r := newRig(t, a)
			flag := t.TempDir() + "/go"
			s := newStep(r, "#!/bin/sh\n"+strings.ReplaceAll(c.script, "WAIT", waitFor(flag)), c.capture)
			log := &lineCheck{keep: true}
			at := int64(0)
			poll := func() (int, bool) {
				code, done := s.status()
				at += s.writeLog(at, log)
				return code, done
			}
			until := func(want string) {
				require.Eventually(t, func() bool { poll(); return log.text.String() == want }, 20*time.Second, 20*time.Millisecond, "%q", want)
			}
			until(c.before)
			require.Eventually(t, func() bool { _, err := os.Stat(s.dir + "/jenkins-log.txt"); return err == nil }, 20*time.Second, 5*time.Millisecond)
			require.Equal(t, 1, a.Steps())
			announce(t, a, true)
			require.Equal(t, c.before, log.text.String(), "only WriteLog can bring it")
			poll()
			poll() // it comes once
			require.Equal(t, 1, strings.Count(log.text.String(), goodbye), log.text.String())
			require.NoError(t, os.WriteFile(flag, nil, 0o600))
			require.Eventually(t, func() bool { _, done := poll(); return done }, 20*time.Second, 20*time.Millisecond)
			poll()
			require.Equal(t, c.after, log.text.String())
			require.Zero(t, a.Steps(), "its exit code is with the controller")
			if c.capture {
				v := r.must(onPath(fields(durableController+"$GetOutput", "charset", nil), s.dir+"/output.txt"))
				out, _ := jser.Bytes(v)
				require.Equal(t, "one\ntwo\n", string(out))
			}
		})
	}
}

// Another agent that goes on with the step would not know which bytes of the
// controller's count were ours.
func TestNoLineInAPolledLogThatAnotherAgentMayContinue(t *testing.T) {
	a := &Agent{}
	s := newStep(newRig(t, a), "#!/bin/sh\necho one\nsleep 0.3\necho two", false)
	log := &lineCheck{keep: true}
	s.writeLog(0, log)
	announce(t, a, false)
	at := log.size()
	require.Eventually(t, func() bool {
		_, done := s.status()
		at += s.writeLog(at, log)
		return done
	}, 20*time.Second, 20*time.Millisecond)
	require.Equal(t, "one\ntwo\n", log.text.String())
}

// A connection that is lost in the middle of the line has brought a part of it
// to the controller's count, or nothing.
func TestOffsetsAfterAnInterruptedLine(t *testing.T) {
	const at, length = 100, 20
	var s steps
	s.line = "line"
	for _, from := range []int64{100, 99, 0} {
		s.polled("d", 100)
		s.tell("d", at, length)
		own, line := s.polled("d", from)
		require.Zero(t, own)
		require.Equal(t, "line", line, "it is told again")
	}
	s.tell("d", at, length)
	for from, want := range map[int64]int64{101: 1, 119: 19, 120: 20, 5000: 20} {
		own, line := s.polled("d", from)
		require.Equal(t, want, own)
		require.Empty(t, line)
	}
}

func TestStepsAreForgotten(t *testing.T) {
	var s steps
	for _, dir := range []string{"old", "over", "told"} {
		s.polled(dir, 0)
	}
	s.ended("over")
	s.tell("told", 10, 5)
	require.Equal(t, 2, s.running())
	for _, p := range s.byDir {
		p.polled = p.polled.Add(-time.Hour)
	}
	require.Zero(t, s.running())
	s.polled("new", 0)
	require.Len(t, s.byDir, 2)
	own, _ := s.polled("told", 100)
	require.EqualValues(t, 5, own)
	s.asked("unknown")
	s.ended("unknown")
	s.tell("unknown", 1, 1)
}

// A step whose log is pushed gets the line at once, at the start of a line.
func TestAnnounceInAPushedLog(t *testing.T) {
	a := &Agent{}
	r := newRig(t, a)
	for name, capture := range map[string]bool{"log": false, "returnStdout": true} {
		t.Run(name, func(t *testing.T) {
			flag := t.TempDir() + "/go"
			s, e := newStep(r, "#!/bin/sh\nprintf one; printf err >&2\n"+waitFor(flag)+"\necho two", capture), newExecution()
			require.NoError(t, s.watch(e, "SYSTEM_DEFAULT", 20))
			before := "oneerr"
			if capture {
				before = "err"
			}
			require.Eventually(t, func() bool { return e.log.String() == before }, 20*time.Second, 10*time.Millisecond)
			require.Equal(t, 1, a.Steps())
			announce(t, a, false)
			require.NoError(t, os.WriteFile(flag, nil, 0o600))
			x := e.wait(t)
			require.Zero(t, x.code)
			if capture {
				require.Equal(t, "err\n"+goodbye+"\n", e.log.String())
				out, _ := jser.Bytes(x.output)
				require.Equal(t, "onetwo\n", string(out))
			} else {
				require.Equal(t, "oneerr\n"+goodbye+"\ntwo\n", e.log.String())
			}
		})
	}
}

// A process gets the line only where its output is the launcher's own log.
func TestAnnounceToProcesses(t *testing.T) {
	for name, c := range map[string]struct {
		make func(r *rig, log, other *sink) launch
		want string
	}{
		"the launcher's listener": {func(r *rig, log, _ *sink) launch {
			l := plainListener(r.stream(log), "UTF-8")
			return launch{listener: l, stdout: l}
		}, "one\n" + goodbye + "\ntwo\n"},
		"another listener": {func(r *rig, log, other *sink) launch {
			return launch{listener: plainListener(r.stream(other), "UTF-8"), stdout: plainListener(r.stream(log), "UTF-8")}
		}, "one\ntwo\n"},
		"a stream": {func(r *rig, log, other *sink) launch {
			return launch{listener: plainListener(r.stream(other), "UTF-8"), out: r.stream(log)}
		}, "one\ntwo\n"},
	} {
		t.Run(name, func(t *testing.T) {
			a := &Agent{}
			r := newRig(t, a)
			log, other := newSink(), newSink()
			flag := t.TempDir() + "/go"
			l := c.make(r, log, other)
			l.cmd = sh("echo one; " + waitFor(flag) + "; echo two")
			p := r.start(l)
			require.Eventually(t, func() bool { return strings.HasPrefix(log.String(), "one\n") }, 20*time.Second, 10*time.Millisecond)
			announce(t, a, true)
			require.NoError(t, os.WriteFile(flag, nil, 0o600))
			require.Zero(t, p.join())
			require.Equal(t, c.want, log.String())
			require.Empty(t, other.String())
			announce(t, a, true) // nobody is left
			require.Equal(t, c.want, log.String())
		})
	}
}

// A step counts from its launch: the controller asks for it later.
func TestStepsCountFromTheirLaunch(t *testing.T) {
	s := &steps{}
	s.launched([]string{"nohup", "sh", "-c", "(cp '/w@tmp/durable-0a1b/script.sh' …; echo $? > '/w@tmp/durable-0a1b/jenkins-result.txt.tmp'; mv '…' '/w@tmp/durable-0a1b/jenkins-result.txt'; wait) &"})
	require.Equal(t, 1, s.running())
	own, line := s.polled("/w@tmp/durable-0a1b", 0)
	require.Zero(t, own)
	require.Empty(t, line)
	require.Equal(t, 1, s.running())
	s.ended("/w@tmp/durable-0a1b")
	require.Zero(t, s.running())
	for _, argv := range [][]string{nil, {"nohup"}, {"sh", "-c", "cat '/durable-1/jenkins-result.txt'"}, {"nohup", "sh", "-c", "echo 'durable-1'"}} {
		s.launched(argv)
		require.Zero(t, s.running(), "%q", argv)
	}
}
