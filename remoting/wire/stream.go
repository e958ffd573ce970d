package wire

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultWriteTimeout is how long one write may wait for the peer, as in Java
// (five minutes on both sides): a controller in a long garbage collection is
// not a dead one.
const DefaultWriteTimeout = 5 * time.Minute

const (
	readBuffer = 16 << 10
	// writeBatch frames go out in one write.
	writeBatch = 8 * (FramePayload + HeaderSize)
)

// StreamConfig tunes a Stream; the zero value is ready to use.
type StreamConfig struct {
	MaxCommand   int           // bytes of one incoming command, 0 = DefaultMaxCommand
	WriteTimeout time.Duration // for one write, 0 = DefaultWriteTimeout, < 0 = none; needs SetWriteDeadline
	ReadTimeout  time.Duration // silence that ends the stream, 0 = none; needs SetReadDeadline
}

// Stream carries commands over any byte stream, framed by chunk headers. One
// goroutine may read while another one writes; Close may come from anywhere.
type Stream struct {
	rwc    io.ReadWriteCloser
	cfg    StreamConfig
	reader *Reader
	out    []byte // write buffer, only touched by WriteCommand
	closed atomic.Bool
	once   sync.Once
	err    error // result of the first Close
}

// NewStream frames commands over rwc. When rwc is a net.Conn the timeouts of
// cfg apply. Close closes rwc, which must unblock its Read and Write.
func NewStream(rwc io.ReadWriteCloser, cfg StreamConfig) *Stream {
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = DefaultWriteTimeout
	}
	s := &Stream{rwc: rwc, cfg: cfg}
	var src io.Reader = rwc
	if d, ok := rwc.(interface{ SetReadDeadline(time.Time) error }); ok && cfg.ReadTimeout > 0 {
		src = &deadlineReader{r: rwc, d: d, timeout: cfg.ReadTimeout}
	}
	s.reader = NewReader(bufio.NewReaderSize(src, readBuffer), cfg.MaxCommand)
	return s
}

// ReadCommand returns the next command; the slice is valid until the next
// call. io.EOF is an orderly end, net.ErrClosed follows our own Close, a
// *CommandTooLargeError leaves the stream usable.
func (s *Stream) ReadCommand() ([]byte, error) {
	cmd, err := s.reader.ReadCommand()
	if err != nil {
		return nil, s.explain("read", err)
	}
	return cmd, nil
}

// WriteCommand sends one command. After an error the stream is of no use: a
// frame may be half out.
func (s *Stream) WriteCommand(cmd []byte) error {
	for first := true; first || len(cmd) > 0; first = false {
		s.out = s.out[:0]
		for len(s.out)+FramePayload+HeaderSize <= writeBatch {
			n := min(len(cmd), FramePayload)
			s.out = MakeHeader(n, n < len(cmd)).Append(s.out)
			s.out = append(s.out, cmd[:n]...)
			if cmd = cmd[n:]; len(cmd) == 0 {
				break
			}
		}
		if d, ok := s.rwc.(interface{ SetWriteDeadline(time.Time) error }); ok && s.cfg.WriteTimeout > 0 {
			_ = d.SetWriteDeadline(time.Now().Add(s.cfg.WriteTimeout))
		}
		if _, err := s.rwc.Write(s.out); err != nil {
			return s.explain("write", err)
		}
	}
	return nil
}

// Close ends the stream and unblocks a waiting reader and writer. It is
// idempotent and safe from any goroutine.
func (s *Stream) Close() error {
	s.once.Do(func() {
		s.closed.Store(true)
		s.err = s.rwc.Close()
	})
	return s.err
}

func (s *Stream) explain(op string, err error) error {
	var tooLarge *CommandTooLargeError
	switch {
	case errors.As(err, &tooLarge):
		return err
	case s.closed.Load():
		return fmt.Errorf("wire: %s: %w", op, net.ErrClosed)
	case err == io.EOF:
		return io.EOF
	default:
		return fmt.Errorf("wire: %s: %w", op, err)
	}
}

type deadlineReader struct {
	r       io.Reader
	d       interface{ SetReadDeadline(time.Time) error }
	timeout time.Duration
}

func (r *deadlineReader) Read(p []byte) (int, error) {
	if err := r.d.SetReadDeadline(time.Now().Add(r.timeout)); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
