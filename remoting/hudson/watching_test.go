package hudson

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// execution is the step at the controller: DurableTaskStep$ExecutionRemotable.
type execution struct {
	log    *sink
	exits  chan exit
	reject bool // exited throws
}

type exit struct {
	code   int32
	output jser.Value
	log    string // what had arrived before
	method string
}

func (e *execution) Invoke(_ context.Context, m *remoting.Invocation) (jser.Value, error) {
	x := exit{method: m.Method, log: e.log.String()}
	if m.Method == "exited" {
		x.code, x.output = jser.Unbox(m.Args[0]).(int32), m.Args[1]
	}
	e.exits <- x
	if e.reject {
		return nil, remoting.Errorf(remoting.IllegalStateClass, "not now")
	}
	return nil, nil
}

// bufferedReplacement is a BufferedBuildListener with quick periods.
func bufferedReplacement(stream *jser.Object, millis int64) *jser.Object {
	return fields(bufferedListener, "ros", stream, "tuning", fields("org.jenkinsci.plugins.workflow.log.DelayBufferedOutputStream$Tuning",
		"bufferSize", int32(65536), "maxRecurrencePeriod", 2*millis, "minRecurrencePeriod", millis, "recurrencePeriodBackoff", float32(1.05)))
}

func maskFilter(pattern string) *jser.Object {
	return fields(filterDecorator, "filter", fields("org.jenkinsci.plugins.credentialsbinding.impl.BindingStep$Filter",
		"charsetName", "UTF-8", "pattern", fields("hudson.util.Secret", "iv", nil, "value", pattern)))
}

// watch sends StartWatching as the step does.
func (s *step) watch(e *execution, charset jser.Value, millis int64, decorators ...jser.Value) error {
	r := s.r
	proxy := remoting.Proxy(r.c.Export(e), stepExecution)
	proxy.Obj("h").Data[0].Values[4] = true // userProxy
	replacement := bufferedReplacement(r.stream(e.log), millis)
	main := replacement
	if len(decorators) > 0 {
		main = decorated(replacement, decorators...)
	}
	l := fields(newlineListener, "delegate", fields("org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$CloseableTaskListener",
		"closeDelegate", replacement, "mainDelegate", main))
	super := jser.Serializable(durableController, 1, nil, jser.Prim("lastLocation", 'J'), jser.Ref("charset", "java.lang.String"),
		jser.Ref("controlDir", "java.lang.String"), jser.Ref("cookieValue", "java.lang.String"), jser.Ref("id", "java.lang.String"))
	desc := jser.Serializable(shellController, 1, super, jser.Prim("isZos", 'Z'), jser.Ref("jenkinsResultTxtEncoding", "java.lang.String"))
	ctl := jser.New(desc, int64(0), charset, s.dir, s.cookie, nil, false, nil)
	_, err := r.call(onPath(fields(durablePackage+"FileMonitoringTask$StartWatching", "controller", ctl,
		"handler", fields(stepHandler, "execution", proxy, "listener", l), "listener", l), filepath.Dir(s.dir)))
	return err
}

func newExecution() *execution { return &execution{log: newSink(), exits: make(chan exit, 4)} }

func (e *execution) wait(t testing.TB) exit {
	t.Helper()
	select {
	case x := <-e.exits:
		return x
	case <-time.After(30 * time.Second):
		require.FailNow(t, "the step did not end")
		panic("unreachable")
	}
}

func TestWatching(t *testing.T) {
	r := newRig(t, &Agent{})
	for _, c := range []struct {
		script  string
		capture bool
		charset jser.Value
		log     string
		code    int32
		output  string
	}{
		{"echo watched; sleep 0.3; echo more", false, "SYSTEM_DEFAULT", "+ echo watched\nwatched\n+ sleep 0.3\n+ echo more\nmore\n", 0, ""},
		{"exit 4", false, nil, "+ exit 4\n", 4, ""},
		{"#!/bin/sh\nprintf 'no newline'", false, "UTF-8", "no newline\n", 0, ""},
		{"#!/bin/sh\nprintf 'caf\\351\\n'", false, "ISO-8859-1", "café\n", 0, ""},
		{"echo out", true, "SYSTEM_DEFAULT", "+ echo out\n", 0, "out\n"},
		{"#!/bin/sh\nprintf 'a\\351'", true, "ISO-8859-1", "", 0, "aé"},
		{"#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x; exit 137", false, nil, strings.Repeat("x", 1_000_000) + "\n", 137, ""},
	} {
		s, e := newStep(r, c.script, c.capture), newExecution()
		require.NoError(t, s.watch(e, c.charset, 20))
		x := e.wait(t)
		require.Equal(t, "exited", x.method)
		require.Equal(t, c.code, x.code)
		require.True(t, x.log == c.log, "%s: %.200q", c.script, x.log) // all of it before exited
		b, ok := jser.Bytes(x.output)
		require.Equal(t, c.capture, ok)
		require.Equal(t, c.output, string(b))
		require.Eventually(t, func() bool { _, err := os.Stat(s.dir); return os.IsNotExist(err) }, 10*time.Second, 10*time.Millisecond)
	}
}

