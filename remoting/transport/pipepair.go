package transport

import (
	"io"
	"net"
	"sync"
)

// pipePair makes a stream of stdin and stdout whose Close unblocks. A read of a
// blocking file descriptor cannot be interrupted, and making an inherited one
// non-blocking would change it for everybody who shares it; so the system calls
// happen in two goroutines that are left behind, if need be, until the process
// ends.
type pipePair struct {
	in  io.ReadCloser
	out io.WriteCloser

	filled chan pipeRead // from the reading goroutine
	wanted chan struct{} // the consumer has used up the last one
	cur    pipeRead      // reader only

	full    chan []byte // to the writing goroutine
	written chan error
	buf     []byte // handed over with full; ours again after written

	done chan struct{}
	once sync.Once
	err  error
}

type pipeRead struct {
	b   []byte
	err error
}

func newPipePair(in io.ReadCloser, out io.WriteCloser) *pipePair {
	p := &pipePair{
		in: in, out: out,
		filled: make(chan pipeRead), wanted: make(chan struct{}),
		full: make(chan []byte), written: make(chan error),
		done: make(chan struct{}),
	}
	go p.readLoop()
	go p.writeLoop()
	return p
}

func (p *pipePair) readLoop() {
	buf := make([]byte, 16<<10)
	for {
		select {
		case <-p.wanted:
		case <-p.done:
			return
		}
		n, err := p.in.Read(buf)
		select {
		case p.filled <- pipeRead{b: buf[:n], err: err}:
		case <-p.done:
			return
		}
		if err != nil {
			return
		}
	}
}

func (p *pipePair) writeLoop() {
	for {
		select {
		case b := <-p.full:
			_, err := p.out.Write(b)
			select {
			case p.written <- err:
			case <-p.done:
				return
			}
		case <-p.done:
			return
		}
	}
}

// Read is for one goroutine.
func (p *pipePair) Read(b []byte) (int, error) {
	for len(p.cur.b) == 0 {
		if p.cur.err != nil {
			return 0, p.cur.err
		}
		select {
		case p.wanted <- struct{}{}:
		case <-p.done:
			return 0, net.ErrClosed
		}
		select {
		case p.cur = <-p.filled:
		case <-p.done:
			return 0, net.ErrClosed
		}
	}
	n := copy(b, p.cur.b)
	p.cur.b = p.cur.b[n:]
	return n, nil
}

// Write is for one goroutine. It copies b, which a write left behind by Close
// may still need.
func (p *pipePair) Write(b []byte) (int, error) {
	select {
	case <-p.done:
		return 0, net.ErrClosed
	default:
	}
	p.buf = append(p.buf[:0], b...)
	select {
	case p.full <- p.buf:
	case <-p.done:
		return 0, net.ErrClosed
	}
	select {
	case err := <-p.written:
		if err != nil {
			return 0, err
		}
		return len(b), nil
	case <-p.done:
		p.buf = nil
		return 0, net.ErrClosed
	}
}

// Close closes both files. It does not wait for a system call under way.
func (p *pipePair) Close() error {
	p.once.Do(func() {
		close(p.done)
		p.err = p.out.Close()
		if err := p.in.Close(); p.err == nil {
			p.err = err
		}
	})
	return p.err
}
