package hold

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestExitCodes(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	for code := range 256 {
		r, err := runCommand(t, h, Command{Argv: []string{"sh", "-c", "exit " + strconv.Itoa(code)}, NoStdin: true}, "")
		require.NoError(t, err)
		require.Equal(t, Exit{Code: code}, r.Exit)
	}
}

func TestSignalsOfEnds(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	for _, sig := range []syscall.Signal{1, 2, 3, 6, 9, 10, 11, 13, 14, 15, 34, 64} {
		r, err := runCommand(t, h, shell("ulimit -c 0; kill -"+strconv.Itoa(int(sig))+" $$"), "")
		require.NoError(t, err)
		require.Equal(t, Exit{Code: 128 + int(sig), Signal: sig}, r.Exit)
	}
	// a shell that exits with 143 was not ended by a signal
	r, err := runCommand(t, h, shell("exit 143"), "")
	require.NoError(t, err)
	require.Equal(t, Exit{Code: 143}, r.Exit)
}

func TestEnvironmentAndArguments(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	values := []string{"plain", "two\nlines\n", `"q" 'q' \ $HOME ${X} $(id) ` + "`id`", "ünïcødé ✓", "\xff\xfe not UTF-8", "=", "", " lead", strings.Repeat("x", 100<<10)}
	for i, v := range values {
		r, err := runCommand(t, h, Command{Argv: []string{"sh", "-c", `printf %s "$V"; printf %s "$1" >&2`, "sh", v}, Env: []string{"V=" + v}}, "")
		require.NoError(t, err)
		require.True(t, r.out == v && r.err == v, "value %d: %.100q %.100q", i, r.out, r.err)
	}
	r, err := runCommand(t, h, Command{Argv: []string{"sh", "-c", `echo $IN_IMAGE $PATH $HOME`}, Env: []string{"HOME=/other"}, Prepend: []string{"PATH=/opt/m/bin", "NEW=1"}}, "")
	require.NoError(t, err)
	require.Equal(t, "yes /opt/m/bin:/usr/local/bin:/usr/bin:/bin /other\n", r.out)
}

func TestPathsOfAnotherMount(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	require.NoError(t, os.Mkdir(h.Place.Root+"/job", 0o755))
	r, err := runCommand(t, h, Command{Argv: []string{"sh", "-c", "pwd; echo $A $B /agentx /agent/f"}, Dir: "/agent/job", Root: "/agent", Env: []string{"A=/agent/x:/agent", "B=/agenty"}}, "")
	require.NoError(t, err)
	root := h.Place.Root
	require.Equal(t, root+"/job\n"+root+"/x:"+root+" /agenty /agentx "+root+"/f\n", r.out)
}

