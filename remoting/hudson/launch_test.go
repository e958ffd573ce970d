package hudson

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/remotingtest"
)

// rig is a controller's end with an agent behind it.
type rig struct {
	t     testing.TB
	c, a  *remoting.Channel
	agent *Agent
}

func newRig(t testing.TB, agent *Agent) *rig {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	if agent.Environ == nil {
		agent.Environ = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8"}
	}
	c, a := remotingtest.Pair(t, remoting.Config{}, remoting.Config{Handler: NewTable(agent)})
	return &rig{t, c, a, agent}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// fields makes an object of a class that writes only fields.
func fields(class string, fs ...any) *jser.Object {
	return subclass(class, nil, fs...)
}

func subclass(class string, super *jser.ClassDesc, fs ...any) *jser.Object {
	var ds []jser.Field
	var vs []jser.Value
	for i := 0; i < len(fs); i += 2 {
		name, v := fs[i].(string), fs[i+1]
		switch v := v.(type) {
		case bool:
			ds = append(ds, jser.Prim(name, 'Z'))
		case int32:
			ds = append(ds, jser.Prim(name, 'I'))
		case int64:
			ds = append(ds, jser.Prim(name, 'J'))
		case float32:
			ds = append(ds, jser.Prim(name, 'F'))
		case *jser.Array:
			ds = append(ds, jser.Ref(name, v.Class.Name))
		default:
			ds = append(ds, jser.Ref(name, "java.lang.Object"))
		}
		vs = append(vs, fs[i+1])
	}
	return jser.New(jser.Serializable(class, 1, super, ds...), vs...)
}

// onPath wraps a FileCallable.
func onPath(callable *jser.Object, path string) *jser.Object {
	return fields("hudson.FilePath$FileCallableWrapper", "callable", callable, "filePath", fields("hudson.FilePath", "remote", path))
}

func (r *rig) call(callable *jser.Object) (jser.Value, error) {
	return r.c.UserCall(within(r.t, 60*time.Second), callable, callable.Class.Name, 0, 0)
}

func (r *rig) must(callable *jser.Object) jser.Value {
	r.t.Helper()
	v, err := r.call(callable)
	require.NoError(r.t, err)
	return v
}

// sink collects a stream that the agent writes to.
type sink struct {
	mu     sync.Mutex
	b      bytes.Buffer
	closed bool
	grown  chan struct{}
}

func newSink() *sink { return &sink{grown: make(chan struct{}, 1)} }

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.grown <- struct{}{}:
	default:
	}
	return s.b.Write(p)
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// await waits until the text has arrived.
func (s *sink) await(t testing.TB, text string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !strings.Contains(s.String(), text) {
		select {
		case <-s.grown:
		case <-deadline:
			require.FailNow(t, "text did not arrive", "want %q in %q", text, s.String())
		}
	}
}

func (r *rig) stream(w io.Writer) *jser.Object { return remoting.OutputStream(r.c.ExportWriter(w)) }

var streamListenerDesc = jser.Custom(streamListener, 1, nil, jser.Ref("charset", "java.nio.charset.Charset"), jser.Ref("out", "java.io.PrintStream"))

// plainListener is a hudson.model.StreamBuildListener, which writes no fields.
func plainListener(stream *jser.Object, charset jser.Value) *jser.Object {
	desc := jser.Serializable("hudson.model.StreamBuildListener", 1, streamListenerDesc)
	return &jser.Object{Class: desc, Data: []jser.ClassData{
		{Desc: streamListenerDesc, Extra: []jser.Value{stream, charset}}, {Desc: desc}}}
}

type launch struct {
	cmd                   []string
	env                   []string
	masks                 []bool
	in                    jser.Value
	out, err              jser.Value
	listener, stdout      jser.Value
	loud                  bool
	revIn, revOut, revErr bool
	dir                   jser.Value
	rules                 *jser.Object
}

func (l launch) object() *jser.Object {
	var cmd []jser.Value
	for _, s := range l.cmd {
		cmd = append(cmd, s)
	}
	var masks jser.Value
	if l.masks != nil {
		masks = &jser.Array{Class: jser.ArrayClass("[Z", 0x578F203914B85DE2), Elems: l.masks}
	}
	var rules jser.Value
	if l.rules != nil {
		rules = l.rules
	}
	return fields("hudson.Launcher$RemoteLaunchCallable",
		"quiet", !l.loud, "reverseStderr", l.revErr, "reverseStdin", l.revIn, "reverseStdout", l.revOut,
		"cmd", jser.ArrayList(cmd...), "env", jser.StringArray(l.env...), "envVarsFilterRuleWrapper", rules, "err", l.err, "in", l.in,
		"listener", l.listener, "masks", masks, "out", l.out, "stdoutListener", l.stdout, "workDir", l.dir)
}

