package remoting

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unicode/utf16"

	"github.com/footman-ci/footman/remoting/jser"
)

// maxChunk is the most data that one Chunk carries, in bytes or chars. It is a
// fraction of the window, so that other writers get their turn.
const maxChunk = 64 << 10

// window is what a peer's stream may still be sent before it acknowledges
// (hudson.remoting.PipeWindow). All writers to one oid share it.
type window struct {
	mu   sync.Mutex // guards the fields below
	free int
	size int
	refs int
	dead error

	endless bool          // the peer acknowledges nothing
	wake    chan struct{} // closed and replaced when free or dead changes
}

// window finds the window of a peer's stream; with create it is made and
// referenced. The result may be nil otherwise.
func (c *Channel) window(oid int32, create bool) *window {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.windows[oid]
	if !create {
		return w
	}
	if w == nil {
		w = &window{free: c.cfg.PipeWindow, size: c.cfg.PipeWindow, endless: c.cfg.NoThrottling, wake: make(chan struct{})}
		c.windows[oid] = w
	}
	w.refs++
	return w
}

// dropWindow forgets a window once its last writer is gone. An acknowledgement
// that comes later is for nobody.
func (c *Channel) dropWindow(oid int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.windows[oid]; w != nil {
		if w.refs--; w.refs <= 0 {
			delete(c.windows, oid)
		}
	}
}

func (w *window) signal() {
	close(w.wake)
	w.wake = make(chan struct{})
}

// ack credits n bytes and returns what is more than was taken.
func (w *window) ack(n int) (rest int) {
	if w == nil || n <= 0 {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.free += n
	rest = max(0, w.free-w.size)
	w.free -= rest
	w.signal()
	return rest
}

func (w *window) kill(err error) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead == nil {
		w.dead = err
	}
	w.signal()
}

// take waits until a useful part of want is free and takes it: as the official
// agent, at least a tenth of the window or all that is wanted.
func (w *window) take(ctx context.Context, want int, stalled *atomic.Int64) (int, error) {
	waited := false
	for {
		w.mu.Lock()
		if w.endless && w.dead == nil {
			w.mu.Unlock()
			return want, nil
		}
		if w.dead != nil {
			w.mu.Unlock()
			return 0, w.dead
		}
		if w.free >= min(w.size/10, want) && w.free > 0 {
			n := min(w.free, want)
			w.free -= n
			w.mu.Unlock()
			return n, nil
		}
		wake := w.wake
		w.mu.Unlock()
		if !waited {
			waited = true
			stalled.Add(1)
		}
		select {
		case <-wake:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// ProxyWriter writes to an OutputStream or Writer of the controller
// (hudson.remoting.ProxyOutputStream, ProxyWriter). Each Write returns once
// its data is sent, which the window may delay. Safe for concurrent use; one
// Write is never mixed with another.
type ProxyWriter struct {
	c     *Channel
	ctx   context.Context
	oid   int32
	chars bool // a java.io.Writer: data is UTF-8 and travels as chars
	win   *window

	mu     sync.Mutex // guards the fields below and the order of writes
	call   *Call      // the request on whose behalf it writes, nil when retained
	lastIO int32
	done   bool
}

func (c *Channel) newWriter(ctx context.Context, call *Call, oid int32, chars bool) *ProxyWriter {
	return &ProxyWriter{c: c, ctx: ctx, oid: oid, chars: chars, win: c.window(oid, true), call: call}
}

// OID is the number of the stream in the controller's export table.
func (w *ProxyWriter) OID() int32 { return w.oid }

// LastIO is the ioId of the last operation, 0 before the first.
func (w *ProxyWriter) LastIO() int32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lastIO
}

var errWriterDone = errors.New("remoting: write to a closed stream")

// sent notes an operation; mu is held.
func (w *ProxyWriter) sent(ioID int32) {
	w.lastIO = ioID
	if w.call != nil {
		w.call.NoteIO(ioID)
	}
}

func (w *ProxyWriter) requestID() int32 {
	if w.call != nil {
		return w.call.ID
	}
	return 0
}

// Write sends p. It fails when the controller's end is gone, the channel ends
// or, unless the writer is retained, its request is cancelled.
func (w *ProxyWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return 0, errWriterDone
	}
	if w.chars {
		return w.writeChars(p)
	}
	for sent := 0; sent < len(p); {
		n, err := w.win.take(w.ctx, min(len(p)-sent, maxChunk), &w.c.stats.Stalls)
		if err != nil {
			return sent, err
		}
		part := p[sent : sent+n]
		id, err := w.c.sendIO(func(dst []byte, ioID int32) []byte {
			return chunkTemplate.appendBytes(dst, part, ioID, w.oid, w.requestID())
		})
		if err != nil {
			return sent, err
		}
		w.sent(id)
		sent += n
	}
	return len(p), nil
}

func (w *ProxyWriter) writeChars(p []byte) (int, error) {
	units := utf16.Encode([]rune(string(p)))
	for len(units) > 0 {
		n, err := w.win.take(w.ctx, min(len(units), maxChunk), &w.c.stats.Stalls)
		if err != nil {
			return 0, err
		}
		err = w.operation(func(ioID int32) *jser.Object {
			return jser.New(writerChunkDesc, nil, ioID, w.oid, jser.CharArray(units[:n]))
		})
		if err != nil {
			return 0, err
		}
		units = units[n:]
	}
	return len(p), nil
}

// operation sends a rare pipe command; mu is held.
func (w *ProxyWriter) operation(make func(ioID int32) *jser.Object) error {
	var encErr error
	id, err := w.c.sendIO(func(dst []byte, ioID int32) []byte {
		var b []byte
		b, encErr = encodeCommand(make(ioID))
		return append(dst, b...)
	})
	if err == nil {
		err = encErr
	}
	if err == nil {
		w.sent(id)
	}
	return err
}

// Flush asks the controller to flush its stream.
func (w *ProxyWriter) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return errWriterDone
	}
	if w.chars {
		return w.operation(func(ioID int32) *jser.Object { return jser.New(writerFlushDesc, nil, ioID, w.oid) })
	}
	id, err := w.c.sendIO(func(dst []byte, ioID int32) []byte {
		return flushTemplate.append(dst, ioID, w.oid, w.requestID())
	})
	if err == nil {
		w.sent(id)
	}
	return err
}