func TestRefusals(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	root := h.Place.Root
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(root, name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	for _, c := range []struct {
		cmd  Command
		code int
		text string
	}{
		{Command{Argv: []string{"true"}, Dir: "/no/such"}, 127, `the directory /no/such does not exist in container "maven"; is the volume with it mounted there?`},
		{Command{Argv: []string{"true"}, Dir: file("f", "", 0o644)}, 126, file("f", "", 0o644) + ` in container "maven" is not a directory`},
		{Command{Argv: []string{"no-such-tool"}}, 127, `no-such-tool: not found in container "maven" (PATH=/usr/local/bin:/usr/bin:/bin)`},
		{Command{Argv: []string{"/no/such/tool"}}, 127, `/no/such/tool: not found in container "maven"`},
		{Command{Argv: []string{"sh"}, Env: []string{"PATH=/nowhere"}}, 127, `sh: not found in container "maven" (PATH=/nowhere)`},
		{Command{Argv: []string{root}}, 126, root + ` in container "maven" is a directory`},
		{Command{Argv: []string{file("plain", "x", 0o644)}}, 126, root + `/plain: permission denied in container "maven" (mode 0644, ` + identity() + ")"},
		{Command{Argv: []string{file("loader", "#!/no/such/interpreter\n", 0o755)}}, 127, root + `/loader in container "maven" can't be run: its interpreter or loader is missing there`},
		{Command{Argv: []string{"sh", "-c", strings.Repeat("x", 3<<20)}}, 126, `sh: the arguments and the environment are too long for the system`},
	} {
		for _, terminal := range []*Size{nil, {24, 80}} {
			c.cmd.Terminal = terminal
			_, err := runCommand(t, h, c.cmd, "")
			var r *Refused
			require.ErrorAs(t, err, &r, c.text)
			require.Equal(t, Refused{c.code, c.text}, *r)
		}
	}
	// A script without #! is run by sh, as by exec.
	r, err := runCommand(t, h, Command{Argv: []string{file("bare", "echo ran; exit 4\n", 0o755)}}, "")
	require.NoError(t, err)
	require.Equal(t, "ran\n", r.out)
	require.Equal(t, 4, r.Code)
}

func TestStdin(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	big := strings.Repeat("0123456789abcdef\n", 200_000)
	r, err := runCommand(t, h, Command{Argv: []string{"cat"}}, big)
	require.NoError(t, err)
	require.True(t, big == r.out)
	r, err = runCommand(t, h, Command{Argv: []string{"cat"}, NoStdin: true}, "")
	require.NoError(t, err)
	require.Empty(t, r.out)
	// The command does not read: the writer is told, and nothing hangs.
	rem, err := begin(t, h, shell("exec <&-; echo closed; sleep 5"), newGrowing(), nil)
	require.NoError(t, err)
	_, err = io.WriteString(rem.Stdin(), strings.Repeat(big, 2))
	require.ErrorIs(t, err, syscall.EPIPE)
	require.NoError(t, rem.End(time.Second, true))
	_, err = rem.Wait(within(t, 20*time.Second))
	require.NoError(t, err)
}

func TestStreamsApartAndMerged(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	script := "for i in 1 2 3 4 5; do echo o$i; echo e$i >&2; done"
	r, err := runCommand(t, h, shell(script), "")
	require.NoError(t, err)
	require.Equal(t, [2]string{"o1\no2\no3\no4\no5\n", "e1\ne2\ne3\ne4\ne5\n"}, [2]string{r.out, r.err})
	cmd := shell(script)
	cmd.Merge = true
	r, err = runCommand(t, h, cmd, "")
	require.NoError(t, err)
	require.Equal(t, "o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\n", r.out)
}

func TestParallel(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			r, err := runCommand(t, h, shell(fmt.Sprintf("seq 1 2000; exit %d", i)), "")
			if err != nil || r.Code != i || strings.Count(r.out, "\n") != 2000 {
				t.Errorf("command %d: %v, code %d, %d lines", i, err, r.Code, strings.Count(r.out, "\n"))
			}
		})
	}
	wg.Wait()
}

// slow is a writer that a test lets go on.
type slow struct {
	gate chan struct{}
	n    int64
}

func (s *slow) Write(b []byte) (int, error) {
	<-s.gate
	s.n += int64(len(b))
	return len(b), nil
}

func TestFlowControl(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	const size = 64 << 20
	s := &slow{gate: make(chan struct{})}
	stderr := newGrowing()
	before := heap()
	r, err := begin(t, h, shell(fmt.Sprintf("echo first >&2; head -c %d /dev/zero", size)), s, stderr)
	require.NoError(t, err)
	// The other stream and signals pass a stream that is stuck.
	stderr.await(t, "first")
	require.NoError(t, r.Signal(syscall.SIGCONT, true))
	select {
	case <-r.Ended():
		require.Fail(t, "64 MB went into a reader that does not read")
	case <-time.After(300 * time.Millisecond):
	}
	require.Less(t, heap()-before, int64(4<<20))
	close(s.gate)
	exit, err := r.Wait(within(t, time.Minute))
	require.NoError(t, err)
	require.Zero(t, exit.Code)
	require.EqualValues(t, size, s.n)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

// counter counts and watches the heap.
type counter struct {
	n, peak int64
	calls   int
}

func (c *counter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	if c.calls++; c.calls%2000 == 0 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		c.peak = max(c.peak, int64(m.HeapInuse))
	}
	return len(b), nil
}

