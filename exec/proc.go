package exec

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// CookieName is the variable that Start sets to a fresh value in every process
// (hudson.EnvVars.createCookie), so that Kill finds those that left the tree.
const CookieName = "HUDSON_COOKIE"

// leakedMessage is what LocalProc.join prints when a stream stays open.
const leakedMessage = "Process leaked file descriptors. See https://www.jenkins.io/redirect/troubleshooting/process-leaked-file-descriptors for more information\n"

// Spec says what to run. Only Argv is required.
type Spec struct {
	Argv []string
	Env  []string // "KEY=value"; nil = the agent's own environment
	Dir  string   // "" = the agent's own

	// Stdin is copied to the process and closed at the end if it is an
	// io.Closer. nil is an empty input. An *os.File is handed over as it is.
	Stdin     io.Reader
	StdinPipe bool // instead: Process.StdinPipe

	// Stdout and Stderr get the output; their Write is never called
	// concurrently for the same writer. A failed Write closes the stream, so the
	// process gets SIGPIPE at its next output, as with Java. An *os.File is
	// handed over as it is. Stdout nil is /dev/null; Stderr nil is Stdout.
	Stdout, Stderr io.Writer
	StdoutPipe     bool // instead: Process.StdoutPipe
	// StderrPipe gives Process.StderrPipe. Java merges stderr into stdout then
	// and returns an empty stream (LocalProc: err == SELFPUMP_OUTPUT); a handler
	// that wants the same leaves this false.
	StderrPipe bool
	Buffer     BufferLimits // of the two pipes

	Setsid  bool // a session of its own
	Setpgid bool // a process group of its own; Java gives none

	// OOMScoreAdj is written to the process after exec, so that the kernel takes
	// a build before it takes the agent. nil is the agent's own + OOMRaise.
	// Linux only; failures are ignored.
	OOMScoreAdj *int

	// LeakWait is how long Wait waits for each stream after the process has
	// ended, when a grandchild still holds it; 0 is Jenkins' 10 s.
	LeakWait time.Duration
}

// OOMRaise is how much likelier than the agent a child is to be killed when
// memory is short, in units of oom_score_adj (thousandths).
const OOMRaise = 200

// Process is a started process. All methods are safe for concurrent use.
type Process struct {
	pid    int
	os     *os.Process
	cookie string

	stdout, stderr *pump       // nil when not pumped
	outPipe        *PipeReader // nil without Spec.StdoutPipe
	errPipe        *PipeReader
	inPipe         *os.File
	stdin          *stdinSource
	out            io.Writer // where the leak message goes; may be nil

	leakWait time.Duration
	leakOnce sync.Once
	leaked   atomic.Bool

	ended  atomic.Bool   // set before the status is taken: from then on pid may be another's
	exited chan struct{} // closed after code is set
	code   int
	sig    syscall.Signal
	err    error
}

// Start runs spec. ctx bounds the start alone: the process outlives it. The
// error is a *StartError with the text users of the Java agent know, or ctx's.
func Start(ctx context.Context, spec Spec) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("exec: not started: %w", err)
	}
	if err := checkSpec(spec); err != nil {
		return nil, err
	}
	p := &Process{
		cookie:   newCookie(),
		leakWait: spec.LeakWait,
		exited:   make(chan struct{}),
	}
	if p.leakWait <= 0 {
		p.leakWait = 10 * time.Second
	}
	f, err := p.openStreams(spec)
	if err != nil {
		f.closeAll()
		return nil, &StartError{Program: spec.Argv[0], Dir: spec.Dir, Err: err}
	}
	attr := &os.ProcAttr{
		Dir:   spec.Dir,
		Env:   withCookie(spec.Env, p.cookie),
		Files: f.child[:],
		Sys:   &syscall.SysProcAttr{Setsid: spec.Setsid, Setpgid: spec.Setpgid && !spec.Setsid},
	}
	waiter := prepareWait(attr.Sys)
	if err := p.launch(ctx, spec, attr); err != nil {
		waiter.close()
		f.closeAll()
		return nil, &StartError{Program: spec.Argv[0], Dir: spec.Dir, Err: err}
	}
	f.closeChild()
	raiseOOMScore(p.pid, spec.OOMScoreAdj)
	p.startStreams(f)
	go p.reap(waiter)
	return p, nil
}

func checkSpec(spec Spec) error {
	if len(spec.Argv) == 0 {
		return &StartError{Err: errors.New("empty command")}
	}
	for _, a := range spec.Argv {
		if strings.IndexByte(a, 0) >= 0 {
			return &StartError{Program: spec.Argv[0], Err: errNullInCommand}
		}
	}
	for _, kv := range spec.Env {
		if strings.IndexByte(kv, 0) >= 0 {
			name, _, _ := strings.Cut(kv, "=")
			return &StartError{Program: spec.Argv[0], Err: errNullInEnv{name}}
		}
	}
	if spec.Dir != "" {
		switch st, err := os.Stat(spec.Dir); {
		case err != nil:
			return &StartError{Program: spec.Argv[0], Dir: spec.Dir, NoDir: true, Err: err}
		case !st.IsDir():
			return &StartError{Program: spec.Argv[0], Dir: spec.Dir, Err: syscall.ENOTDIR}
		}
	}
	return nil
}

