package wire

import (
	"errors"
	"fmt"
	"io"
)

const (
	// DefaultMaxCommand bounds one incoming command in bytes. Real commands are
	// kilobytes; the largest are whole files returned in a response.
	DefaultMaxCommand = 256 << 20

	// keepAlways: a buffer up to this size is kept between commands.
	// keepWhileUsed: up to this size it is kept as long as commands need it; a
	// larger one is dropped as soon as its command has been handed on.
	keepAlways    = 64 << 10
	keepWhileUsed = 1 << 20
	// smallRun is how many small commands in a row release a middling buffer.
	smallRun = 16
)

// CommandTooLargeError says that a peer sent a command above the limit. The
// framing survives: the next ReadCommand skips what is left of that command.
type CommandTooLargeError struct {
	Limit int // bytes
}

func (e *CommandTooLargeError) Error() string {
	return fmt.Sprintf("wire: incoming command is larger than the limit of %d bytes; it is skipped", e.Limit)
}

// Reader assembles commands from a byte stream. Memory grows with the bytes
// that really arrived, never with a size somebody announced. It is for one
// goroutine at a time.
type Reader struct {
	src  io.Reader
	max  int
	buf  []byte
	skip bool // the rest of an oversized command is still on the wire
	run  int  // small commands in a row while buf is larger than keepAlways
}

// NewReader reads frames from src. A command may have maxCommand bytes;
// 0 means DefaultMaxCommand. src should be buffered: headers are read as two
// bytes.
func NewReader(src io.Reader, maxCommand int) *Reader {
	if maxCommand <= 0 {
		maxCommand = DefaultMaxCommand
	}
	return &Reader{src: src, max: maxCommand}
}

// ReadCommand returns the next command that is not empty. The slice is valid
// until the next call. io.EOF means that the stream ended between two
// commands; an end inside a command is io.ErrUnexpectedEOF. A
// *CommandTooLargeError leaves the Reader usable.
func (r *Reader) ReadCommand() ([]byte, error) {
	r.release()
	for {
		cmd, err := r.readOne()
		if err != nil || len(cmd) > 0 {
			return cmd, err
		}
	}
}

func (r *Reader) readOne() ([]byte, error) {
	if r.skip {
		if err := r.discardRest(); err != nil {
			return nil, err
		}
	}
	r.buf = r.buf[:0]
	for first := true; ; first = false {
		h, err := r.header(first)
		if err != nil {
			return nil, err
		}
		n := h.Size()
		if len(r.buf)+n > r.max {
			if err := r.discard(n); err != nil {
				return nil, err
			}
			r.skip = h.More()
			r.buf = nil
			return nil, &CommandTooLargeError{Limit: r.max}
		}
		if err := r.payload(n); err != nil {
			return nil, err
		}
		if !h.More() {
			return r.buf, nil
		}
	}
}

func (r *Reader) header(first bool) (Header, error) {
	var b [HeaderSize]byte
	// The array would escape through the interface call on every frame.
	r.grow(HeaderSize)
	tail := r.buf[len(r.buf) : len(r.buf)+HeaderSize]
	if _, err := io.ReadFull(r.src, tail); err != nil {
		if errors.Is(err, io.EOF) && !first {
			err = io.ErrUnexpectedEOF
		}
		return 0, err
	}
	copy(b[:], tail)
	return ParseHeader(b), nil
}

func (r *Reader) payload(n int) error {
	r.grow(n)
	at := len(r.buf)
	r.buf = r.buf[:at+n]
	_, err := io.ReadFull(r.src, r.buf[at:])
	return midCommand(err)
}

// grow makes room for n ≤ MaxPayload more bytes behind len(r.buf).
func (r *Reader) grow(n int) {
	if cap(r.buf)-len(r.buf) >= n {
		return
	}
	grown := make([]byte, len(r.buf), max(2*cap(r.buf), len(r.buf)+n, 512))
	copy(grown, r.buf)
	r.buf = grown
}

func (r *Reader) discardRest() error {
	for r.skip {
		h, err := r.header(false)
		if err != nil {
			return err
		}
		if err := r.discard(h.Size()); err != nil {
			return err
		}
		r.skip = h.More()
	}
	return nil
}

func (r *Reader) discard(n int) error {
	_, err := io.CopyN(io.Discard, r.src, int64(n))
	return midCommand(err)
}

// release lets go of a buffer that the last command made large.
func (r *Reader) release() {
	switch c := cap(r.buf); {
	case c <= keepAlways:
		r.run = 0
	case c > keepWhileUsed:
		r.buf, r.run = nil, 0
	case len(r.buf) > c/4:
		r.run = 0
	default:
		if r.run++; r.run >= smallRun {
			r.buf, r.run = nil, 0
		}
	}
}

func midCommand(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
