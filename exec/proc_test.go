package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if h := helpers[os.Getenv("EXEC_TEST_HELPER")]; h != nil {
		h()
		return
	}
	goleak.VerifyTestMain(m)
}

// helpers are what this test binary does when it is run as a child.
var helpers = map[string]func(){}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, spec Spec) *Process {
	t.Helper()
	p, err := Start(within(t, 30*time.Second), spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Signal(syscall.SIGKILL)
		<-p.Exited()
		p.Close()
	})
	return p
}

func wait(t *testing.T, p *Process) int {
	t.Helper()
	code, err := p.Wait(within(t, 30*time.Second))
	require.NoError(t, err)
	return code
}

func sh(script string) []string { return []string{"/bin/sh", "-c", script} }

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		script string
		want   int
	}{
		{"exit 0", 0}, {"exit 1", 1}, {"exit 137", 137}, {"exit 300", 44},
		{"kill -15 $$", 143}, {"kill -9 $$", 137},
	} {
		t.Run(c.script, func(t *testing.T) {
			p := start(t, Spec{Argv: sh(c.script)})
			require.Equal(t, c.want, wait(t, p))
			require.Equal(t, c.want, wait(t, p), "a second Wait says the same")
			require.False(t, p.IsAlive())
			require.Eventually(t, func() bool { return !Own(p.Pid()) }, 5*time.Second, time.Millisecond)
			require.ErrorIs(t, p.Signal(syscall.SIGTERM), os.ErrProcessDone)
		})
	}
}

func TestStreams(t *testing.T) {
	t.Run("merged", func(t *testing.T) {
		var out bytes.Buffer
		p := start(t, Spec{Argv: sh("echo a; echo b >&2; echo c"), Stdout: &out})
		require.Zero(t, wait(t, p))
		require.Equal(t, "a\nb\nc\n", out.String())
	})
	t.Run("same writer twice", func(t *testing.T) {
		var out bytes.Buffer
		p := start(t, Spec{Argv: sh("echo a; echo b >&2; echo c"), Stdout: &out, Stderr: &out})
		require.Zero(t, wait(t, p))
		require.Equal(t, "a\nb\nc\n", out.String())
	})
	t.Run("apart", func(t *testing.T) {
		var out, errs bytes.Buffer
		p := start(t, Spec{Argv: sh("echo a; echo b >&2"), Stdout: &out, Stderr: &errs})
		require.Zero(t, wait(t, p))
		require.Equal(t, "a\n", out.String())
		require.Equal(t, "b\n", errs.String())
	})
	t.Run("stdin", func(t *testing.T) {
		var out bytes.Buffer
		p := start(t, Spec{Argv: []string{"cat"}, Stdin: strings.NewReader("through"), Stdout: &out})
		require.Zero(t, wait(t, p))
		require.Equal(t, "through", out.String())
	})
	t.Run("no stdin is empty", func(t *testing.T) {
		var out bytes.Buffer
		p := start(t, Spec{Argv: []string{"cat"}, Stdout: &out})
		require.Zero(t, wait(t, p))
		require.Empty(t, out.String())
	})
	t.Run("nobody reads, no pipes", func(t *testing.T) {
		p := start(t, Spec{Argv: sh("head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2")})
		require.Zero(t, wait(t, p))
	})
	t.Run("large and binary", func(t *testing.T) {
		var out bytes.Buffer
		p := start(t, Spec{Argv: []string{"head", "-c", "3000000", "/dev/urandom"}, Stdout: &out})
		require.Zero(t, wait(t, p))
		require.Equal(t, 3_000_000, out.Len())
	})
	t.Run("stdin that never ends is closed after the process", func(t *testing.T) {
		r, w := io.Pipe()
		p := start(t, Spec{Argv: []string{"true"}, Stdin: r})
		require.Zero(t, wait(t, p))
		for {
			if _, err := w.Write([]byte("x")); err != nil {
				require.ErrorIs(t, err, io.ErrClosedPipe)
				break
			}
		}
	})
	t.Run("child's ends block", func(t *testing.T) {
		var out bytes.Buffer
		p := start(t, Spec{Argv: sh("for i in 0 1 2; do grep flags /proc/self/fdinfo/$i; done 2>&1"), Stdin: strings.NewReader(""), Stdout: &out})
		require.Zero(t, wait(t, p))
		for _, l := range strings.Split(strings.TrimSpace(out.String()), "\n") {
			require.NotContains(t, l[len("flags:"):], "4", "O_NONBLOCK in %q", l)
		}
	})
}