func TestGigabyte(t *testing.T) {
	size := int64(1 << 30)
	if testing.Short() || raceEnabled {
		size = 64 << 20
	}
	h, _ := startHold(t, &Hold{})
	before := heap()
	c := &counter{}
	began := time.Now()
	r, err := begin(t, h, Command{Argv: []string{"head", "-c", strconv.FormatInt(size, 10), "/dev/zero"}, NoStdin: true}, c, nil)
	require.NoError(t, err)
	exit, err := r.Wait(within(t, 5*time.Minute))
	require.NoError(t, err)
	require.Zero(t, exit.Code)
	require.Equal(t, size, c.n)
	t.Logf("%d MB in %v, heap at most %d MB more (both ends)", size>>20, time.Since(began).Round(time.Millisecond), (c.peak-before)>>20)
	require.Less(t, c.peak-before, int64(16<<20))
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestReaderThatFailsEndsTheCommand(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	r, err := begin(t, h, Command{Argv: []string{"yes"}}, failing{}, nil)
	require.NoError(t, err)
	exit, err := r.Wait(within(t, 20*time.Second))
	require.NoError(t, err)
	require.Equal(t, syscall.SIGPIPE, exit.Signal)
}

func TestSignalsAndEnd(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	o := newGrowing()
	r, err := begin(t, h, shell("trap 'echo usr1' USR1; trap 'echo int; exit 5' INT; echo up; while :; do sleep 0.05; done"), o, nil)
	require.NoError(t, err)
	o.await(t, "up")
	require.NoError(t, r.Signal(syscall.SIGUSR1, false))
	o.await(t, "usr1")
	require.NoError(t, r.Signal(syscall.SIGINT, true))
	exit, err := r.Wait(within(t, 20*time.Second))
	require.NoError(t, err)
	require.Equal(t, 5, exit.Code)

	o = newGrowing()
	r, err = begin(t, h, shell("trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & echo up; wait; wait"), o, nil)
	require.NoError(t, err)
	o.await(t, "up")
	require.Eventually(t, func() bool { return strings.Count(o.String(), "\n") == 2 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, r.End(200*time.Millisecond, true))
	exit, err = r.Wait(within(t, 20*time.Second))
	require.NoError(t, err)
	require.Equal(t, syscall.SIGKILL, exit.Signal)
	for _, word := range strings.Fields(o.String()) {
		if pid, err := strconv.Atoi(word); err == nil {
			require.Eventually(t, func() bool { return !alive(pid) }, 5*time.Second, 5*time.Millisecond)
		}
	}
}

// pidOf waits until a command has printed its process id.
func pidOf(t *testing.T, o *growing) int {
	t.Helper()
	o.await(t, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(strings.SplitN(o.String(), "\n", 2)[0]))
	require.NoError(t, err)
	return pid
}

func TestCallerThatGoes(t *testing.T) {
	h, _ := startHold(t, &Hold{Grace: 300 * time.Millisecond})
	for _, c := range []struct {
		name   string
		cmd    Command
		stays  bool
		script string
	}{
		{name: "pipes", script: "echo $$; trap '' TERM HUP; while :; do sleep 0.05; done"},
		{name: "terminal", cmd: Command{Terminal: &Size{24, 80}}, script: "stty -onlcr; echo $$; while :; do sleep 0.05; done"},
		{name: "detached", cmd: Command{Detach: true}, stays: true, script: "echo $$; cat; while [ ! -e stop ]; do echo more; sleep 0.05; done; : > stopped"},
	} {
		o := newGrowing()
		c.cmd.Argv = []string{"sh", "-c", c.script}
		r, err := begin(t, h, c.cmd, o, nil)
		require.NoError(t, err)
		pid := pidOf(t, o)
		require.NoError(t, r.Close())
		_, err = r.Wait(within(t, 20*time.Second))
		require.ErrorContains(t, err, `container "maven" ended before it answered`)
		if c.stays {
			time.Sleep(400 * time.Millisecond) // longer than the grace
			require.True(t, alive(pid), c.name)
			require.NoError(t, os.WriteFile(h.Place.Root+"/stop", nil, 0o644))
		}
		require.Eventually(t, func() bool { return !alive(pid) }, 10*time.Second, 5*time.Millisecond, c.name)
	}
	require.FileExists(t, h.Place.Root+"/stopped") // it did not die of SIGPIPE
}

func TestTerminal(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	r, err := runCommand(t, h, Command{Argv: []string{"sh", "-c", `stty size; test -t 0 && test -t 1 && test -t 2 && echo all; echo $TERM; cat; exit 3`},
		Terminal: &Size{30, 100}}, "typed\n")
	require.NoError(t, err)
	require.Equal(t, Exit{Code: 3}, r.Exit)
	require.Equal(t, "30 100\r\nall\r\nxterm\r\ntyped\r\n", r.out, "and typed once: no echo")

	o := newGrowing()
	rem, err := begin(t, h, Command{Argv: []string{"sh", "-c", `trap 'stty size' WINCH; echo up; while :; do read x && echo got $x; done`}, Terminal: &Size{10, 20}, Echo: true}, o, nil)
	require.NoError(t, err)
	o.await(t, "up")
	require.NoError(t, rem.Resize(Size{11, 22}))
	o.await(t, "11 22")
	_, err = io.WriteString(rem.Stdin(), "word\n")
	require.NoError(t, err)
	o.await(t, "got word")
	require.Contains(t, o.String(), "word\r\n", "the echo")
	_, err = rem.Stdin().Write([]byte{3}) // ^C
	require.NoError(t, err)
	exit, err := rem.Wait(within(t, 20*time.Second))
	require.NoError(t, err)
	require.Equal(t, syscall.SIGINT, exit.Signal)
}

func TestJobControl(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	o := newGrowing()
	r, err := begin(t, h, Command{Argv: []string{"bash", "--norc", "--noediting", "-i"}, Env: []string{"PS1=ready> "}, Terminal: &Size{24, 80}}, o, nil)
	require.NoError(t, err)
	o.await(t, "ready> ")
	_, err = io.WriteString(r.Stdin(), "sleep 100 & kill -STOP %1; sleep 0.2; jobs; kill -9 %1; sleep 0.2; jobs >/dev/null; exit 6; exit 6\n")
	require.NoError(t, err)
	exit, err := r.Wait(within(t, 20*time.Second))
	require.NoError(t, err, o.String())
	require.Equal(t, 6, exit.Code, o.String())
	require.Contains(t, o.String(), "Stopped")
	require.NotContains(t, o.String(), "no job control")
}

func TestKillByEnvironment(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	o := newGrowing()
	r, err := begin(t, h, Command{Argv: []string{"sh", "-c", "sleep 100 & echo up; wait $!"}, Env: []string{"JENKINS_SERVER_COOKIE=c-1"}}, o, nil)
	require.NoError(t, err)
	o.await(t, "up")
	ctx := within(t, 20*time.Second)
	n, err := KillByEnv(ctx, h.Place, h.Name, map[string]string{"JENKINS_SERVER_COOKIE": "other"}, 0, false)
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = KillByEnv(ctx, h.Place, h.Name, map[string]string{"JENKINS_SERVER_COOKIE": "c-1"}, 0, false)
	require.NoError(t, err)
	require.Equal(t, KillCounts{Found: 2}, n)
	exit, err := r.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, 143, exit.Code)
}

func TestNamesInErrors(t *testing.T) {
	h, _ := startHold(t, &Hold{Name: "maven"})
	startHold(t, &Hold{Name: "node", Place: h.Place})
	_, err := Dial(within(t, time.Second), h.Place, "mavn")
	var missing *NotFound
	require.ErrorAs(t, err, &missing)
	require.ErrorContains(t, err, `no container "mavn" listens in `+h.Place.Dir()+"; there are: maven, node.")
	_, err = Dial(within(t, time.Second), h.Place, "../x")
	require.ErrorContains(t, err, `"../x" is no name of a container`)
	// one that died without a word
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.Place.socket("dead"), Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	ln.Close()
	_, err = Dial(within(t, time.Second), h.Place, "dead")
	require.ErrorContains(t, err, `container "dead" has ended`)
	require.ErrorContains(t, err, "there are: maven, node")
	// the next hold of that name takes the socket over
	startHold(t, &Hold{Name: "dead", Place: h.Place})
	// and one name is for one hold
	err = (&Hold{Name: "maven", Place: h.Place}).Run(context.Background())
	require.ErrorContains(t, err, `another container answers as "maven"`)
}

func TestToken(t *testing.T) {
	h, log := startHold(t, &Hold{})
	r, err := runCommand(t, h, shell("echo ok"), "")
	require.NoError(t, err)
	require.Equal(t, "ok\n", r.out)
	st, err := os.Stat(h.Place.tokenFile())
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), st.Mode().Perm())
	token, err := os.ReadFile(h.Place.tokenFile())
	require.NoError(t, err)
	require.NotContains(t, log.String(), strings.TrimSpace(string(token)))

	// A caller with another token is turned away before it says what to run.
	cl, hello, err := connect(within(t, time.Second), h.Place, h.Name)
	require.NoError(t, err)
	wrong := make([]byte, tokenBytes)
	require.NoError(t, cl.c.sendRecords(frameAuth, records{{"version", "1"}, {"nonce", "n"}, {"proof", proof(wrong, roleCaller, hello.get("nonce"), "n")}}))
	_, err = cl.expect(frameWelcome)
	require.EqualError(t, err, `container "maven": the caller does not know the token of the pod`)
	cl.Close()

	// So is one that starts without any.
	cl, _, err = connect(within(t, time.Second), h.Place, h.Name)
	require.NoError(t, err)
	require.NoError(t, cl.c.sendRecords(frameStart, shell("true").records()))
	_, err = cl.expect(frameStarted)
	require.ErrorContains(t, err, "before the proof")
	cl.Close()

	// And a socket that somebody else has put there learns nothing.
	ln, err := net.Listen("unix", h.Place.socket("fake"))
	require.NoError(t, err)
	defer ln.Close()
	heard := make(chan string, 1)
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		c := &conn{Conn: nc}
		_ = c.sendRecords(frameHello, records{{"version", "1"}, {"name", "fake"}, {"nonce", "x"}})
		var buf []byte
		_, b, _ := readFrame(nc, &buf)
		_ = c.sendRecords(frameWelcome, records{{"proof", proof(wrong, roleHold, "x", "y")}, {"uid", "0"}, {"gid", "0"}})
		rest, _ := io.ReadAll(nc)
		heard <- string(b) + string(rest)
	}()
	_, err = Dial(within(t, time.Second), h.Place, "fake")
	require.EqualError(t, err, `hold: what listens as container "fake" does not know the token of the pod`)
	require.NotContains(t, <-heard, strings.TrimSpace(string(token)))
}