// proc is a RemoteProcess seen from the controller.
type proc struct {
	r   *rig
	oid int32
}

func (r *rig) launch(l launch) (*proc, error) {
	v, err := r.call(l.object())
	if err != nil {
		return nil, err
	}
	require.Equal(r.t, "proxy[hudson.Launcher$RemoteProcess, hudson.remoting.IReadResolve]", jser.Name(v))
	return &proc{r, v.(*jser.Object).Obj("h").Int("oid")}, nil
}

func (r *rig) start(l launch) *proc {
	r.t.Helper()
	p, err := r.launch(l)
	require.NoError(r.t, err)
	return p
}

var rpcDesc = jser.Serializable("hudson.remoting.RemoteInvocationHandler$RPCRequest", 1,
	jser.Serializable("hudson.remoting.Request", 1, jser.Serializable("hudson.remoting.Command", 1, nil, jser.Ref("createdAt", "java.lang.Exception")),
		jser.Prim("id", 'I'), jser.Prim("lastIoId", 'I'), jser.Ref("response", "hudson.remoting.Response")),
	jser.Prim("oid", 'I'), jser.Ref("arguments", "[Ljava/lang/Object;"), jser.Ref("declaringClassName", "java.lang.String"),
	jser.Ref("methodName", "java.lang.String"), jser.Ref("types", "[Ljava/lang/String;"))

func (p *proc) invoke(ctx context.Context, method string) (jser.Value, error) {
	o := jser.New(rpcDesc, nil, int32(1), int32(0), nil, p.oid, jser.ObjectArray(), "hudson.Launcher$RemoteProcess", method, jser.StringArray())
	return p.r.c.UserCall(ctx, o, method, 0, 0)
}

func (p *proc) join() int {
	p.r.t.Helper()
	v, err := p.invoke(within(p.r.t, 60*time.Second), "join")
	require.NoError(p.r.t, err)
	return int(jser.Unbox(v).(int32))
}

func (p *proc) alive() bool {
	v, err := p.invoke(within(p.r.t, 60*time.Second), "isAlive")
	require.NoError(p.r.t, err)
	return jser.Unbox(v).(bool)
}

func sh(script string) []string {
	return []string{"/bin/sh", "-c", strings.ReplaceAll(script, "$", "$$")}
}

func TestExitCodesAndOutput(t *testing.T) {
	r := newRig(t, &Agent{})
	for _, c := range []struct {
		script, want string
		code         int
	}{
		{"echo out; echo err >&2", "out\nerr\n", 0},
		{"exit 1", "", 1},
		{"echo a; kill -9 $$", "a\n", 137},
		{"printf 'no newline'", "no newline", 0},
		{"printf '\\377\\000\\001'", "\xff\x00\x01", 0},
		{"head -c 1048576 /dev/zero | tr '\\0' x", strings.Repeat("x", 1<<20), 0},
	} {
		out := newSink()
		require.Equal(t, c.code, r.start(launch{cmd: sh(c.script), out: r.stream(out)}).join(), c.script)
		require.True(t, out.String() == c.want, "%s: %d bytes", c.script, len(out.String()))
	}
}

func TestFreestyleShell(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := filepath.Join(t.TempDir(), "job ä")
	require.NoError(t, os.Mkdir(dir, 0o755))
	out := newSink()
	p := r.start(launch{cmd: []string{"/bin/sh", "-c", "echo $V $$V; pwd", "secret"}, masks: []bool{false, false, false, true}, loud: true, dir: dir,
		env: []string{"V=one", "CLASSPATH=", "PATH+X=/x"}, listener: plainListener(r.stream(out), "UTF-8"),
		stdout: plainListener(r.stream(out), "UTF-8")})
	require.Zero(t, p.join())
	require.Equal(t, "[job ä] $ /bin/sh -c \"echo $V $$V; pwd\" ********\none one\n"+dir+"\n", out.String())
	require.False(t, p.alive())
}

func TestEchoInCharset(t *testing.T) {
	r := newRig(t, &Agent{})
	out := newSink()
	require.Zero(t, r.start(launch{cmd: []string{"true", "ä€"}, loud: true, listener: plainListener(r.stream(out), "ISO-8859-1")}).join())
	require.Equal(t, "$ true \xe4?\n", out.String())
}