func TestWatchingMasksAndStamps(t *testing.T) {
	r := newRig(t, &Agent{})
	script := "#!/bin/sh\nprintf 'key=hush-'; sleep 0.3; echo hush; printf tail-hush-hush"
	s, e := newStep(r, script, false), newExecution()
	require.NoError(t, s.watch(e, nil, 20, maskFilter(`\Qhush-hush\E|\Qhush\E`)))
	require.Equal(t, "key=****\ntail-****\n", e.wait(t).log)

	s, e = newStep(r, "#!/bin/sh\necho hush\nprintf 'a b'", false), newExecution()
	require.NoError(t, s.watch(e, nil, 20, fields("hudson.plugins.timestamper.pipeline.GlobalDecorator"), maskFilter(`\Qhush\E`)))
	require.Regexp(t, `^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] \*\*\*\*\n\[[^]]*Z\] a b\n$`, e.wait(t).log)
}

func TestRefusedWatches(t *testing.T) {
	r := newRig(t, &Agent{})
	s := newStep(r, "echo hush", false)
	for name, d := range map[string]*jser.Object{
		"unknown":        fields("org.example.Masking"),
		"unknown filter": fields(filterDecorator, "filter", fields("org.example.Filter")),
		"real regex":     maskFilter(`hu.h`),
		"half quoted":    maskFilter(`\Qhu\E.+`),
	} {
		e := newExecution()
		err := s.watch(e, nil, 20, d)
		require.ErrorContains(t, err, "is not implemented natively with", name)
		require.NotContains(t, err.Error(), "hu.h")
		require.Empty(t, e.log.String())
	}
	e := newExecution()
	require.ErrorContains(t, s.watch(e, "no-such-charset", 20), "no-such-charset")
}

// A watch is resumed after the connection: nothing is lost, and text comes
// twice at most where the first connection broke.
func TestWatchingResumes(t *testing.T) {
	agent := &Agent{}
	first := newRig(t, agent)
	s, e := newStep(first, "#!/bin/sh\nfor i in $(seq 1 40); do echo $i; sleep 0.05; done", false), newExecution()
	require.NoError(t, s.watch(e, nil, 20))
	e.log.await(t, "5\n")
	_ = first.c.Close(within(t, 10*time.Second))
	<-first.a.Done()
	require.Eventually(t, func() bool {
		agent.watches.mu.Lock()
		defer agent.watches.mu.Unlock()
		return len(agent.watches.byDir) == 0
	}, 10*time.Second, 5*time.Millisecond)
	before := e.log.String()

	second := newRig(t, agent)
	s.r, e = second, newExecution()
	require.NoError(t, s.watch(e, nil, 20))
	x := e.wait(t)
	require.Equal(t, int32(0), x.code)
	var next int
	for _, l := range strings.Fields(before + x.log) {
		n, err := strconv.Atoi(l)
		require.NoError(t, err)
		require.LessOrEqual(t, n, next+1, "lines are lost")
		next = max(next, n)
	}
	require.Equal(t, 40, next)
	require.NotContains(t, "\n"+x.log, "\n1\n", "the second watch begins where the first one ended")
}

func TestSecondWatchReplacesTheFirst(t *testing.T) {
	r := newRig(t, &Agent{})
	s := newStep(r, "#!/bin/sh\necho one; while [ ! -f go ]; do sleep 0.05; done; echo two", false)
	a, b := newExecution(), newExecution()
	require.NoError(t, s.watch(a, nil, 20))
	a.log.await(t, "one\n")
	require.NoError(t, s.watch(b, nil, 20))
	require.NoError(t, os.WriteFile(strings.TrimSuffix(filepath.Dir(s.dir), "@tmp")+"/go", nil, 0o644))
	require.Contains(t, b.wait(t).log, "two\n")
	require.NotContains(t, a.log.String(), "two")
	require.Empty(t, a.exits)
}

// failingSink breaks after the first bytes.
type failingSink struct{ *sink }

func (f failingSink) Write(p []byte) (int, error) { return 0, io.ErrShortWrite }

func TestWatchingWithADeadLog(t *testing.T) {
	r := newRig(t, &Agent{})
	s, e := newStep(r, "#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9; do echo $i; sleep 0.1; done; exit 5", false), newExecution()
	proxy := remoting.Proxy(r.c.Export(e), stepExecution)
	ctl := fields(durableController, "charset", nil, "controlDir", s.dir)
	l := plainListener(r.stream(failingSink{e.log}), "UTF-8")
	r.must(onPath(fields(durablePackage+"FileMonitoringTask$StartWatching", "controller", ctl,
		"handler", fields(stepHandler, "execution", proxy, "listener", l), "listener", l), "/"))
	require.Equal(t, "problem", e.wait(t).method)
	x := e.wait(t)
	require.Equal(t, "exited", x.method)
	require.Equal(t, int32(5), x.code)
}

