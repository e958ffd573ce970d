package container

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/exec/hold"
)

// Process is a process of another container, with the methods of exec.Process
// that launches need. All methods are safe for concurrent use.
type Process struct {
	remote         *hold.Remote
	stdin          io.WriteCloser
	stdout, stderr *exec.PipeReader
	out            io.Writer

	finished chan struct{} // closed when exit, err are set
	exit     hold.Exit
	err      error
}

// feed copies in to the process until either ends.
func (p *Process) feed(in io.Reader) {
	var once sync.Once
	closeIn := func() {
		once.Do(func() {
			if c, ok := in.(io.Closer); ok {
				c.Close()
			}
		})
	}
	defer closeIn()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-p.remote.Ended():
			closeIn() // wakes a reader that waits for the controller
		case <-done:
		}
	}()
	w := p.remote.Stdin()
	defer w.Close()
	b := make([]byte, 8<<10)
	for {
		n, err := in.Read(b)
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

// finish waits for the end.
func (p *Process) finish(pipes []*os.File) {
	p.exit, p.err = p.remote.Wait(context.Background())
	for _, f := range pipes {
		f.Close()
	}
	// Nobody is told of a kill by the kernel otherwise; the exit code is 137.
	if p.exit.OOM != "" && p.out != nil {
		fmt.Fprintln(p.out, p.exit.OOM)
	}
	close(p.finished)
}

// Wait returns the exit code when the process has ended and its output is
// written. An error other than ctx's means that the container is gone.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.finished:
	default:
		select {
		case <-p.finished:
		case <-ctx.Done():
			return -1, ctx.Err()
		}
	}
	if p.err != nil {
		return -1, p.err
	}
	return p.exit.Code, nil
}

// IsAlive tells whether the process still runs.
func (p *Process) IsAlive() bool {
	select {
	case <-p.remote.Ended():
		return false
	default:
		return true
	}
}

// Kill ends the process and all that descends from it, and waits for that, at
// most until ctx ends.
func (p *Process) Kill(ctx context.Context) error {
	if !p.IsAlive() {
		return nil
	}
	if err := p.remote.End(0, false); err != nil && p.IsAlive() {
		return err
	}
	select {
	case <-p.remote.Ended():
		return nil
	case <-time.After(killTime):
		return nil // it ignores TERM, as a local one may
	case <-ctx.Done():
		return ctx.Err()
	}
}

// killTime is the grace of ProcessTree, and a little for the way.
const killTime = 6 * time.Second

// Leaked tells whether something held the output open after the end; that is
// not read any further.
func (p *Process) Leaked() bool {
	select {
	case <-p.finished:
		return p.exit.Leaked
	default:
		return false
	}
}

// Pid is the process id in its container.
func (p *Process) Pid() int { return p.remote.Pid }

// StdinPipe is nil unless Spec.StdinPipe, StdoutPipe and StderrPipe unless theirs.
func (p *Process) StdinPipe() io.WriteCloser { return p.stdin }

// StdoutPipe is the output, nil unless Spec.StdoutPipe.
func (p *Process) StdoutPipe() *exec.PipeReader { return p.stdout }

// StderrPipe is the error output, nil unless Spec.StderrPipe.
func (p *Process) StderrPipe() *exec.PipeReader { return p.stderr }
