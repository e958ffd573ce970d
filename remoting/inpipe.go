package remoting

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/footman-ci/footman/remoting/jser"
)

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
			return c.cfg.Relay != nil && n[1] > 1 && n[1] < FirstID &&
				c.cfg.Relay.Forward(classOutChunk, jser.New(outChunkDesc, nil, n[0], n[1], n[2], nil), b)
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
