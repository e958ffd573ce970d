package transport

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"

	"github.com/footman-ci/footman/remoting/wire"
)

// streamHeader opens a Java object stream.
var streamHeader = [4]byte{0xAC, 0xED, 0x00, 0x05}

// tcReset tells the reader of an object stream to forget all handles.
const tcReset = 0x79

// classic carries commands without framing, for controllers that predate
// chunked encoding (hudson.remoting.ClassicCommandTransport): one endless
// object stream each way, its header once, a reset after each command. A reset
// makes the next object independent, so header + object is a command as
// everywhere else.
type classic struct {
	rwc    io.ReadWriteCloser
	in     *bufio.Reader
	next   func(io.Reader) ([]byte, error)
	max    int64
	opened bool   // the peer's header has been read
	cmd    []byte // last command handed out
	out    []byte // writer only
	closed atomic.Bool
	once   sync.Once
	err    error
}

// newClassic sends our header at once: the peer waits for it before it reads
// anything.
func newClassic(rwc io.ReadWriteCloser, next func(io.Reader) ([]byte, error), maxCommand int) (*classic, error) {
	if maxCommand <= 0 {
		maxCommand = wire.DefaultMaxCommand
	}
	if _, err := rwc.Write(streamHeader[:]); err != nil {
		return nil, err
	}
	return &classic{rwc: rwc, in: bufio.NewReaderSize(rwc, 16<<10), next: next, max: int64(maxCommand)}, nil
}

// ReadCommand returns the next command with a stream header of its own.
func (c *classic) ReadCommand() ([]byte, error) {
	cmd, err := c.read()
	switch {
	case err == nil:
		return cmd, nil
	case c.closed.Load():
		return nil, fmt.Errorf("transport: read: %w", net.ErrClosed)
	case err == io.EOF:
		return nil, io.EOF
	}
	return nil, fmt.Errorf("transport: classic stream: %w", err)
}

func (c *classic) read() ([]byte, error) {
	if !c.opened {
		var h [4]byte
		if _, err := io.ReadFull(c.in, h[:]); err != nil {
			return nil, err
		}
		if h != streamHeader {
			return nil, fmt.Errorf("it starts with % x instead of a Java stream header", h)
		}
		c.opened = true
	}
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return nil, err
		}
		if b != tcReset {
			break
		}
	}
	if err := c.in.UnreadByte(); err != nil {
		return nil, err
	}
	lim := &limitedBytes{r: c.in, left: c.max}
	object, err := c.next(lim)
	if lim.left < 0 {
		err = &wire.CommandTooLargeError{Limit: int(c.max)}
		return nil, fmt.Errorf("%v (no way to skip it without framing)", err)
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	c.cmd = append(append(c.cmd[:0], streamHeader[:]...), object...)
	return c.cmd, nil
}

// WriteCommand sends one command, which must start with a stream header.
func (c *classic) WriteCommand(cmd []byte) error {
	if len(cmd) <= len(streamHeader) || [4]byte(cmd) != streamHeader {
		return errors.New("transport: write: a command without a Java stream header")
	}
	c.out = append(append(c.out[:0], cmd[len(streamHeader):]...), tcReset)
	if _, err := c.rwc.Write(c.out); err != nil {
		if c.closed.Load() {
			err = net.ErrClosed
		}
		return fmt.Errorf("transport: write: %w", err)
	}
	return nil
}

func (c *classic) Close() error {
	c.once.Do(func() {
		c.closed.Store(true)
		c.err = c.rwc.Close()
	})
	return c.err
}

// limitedBytes bounds one object and stays an io.ByteReader.
type limitedBytes struct {
	r    *bufio.Reader
	left int64 // < 0: the limit was hit
}

var errLimit = errors.New("size limit")

func (l *limitedBytes) Read(p []byte) (int, error) {
	if l.left <= 0 {
		l.left = -1
		return 0, errLimit
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

func (l *limitedBytes) ReadByte() (byte, error) {
	if l.left <= 0 {
		l.left = -1
		return 0, errLimit
	}
	l.left--
	return l.r.ReadByte()
}
