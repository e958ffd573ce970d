package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/exec/hold"
	"github.com/footman-ci/footman/test/output"
)

// TestHoldContainers runs the programs as they are shipped in root file systems
// of their own.
func TestHoldContainers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: containers without a shell need root for chroot and namespaces")
	}
	programs := t.TempDir()
	for _, p := range []string{"jenkins-agent", "jenkins-shell"} {
		c := osexec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(programs, p), "../"+p)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := c.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	t.Run("nothing", func(t *testing.T) { testContainerWithNothing(t, programs) })
	t.Run("busybox", func(t *testing.T) { testContainerWithBusybox(t, programs) })
	t.Run("cat", func(t *testing.T) { testHoldAndCat(t, programs) })
}

// tool is the container of a tool: a root file system, with the agent installed
// and the shared volume at /ws.
type tool struct {
	t      *testing.T
	root   string
	place  hold.Place
	log    output.Buffer
	cmd    *osexec.Cmd
	ended  chan struct{}
	binary string // the agent, seen from outside
}

func newTool(t *testing.T, dir, root string) *tool {
	t.Helper()
	c := &tool{t: t, root: root, place: hold.Place{Root: filepath.Join(root, "ws")}, ended: make(chan struct{}), binary: filepath.Join(dir, "jenkins-agent")}
	for _, d := range []string{"ws", "proc", "dev/pts", "tmp"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, d), 0o777))
	}
	require.NoError(t, syscall.Mknod(filepath.Join(root, "dev/null"), syscall.S_IFCHR|0o666, 1<<8|3))
	require.NoError(t, os.Symlink("pts/ptmx", filepath.Join(root, "dev/ptmx")))
	out, err := osexec.Command(c.binary, "install", filepath.Join(root, "footman")).CombinedOutput()
	require.NoError(t, err, string(out))
	c.cmd = osexec.Command("/bin/sh", "-c", `mount --make-rprivate / && mount -t proc proc "$0/proc" && mount -t devpts -o newinstance,ptmxmode=0666 devpts "$0/dev/pts" && cd "$0" && exec chroot . /footman/jenkins-agent hold -dir /ws`, root)
	c.cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "JENKINS_CONTAINER_NAME=tool", "JENKINS_CONTAINER_WORK=/ws/container-work"}
	c.cmd.Stderr = &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.ended)
		_ = c.cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.ended:
		case <-time.After(15 * time.Second):
			_ = c.cmd.Process.Kill()
			<-c.ended
			t.Error("hold does not stop")
		}
		if t.Failed() {
			t.Log(c.log.String())
		}
	})
	require.Eventually(t, func() bool { return hold.Check(context.Background(), c.place, "tool") == nil }, 20*time.Second, time.Millisecond)
	return c
}

