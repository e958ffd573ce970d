package remoting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/footman-ci/footman/remoting/jser"
)

// opTracker knows which incoming pipe operations are not finished, so that a
// request that follows one can wait for it (Request.lastIoId).
type opTracker struct {
	mu      sync.Mutex // guards pending
	pending map[int32]chan struct{}
}

func (t *opTracker) init() { t.pending = map[int32]chan struct{}{} }

func (t *opTracker) begin(ioID int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending[ioID] == nil {
		t.pending[ioID] = make(chan struct{})
	}
}

func (t *opTracker) end(ioID int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ch := t.pending[ioID]; ch != nil {
		close(ch)
		delete(t.pending, ioID)
	}
}

// wait blocks until no operation up to ioID is pending; 0 means none to wait
// for. The official agent runs all operations on one lane, so one that is done
// means that all before it are.
func (t *opTracker) wait(ctx context.Context, ioID int32) error {
	if ioID == 0 {
		return nil
	}
	for {
		ch := t.before(ioID)
		if ch == nil {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *opTracker) before(ioID int32) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, ch := range t.pending {
		if id-ioID <= 0 { // wraps like the counter itself
			return ch
		}
	}
	return nil
}

// last is the largest pending operation, 0 when there is none.
func (t *opTracker) last() int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last int32
	for id := range t.pending {
		if last == 0 || id-last > 0 {
			last = id
		}
	}
	return last
}

// SyncIO waits until every pipe operation received so far is done
// (hudson.remoting.Channel$IOSyncer).
func (c *Channel) SyncIO(ctx context.Context) error { return c.inOps.wait(ctx, c.inOps.last()) }

// sink is the receiving end of an exported OutputStream.
type sink interface {
	// push takes one operation in the order of arrival. It never blocks, unless
	// the peer can't be throttled otherwise (Config.NoThrottling).
	push(op inOp)
	// abort drops what is queued: the peer or the channel is gone.
	abort(cause error)
}

type inOp struct {
	ioID int32
	data []byte
	buf  *[]byte // where data comes from; given back when it is used up
	size int     // of the data, also when it was dropped
	kind byte
	err  error // with opEOF
}

const (
	opChunk byte = iota
	opFlush
	opEOF
	opUnexport
)

// chunkBuffers hold the data of chunks between the reader and who takes it.
var chunkBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 16<<10); return &b }}

// done gives the buffer of an operation back.
func (op *inOp) done() {
	if op.buf != nil {
		chunkBuffers.Put(op.buf)
		op.buf, op.data = nil, nil
	}
}

// hot handles the commands of which a stream has thousands, Chunk and Ack, when
// they have their usual form: no stack trace. It decodes no node and keeps no
// part of b.
func (c *Channel) hot(b []byte) bool {
	var n [3]int32
	if data, ok := chunkTemplate.match(b, n[:3]); ok {
		e := c.exports.get(n[1])
		if e == nil || e.sink == nil {
			return false
		}
		op := inOp{ioID: n[0], size: len(data)}
		if len(data) <= 64<<10 {
			op.buf = chunkBuffers.Get().(*[]byte)
			*op.buf = append((*op.buf)[:0], data...)
			op.data = *op.buf
		} else {
			op.data = append([]byte(nil), data...)
		}
		e.sink.push(op)
		return true
	}
	if _, ok := ackTemplate.match(b, n[:2]); ok {
		if c.window(n[0], false) == nil {
			return false
		}
		c.acknowledged(classOutAck, n[0], int(n[1]))
		return true
	}
	return false
}

func (c *Channel) pipeCommand(cmd command) {
	o := cmd.obj
	oid := o.Int("oid")
	op := inOp{ioID: o.Int("ioId")}
	switch cmd.class {
	case classOutChunk:
		op.data, _ = jser.Bytes(o.Get("buf"))
		op.size = len(op.data)
	case classWriterChunk:
		op.data, op.size = chars(o.Get("buf"))
	case classOutFlush, classWriterFlush:
		op.kind = opFlush
	case classOutEOF, classWriterEOF:
		op.kind = opEOF
		if e, ok := o.Get("error").(*jser.Object); ok {
			op.err = remoteError(e)
		}
	default:
		op.kind = opUnexport
	}
	e := c.exports.get(oid)
	if e == nil || e.sink == nil {
		// The reader is gone. Without an acknowledgement the writer would wait
		// for ever.
		if op.kind == opChunk {
			c.refuseChunk(oid, op.size, errors.New("no such stream"))
		}
		return
	}
	if op.kind == opEOF || op.kind == opUnexport {
		c.exports.detach(oid)
	}
	e.sink.push(op)
}

