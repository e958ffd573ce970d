package remoting

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// PipeReader is the reading end of a stream that the controller pushes
// (hudson.remoting.Pipe). Data is acknowledged when it is read, so the
// controller's window bounds what is held here.
type PipeReader struct {
	c    *Channel
	oid  int32
	ctx  context.Context
	mu   sync.Mutex // guards the fields below
	bufs []inOp
	held int
	owed int // bytes read and not yet acknowledged
	err  error
	wake chan struct{}
	room chan struct{} // data was taken, or nobody will take any
}

func (c *Channel) newPipeReader(ctx context.Context) *PipeReader {
	r := &PipeReader{c: c, ctx: ctx, wake: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.oid = c.exports.add(&exported{sink: r})
	return r
}

func (r *PipeReader) push(op inOp) {
	if r.c.cfg.NoThrottling && op.kind == opChunk {
		r.waitForRoom()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch op.kind {
	case opChunk:
		if r.err == nil && r.held+len(op.data) > r.c.cfg.PipeBuffer {
			r.err = fmt.Errorf("remoting: more than %d bytes of a pipe arrived without acknowledgement", r.c.cfg.PipeBuffer)
		}
		if r.err != nil {
			op.done()
			go r.c.refuseChunk(r.oid, op.size, r.err)
			break
		}
		if len(op.data) > 0 {
			r.bufs = append(r.bufs, op)
			r.held += len(op.data)
		}
	case opEOF:
		r.fail(io.EOF)
		if op.err != nil && r.err == io.EOF {
			r.err = op.err
		}
	case opUnexport:
		r.fail(io.ErrUnexpectedEOF)
	}
	r.signal()
}

// waitForRoom holds a peer back that can't be told to wait.
func (r *PipeReader) waitForRoom() {
	for {
		r.mu.Lock()
		full := r.held > r.c.cfg.PipeBuffer/2 && r.err == nil
		r.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-r.room:
		case <-r.ctx.Done():
			return
		}
	}
}

func (r *PipeReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *PipeReader) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *PipeReader) makeRoom() {
	select {
	case r.room <- struct{}{}:
	default:
	}
}

func (r *PipeReader) abort(cause error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(cause)
	r.signal()
}

// Read returns data in the order in which the controller wrote it, then io.EOF
// or the controller's error.
func (r *PipeReader) Read(p []byte) (int, error) {
	for {
		r.mu.Lock()
		if len(r.bufs) > 0 {
			n := copy(p, r.bufs[0].data)
			if r.bufs[0].data = r.bufs[0].data[n:]; len(r.bufs[0].data) == 0 {
				r.bufs[0].done()
				r.bufs[0] = inOp{}
				r.bufs = r.bufs[1:]
			}
			r.held -= n
			r.makeRoom()
			r.owed += n
			ack := 0
			if r.owed >= ackEvery || len(r.bufs) == 0 {
				ack, r.owed = r.owed, 0
			}
			r.mu.Unlock()
			if ack > 0 {
				r.c.ack(r.oid, ack)
			}
			return n, nil
		}
		err := r.err
		r.mu.Unlock()
		if err != nil {
			return 0, err
		}
		select {
		case <-r.wake:
		case <-r.ctx.Done():
			return 0, context.Cause(r.ctx)
		}
	}
}

// Close tells the controller that nobody reads any more.
func (r *PipeReader) Close() error {
	r.mu.Lock()
	open := r.err == nil
	r.fail(io.ErrClosedPipe)
	owed := r.held + r.owed
	r.bufs, r.held, r.owed = nil, 0, 0
	r.makeRoom()
	r.mu.Unlock()
	if open || owed > 0 {
		// The sink stays exported until EOF: later chunks are refused one by
		// one, as by the official agent.
		r.c.refuseChunk(r.oid, owed, io.ErrClosedPipe)
	}
	return nil
}