func TestRejectedExitKeepsTheFiles(t *testing.T) {
	r := newRig(t, &Agent{})
	s, e := newStep(r, "true", false), newExecution()
	e.reject = true
	require.NoError(t, s.watch(e, nil, 20))
	e.wait(t)
	require.Eventually(t, func() bool {
		r.agent.watches.mu.Lock()
		defer r.agent.watches.mu.Unlock()
		return len(r.agent.watches.byDir) == 0
	}, 10*time.Second, 5*time.Millisecond)
	require.DirExists(t, s.dir)
}

func TestWatchOfNothing(t *testing.T) {
	r := newRig(t, &Agent{})
	s, e := &step{r: r, dir: filepath.Join(t.TempDir(), "gone")}, newExecution()
	require.NoError(t, s.watch(e, nil, 20))
	require.Eventually(t, func() bool {
		r.agent.watches.mu.Lock()
		defer r.agent.watches.mu.Unlock()
		return len(r.agent.watches.byDir) == 0
	}, 10*time.Second, 5*time.Millisecond)
	require.Empty(t, e.exits)
}

func TestWatchingManyBigLogs(t *testing.T) {
	steps := 5
	if testing.Short() {
		steps = 2
	}
	r := newRig(t, &Agent{})
	checks, ends := make([]lineCheck, steps), make([]*execution, steps)
	for i := range checks {
		checks[i].seq = true
		s := newStep(r, bigLog, false)
		ends[i] = newExecution()
		ctl := fields(durableController, "charset", nil, "controlDir", s.dir)
		l := bufferedReplacement(r.stream(&checks[i]), 20)
		r.must(onPath(fields(durablePackage+"FileMonitoringTask$StartWatching", "controller", ctl,
			"handler", fields(stepHandler, "execution", remoting.Proxy(r.c.Export(ends[i]), stepExecution), "listener", l), "listener", l), "/"))
	}
	for i, e := range ends {
		require.Zero(t, e.wait(t).code)
		require.Empty(t, checks[i].bad)
		require.Equal(t, 100_000, checks[i].lines)
	}
}

func TestHeartbeat(t *testing.T) {
	var printed kept
	newWatch := func() *watch {
		printed.Reset()
		w := &watch{agent: &Agent{}, dir: t.TempDir(), shell: true, out: &listenerWriter{out: &printed}}
		_, done, err := w.exitStatus()
		require.NoError(t, err)
		require.False(t, done)
		return w
	}
	look := func(w *watch) (int32, bool) {
		w.lastCheck = w.lastCheck.Add(-heartbeatInterval - time.Second)
		code, done, err := w.exitStatus()
		require.NoError(t, err)
		return code, done
	}
	w := newWatch()
	code, done := look(w)
	require.True(t, done)
	require.Equal(t, int32(-2), code)
	require.Contains(t, printed.String(), "process apparently never started in "+w.dir+"\n(running Jenkins temporarily")
	again, _, err := exitStatus(w.dir + "/jenkins-result.txt")
	require.NoError(t, err)
	require.Equal(t, code, again)

	w = newWatch()
	log := w.dir + "/jenkins-log.txt"
	require.NoError(t, os.WriteFile(log, nil, 0o644))
	_, done = look(w)
	require.False(t, done)
	require.NoError(t, os.Chtimes(log, time.Now(), time.Now().Add(3*time.Second)))
	_, done = look(w) // touched meanwhile
	require.False(t, done)
	require.Empty(t, printed.String())
	code, done = look(w)
	require.True(t, done)
	require.Equal(t, int32(-1), code)
	require.Contains(t, printed.String(), "wrapper script does not seem to be touching the log file in "+w.dir)

	w = newWatch()
	log = w.dir + "/jenkins-log.txt"
	require.NoError(t, os.WriteFile(log, nil, 0o644))
	require.NoError(t, os.WriteFile(w.dir+"/pid", nil, 0o644))
	look(w)
	_, done = look(w)
	require.False(t, done)
	require.Contains(t, printed.String(), "heartbeat checks unreliable")
	require.NoError(t, os.Chtimes(log, time.Now(), time.Now().Add(-time.Hour)))
	_, done = look(w)
	require.False(t, done)
	require.Contains(t, printed.String(), "apparent clock skew in "+w.dir)
}

func TestManyWatchesOfOneStep(t *testing.T) {
	r := newRig(t, &Agent{})
	s := newStep(r, "#!/bin/sh\nwhile [ ! -f go ]; do sleep 0.05; done; echo done", false)
	var wg sync.WaitGroup
	es := make([]*execution, 8)
	for i := range es {
		es[i] = newExecution()
		wg.Go(func() {
			if err := s.watch(es[i], nil, 20); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, os.WriteFile(strings.TrimSuffix(filepath.Dir(s.dir), "@tmp")+"/go", nil, 0o644))
	exits := 0
	require.Eventually(t, func() bool {
		for _, e := range es {
			exits += len(e.exits)
		}
		return exits > 0
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, exits)
}
