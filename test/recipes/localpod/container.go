package localpod

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// setup is what the process of a container is told about itself.
type setup struct {
	Root       string // of the image, on this machine
	Layer      string // a directory for the writable layer and the log
	Mounts     []mount
	Argv, Env  []string
	Dir        string
	User       int64
	Group      int64
	Groups     []int64
	ReadOnly   bool
	NoNewPrivs bool
	Privileged bool
	// NoCapabilities drops those that root in a container has, too.
	NoCapabilities bool
	// Stdin is an input that stays open and empty; else it is /dev/null.
	Stdin bool
}

type mount struct {
	Source, Target string
	ReadOnly       bool
}

// Container is a container that was started.
type Container struct {
	Name    string
	Pid     int // of its PID 1, on this machine
	Started time.Time

	setup setup
	log   string
	done  chan struct{}
	ended time.Time
	state *os.ProcessState
}

// starter is the thread that containers are started from: the death signal that
// ends them with this program is one for the end of that thread.
var starter = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range calls {
			f()
		}
	}()
	return calls
})

func onStarter(f func() error) error {
	result := make(chan error, 1)
	starter() <- func() { result <- f() }
	return <-result
}

// start makes the process; its stdout and stderr go to a file.
func start(name string, s setup) (*Container, error) {
	if err := os.MkdirAll(s.Layer, 0o755); err != nil {
		return nil, err
	}
	for _, d := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(s.Layer, d), 0o755); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(s.Layer, "log")
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	text, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	in, told, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{initVariable + "=1"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{in}
	var open *os.File
	if s.Stdin {
		if cmd.Stdin, open, err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Setsid: true, Pdeathsig: unix.SIGKILL}
	c := &Container{Name: name, Started: time.Now(), setup: s, log: path, done: make(chan struct{})}
	if err := onStarter(cmd.Start); err != nil {
		told.Close()
		return nil, err
	}
	c.Pid = cmd.Process.Pid
	_, err = told.Write(text)
	err = errors.Join(err, told.Close())
	go func() {
		_ = cmd.Wait() // the state has it all
		if open != nil {
			open.Close()
		}
		c.state, c.ended = cmd.ProcessState, time.Now()
		close(c.done)
	}()
	return c, err
}

// Done is closed when the container's PID 1 has ended, and all else with it.
func (c *Container) Done() <-chan struct{} { return c.done }

// Ended is when; only after Done.
func (c *Container) Ended() time.Time { return c.ended }

// ExitCode is that of PID 1, 128+N for signal N; only after Done.
func (c *Container) ExitCode() int {
	if w, ok := c.state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return c.state.ExitCode()
}

// Log is what the container has written so far.
func (c *Container) Log() string {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Signal goes to PID 1, which gets only what it handles, as in a cluster.
func (c *Container) Signal(sig syscall.Signal) error {
	select {
	case <-c.done:
		return os.ErrProcessDone
	default:
		return syscall.Kill(c.Pid, sig)
	}
}

// Exec runs a command in the container, as pods/exec and exec probes do: its
// namespaces, its user, its environment. The code is 128+N for signal N; the
// error is of a command that did not start.
func (c *Container) Exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
	cmd.Env, cmd.Dir = c.setup.Env, c.setup.Dir
	cmd.WaitDelay = time.Second
	groups := []uint32{}
	for _, g := range c.setup.Groups {
		groups = append(groups, uint32(g))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true,
		Credential: &syscall.Credential{Uid: uint32(c.setup.User), Gid: uint32(c.setup.Group), Groups: groups}}
	started := make(chan error)
	go func() { started <- c.enter(cmd.Start) }()
	if err := <-started; err != nil {
		return 0, err
	}
	_ = cmd.Wait()
	if w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}

// enter calls start on a thread that is in the container's namespaces and goes
// no further: the thread ends with its goroutine.
func (c *Container) enter(start func() error) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	for _, ns := range []struct {
		name string
		kind int
	}{{"pid", unix.CLONE_NEWPID}, {"mnt", unix.CLONE_NEWNS}} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", c.Pid, ns.name))
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Setns(int(f.Fd()), ns.kind); err != nil {
			return fmt.Errorf("setns %s: %w", ns.name, err)
		}
	}
	return start()
}
