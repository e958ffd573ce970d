package hold

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/exec"
)

// terminal is a command with a pty. It leads a session with the terminal as the
// controlling one, so job control works, and the end of it hangs it up.
type terminal struct {
	proc   *os.Process
	done   func()
	cookie string
	ptm    *os.File
	input  *terminalInput

	copied chan struct{} // all output is written
	exited chan struct{}
	code   int
	sig    syscall.Signal
	err    error
	leaked bool
	once   sync.Once
}

// endOfFile is what a terminal takes for the end of input (VEOF).
const endOfFile = 4

// terminalInput ends input as a user does, by ^D; the pseudo-terminal must stay open.
type terminalInput struct {
	mu    sync.Mutex
	ptm   *os.File
	ended bool
	last  byte
}

func (i *terminalInput) Write(b []byte) (int, error) {
	n, err := i.ptm.Write(b)
	i.mu.Lock()
	defer i.mu.Unlock()
	if n > 0 {
		i.last = b[n-1]
	}
	return n, err
}

func (i *terminalInput) Close() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.ended {
		return nil
	}
	i.ended = true
	eof := []byte{endOfFile}
	if i.last != 0 && i.last != '\n' { // in the middle of a line the first one only ends that
		eof = append(eof, endOfFile)
	}
	_ = i.ptm.SetWriteDeadline(time.Now().Add(time.Second)) // nobody may be reading
	_, err := i.ptm.Write(eof)
	return err
}

func startTerminal(p prepared, size Size, echo bool, w io.Writer) (*terminal, error) {
	ptm, tty, err := pty.Open()
	if err != nil {
		return nil, notAllowed("a terminal can't be opened in the container: %v", err)
	}
	defer tty.Close()
	if err := setUp(tty, size, echo); err != nil {
		return nil, errors.Join(err, ptm.Close())
	}
	t := &terminal{ptm: ptm, input: &terminalInput{ptm: ptm}, cookie: newNonce(),
		copied: make(chan struct{}), exited: make(chan struct{})}
	env := mergeEnv(p.env, []string{exec.CookieName + "=" + t.cookie}, nil)
	if getenv(env, "TERM") == "" {
		env = append(env, "TERM=xterm")
	}
	t.proc, t.done, err = exec.Guard(func() (*os.Process, error) {
		return startArgv(p.argv, &os.ProcAttr{Dir: p.dir, Env: env, Files: []*os.File{tty, tty, tty},
			Sys: &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}})
	})
	if err != nil {
		return nil, errors.Join(err, ptm.Close())
	}
	go t.copy(w)
	go t.reap()
	return t, nil
}

func setUp(tty *os.File, size Size, echo bool) error {
	if size.Rows > 0 || size.Cols > 0 {
		if err := pty.Setsize(tty, &pty.Winsize{Rows: uint16(size.Rows), Cols: uint16(size.Cols)}); err != nil {
			return err
		}
	}
	if echo {
		return nil
	}
	fd := int(tty.Fd())
	st, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	st.Lflag &^= unix.ECHO | unix.ECHONL
	return unix.IoctlSetTermios(fd, unix.TCSETS, st)
}

// startArgv starts a program found by prepare; one without a #! goes to sh.
func startArgv(argv []string, attr *os.ProcAttr) (*os.Process, error) {
	file, err := lookPath(argv[0], attr)
	if err != nil {
		return nil, err
	}
	p, err := os.StartProcess(file, argv, attr)
	if errors.Is(err, syscall.ENOEXEC) {
		p, err = os.StartProcess("/bin/sh", append([]string{"/bin/sh", file}, argv[1:]...), attr)
	}
	return p, err
}

func (t *terminal) copy(w io.Writer) {
	defer close(t.copied)
	b := make([]byte, maxData)
	for {
		n, err := t.ptm.Read(b)
		if n > 0 {
			if _, werr := w.Write(b[:n]); werr != nil {
				return
			}
		}
		if err != nil { // EIO: the last of the other side is gone
			return
		}
	}
}

func (t *terminal) reap() {
	state, err := t.proc.Wait()
	if err != nil {
		t.code, t.err = -1, err
	} else {
		t.code = state.ExitCode()
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			t.sig = ws.Signal()
			t.code = 128 + int(t.sig)
		}
	}
	close(t.exited)
	t.done()
}

func (t *terminal) Pid() int                  { return t.proc.Pid }
func (t *terminal) StdinPipe() io.WriteCloser { return t.input }
func (t *terminal) EndSignal() syscall.Signal { return t.sig }
func (t *terminal) Leaked() bool              { return t.leaked }

// Wait gives output a moment after the end of the command: the kernel hangs the
// session up then, but a background job may ignore that.
func (t *terminal) Wait(ctx context.Context) (int, error) {
	select {
	case <-t.exited:
	case <-ctx.Done():
		return -1, ctx.Err()
	}
	select {
	case <-t.copied:
	case <-time.After(10 * time.Second):
		t.leaked = true
	}
	return t.code, t.err
}

func (t *terminal) Signal(sig os.Signal) error { return t.proc.Signal(sig) }

// Kill ends the session's processes, children first.
func (t *terminal) Kill(ctx context.Context, opts exec.KillOptions) (exec.KillResult, error) {
	return exec.KillByEnv(ctx, map[string]string{exec.CookieName: t.cookie}, opts)
}

func (t *terminal) resize(s Size) error {
	err := pty.Setsize(t.ptm, &pty.Winsize{Rows: uint16(s.Rows), Cols: uint16(s.Cols)})
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (t *terminal) hangUp() { t.close() }
func (t *terminal) close()  { t.once.Do(func() { t.ptm.Close() }) }