func TestVersions(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	ln, err := net.Listen("unix", h.Place.socket("next"))
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_ = (&conn{Conn: c}).sendRecords(frameHello, records{{"version", "2"}})
			c.Close()
		}
	}()
	_, err = Dial(within(t, time.Second), h.Place, "next")
	require.ErrorContains(t, err, `container "next" speaks version "2" of the protocol, we speak 1: run the same jenkins-agent`)
}

func TestLongPathOfSocket(t *testing.T) {
	root := filepath.Join(t.TempDir(), strings.Repeat("long-directory/", 12))
	require.NoError(t, os.MkdirAll(root, 0o755))
	h, _ := startHold(t, &Hold{Place: Place{root}})
	r, err := runCommand(t, h, shell("echo ok"), "")
	require.NoError(t, err)
	require.Equal(t, "ok\n", r.out)
}

func TestDescriptorsStay(t *testing.T) {
	h, _ := startHold(t, &Hold{})
	fds := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(d)
	}
	_, err := runCommand(t, h, shell("true"), "")
	require.NoError(t, err)
	before := fds()
	for range 50 {
		_, err := runCommand(t, h, shell("true"), "x")
		require.NoError(t, err)
		_, err = runCommand(t, h, Command{Argv: []string{"true"}, Terminal: &Size{1, 1}}, "")
		require.NoError(t, err)
		_, err = runCommand(t, h, Command{Argv: []string{"no-such"}}, "")
		require.Error(t, err)
	}
	require.Eventually(t, func() bool { return fds() <= before }, 5*time.Second, 5*time.Millisecond)
}
