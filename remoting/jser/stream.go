package jser

import (
	"errors"
	"fmt"
	"io"
)

// Stream cuts one endless object stream, as the classic remoting transport
// uses it, into self-contained streams of one object. It reads no byte beyond
// the object it returns. Not safe for concurrent use.
type Stream struct {
	r       io.Reader
	opt     Options
	started bool
}

// NewStream reads objects from r. A buffered reader makes it fast.
func NewStream(r io.Reader, opt Options) *Stream { return &Stream{r: r, opt: opt} }

// Next returns the next object as a stream of its own, header included. It
// only looks for its end: Decode finds what else may be wrong with it. Each
// object must be self-contained: the writer resets its handles in between, as
// hudson.remoting.ClassicCommandTransport does. io.EOF means an orderly end.
func (s *Stream) Next() ([]byte, error) {
	if !s.started {
		var h [4]byte
		if _, err := io.ReadFull(s.r, h[:]); err != nil {
			return nil, err
		}
		if string(h[:]) != string(Header) {
			return nil, &SyntaxError{0, "not a Java object stream (it does not start with AC ED 00 05)"}
		}
		s.started = true
	}
	return next(s.r, s.opt)
}

// NextObject reads one object, without the header of the stream, and returns
// its bytes, also without. It reads no byte beyond it. See Stream.
func NextObject(r io.Reader, opt Options) ([]byte, error) {
	b, err := next(r, opt)
	if err != nil {
		return nil, err
	}
	return b[len(Header):], nil
}

func next(r io.Reader, opt Options) ([]byte, error) {
	for {
		d := &Decoder{opt: opt, lim: opt.Limits.withDefaults(), r: r}
		d.buf = append(make([]byte, 0, 4096), Header...)
		d.pos = len(Header)
		tc, err := d.byte()
		if err != nil {
			return nil, err
		}
		if tc == tcReset {
			continue
		}
		err = d.skipContent(tc)
		if err == errSkipped { // read what is buffered again, and build the nodes
			d = &Decoder{opt: opt, lim: d.lim, r: r, buf: d.buf, pos: len(Header) + 1}
			_, err = d.content(tc)
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("jser: reading an object stream: %w", err)
		}
		return d.buf, nil
	}
}

// fill reads exactly what is missing. It grows in steps, so that a length that
// lies costs no more than what really arrives.
func (d *Decoder) fill(n int) error {
	for missing := n - (len(d.buf) - d.pos); missing > 0; {
		step := min(missing, 64<<10)
		if int64(len(d.buf)+step) > d.lim.Memory {
			return d.limit("memory", int64(len(d.buf)+step), d.lim.Memory)
		}
		at := len(d.buf)
		d.buf = append(d.buf, make([]byte, step)...)
		k, err := io.ReadFull(d.r, d.buf[at:])
		d.buf = d.buf[:at+k]
		if err != nil {
			return err
		}
		missing -= step
	}
	return nil
}
