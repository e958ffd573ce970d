package hudson

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting"
)

// textSink is one layer between what a callable prints and the controller's
// stream.
type textSink interface {
	io.Writer
	// Flush sends what is buffered, but no unfinished line of a decorator.
	Flush() error
	// Finish sends everything; nothing is written afterwards.
	Finish() error
}

// holder is a layer that keeps an unfinished line back.
type holder interface {
	held() int // bytes as they were written to it
}

// nowhere swallows text.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) Flush() error                { return nil }
func (nowhere) Finish() error               { return nil }

// delaySink is the innermost layer: the stream itself or, with a tuning, a
// buffer that is sent when it is full or after a while, which grows from
// tuning.min to tuning.max (workflow-api's DelayBufferedOutputStream). Unlike
// there, an empty buffer needs neither memory nor timer.
type delaySink struct {
	w      *remoting.ProxyWriter
	tuning *delayTuning

	mu     sync.Mutex // guards the fields below and the order of writes
	buf    []byte
	taken  int64 // bytes that were written to it
	period time.Duration
	timer  *time.Timer // nil while nothing waits
	err    error       // of a write that nobody saw
	done   bool
}

func newDelaySink(w *remoting.ProxyWriter, t *delayTuning) *delaySink {
	d := &delaySink{w: w, tuning: t}
	if t != nil {
		d.period = t.min
	}
	return d
}

func (d *delaySink) Write(p []byte) (int, error) {
	if d.tuning == nil {
		return d.w.Write(p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.taken += int64(len(p))
	if d.err == nil && len(d.buf)+len(p) > d.tuning.size {
		d.send()
	}
	if d.err != nil {
		return 0, d.err
	}
	if len(p) >= d.tuning.size || d.done {
		return d.w.Write(p)
	}
	d.buf = append(d.buf, p...)
	if d.timer == nil && len(d.buf) > 0 {
		d.timer = time.AfterFunc(d.period, d.tick)
	}
	return len(p), nil
}

// tick sends what has waited long enough.
func (d *delaySink) tick() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.send()
	d.buf = nil
	d.period = min(time.Duration(float64(d.period)*d.tuning.backoff), d.tuning.max)
}

// send writes the buffer; mu is held.
func (d *delaySink) send() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if len(d.buf) == 0 || d.err != nil {
		return
	}
	_, d.err = d.w.Write(d.buf)
	d.buf = d.buf[:0]
}

func (d *delaySink) Flush() error {
	if d.tuning != nil {
		d.mu.Lock()
		d.send()
		err := d.err
		d.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return d.w.Flush()
}

func (d *delaySink) Finish() error { return d.Flush() }

// stop ends the timer. What is buffered is lost unless it was flushed.
func (d *delaySink) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done = true
	d.buf = nil
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

// progress reports how many bytes were written to it, and how many of these
// are sent.
func (d *delaySink) progress() (taken, sent int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.taken, d.taken - int64(len(d.buf))
}

// newlineSink ends the text with a newline (NewlineSafeTaskListener).
type newlineSink struct {
	next textSink
	open bool // the last byte was no newline
}

func newlineSafe(next textSink) textSink { return &newlineSink{next: next} }

func (n *newlineSink) Write(p []byte) (int, error) {
	k, err := n.next.Write(p)
	if k > 0 {
		n.open = p[k-1] != '\n'
	}
	return k, err
}

func (n *newlineSink) Flush() error { return n.next.Flush() }

func (n *newlineSink) Finish() error {
	if n.open {
		n.open = false
		if _, err := n.next.Write([]byte{'\n'}); err != nil {
			return err
		}
	}
	return n.next.Finish()
}

// stampSink puts the time before each line (timestamper's GlobalDecorator).
type stampSink struct {
	next  textSink
	start bool // the next byte begins a line
	buf   []byte
}

func (s *stampSink) Write(p []byte) (int, error) {
	stamp := time.Now().UTC().Format("[2006-01-02T15:04:05.000Z] ")
	s.buf = s.buf[:0]
	for rest := p; len(rest) > 0; {
		if s.start {
			s.buf = append(s.buf, stamp...)
		}
		i := bytes.IndexByte(rest, '\n')
		s.start = i >= 0
		if i < 0 {
			i = len(rest) - 1
		}
		s.buf = append(s.buf, rest[:i+1]...)
		rest = rest[i+1:]
	}
	if _, err := s.next.Write(s.buf); err != nil {
		return 0, err
	}
	if cap(s.buf) > 64<<10 {
		s.buf = nil
	}
	return len(p), nil
}

func (s *stampSink) Flush() error  { return s.next.Flush() }
func (s *stampSink) Finish() error { return s.next.Finish() }
