package controller

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"

	"github.com/footman-ci/footman/remoting/jser"
)

// sink is a stream that the agent writes to (hudson.remoting.RemoteOutputStream
// or Pipe on the controller). One goroutine writes, so that a slow one holds up
// nobody else; what it has not written is not acknowledged, so the agent's
// window bounds what it queues.
type sink struct {
	c   *conn
	oid int32
	w   io.Writer

	mu    sync.Mutex // guards the fields below
	queue []sinkOp
	ended bool
	count int64 // bytes written to w
	err   error // the first of w, or what the agent said at the end

	wake chan struct{} // buffered: there is something in the queue
	done chan struct{} // closed when the writer has ended
}

type sinkOp struct {
	data []byte
	io   int32
	done chan struct{}
}

// open exports a stream. It must be finished.
func (c *conn) open(w io.Writer) *sink {
	s := &sink{c: c, w: w, wake: make(chan struct{}, 1), done: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.oid = c.nextOID
	c.nextOID++
	if c.ended {
		s.ended, s.err = true, c.err()
		close(s.done)
		return s
	}
	c.sinks[s.oid] = s
	c.workers.Go(s.run)
	return s
}

// put makes a recorded RemoteOutputStream or Pipe name this stream.
func (s *sink) put(o *jser.Object) { setOID(o, s.oid) }

func (s *sink) run() {
	defer close(s.done)
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			ended := s.ended
			s.mu.Unlock()
			if ended {
				return
			}
			<-s.wake
			continue
		}
		op := s.queue[0]
		s.queue = s.queue[1:]
		failed := s.err
		s.mu.Unlock()
		if failed == nil {
			n, err := s.w.Write(op.data)
			s.mu.Lock()
			s.count += int64(n)
			if err != nil {
				s.err = err
			}
			s.mu.Unlock()
		}
		if len(op.data) > 0 {
			_ = s.c.write(encodePlain(jser.New(ackDesc, nil, s.oid, int32(len(op.data)))))
		}
		s.c.mu.Lock()
		delete(s.c.doing, op.io)
		s.c.mu.Unlock()
		close(op.done)
	}
}

func (s *sink) add(op sinkOp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return false
	}
	s.queue = append(s.queue, op)
	s.signal()
	return true
}

func (s *sink) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// finish ends the stream once what is queued is written. err is what ended it,
// nil for an end in order.
func (s *sink) finish(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		if s.err == nil {
			s.err = err
		}
		s.signal()
	}
}

// close takes the stream out of the table and waits until all that arrived is
// written. It returns the number of bytes.
func (s *sink) close() (int64, error) {
	s.finish(nil)
	s.c.mu.Lock()
	delete(s.c.sinks, s.oid)
	s.c.mu.Unlock()
	<-s.done
	return s.count, s.err
}

// sinkCommand handles Chunk, Flush, EOF and Unexport.
func (c *conn) sinkCommand(o *jser.Object) {
	oid := o.Int("oid")
	c.mu.Lock()
	s := c.sinks[oid]
	c.mu.Unlock()
	switch o.Class.Name {
	case chunkDesc.Name:
		data, _ := jser.Bytes(o.Get("buf"))
		op := sinkOp{data, o.Int("ioId"), make(chan struct{})}
		c.mu.Lock()
		c.doing[op.io] = op.done
		c.mu.Unlock()
		if s != nil && s.add(op) {
			return
		}
		// Late output of a step that is over: a normal event.
		c.mu.Lock()
		delete(c.doing, op.io)
		c.mu.Unlock()
		_ = c.write(encodePlain(jser.New(deadDesc, nil, oid)))
		_ = c.write(encodePlain(jser.New(ackDesc, nil, oid, int32(len(data)))))
	case "hudson.remoting.ProxyOutputStream$EOF":
		if s != nil {
			var err error
			if e := o.Get("error"); e != nil {
				err = remoteError(e)
			}
			s.finish(err)
		}
	}
}

// defaultWindow is hudson.remoting.Channel.pipeWindowSize.
const defaultWindow = 1 << 20

// window is how much we may send into a stream of the agent.
type window struct {
	mu   sync.Mutex
	cond *sync.Cond
	left int
	err  error
}

func (c *conn) window(oid int32) *window {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.windows[oid]
	if w == nil {
		w = &window{left: defaultWindow}
		w.cond = sync.NewCond(&w.mu)
		c.windows[oid] = w
	}
	return w
}

// knownWindow is nil once nobody writes to the stream any more.
func (c *conn) knownWindow(oid int32) *window {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.windows[oid]
}

func (w *window) ack(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += n
	w.cond.Broadcast()
}

func (w *window) kill(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.cond.Broadcast()
}

// take waits for room and takes up to n bytes of it, half a window at most, as
// ProxyOutputStream does.
func (w *window) take(n int) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.left <= 0 && w.err == nil {
		w.cond.Wait()
	}
	n = min(n, w.left, defaultWindow/2)
	w.left -= n
	return n, w.err
}

// pump copies r into the stream of the agent with that oid, then ends it. The
// next request follows what was written (lastIoId).
func (c *conn) pump(oid int32, r io.Reader) error {
	w := c.window(oid)
	defer func() {
		c.mu.Lock()
		delete(c.windows, oid)
		c.mu.Unlock()
	}()
	buf := make([]byte, 64<<10)
	var command []byte
	for {
		n, err := io.ReadFull(r, buf)
		for data := buf[:n]; len(data) > 0; {
			part, err := w.take(len(data))
			if err != nil {
				return err
			}
			if err := c.writeIO(func(ioID int32) []byte {
				command = chunk(command[:0], ioID, oid, data[:part])
				return command
			}); err != nil {
				return err
			}
			data = data[part:]
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	eof, err := decodeObject(templates()["OutputEOF"].raw)
	if err != nil {
		return err
	}
	set(eof, "oid", oid)
	return c.writeIO(func(ioID int32) []byte {
		set(eof, "ioId", ioID)
		return encodePlain(eof)
	})
}

// writeIO sends a stream command; they are numbered in the order of writing.
func (c *conn) writeIO(command func(ioID int32) []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.nextIO++
	return c.writeLocked(command(c.nextIO))
}

// streamOID reads the oid of a RemoteOutputStream or RemoteInputStream that the
// agent answered with: the last four bytes of its free data.
func streamOID(v jser.Value) (int32, bool) {
	o, ok := v.(*jser.Object)
	if !ok || o == nil || len(o.Data) == 0 {
		return 0, false
	}
	for _, e := range o.Data[len(o.Data)-1].Extra {
		if b, ok := e.(jser.Block); ok && len(b) >= 4 {
			return int32(binary.BigEndian.Uint32(b[len(b)-4:])), true
		}
	}
	return 0, false
}
