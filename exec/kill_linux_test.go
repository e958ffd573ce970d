package exec

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// marker is an environment that no other process has.
func marker(t *testing.T) (env []string, model map[string]string) {
	t.Helper()
	v := newCookie()
	return []string{"PATH=" + os.Getenv("PATH"), "BUILD_ID=x", "MARK=" + v}, map[string]string{"mark": v, "BUILD_ID": "x"}
}

// ready starts a shell script and returns once it has printed a line.
func ready(t *testing.T, env []string, script string) (*Process, *bufio.Reader) {
	t.Helper()
	p := start(t, Spec{Argv: sh(script), Env: env, StdoutPipe: true})
	r := bufio.NewReader(p.StdoutPipe())
	_, err := r.ReadString('\n')
	require.NoError(t, err)
	return p, r
}

func kill(t *testing.T, model map[string]string, opts KillOptions) KillResult {
	t.Helper()
	r, err := KillByEnv(within(t, 30*time.Second), model, opts)
	require.NoError(t, err)
	return r
}

func gone(t *testing.T, model map[string]string) {
	t.Helper()
	left, err := Processes(model)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestKillByEnvMatching(t *testing.T) {
	env, model := marker(t)
	p, _ := ready(t, env, "echo up; exec sleep 60")

	for name, m := range map[string]map[string]string{
		"empty": {}, "nil": nil, "other value": {"MARK": "no"}, "one pair of two": {"MARK": model["mark"], "BUILD_ID": "y"},
		"absent": {"MARK": model["mark"], "ABSENT": ""}, "case of the value": {"MARK": strings.ToUpper(model["mark"]) + "x"},
	} {
		r := kill(t, m, KillOptions{})
		require.Empty(t, r.Found, name)
	}
	require.True(t, p.IsAlive())

	r := kill(t, model, KillOptions{})
	require.Equal(t, []ProcessRef{{p.Pid(), "sleep"}}, r.Found)
	require.Empty(t, r.Survivors)
	require.Equal(t, 143, wait(t, p))
	require.Empty(t, kill(t, model, KillOptions{}).Found)
}

func TestKillChildrenFirst(t *testing.T) {
	env, model := marker(t)
	// The shell reports the death of its command, so it was alive to see it, and
	// with -e ends with that code.
	p, r := ready(t, env, `set -e; trap 'echo shell got it; exit 9' TERM; (echo up; exec sleep 60) || { echo "child $?"; exit 5; }`)
	kill(t, model, KillOptions{})
	for line := ""; line != "child 143\n"; {
		var err error
		line, err = r.ReadString('\n')
		require.NoError(t, err)
	}
	require.Contains(t, []int{5, 9}, wait(t, p))
}

func TestKillIgnoresTerm(t *testing.T) {
	env, model := marker(t)
	p, _ := ready(t, env, `trap "" TERM; echo up; while :; do sleep 0.05; done`)
	begun := time.Now()
	r := kill(t, model, KillOptions{Grace: 300 * time.Millisecond})
	require.GreaterOrEqual(t, time.Since(begun), 300*time.Millisecond)
	require.Less(t, time.Since(begun), 5*time.Second)
	require.True(t, p.IsAlive(), "no SIGKILL unless asked")
	require.Contains(t, fmt.Sprint(r.Survivors), fmt.Sprint(p.Pid()))

	r = kill(t, model, KillOptions{Grace: 100 * time.Millisecond, Force: true})
	require.Empty(t, r.Survivors)
	require.Equal(t, 137, wait(t, p))
	gone(t, model)
}

func TestKillCatchesForksMeanwhile(t *testing.T) {
	env, model := marker(t)
	// Every TERM makes the shell leave two more behind, three generations long.
	p, _ := ready(t, env, `
gen() { trap "if [ $1 -lt 3 ]; then gen $(($1+1)) & gen $(($1+1)) & fi; exit 0" TERM; echo up; while :; do sleep 0.02; done; }
gen 0`)
	r := kill(t, model, KillOptions{Grace: 5 * time.Second, Force: true})
	require.Empty(t, r.Survivors)
	require.Greater(t, len(r.Found), 2)
	<-p.Exited()
	gone(t, model)
}

func TestKillDescendantsWithoutTheEnvironment(t *testing.T) {
	env, model := marker(t)
	p, _ := ready(t, env, "env -i /bin/sleep 61 & echo up; wait")
	r := kill(t, model, KillOptions{})
	require.Len(t, r.Found, 2)
	require.Empty(t, r.Survivors)
	<-p.Exited()
}

func TestKillProcessFindsWhatLeftTheTree(t *testing.T) {
	p, r := ready(t, nil, `setsid sleep 61 >/dev/null 2>&1 & (setsid sh -c 'sleep 62' >/dev/null 2>&1 &) ; echo up; echo $!; exec sleep 63`)
	_, err := r.ReadString('\n')
	require.NoError(t, err)
	res, err := p.Kill(within(t, 30*time.Second), KillOptions{})
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(res.Found), 3)
	require.Empty(t, res.Survivors)
	require.Equal(t, 143, wait(t, p))
	gone(t, map[string]string{CookieName: p.Cookie()})

	res, err = p.Kill(within(t, 30*time.Second), KillOptions{})
	require.NoError(t, err)
	require.Empty(t, res.Found, "killing the dead is nothing")
}

