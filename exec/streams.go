package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// chunk is the size of a pump's buffer. A pump that waits has none.
const chunk = 32 << 10

var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// files are the descriptors of one start: the child's three, which the parent
// closes after the fork, and the parent's ends of pipes.
type files struct {
	child                  [3]*os.File
	owned                  []*os.File // the child's ends that are ours to close
	stdinW, stdoutR, errR  *os.File
	stdin                  io.Reader
	stdout, stderr         io.Writer // of the pumps
	stdoutPipe, stderrPipe bool
	limits                 BufferLimits
}

func (f *files) closeChild() {
	for _, c := range f.owned {
		c.Close()
	}
	f.owned = nil
}

func (f *files) closeAll() {
	f.closeChild()
	for _, c := range []*os.File{f.stdinW, f.stdoutR, f.errR} {
		if c != nil {
			c.Close()
		}
	}
}

// openStreams opens what spec asks for. On error the caller closes the rest.
func (p *Process) openStreams(spec Spec) (*files, error) {
	f := &files{limits: spec.Buffer, stdoutPipe: spec.StdoutPipe, stderrPipe: spec.StderrPipe}
	var err error
	if file, ok := spec.Stdin.(*os.File); ok && file != nil {
		f.child[0] = file
	} else if spec.Stdin == nil && !spec.StdinPipe {
		err = f.null(0, os.O_RDONLY)
	} else {
		f.stdin = spec.Stdin
		f.child[0], f.stdinW, err = os.Pipe()
		f.owned = append(f.owned, f.child[0])
	}
	if err != nil {
		return f, err
	}

	f.stdoutR, f.stdout, err = f.output(1, spec.Stdout, spec.StdoutPipe)
	if err != nil {
		return f, err
	}
	if f.stdout != nil {
		p.out = f.stdout
	}
	switch {
	case !spec.StderrPipe && (spec.Stderr == nil || sameWriter(spec.Stdout, spec.Stderr)):
		f.child[2] = f.child[1]
	default:
		f.errR, f.stderr, err = f.output(2, spec.Stderr, spec.StderrPipe)
	}
	return f, err
}

// output opens the child's descriptor n: the parent's end, if it is a pipe, and
// the writer to pump to.
func (f *files) output(n int, w io.Writer, pipe bool) (*os.File, io.Writer, error) {
	if file, ok := w.(*os.File); ok && file != nil && !pipe {
		f.child[n] = file
		return nil, nil, nil
	}
	if w == nil && !pipe {
		return nil, nil, f.null(n, os.O_WRONLY)
	}
	r, c, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	f.child[n] = c
	f.owned = append(f.owned, c)
	if pipe {
		return r, nil, nil
	}
	return r, &lockedWriter{w: w}, nil
}

func (f *files) null(n, flag int) error {
	file, err := os.OpenFile(os.DevNull, flag, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", os.DevNull, err)
	}
	f.child[n] = file
	f.owned = append(f.owned, file)
	return nil
}

// sameWriter compares without panicking on writers that do not compare.
func sameWriter(a, b io.Writer) (same bool) {
	defer func() { _ = recover() }()
	return a == b
}

// startStreams starts the pumps of a process that runs.
func (p *Process) startStreams(f *files) {
	switch {
	case f.stdinW == nil:
	case f.stdin == nil:
		p.inPipe = f.stdinW
	default:
		p.stdin = &stdinSource{r: f.stdin}
		go p.stdin.copyTo(f.stdinW)
	}
	switch {
	case f.stdoutR == nil:
	case f.stdoutPipe:
		p.outPipe = newPipeReader(f.stdoutR, f.limits)
	default:
		p.stdout = startPump(f.stdoutR, f.stdout)
	}
	switch {
	case f.errR == nil:
	case f.stderrPipe:
		p.errPipe = newPipeReader(f.errR, f.limits)
	default:
		p.stderr = startPump(f.errR, f.stderr)
	}
}

// afterExit lets go of what waits for a process that is gone.
func (p *Process) afterExit() {
	if p.stdin != nil {
		p.stdin.close()
	}
	if p.outPipe != nil {
		p.outPipe.processExited()
	}
	if p.errPipe != nil {
		p.errPipe.processExited()
	}
}

// stdinSource feeds a process until either side ends.
type stdinSource struct {
	r    io.Reader
	once sync.Once
}

func (s *stdinSource) copyTo(w *os.File) {
	defer s.close()
	defer w.Close()
	b := make([]byte, 8<<10)
	for {
		n, err := s.r.Read(b)
		if n > 0 {
			if _, err := w.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *stdinSource) close() {
	s.once.Do(func() {
		if c, ok := s.r.(io.Closer); ok {
			c.Close()
		}
	})
}

// lockedWriter keeps the leak message apart from the pump's writes.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// pump copies one output stream to its writer.
type pump struct {
	r    *os.File
	done chan struct{}
	mu   sync.Mutex
	err  error // of the writer
}

func startPump(r *os.File, w io.Writer) *pump {
	p := &pump{r: r, done: make(chan struct{})}
	go p.run(w)
	return p
}

func (p *pump) run(w io.Writer) {
	defer close(p.done)
	defer p.r.Close()
	src := newReadiness(p.r)
	for {
		b, n, err := src.next()
		if n > 0 {
			_, werr := w.Write(b[:n])
			if werr != nil {
				p.mu.Lock()
				p.err = werr
				p.mu.Unlock()
				err = werr
			}
		}
		if b != nil {
			buffers.Put(b)
		}
		if err != nil {
			return
		}
	}
}

func (p *pump) writeError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// await waits for the end of the pump, at most d.
func (p *pump) await(ctx context.Context, d time.Duration) (done bool, err error) {
	select {
	case <-p.done:
		return true, nil
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.done:
		return true, nil
	case <-t.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// readiness reads from a pipe and takes a buffer only when there is something to
// read, so that a hundred silent processes cost no buffers.
type readiness struct {
	f   *os.File
	rc  syscall.RawConn
	b   *[chunk]byte
	n   int
	err error
	try func(fd uintptr) bool
}

func newReadiness(f *os.File) *readiness {
	s := &readiness{f: f}
	s.rc, s.err = f.SyscallConn()
	s.try = func(fd uintptr) bool {
		s.b = buffers.Get().(*[chunk]byte)
		for {
			s.n, s.err = syscall.Read(int(fd), s.b[:])
			if s.err != syscall.EINTR {
				break
			}
		}
		if s.err == syscall.EAGAIN {
			buffers.Put(s.b)
			s.b = nil
			return false
		}
		return true
	}
	return s
}

// next waits for data: a buffer, to be put back by the caller when not nil, how
// much of it is filled, and io.EOF or another error at the end.
func (s *readiness) next() (b *[chunk]byte, n int, err error) {
	if s.rc == nil {
		return nil, 0, s.err
	}
	s.b, s.n, s.err = nil, 0, nil
	if err := s.rc.Read(s.try); err != nil {
		return nil, 0, err
	}
	if s.err == nil && s.n == 0 {
		s.err = io.EOF
	}
	if s.n < 0 {
		s.n = 0
	}
	if errors.Is(s.err, syscall.EIO) { // the other side of a terminal is gone
		s.err = io.EOF
	}
	return s.b, s.n, s.err
}