func TestEnvironmentOfLaunch(t *testing.T) {
	r := newRig(t, &Agent{Environ: []string{"PATH=/usr/bin:/bin", "KEEP=1", "GONE=1"}})
	out := newSink()
	require.Zero(t, r.start(launch{cmd: []string{"env"}, out: r.stream(out), env: []string{"PATH+A=/a", "GONE=", "CLASSPATH=", "D=$KEEP-$$X", "keep=2"}}).join())
	var got []string
	for _, l := range strings.Split(out.String(), "\n") {
		if l != "" && !strings.HasPrefix(l, "HUDSON_COOKIE=") {
			got = append(got, l)
		}
	}
	require.ElementsMatch(t, []string{"PATH=/a:/usr/bin:/bin", "D=2-$X", "KEEP=2"}, got)
}

func TestStandardInput(t *testing.T) {
	r := newRig(t, &Agent{})
	out := newSink()
	in := strings.Repeat("line\n", 100_000)
	p := r.start(launch{cmd: []string{"cat"}, in: remoting.InputStream(r.c.ExportReader(strings.NewReader(in))), out: r.stream(out)})
	require.Zero(t, p.join())
	require.True(t, out.String() == in)
	// A process that does not read its input ends all the same.
	pr, pw := io.Pipe()
	defer pw.Close()
	require.Zero(t, r.start(launch{cmd: []string{"true"}, in: remoting.InputStream(r.c.ExportReader(pr))}).join())
}

func TestSeparateErrors(t *testing.T) {
	r := newRig(t, &Agent{})
	out, errs := newSink(), newSink()
	require.Zero(t, r.start(launch{cmd: sh("echo o; echo e >&2"), out: r.stream(out), err: r.stream(errs)}).join())
	require.Equal(t, "o\n", out.String())
	require.Equal(t, "e\n", errs.String())
}

func TestReversedStreamsNobodyReads(t *testing.T) {
	r := newRig(t, &Agent{})
	p := r.start(launch{cmd: sh("head -c 1000000 /dev/zero"), revOut: true, revErr: true})
	v, err := p.invoke(within(t, time.Minute), "getIOtriplet")
	require.NoError(t, err)
	require.Equal(t, "hudson.remoting.RemoteInputStream", jser.Name(v.(*jser.Object).Get("stdout")))
	require.Equal(t, "hudson.remoting.RemoteInputStream", jser.Name(v.(*jser.Object).Get("stderr")))
	require.Nil(t, v.(*jser.Object).Get("stdin"))
	require.Zero(t, p.join())
}

func TestReversedInput(t *testing.T) {
	r := newRig(t, &Agent{})
	out := newSink()
	p := r.start(launch{cmd: []string{"cat"}, revIn: true, out: r.stream(out)})
	v, err := p.invoke(within(t, time.Minute), "getIOtriplet")
	require.NoError(t, err)
	require.Equal(t, "hudson.remoting.RemoteOutputStream", jser.Name(v.(*jser.Object).Get("stdin")))
}

func TestStartErrors(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, []byte("x"), 0o644))
	for _, c := range []struct {
		l    launch
		want string
	}{
		{launch{cmd: []string{"no-such-program"}}, `Cannot run program "no-such-program": error=2, No such file or directory`},
		{launch{cmd: []string{"no-such-program"}, dir: dir}, `Cannot run program "no-such-program" (in directory "` + dir + `"): error=2, No such file or directory`},
		{launch{cmd: []string{plain}}, `Cannot run program "` + plain + `": error=13, Permission denied`},
		{launch{cmd: []string{"true"}, dir: dir + "/none"}, `Process working directory '` + dir + `/none' doesn't exist!`},
	} {
		_, err := r.launch(c.l)
		var re *remoting.RemoteError
		require.ErrorAs(t, err, &re)
		require.Equal(t, "java.io.IOException", re.Class)
		require.Equal(t, c.want, re.Message)
	}
}

func TestCancelledJoinKillsTheTree(t *testing.T) {
	r := newRig(t, &Agent{})
	out := newSink()
	cookie := fmt.Sprintf("tree-%d-%d", os.Getpid(), time.Now().UnixNano())
	p := r.start(launch{cmd: sh("(sleep 1000 & sleep 1000 & wait) & echo started; wait"), env: []string{"TEST_TREE=" + cookie}, out: r.stream(out)})
	out.await(t, "started")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { _, err := p.invoke(ctx, "join"); done <- err }()
	require.True(t, p.alive())
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.Eventually(t, func() bool {
		left, err := exec.Processes(map[string]string{"TEST_TREE": cookie})
		return err == nil && len(left) == 0 && !p.alive() // reaped, too
	}, 20*time.Second, 20*time.Millisecond)
}