// exec is `jenkins-agent exec tool …` from outside.
func (c *tool) exec(args ...string) (out, errs string, code int) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := osexec.Command(c.binary, append([]string{"exec", "tool"}, args...)...)
	cmd.Env = append(os.Environ(), "FOOTMAN_WORK="+c.place.Root)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if _, ok := err.(*osexec.ExitError); !ok {
		require.NoError(c.t, err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// step runs a script as a durable step does, through the wrapper.
func (c *tool) step(script string) (log, result string) {
	c.t.Helper()
	dir := filepath.Join(c.place.Root, fmt.Sprintf("job@tmp/durable-%d", time.Now().UnixNano()))
	require.NoError(c.t, os.MkdirAll(dir, 0o755))
	require.NoError(c.t, os.WriteFile(dir+"/script.sh", []byte(script), 0o755))
	line := strings.ReplaceAll("(cp 'DIR/script.sh' 'DIR/script.sh.copy'; { while [ -d 'DIR' -a \\! -f 'DIR/jenkins-result.txt' ]; do touch 'DIR/jenkins-log.txt'; sleep 3; done } & "+
		"jsc=c-1; JENKINS_SERVER_COOKIE=$jsc 'sh' -xe  'DIR/script.sh.copy' > 'DIR/jenkins-log.txt' 2>&1"+
		"; echo $? > 'DIR/jenkins-result.txt.tmp'; mv 'DIR/jenkins-result.txt.tmp' 'DIR/jenkins-result.txt'; wait) >&- 2>&- &", "DIR", dir)
	cl, err := hold.Dial(context.Background(), c.place, "tool")
	require.NoError(c.t, err)
	// The caller goes right away, as the agent may.
	r, err := cl.Start(context.Background(), hold.Command{Argv: []string{"nohup", "sh", "-c", line}, Root: c.place.Root, Detach: true, NoStdin: true}, io.Discard, io.Discard)
	require.NoError(c.t, err)
	defer r.Close()
	require.Eventually(c.t, func() bool { _, err := os.Stat(dir + "/jenkins-result.txt"); return err == nil }, 20*time.Second, 5*time.Millisecond, c.log.String())
	b, err := os.ReadFile(dir + "/jenkins-log.txt")
	require.NoError(c.t, err)
	code, err := os.ReadFile(dir + "/jenkins-result.txt")
	require.NoError(c.t, err)
	return string(b), string(code)
}

// launch is one of the plugin's active containers.
func (c *tool) launch(script string) (out, status string) {
	c.t.Helper()
	dir := filepath.Join(c.place.Root, fmt.Sprintf("container-work/tool/%016x", time.Now().UnixNano()))
	require.NoError(c.t, os.MkdirAll(dir, 0o755))
	require.NoError(c.t, os.WriteFile(dir+"/shell.txt", []byte("sh"), 0o644))
	require.NoError(c.t, os.WriteFile(dir+"/script.sh", []byte(script), 0o644))
	require.Eventually(c.t, func() bool { _, err := os.Stat(dir + "/status.txt"); return err == nil }, 20*time.Second, time.Millisecond)
	b, err := os.ReadFile(dir + "/out.txt")
	require.NoError(c.t, err)
	code, err := os.ReadFile(dir + "/status.txt")
	require.NoError(c.t, err)
	return string(b), string(code)
}

func (c *tool) works() {
	t := c.t
	out, errs, code := c.exec("-e", "A=x y", "-w", c.place.Root, "--", "sh", "-c", "echo $A; cat < /dev/null; pwd; exit 6")
	require.Equal(t, []any{"x y\n/ws\n", 6}, []any{out, code}, errs)
	log, result := c.step("echo hello\nmkdir -p x && touch x/y && rm -r x\nexit 5\n")
	require.Equal(t, []string{"+ echo hello\nhello\n+ mkdir -p x\n+ touch x/y\n+ rm -r x\n+ exit 5\n", "5\n"}, []string{log, result})
	out, status := c.launch("cd '/ws'\nexport 'B=1'\n'sh' '-c' 'echo active $B; exit 3' ")
	require.Equal(t, []string{"active 1\n", "3\n"}, []string{out, status})
	out, errs, code = c.exec("no-such")
	require.Equal(t, []any{"", 127}, []any{out, code})
	require.Contains(t, errs, `no-such: not found in container "tool"`)
}

func testContainerWithNothing(t *testing.T, programs string) {
	c := newTool(t, programs, t.TempDir())
	out, _, code := c.exec("--", "/footman/jenkins-agent", "-version") // what is there runs as ever
	require.Zero(t, code)
	require.Equal(t, remotingVersion+"\n", out)
	c.works()
	// a probe inside the container
	_, errs, code := c.exec("--", "/footman/jenkins-agent", "hold", "-dir", "/ws", "-check")
	require.Zero(t, code, errs)
}

func testContainerWithBusybox(t *testing.T, programs string) {
	busybox := ""
	for _, p := range []string{os.Getenv("BUSYBOX"), "/bin/busybox", "/usr/bin/busybox", "/tmp/bb/bin/busybox"} {
		if st, err := os.Stat(p); p != "" && err == nil && st.Mode().IsRegular() {
			busybox = p
		}
	}
	if busybox == "" {
		t.Skip("SKIPPED, NOT TESTED: no static busybox (install Debian's busybox-static, or set BUSYBOX)")
	}
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(root+"/bin", 0o755))
	b, err := os.ReadFile(busybox)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(root+"/bin/busybox", b, 0o755))
	for _, n := range []string{"sh", "cat", "cp", "mv", "rm", "touch", "sleep", "mkdir", "id"} { // and no nohup
		require.NoError(t, os.Symlink("busybox", root+"/bin/"+n))
	}
	c := newTool(t, programs, root)
	c.works()
	out, _, _ := c.exec("-t", "--", "sh", "-c", "test -t 0 || echo none; id -u")
	require.Contains(t, out, "0")
}

