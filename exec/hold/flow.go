package hold

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"syscall"
)

// Streams of a command.
const (
	streamIn byte = iota
	streamOut
	streamErr
	streams = 3
)

// errBroken is what a writer gets whose reader has gone.
var errBroken error = syscall.EPIPE

// outflow sends one stream, as far as the receiver's window allows.
type outflow struct {
	c  *conn
	id byte

	mu     sync.Mutex
	change sync.Cond
	credit int
	err    error
	ended  bool
	writes sync.Mutex // one writer at a time, so that writes stay whole
}

func newOutflow(c *conn, id byte) *outflow {
	o := &outflow{c: c, id: id, credit: window}
	o.change.L = &o.mu
	return o
}

// Write blocks while the window is used up.
func (o *outflow) Write(p []byte) (int, error) {
	o.writes.Lock()
	defer o.writes.Unlock()
	done := 0
	for done < len(p) {
		n, err := o.take(min(len(p)-done, maxData))
		if err != nil {
			return done, err
		}
		if err := o.c.send(frameData, []byte{o.id}, p[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return done, nil
}

func (o *outflow) take(n int) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.credit == 0 && o.err == nil && !o.ended {
		o.change.Wait()
	}
	switch {
	case o.err != nil:
		return 0, o.err
	case o.ended:
		return 0, io.ErrClosedPipe
	}
	n = min(n, o.credit)
	o.credit -= n
	return n, nil
}

// Close sends the end of the stream, once.
func (o *outflow) Close() error {
	o.mu.Lock()
	if o.ended || o.err != nil {
		o.mu.Unlock()
		return nil
	}
	o.ended = true
	o.change.Broadcast()
	o.mu.Unlock()
	o.writes.Lock() // behind a Write that is under way
	defer o.writes.Unlock()
	return o.c.send(frameData, []byte{o.id})
}

// fail ends all writing.
func (o *outflow) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.change.Broadcast()
}

func (o *outflow) grant(n int) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n < 0 || o.credit+n > window {
		return protocolf("a window beyond %d bytes", window)
	}
	o.credit += n
	o.change.Broadcast()
	return nil
}

// inflow receives one stream. What has come waits here, at most a window of it.
type inflow struct {
	c  *conn
	id byte

	mu     sync.Mutex
	change sync.Cond
	queue  [][]byte
	held   int // bytes in queue
	owed   int // consumed, but not yet granted again
	end    error
	sent   bool // the sender has ended the stream
	broken bool
}

func newInflow(c *conn, id byte) *inflow {
	i := &inflow{c: c, id: id}
	i.change.L = &i.mu
	return i
}

// push is called by the reader of the connection.
func (i *inflow) push(b []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.sent:
		return protocolf("data of stream %d after its end", i.id)
	case i.end != nil: // ended from this side, which the sender does not know yet
		i.sent = len(b) == 0
		return nil
	case len(b) == 0:
		i.end, i.sent = io.EOF, true
	case i.held+i.owed+len(b) > window && !i.broken:
		return protocolf("stream %d: more than its window of %d bytes", i.id, window)
	case !i.broken:
		i.held += len(b)
		// Small pieces are joined, so that many of them cost no more than the window.
		if n := len(i.queue); n > 0 && len(i.queue[n-1])+len(b) <= cap(i.queue[n-1]) {
			i.queue[n-1] = append(i.queue[n-1], b...)
		} else {
			p := make([]byte, 0, max(len(b), min(4<<10, maxData)))
			i.queue = append(i.queue, append(p, b...))
		}
	}
	i.change.Broadcast()
	return nil
}

// finish ends the stream from outside, when the connection is lost or the
// process has gone.
func (i *inflow) finish(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.end == nil {
		i.end = err
	}
	i.change.Broadcast()
}

// next waits for data and gives its window back with the following call.
func (i *inflow) next(consumed int) ([]byte, error) {
	i.mu.Lock()
	i.owed += consumed
	grant := 0
	// A quarter at a time: a frame for each piece would double the traffic.
	if i.owed >= window/4 || i.owed > 0 && i.held == 0 {
		grant, i.owed = i.owed, 0
	}
	i.mu.Unlock()
	if grant > 0 {
		_ = i.c.send(frameWindow, binary.BigEndian.AppendUint32([]byte{i.id}, uint32(grant))) // a lost connection ends push too
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.queue) == 0 && i.end == nil && !i.broken {
		i.change.Wait()
	}
	if i.broken {
		return nil, errBroken
	}
	if len(i.queue) == 0 {
		return nil, i.end
	}
	b := i.queue[0]
	i.queue[0] = nil
	i.queue = i.queue[1:]
	i.held -= len(b)
	return b, nil
}

// copyTo writes the stream to w until either ends. When w fails the sender is
// told, so that a process gets its SIGPIPE. It returns nil at the regular end.
func (i *inflow) copyTo(w io.Writer) error {
	n := 0
	for {
		b, err := i.next(n)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n = len(b)
		if _, err := w.Write(b); err != nil {
			i.breakOff()
			return err
		}
	}
}

// breakOff drops what has come and what will.
func (i *inflow) breakOff() {
	i.mu.Lock()
	if i.broken || i.end != nil && len(i.queue) == 0 {
		i.mu.Unlock()
		return
	}
	i.broken = true
	i.queue, i.held = nil, 0
	i.change.Broadcast()
	i.mu.Unlock()
	_ = i.c.send(frameBroken, []byte{i.id})
}

// parseStream reads the stream that a data, window or broken frame is about.
func parseStream(b []byte) (byte, []byte, error) {
	if len(b) == 0 || b[0] >= streams {
		return 0, nil, protocolf("a frame of no stream")
	}
	return b[0], b[1:], nil
}

func parseWindow(b []byte) (int, error) {
	if len(b) != 4 {
		return 0, protocolf("a window of %d bytes", len(b))
	}
	n := binary.BigEndian.Uint32(b)
	if n > window {
		return 0, protocolf("a window beyond %d bytes", window)
	}
	return int(n), nil
}
