package shell

import (
	"bytes"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if os.Getenv("SHELL_TEST_ROLE") == "shell" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// command is the embedded shell in a container whose PATH is empty.
func command(t *testing.T, dir string, argv ...string) *osexec.Cmd {
	exe, err := os.Executable()
	require.NoError(t, err)
	c := osexec.Command(exe, argv...)
	c.Dir = dir
	c.Env = []string{"SHELL_TEST_ROLE=shell", "PATH=" + dir + "/bin", "HOME=/nowhere"}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return c
}

func run(t *testing.T, dir string, argv ...string) (out, errs string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := command(t, dir, argv...)
	c.Stdout, c.Stderr = &stdout, &stderr
	c.WaitDelay = 20 * time.Second
	err := c.Run()
	if _, ok := err.(*osexec.ExitError); err != nil && !ok {
		require.NoError(t, err)
	}
	return stdout.String(), stderr.String(), c.ProcessState.ExitCode()
}

func TestScripts(t *testing.T) {
	for _, c := range []struct {
		script, out, err string
		code             int
	}{
		{"echo hi; exit 3", "hi\n", "", 3},
		{"false", "", "", 1},
		{"A='x y'; echo \"$A\" | cat", "x y\n", "", 0},
		{"set -e; false; echo no", "", "", 1},
		{"for i in 1 2 3; do echo $i; done; echo err >&2", "1\n2\n3\n", "err\n", 0},
		{"test -f nope || echo none; [ -d . -a ! -f nope ] && echo dir", "none\ndir\n", "", 0},
		{"mkdir -p a/b; echo x > a/b/f; cp a/b/f g; mv g h; cat h; rm -rf a; test -d a || echo gone", "x\ngone\n", "", 0},
		{"touch t; ls; rm t; ls", "t\n", "", 0},
		{"cp -R . ../copy-$$ 2>/dev/null; nosuchtool", "", "not found", 127},
		{"sh -c 'echo nested $0 $1; exit 4' zero one; echo $?", "nested zero one\n4\n", "", 0},
		{"X=1 sh -c 'echo $X'", "1\n", "", 0},
		{"nohup sh -c 'echo immune'", "immune\n", "", 0},
		{"sleep 0.01; kill -0 $$; echo $?", "0\n", "", 0},
		{"sh -c 'kill -9 $$'; echo $?", "137\n", "", 0},
		{"sleep x", "", "invalid time interval", 1},
		{"rm /", "", "refusing", 1},
		{"printf 'a b\\nc d\\n' > f; grep -l c f; grep c f | cut -d ' ' -f 2", "f\nd\n", "", 0},
		{"(sleep 0.05; echo late) & echo early; wait", "early\nlate\n", "", 0},
		{"(sleep 0.05; echo late) & echo early", "early\nlate\n", "", 0},
		{"trap 'echo bye' EXIT; exit 5", "bye\n", "", 5},
		{"f() { echo \"f $1\"; return 2; }; f x; echo $?", "f x\n2\n", "", 0},
		{"export 'A=it'\"'\"'s $HOME\n`x` \\b \\\\' B=2 \"C=3\"\nsh -c 'printf %s \"$A $B $C\"'", "it's $HOME\n`x` \\b \\\\ 2 3", "", 0},
		{"cat <<E\nhere $((1+2))\nE", "here 3\n", "", 0},
	} {
		dir := filepath.Join(t.TempDir(), "d")
		require.NoError(t, os.Mkdir(dir, 0o755))
		out, errs, code := run(t, dir, "sh", "-c", c.script)
		require.Equal(t, []any{c.out, c.code}, []any{out, code}, "%s: %s", c.script, errs)
		require.Contains(t, errs, c.err, c.script)
	}
}

func TestScriptFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "s.sh")
	require.NoError(t, os.WriteFile(file, []byte("#!/no/such/bin/sh\necho $0 $#\nfalse\necho no\n"), 0o755))
	out, errs, code := run(t, dir, "sh", "-xe", file, "a", "b")
	require.Equal(t, []any{file + " 2\n", 1}, []any{out, code})
	require.Contains(t, errs, "+ false")
	// a #! that names a shell that is not there
	out, _, code = run(t, dir, "sh", "-c", file+" x; echo $?")
	require.Equal(t, []any{file + " 1\nno\n0\n", 0}, []any{out, code})
	_, errs, code = run(t, dir, "sh", dir+"/nope")
	require.Equal(t, 127, code)
	require.Contains(t, errs, "can't open")
	_, _, code = run(t, dir, "sh", "-c", "echo 'open")
	require.Equal(t, 2, code)
	_, _, code = run(t, dir, "sh", "-Z")
	require.Equal(t, 2, code)
	// a real program goes before a built-in one
	require.NoError(t, os.Mkdir(dir+"/bin", 0o755))
	require.NoError(t, os.WriteFile(dir+"/bin/cat", []byte("#!/bin/sh\necho mine\n"), 0o755))
	out, _, _ = run(t, dir, "sh", "-c", "cat /etc/passwd")
	require.Equal(t, "mine\n", out)
}