type failingWriter struct{ after int }

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.after -= len(b); w.after < 0 {
		return 0, errors.New("gone")
	}
	return len(b), nil
}

func TestFailedWriterEndsProcess(t *testing.T) {
	p := start(t, Spec{Argv: []string{"yes"}, Stdout: &failingWriter{100_000}})
	require.Equal(t, 128+int(syscall.SIGPIPE), wait(t, p))
	require.EqualError(t, p.OutputError(), "gone")
}

func TestLeakedDescriptors(t *testing.T) {
	var out bytes.Buffer
	p := start(t, Spec{Argv: sh("sleep 60 & echo begun; echo $!"), Stdout: &out, LeakWait: 50 * time.Millisecond})
	require.Zero(t, wait(t, p))
	require.True(t, p.Leaked())
	require.Contains(t, out.String(), "begun\n")
	require.True(t, strings.HasSuffix(out.String(), leakedMessage))
	n := out.Len()
	wait(t, p)
	require.Equal(t, n, out.Len(), "the message comes once")

	r, err := p.Kill(within(t, 10*time.Second), KillOptions{})
	require.NoError(t, err)
	require.Len(t, r.Found, 1, "the grandchild is found by its cookie")
	require.Empty(t, r.Survivors)
	<-p.stdout.done
}

func TestWaitContext(t *testing.T) {
	p := start(t, Spec{Argv: []string{"sleep", "60"}})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := p.Wait(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, p.IsAlive())
	require.True(t, Own(p.Pid()))
	_, err = p.Kill(within(t, 10*time.Second), KillOptions{})
	require.NoError(t, err)
	require.Equal(t, 143, wait(t, p))
}

func TestEnvironmentAndDirectory(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	p := start(t, Spec{Argv: sh("echo $A; pwd; echo $HUDSON_COOKIE; echo ${HOME-no home}"), Env: []string{"A=1", "HUDSON_COOKIE=old"}, Dir: dir, Stdout: &out})
	require.Zero(t, wait(t, p))
	require.Equal(t, "1\n"+dir+"\n"+p.Cookie()+"\nno home\n", out.String())
}

func TestOOMScore(t *testing.T) {
	if _, err := os.Stat("/proc/self/oom_score_adj"); err != nil {
		t.Skip("SKIPPED: no oom_score_adj on this system")
	}
	score := func(adj *int) string {
		p := start(t, Spec{Argv: []string{"sleep", "60"}, OOMScoreAdj: adj})
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", p.Pid()))
		require.NoError(t, err)
		return strings.TrimSpace(string(b))
	}
	own, err := os.ReadFile("/proc/self/oom_score_adj")
	require.NoError(t, err)
	if strings.TrimSpace(string(own)) == "0" {
		require.Equal(t, "200", score(nil))
	}
	adj := 1000
	require.Equal(t, "1000", score(&adj))
}