func TestCookieOverriddenInsideIsSpared(t *testing.T) {
	_, model := marker(t)
	env := []string{"PATH=" + os.Getenv("PATH"), "JENKINS_SERVER_COOKIE=" + model["mark"]}
	p, _ := ready(t, env, "JENKINS_SERVER_COOKIE=please-do-not-kill-me setsid -f sleep 61 >/dev/null; echo up; exec sleep 60")
	kill(t, map[string]string{"JENKINS_SERVER_COOKIE": model["mark"]}, KillOptions{})
	require.Equal(t, 143, wait(t, p))
	res, err := p.Kill(within(t, 30*time.Second), KillOptions{})
	require.NoError(t, err)
	require.Len(t, res.Found, 1, "the daemon lived, and still has the launch's cookie")
}

func TestKillNeverTouchesOurselves(t *testing.T) {
	// The test process's own environment is a model that we and our parent match.
	env, err := os.ReadFile("/proc/self/environ")
	require.NoError(t, err)
	s, err := takeSnapshot()
	require.NoError(t, err)
	var model envModel
	for k, v := range environEntries(env) {
		model = newEnvModel(map[string]string{string(k): string(v)})
		break
	}
	if model == nil {
		t.Skip("SKIPPED: this process has an empty environment")
	}
	require.True(t, model.matches(env))
	got := s.matching(0, model)
	require.NotContains(t, got, os.Getpid())
	require.NotContains(t, got, os.Getppid())
	require.NotContains(t, got, 1)
	require.True(t, s.protected()[os.Getppid()])
}

func TestKillContext(t *testing.T) {
	env, model := marker(t)
	p, _ := ready(t, env, `trap "" TERM; echo up; while :; do sleep 0.05; done`)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	r, err := KillByEnv(ctx, model, KillOptions{Grace: time.Minute})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begun), 10*time.Second)
	require.NotEmpty(t, r.Survivors)
	require.True(t, p.IsAlive())
}

func TestPidReuseIsNoticed(t *testing.T) {
	p, _ := ready(t, nil, "echo up; exec sleep 60")
	info, err := readProc(p.Pid())
	require.NoError(t, err)
	k := &killer{targets: map[procKey]*target{}}
	older := info
	older.start--
	_, err = k.hold(older)
	require.ErrorIs(t, err, errVanished)
	require.Zero(t, k.fds)

	// Without a pidfd the start time protects.
	k.signal(&target{procInfo: older, fd: -1}, syscall.SIGKILL)
	require.True(t, p.IsAlive())
	k.signal(&target{procInfo: info, fd: -1}, syscall.SIGKILL)
	require.Equal(t, 137, wait(t, p))
}

func TestUnreadableEnvironment(t *testing.T) {
	old := procDir
	procDir = t.TempDir()
	t.Cleanup(func() { procDir = old })
	put := func(pid int, stat string, environ string) {
		d := filepath.Join(procDir, fmt.Sprint(pid))
		require.NoError(t, os.Mkdir(d, 0o755))
		require.NoError(t, os.WriteFile(d+"/stat", []byte(stat), 0o644))
		if environ != "" {
			require.NoError(t, os.WriteFile(d+"/environ", []byte(environ), 0o644))
		}
	}
	tail := " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 "
	put(10, "10 (a) b (c) S 1"+tail+"100 5", "M=1\x00")
	put(11, "11 () Z 1"+tail+"101", "M=1\x00")
	put(12, "12 (no environ) S 1"+tail+"102", "")
	put(13, "13 (child of 10) S 10"+tail+"103", "")
	put(14, "14 broken", "M=1\x00")
	put(15, "15 (other) S 1"+tail+"105", "M=1")
	require.NoError(t, os.Mkdir(procDir+"/self", 0o755))

	s, err := takeSnapshot()
	require.NoError(t, err)
	require.Len(t, s.procs, 5)
	require.Equal(t, "a) b (c", s.procs[10].comm)
	got := s.matching(0, newEnvModel(map[string]string{"m": "1"}))
	require.Len(t, got, 2)
	require.Contains(t, got, 10)
	require.Contains(t, got, 13)

	procDir = filepath.Join(procDir, "absent")
	_, err = KillByEnv(context.Background(), map[string]string{"m": "1"}, KillOptions{})
	require.ErrorContains(t, err, "process tree")
}

func FuzzStat(f *testing.F) {
	f.Add([]byte("1 (init) S 0 1 1 0 -1 4194560 1 1 1 1 1 1 1 1 20 0 1 0 7 1 1"))
	f.Add([]byte(") ("))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseStat(1, b) })
}

func BenchmarkKillNothing(b *testing.B) {
	for b.Loop() {
		if _, err := KillByEnv(context.Background(), map[string]string{"NO_SUCH_MARK": "x"}, KillOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