// Close closes the controller's stream (EOF) and drops its export.
func (w *ProxyWriter) Close() error { return w.CloseWithError(nil) }

// CloseWithError closes the controller's stream. The reader of a pipe gets err
// as a Java exception.
func (w *ProxyWriter) CloseWithError(err error) error {
	return w.finish(func(ioID int32) *jser.Object {
		if w.chars {
			return jser.New(writerEOFDesc, nil, ioID, w.oid)
		}
		var why jser.Value
		if err != nil {
			why = Throwable(err)
		}
		return jser.New(outEOFDesc, nil, ioID, w.oid, w.requestID(), why)
	})
}

// Release drops the export without closing the controller's stream.
func (w *ProxyWriter) Release() error {
	return w.finish(func(ioID int32) *jser.Object {
		if w.chars {
			return jser.New(writerUnexportDesc, nil, ioID, w.oid)
		}
		return jser.New(outUnexportDesc, nil, ioID, w.oid)
	})
}

func (w *ProxyWriter) finish(command func(ioID int32) *jser.Object) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return nil
	}
	w.done = true
	err := w.operation(command)
	w.c.dropWindow(w.oid)
	return err
}

// Retain keeps the writer beyond the request it came with: whoever retains it
// must Close or Release it.
func (w *ProxyWriter) Retain() *ProxyWriter {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.call, w.ctx = nil, w.c.ctx
	return w
}

func (w *ProxyWriter) retained() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.call == nil
}

// deadWriter reads why the controller's stream failed; its cause is in the
// cause of createdAt (hudson.remoting.ProxyOutputStream$NotifyDeadWriter).
func deadWriter(o *jser.Object) error {
	text := "unknown cause"
	if at := o.Obj("createdAt"); at != nil {
		if t, ok := jser.ThrowableMessage(at.Get("cause")); ok {
			text = t
		}
	}
	return fmt.Errorf("remoting: the controller's end of the stream is gone: %s", text)
}