// withCookie returns env with the cookie, which replaces one that is there.
func withCookie(env []string, cookie string) []string {
	if env == nil {
		env = os.Environ()
	}
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		if !strings.HasPrefix(kv, CookieName+"=") {
			out = append(out, kv)
		}
	}
	return append(out, CookieName+"="+cookie)
}

// newCookie is a random UUID.
func newCookie() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// launch starts the process and registers it, see reap.go. A text file that is
// busy is tried again for a moment: another fork may still hold the descriptor
// through which the agent has just written the script.
func (p *Process) launch(ctx context.Context, spec Spec, attr *os.ProcAttr) error {
	for wait := time.Millisecond; ; wait *= 2 {
		proc, err := guardedStart(func() (*os.Process, error) {
			return startProgram(spec.Argv, attr)
		})
		if err == nil {
			p.os, p.pid = proc, proc.Pid
			return nil
		}
		if errors.Is(err, syscall.EINVAL) && withoutPidFD(attr.Sys) {
			continue
		}
		if !errors.Is(err, syscall.ETXTBSY) || wait > 128*time.Millisecond {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// reap waits for the end of the process and takes its status.
func (p *Process) reap(w waiter) {
	w.wait()
	p.ended.Store(true)
	state, err := p.os.Wait()
	w.close()
	switch {
	case err != nil:
		p.code, p.err = -1, fmt.Errorf("exec: wait for process %d: %w", p.pid, err)
	default:
		p.code = state.ExitCode()
		if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			p.sig = ws.Signal()
			p.code = 128 + int(p.sig)
		}
	}
	close(p.exited)
	// Last, because a start that hangs (a dead NFS) holds the registry's lock.
	p.afterExit()
	forget(p.pid, p.os)
}

// Pid is the process id.
func (p *Process) Pid() int { return p.pid }

// Cookie is the value of HUDSON_COOKIE in the process's environment.
func (p *Process) Cookie() string { return p.cookie }

// Exited is closed when the process has ended; its output may still be flowing.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// EndSignal is the signal that ended the process, 0 when it exited by itself or
// has not ended; exit code 143 alone does not tell.
func (p *Process) EndSignal() syscall.Signal {
	select {
	case <-p.exited:
		return p.sig
	default:
		return 0
	}
}

// IsAlive tells whether the process (not its descendants) is still running.
func (p *Process) IsAlive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Wait returns the exit code, 128+N for a process that signal N ended, after the
// pumps have written all output. When a grandchild holds a stream open, Wait
// gives up after LeakWait (for each stream), writes Jenkins' message about
// leaked file descriptors to Stdout and returns; the pump goes on. When ctx ends
// first, Wait returns its error and leaves the process alone: a caller that
// answers an interrupted join calls Kill.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
	default:
		select {
		case <-p.exited:
		case <-ctx.Done():
			return -1, ctx.Err()
		}
	}
	open := false
	for _, s := range []*pump{p.stdout, p.stderr} {
		if s == nil {
			continue
		}
		done, err := s.await(ctx, p.leakWait)
		if err != nil {
			return -1, err
		}
		open = open || !done
	}
	if open {
		p.leakOnce.Do(func() {
			p.leaked.Store(true)
			if p.out != nil {
				io.WriteString(p.out, leakedMessage)
			}
		})
	}
	return p.code, p.err
}

// Leaked tells whether Wait gave up on a stream that a grandchild held open.
func (p *Process) Leaked() bool { return p.leaked.Load() }

// OutputError is the first error of the writers, nil if none. It is final when
// Wait has returned and Leaked is false.
func (p *Process) OutputError() error {
	for _, s := range []*pump{p.stdout, p.stderr} {
		if s == nil {
			continue
		}
		if err := s.writeError(); err != nil {
			return err
		}
	}
	return nil
}

// Signal sends sig to the process itself. os.ErrProcessDone after its end.
func (p *Process) Signal(sig os.Signal) error { return p.os.Signal(sig) }

// StdinPipe is the input of the process, nil unless Spec.StdinPipe. The caller
// closes it.
func (p *Process) StdinPipe() io.WriteCloser {
	if p.inPipe == nil {
		return nil
	}
	return p.inPipe
}

// StdoutPipe is the output, nil unless Spec.StdoutPipe.
func (p *Process) StdoutPipe() *PipeReader { return p.outPipe }

// StderrPipe is the error output, nil unless Spec.StderrPipe.
func (p *Process) StderrPipe() *PipeReader { return p.errPipe }

// Close lets go of the streams without touching the process: pumps that a
// grandchild keeps alive end, and whoever still writes gets SIGPIPE.
func (p *Process) Close() {
	for _, s := range []*pump{p.stdout, p.stderr} {
		if s != nil {
			s.r.Close()
		}
	}
	if p.outPipe != nil {
		p.outPipe.Close()
	}
	if p.errPipe != nil {
		p.errPipe.Close()
	}
	if p.inPipe != nil {
		p.inPipe.Close()
	}
}