func TestStartErrors(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, []byte(text), mode))
		return p
	}
	notExec := file("notexec", "#!/bin/sh\n", 0o644)
	badInterp := file("badinterp", "#!/nonexistent/sh\n", 0o755)
	for _, c := range []struct {
		name, dir, want, cause string
		argv                   []string
	}{
		{name: "missing", argv: []string{"nope"}, want: `Cannot run program "nope": error=2, No such file or directory`, cause: "error=2, No such file or directory"},
		{name: "missing in directory", argv: []string{"nope"}, dir: dir + "//", want: `Cannot run program "nope" (in directory "` + dir + `"): error=2, No such file or directory`, cause: "error=2, No such file or directory"},
		{name: "missing absolute", argv: []string{"/no/such"}, want: `Cannot run program "/no/such": error=2, No such file or directory`, cause: "error=2, No such file or directory"},
		{name: "empty name", argv: []string{""}, want: `Cannot run program "": error=2, No such file or directory`, cause: "error=2, No such file or directory"},
		{name: "directory missing", argv: []string{"true"}, dir: "/x/y/", want: `Process working directory '/x/y' doesn't exist!`},
		{name: "directory is a file", argv: []string{"true"}, dir: notExec, want: `Cannot run program "true" (in directory "` + notExec + `"): error=20, Not a directory`, cause: "error=20, Not a directory"},
		{name: "not executable", argv: []string{notExec}, want: `Cannot run program "` + notExec + `": error=13, Permission denied`, cause: "error=13, Permission denied"},
		{name: "a directory", argv: []string{dir}, want: `Cannot run program "` + dir + `": error=13, Permission denied`, cause: "error=13, Permission denied"},
		{name: "bad interpreter", argv: []string{badInterp}, want: `Cannot run program "` + badInterp + `": error=2, No such file or directory`, cause: "error=2, No such file or directory"},
		{name: "too long", argv: []string{"true", strings.Repeat("x", 200_000)}, want: `Cannot run program "true": error=7, Argument list too long`, cause: "error=7, Argument list too long"},
		{name: "null", argv: []string{"tr\x00ue"}, want: "invalid null character in command"},
		{name: "null in argument", argv: []string{"true", "a\x00b"}, want: "invalid null character in command"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Start(context.Background(), Spec{Argv: c.argv, Dir: c.dir, Stdin: strings.NewReader(""), StdoutPipe: true})
			var se *StartError
			require.ErrorAs(t, err, &se)
			require.Equal(t, c.want, err.Error())
			require.Equal(t, c.cause, se.Cause())
		})
	}
	t.Run("no secrets", func(t *testing.T) {
		_, err := Start(context.Background(), Spec{Argv: []string{"nope", "hunter2"}, Env: []string{"PASSWORD=hunter2\x00"}})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
	})
}

func TestProgramSearch(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"b1/tool": "not this one", "b2/tool": "#!/bin/sh\necho tool $0 $*\n", "b2/plain": "echo plain $0 \"$@\"\n",
		"here/local": "#!/bin/sh\necho local $0\n", "here/sub/deep": "#!/bin/sh\necho deep $0\n",
	} {
		p := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(text), 0o755))
	}
	require.NoError(t, os.Chmod(filepath.Join(dir, "b1/tool"), 0o644))
	old := searchPath
	t.Cleanup(func() { searchPath = old })
	searchPath = dir + "/b1:" + dir + "/b2/:" + dir + "/nowhere:"

	for _, c := range []struct {
		name, dir, want string
		argv            []string
	}{
		{name: "past one without x bit", argv: []string{"tool", "a"}, want: "tool " + dir + "/b2/tool a\n"},
		{name: "no shebang", argv: []string{"plain", "a b", ""}, want: "plain " + dir + "/b2/plain a b \n"},
		{name: "empty element is the child's directory", argv: []string{"local"}, dir: dir + "/here", want: "local local\n"},
		{name: "relative to the child's directory", argv: []string{"sub/deep"}, dir: dir + "/here", want: "deep sub/deep\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			p := start(t, Spec{Argv: c.argv, Dir: c.dir, Env: []string{"PATH=/nonexistent"}, Stdout: &out})
			require.Zero(t, wait(t, p))
			require.Equal(t, c.want, out.String())
		})
	}
	searchPath = dir + "/b1:" + dir + "/nowhere"
	_, err := Start(context.Background(), Spec{Argv: []string{"tool"}})
	require.EqualError(t, err, `Cannot run program "tool": error=13, Permission denied`)
}

// BenchmarkLaunch is a launch with its pump, from Start to the end of Wait.
func BenchmarkLaunch(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		p, err := Start(context.Background(), Spec{Argv: []string{"true"}, Stdout: io.Discard})
		if err != nil {
			b.Fatal(err)
		}
		if code, err := p.Wait(context.Background()); code != 0 || err != nil {
			b.Fatal(code, err)
		}
	}
}

// BenchmarkStart is the time until the caller has its Process.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		p, err := Start(context.Background(), Spec{Argv: []string{"true"}})
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		p.Wait(context.Background())
		b.StartTimer()
	}
}

// BenchmarkPump is the throughput of a process's output.
func BenchmarkPump(b *testing.B) {
	const size = 64 << 20
	b.SetBytes(size)
	for b.Loop() {
		p, err := Start(context.Background(), Spec{Argv: []string{"head", "-c", fmt.Sprint(size), "/dev/zero"}, Stdout: io.Discard})
		if err != nil {
			b.Fatal(err)
		}
		if code, err := p.Wait(context.Background()); code != 0 || err != nil {
			b.Fatal(code, err)
		}
	}
}