func TestInstall(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	var out bytes.Buffer
	for range 2 { // again over itself, as a restarted init container does
		require.NoError(t, install(dir, &out))
	}
	require.Equal(t, strings.Repeat(dir+"/jenkins-agent\n", 2), out.String())
	st, err := os.Stat(dir + "/jenkins-agent")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), st.Mode().Perm())
	link, err := os.Readlink(dir + "/jenkins-agent")
	require.NoError(t, err)
	require.Equal(t, "footman", link)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	// into the directory of the sockets, which stays open to all users
	dir = filepath.Join(t.TempDir(), ".footman")
	require.NoError(t, install(dir, &out))
	st, err = os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|os.ModeSticky|0o777, st.Mode())
	require.Equal(t, exitFailure, run([]string{"jenkins-agent", "install", "/dev/null/x"}, io.Discard, &out))
	require.Equal(t, exitUsage, run([]string{"jenkins-agent", "install"}, io.Discard, &out))
}

func TestExecArguments(t *testing.T) {
	t.Setenv("FROM_HERE", "v")
	for _, c := range []struct {
		args  string
		want  execOptions
		fails string
	}{
		{"maven -- mvn -v", execOptions{container: "maven", argv: []string{"mvn", "-v"}}, ""},
		{"maven mvn -v -t", execOptions{container: "maven", argv: []string{"mvn", "-v", "-t"}}, ""},
		{"maven -e A=b -e FROM_HERE -e NOT_SET -w /d -t -- sh", execOptions{container: "maven", env: []string{"A=b", "FROM_HERE=v"}, dir: "/d", terminal: true, argv: []string{"sh"}}, ""},
		{"-it maven sh", execOptions{container: "maven", terminal: true, argv: []string{"sh"}}, ""},
		{"-h", execOptions{help: true}, ""},
		{"", execOptions{}, "exec: which container?"},
		{"maven", execOptions{}, "exec: which command?"},
		{"maven --", execOptions{}, "exec: which command?"},
		{"-- sh", execOptions{}, "exec: which container?"},
		{"maven -e", execOptions{}, "exec: -e needs a value"},
		{"maven -x sh", execOptions{}, "exec: unknown option -x"},
		{"maven -e =x sh", execOptions{}, `exec: -e "=x" has no name`},
	} {
		o, err := parseExec(strings.Fields(c.args))
		if c.fails != "" {
			require.ErrorContains(t, err, c.fails, c.args)
			continue
		}
		require.NoError(t, err, c.args)
		require.Equal(t, c.want, o)
	}
}

// testHoldAndCat prints the two side by side, as docs/hold.md has them.
func testHoldAndCat(t *testing.T, programs string) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	c := newTool(t, programs, t.TempDir())
	var zombies [2]int
	var stop [2]time.Duration
	// cat as PID 1, with steps entering by nsenter, as pods/exec does
	cat := osexec.Command("/bin/sh", "-c", "mount --make-rprivate / && mount -t proc proc /proc && exec cat")
	in, err := cat.StdinPipe()
	require.NoError(t, err)
	defer in.Close()
	cat.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS}
	require.NoError(t, cat.Start())
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cat.Process.Pid))
		return string(b) == "cat\n"
	}, 10*time.Second, time.Millisecond)
	for range 20 {
		out, err := osexec.Command("nsenter", "-t", strconv.Itoa(cat.Process.Pid), "-p", "-m", "sh", "-c", "(sleep 0.05) >/dev/null 2>&1 &").CombinedOutput()
		if err != nil {
			t.Skipf("SKIPPED, NOT TESTED: nsenter: %v: %s", err, out)
		}
		_, _, _ = c.exec("--", "sh", "-c", "sh -c 'sleep 0.05' & true")
	}
	time.Sleep(300 * time.Millisecond)
	for i, pid := range []int{cat.Process.Pid, c.cmd.Process.Pid} {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		zombies[i] = len(strings.Fields(string(b)))
	}
	began := time.Now()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	<-c.ended
	stop[1] = time.Since(began)
	began = time.Now()
	require.NoError(t, cat.Process.Signal(syscall.SIGTERM))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cat.Wait()
	}()
	select {
	case <-ended:
		stop[0] = time.Since(began)
	case <-time.After(3 * time.Second):
		require.NoError(t, cat.Process.Kill())
		<-ended
	}
	t.Logf("after 20 steps with an orphan each: zombies %d (cat), %d (hold); TERM: cat ended after %v (0: it ignored it for 3 s), hold after %v", zombies[0], zombies[1], stop[0], stop[1])
	require.Zero(t, zombies[1])
	require.Less(t, stop[1], time.Second)
}