func TestKillTask(t *testing.T) {
	r := newRig(t, &Agent{})
	cookie := fmt.Sprintf("durable-%d-%d", os.Getpid(), time.Now().UnixNano())
	out, other := newSink(), newSink()
	p := r.start(launch{cmd: sh("echo up; exec sleep 1000"), env: []string{"JENKINS_SERVER_COOKIE=" + cookie}, out: r.stream(out)})
	q := r.start(launch{cmd: sh("echo up; read x"), revIn: true, env: []string{"JENKINS_SERVER_COOKIE=" + cookie + "x"}, out: r.stream(other)})
	out.await(t, "up")
	other.await(t, "up")
	single := fields("java.util.Collections$SingletonMap", "k", "JENKINS_SERVER_COOKIE", "v", cookie)
	r.must(fields("hudson.Launcher$RemoteLauncher$KillTask", "modelEnvVars", single))
	require.Equal(t, 143, p.join())
	require.True(t, q.alive())
	r.must(fields("hudson.Launcher$RemoteLauncher$KillTask", "modelEnvVars", jser.HashMap()))
	require.True(t, q.alive())
	_, err := q.invoke(within(t, time.Minute), "kill")
	require.NoError(t, err)
	require.False(t, q.alive())
}

func TestRefusedLaunches(t *testing.T) {
	r := newRig(t, &Agent{})
	out := newSink()
	unknown := decorated(plainListener(r.stream(out), "UTF-8"), fields("org.example.Masking", "secret", "hush"))
	rules := fields("jenkins.tasks.filters.EnvVarsFilterRuleWrapper", "rules", jser.ArrayList(fields("org.example.Rule")))
	for name, l := range map[string]launch{
		"echo":   {cmd: []string{"echo", "hush"}, loud: true, listener: unknown},
		"stdout": {cmd: []string{"echo", "hush"}, stdout: unknown},
		"rules":  {cmd: []string{"echo", "hush"}, rules: rules},
	} {
		_, err := r.launch(l)
		require.ErrorContains(t, err, "is not implemented natively with", name)
	}
	// Where no text of ours goes through it, an unknown decorator is no obstacle.
	require.Zero(t, r.start(launch{cmd: []string{"true"}, listener: unknown}).join())
	require.Empty(t, out.String())
}

func TestProcessOutlivesTheChannel(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, &Agent{})
	out := newSink()
	r.start(launch{cmd: sh("echo up; trap '' PIPE; while [ ! -f go ]; do sleep 0.05; done; touch done; exit"), dir: dir, out: r.stream(out)})
	out.await(t, "up")
	_ = r.c.Close(within(t, 10*time.Second))
	<-r.a.Done()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o644))
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(dir, "done"))
		return err == nil
	}, 20*time.Second, 20*time.Millisecond)
}

func TestStartIsReplaceable(t *testing.T) {
	var got exec.Spec
	r := newRig(t, &Agent{Start: func(_ context.Context, spec exec.Spec) (Process, error) {
		got = spec
		return nil, errors.New("not here")
	}})
	_, err := r.launch(launch{cmd: []string{"make", "$$all"}, dir: "/w"})
	require.ErrorContains(t, err, "not here")
	require.Equal(t, []string{"make", "$all"}, got.Argv)
	require.Equal(t, "/w", got.Dir)
}

func TestLeakedOutput(t *testing.T) {
	r := newRig(t, &Agent{Start: func(ctx context.Context, spec exec.Spec) (Process, error) {
		spec.LeakWait = 50 * time.Millisecond
		return startLocal(ctx, spec)
	}})
	out := newSink()
	p := r.start(launch{cmd: sh("(read x </dev/null; while [ ! -f go ]; do sleep 0.05; done) & echo up"), dir: t.TempDir(), out: r.stream(out)})
	require.Zero(t, p.join())
	require.Contains(t, out.String(), "up\nProcess leaked file descriptors.")
	_, err := p.invoke(within(t, time.Minute), "kill") // finds it by its cookie
	require.NoError(t, err)
}

// A listener with a buffer gets the echo and the output in order, masked, and
// all of it before join answers.
func TestBufferedMaskedListener(t *testing.T) {
	r := newRig(t, &Agent{})
	out := newSink()
	l := decorated(bufferedReplacement(r.stream(out), 60_000), maskFilter(`\Qhush\E`))
	p := r.start(launch{cmd: sh("echo hush; printf 'no newline hush'"), loud: true, listener: l, stdout: l})
	require.Zero(t, p.join())
	require.Equal(t, "$ /bin/sh -c \"echo ****; printf 'no newline ****'\"\n****\nno newline ****", out.String())
}

// decorated is a DecoratedTaskListener.
func decorated(delegate *jser.Object, decorators ...jser.Value) *jser.Object {
	return fields(decoratedListener, "decorators", jser.ArrayList(decorators...), "delegate", delegate)
}