// chars turns a char[] into UTF-8; windows of writers count chars.
func chars(v jser.Value) ([]byte, int) {
	a, ok := v.(*jser.Array)
	if !ok {
		return nil, 0
	}
	u, _ := a.Elems.([]uint16)
	return []byte(decodeUTF16(u)), len(u)
}

func (c *Channel) ack(oid int32, n int) {
	if n == 0 || c.cfg.NoThrottling {
		return
	}
	_ = c.send(func(dst []byte) []byte { return ackTemplate.append(dst, oid, int32(n)) })
}

// refuseChunk tells a writer that its data went nowhere.
func (c *Channel) refuseChunk(oid int32, n int, why error) {
	if c.cfg.NoThrottling {
		return // it would not know the command either
	}
	// NotifyDeadWriter carries the reason as the cause of createdAt.
	cause := jser.Throwable(IOExceptionClass, why.Error(), nil)
	_ = c.sendObject(jser.New(outDeadDesc, jser.Throwable(jser.ExceptionClass, nil, cause), oid))
	c.ack(oid, n)
}

// writerSink passes operations on to a local writer, in a goroutine that lives
// only while there is something to do.
type writerSink struct {
	c   *Channel
	oid int32
	w   io.Writer

	mu     sync.Mutex // guards the fields below
	queue  []inOp
	queued int
	busy   bool
	dead   error
}

// ExportWriter lets the controller write to w. Data is acknowledged once w has
// taken it. w is closed at the end of the stream if it is an io.Closer; one
// with CloseWithError(error) error gets the controller's error too, or the
// reason why the stream was cut.
func (c *Channel) ExportWriter(w io.Writer) int32 {
	s := &writerSink{c: c, w: w}
	s.mu.Lock() // nobody pushes before the oid is known
	defer s.mu.Unlock()
	s.oid = c.exports.add(&exported{sink: s})
	return s.oid
}

func (s *writerSink) push(op inOp) {
	if s.c.cfg.NoThrottling {
		s.mu.Lock()
		dead := s.dead
		s.mu.Unlock()
		s.do(op, dead)
		op.done()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queued+len(op.data) > s.c.cfg.PipeBuffer && s.dead == nil {
		s.dead = fmt.Errorf("more than %d bytes arrived without acknowledgement", s.c.cfg.PipeBuffer)
	}
	if s.dead != nil && op.kind == opChunk {
		op.done()
		op.data = nil
	}
	s.c.inOps.begin(op.ioID)
	s.queue = append(s.queue, op)
	s.queued += len(op.data)
	if !s.busy {
		s.busy = true
		go s.run()
	}
}

// ackEvery is how many bytes are acknowledged at once while more are waiting. It
// is a small part of the peer's window, 1 MiB, which must not run dry.
const ackEvery = 32 << 10

func (s *writerSink) run() {
	owed := 0 // bytes written and not yet acknowledged
	for {
		s.mu.Lock()
		if owed > 0 && (owed >= ackEvery || len(s.queue) == 0 || s.queue[0].kind != opChunk) {
			s.mu.Unlock()
			s.c.ack(s.oid, owed)
			owed = 0
			continue
		}
		if len(s.queue) == 0 {
			s.queue, s.busy = nil, false
			s.mu.Unlock()
			return
		}
		op := s.queue[0]
		s.queue[0] = inOp{}
		s.queue = s.queue[1:]
		dead := s.dead
		s.mu.Unlock()
		owed += s.do(op, dead)
		s.mu.Lock()
		s.queued -= len(op.data)
		s.mu.Unlock()
		op.done()
		s.c.inOps.end(op.ioID)
	}
}

// do returns how many bytes are to be acknowledged.
func (s *writerSink) do(op inOp, dead error) int {
	switch op.kind {
	case opChunk:
		if dead == nil {
			if _, dead = s.w.Write(op.data); dead != nil {
				s.mu.Lock()
				s.dead = dead
				s.mu.Unlock()
			}
		}
		if dead != nil {
			s.c.refuseChunk(s.oid, op.size, dead)
			return 0
		}
		return op.size
	case opFlush:
		if f, ok := s.w.(interface{ Flush() error }); ok && dead == nil {
			_ = f.Flush()
		}
	case opEOF:
		closeWriter(s.w, op.err)
	case opUnexport:
		closeWriter(s.w, io.ErrUnexpectedEOF)
	}
	return 0
}

func (s *writerSink) abort(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead == nil {
		s.dead = cause
	}
	// Behind a write that hangs nothing else would ever run.
	go closeWriter(s.w, cause)
}

func closeWriter(w io.Writer, err error) {
	switch w := w.(type) {
	case interface{ CloseWithError(error) error }:
		_ = w.CloseWithError(err)
	case io.Closer:
		_ = w.Close()
	}
}

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