// wrapper is the line of a durable step, as org.jenkinsci.plugins.durabletask
// writes it.
func wrapper(dir, cookie string) string {
	return strings.ReplaceAll("(cp 'DIR/script.sh' 'DIR/script.sh.copy'; { while [ -d 'DIR' -a \\! -f 'DIR/jenkins-result.txt' ]; do touch 'DIR/jenkins-log.txt'; sleep 3; done } & "+
		"jsc="+cookie+"; JENKINS_SERVER_COOKIE=$jsc 'sh' -xe  'DIR/script.sh.copy' > 'DIR/jenkins-log.txt' 2>&1"+
		"; echo $? > 'DIR/jenkins-result.txt.tmp'; mv 'DIR/jenkins-result.txt.tmp' 'DIR/jenkins-result.txt'; wait) >&- 2>&- &", "DIR", dir)
}

func TestDurableWrapper(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/script.sh", []byte("echo hi\nexit 7\n"), 0o755))
	c := command(t, dir, "nohup", "sh", "-c", wrapper(dir, "c-1"))
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool { _, err := os.Stat(dir + "/jenkins-result.txt"); return err == nil }, 20*time.Second, 5*time.Millisecond)
	read := func(name string) string {
		b, err := os.ReadFile(dir + "/" + name)
		require.NoError(t, err)
		return string(b)
	}
	require.Equal(t, "7\n", read("jenkins-result.txt"))
	require.Equal(t, "+ echo hi\nhi\n+ exit 7\n", read("jenkins-log.txt"))
	require.NoError(t, c.Wait()) // once the heart has stopped beating
}

func TestKillByCookie(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/script.sh", []byte("echo up\nsleep 1000\n"), 0o755))
	cookie := fmt.Sprintf("c-%d", time.Now().UnixNano())
	c := command(t, dir, "nohup", "sh", "-c", wrapper(dir, cookie))
	require.NoError(t, c.Start())
	require.Eventually(t, func() bool { b, _ := os.ReadFile(dir + "/jenkins-log.txt"); return strings.Contains(string(b), "up\n") }, 20*time.Second, 5*time.Millisecond)
	// as the plugin kills in the listener's mode
	_, errs, code := run(t, dir, "sh", "-c", "kill `grep -ls 'JENKINS_SERVER_COOKIE="+cookie+"' /proc/[0-9]*/environ | cut -d / -f 3 `")
	require.Zero(t, code, errs)
	require.NoError(t, c.Wait())
	b, err := os.ReadFile(dir + "/jenkins-result.txt")
	require.NoError(t, err)
	require.Equal(t, "143\n", string(b))
}

func FuzzInvocation(f *testing.F) {
	f.Add("-xe", "script", "arg")
	f.Add("-c", "echo hi", "zero")
	f.Add("+o", "errexit", "--")
	f.Fuzz(func(t *testing.T, a, b, c string) { _, _ = parseInvocation([]string{"sh", a, b, c}) })
}
