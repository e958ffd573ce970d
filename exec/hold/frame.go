package hold

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Version of the protocol. An end refuses another.
const Version = 1

// frameType is the first byte of a frame; upper case comes from the hold.
type frameType byte

// Frames: one byte of type, four of length (big endian), the payload.
const (
	frameHello   frameType = 'H' // records: version, name, nonce
	frameAuth    frameType = 'a' // records: version, nonce, proof
	frameWelcome frameType = 'W' // records: proof, uid, gid
	frameStart   frameType = 's' // records: a command, see Command
	frameStarted frameType = 'S' // records: pid
	frameKillEnv frameType = 'k' // records: env, grace
	frameKilled  frameType = 'K' // records: found, survivors, denied
	frameData    frameType = 'd' // stream, bytes; no bytes are the end of the stream. Both ways
	frameWindow  frameType = 'w' // stream, 4 bytes: so many more may be sent. Both ways
	frameBroken  frameType = 'b' // stream: nobody reads it any more. Both ways
	frameResize  frameType = 'r' // records: rows, cols
	frameSignal  frameType = 'g' // records: signal, group
	frameEnd     frameType = 'e' // records: grace; end the command and all its descendants
	frameExit    frameType = 'X' // records: code, signal, leaked, oom
	frameError   frameType = 'E' // records: kind, code, text
)

// Sizes, in bytes. maxStart leaves room for what Linux takes as arguments and
// environment (6 MiB by default).
const (
	headerSize   = 5
	maxData      = 32 << 10
	maxHandshake = 4 << 10
	maxStart     = 8 << 20
	// window is how much of a stream may be on its way. What is not
	// consumed yet waits in the receiver's memory, so it bounds that too.
	window = 256 << 10
)

// ErrProtocol is wrapped by errors about what the other end sent.
var ErrProtocol = errors.New("hold: protocol error")

func protocolf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// maxPayload bounds the payload of a frame of type t; 0 is a type that we don't
// know.
func maxPayload(t frameType) int {
	switch t {
	case frameStart, frameKillEnv:
		return maxStart
	case frameData:
		return maxData + 1
	case frameWindow, frameBroken:
		return 5
	case frameError:
		return 64 << 10
	case frameHello, frameAuth, frameWelcome, frameStarted, frameKilled, frameResize, frameSignal, frameEnd, frameExit:
		return maxHandshake
	}
	return 0
}

// readFrame reads one frame into buf, which it grows as needed; the payload is
// valid until the next call with the same buf.
func readFrame(r io.Reader, buf *[]byte) (frameType, []byte, error) {
	var h [headerSize]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	t, n := frameType(h[0]), binary.BigEndian.Uint32(h[1:])
	limit := maxPayload(t)
	if limit == 0 {
		return 0, nil, protocolf("unknown frame type %#x", byte(t))
	}
	if uint64(n) > uint64(limit) {
		return 0, nil, protocolf("frame %q of %d bytes, at most %d are allowed", t, n, limit)
	}
	b, err := readGrowing(r, *buf, int(n))
	*buf = b
	if err != nil {
		return 0, nil, err
	}
	return t, b, nil
}

// readGrowing reads n bytes without believing n before they are there.
func readGrowing(r io.Reader, buf []byte, n int) ([]byte, error) {
	buf = buf[:0]
	for len(buf) < n {
		step := min(n-len(buf), 64<<10)
		at := len(buf)
		if cap(buf) < at+step {
			grown := make([]byte, at, max(at+step, min(n, 2*cap(buf))))
			copy(grown, buf)
			buf = grown
		}
		buf = buf[:at+step]
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return buf[:0], err
		}
	}
	return buf, nil
}

// String is the letter.
func (t frameType) String() string { return string(rune(t)) }

// conn writes frames; each is one write, safe for concurrent use.
type conn struct {
	net.Conn
	mu  sync.Mutex
	buf []byte
	err error
}

// writeTimeout bounds the writing of one frame: the other end always reads, and
// streams have windows, so only an end that is stopped lets it pass.
const writeTimeout = 10 * time.Minute

func (c *conn) send(t frameType, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if limit := maxPayload(t); n > limit {
		return fmt.Errorf("hold: %d bytes are too much, at most %d fit", n, limit)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	c.buf = binary.BigEndian.AppendUint32(append(c.buf[:0], byte(t)), uint32(n))
	for _, p := range parts {
		c.buf = append(c.buf, p...)
	}
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := c.Write(c.buf); err != nil {
		c.err = err
		if errors.Is(err, os.ErrDeadlineExceeded) {
			c.Close() // half a frame is out
		}
		return err // otherwise what the other end has still sent may be read
	}
	if cap(c.buf) > 2*maxData {
		c.buf = nil
	}
	return nil
}
