package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/footman-ci/footman/remoting/wire"
)

// Mode is how commands travel over stdin and stdout (hudson.remoting.Channel.Mode).
type Mode int

const (
	ModeBinary    Mode = iota // bytes as they are
	ModeText                  // base64 in groups of four characters
	ModeNegotiate             // say nothing, do as the other end does
)

func (m Mode) String() string {
	switch m {
	case ModeBinary:
		return "binary"
	case ModeText:
		return "text"
	case ModeNegotiate:
		return "negotiate"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Preambles, in the order of the wire: first the capability, then the mode.
const (
	preambleCapability = "<===[JENKINS REMOTING CAPACITY]===>"
	preambleHudson     = "<===[HUDSON REMOTING CAPACITY]===>" // what it was called until 2011
	preambleBinary     = "\x00\x00\x00\x00"
	preambleText       = "<===[HUDSON TRANSMISSION BEGINS]===>"
)

// DefaultMaxNoise is how many bytes may come before the preambles. Login
// banners are kilobytes; whoever sends more is not a controller.
const DefaultMaxNoise = 1 << 20

// Stdio talks over a pair of pipes: stdin and stdout of a process that the
// controller started. Dial works once.
type Stdio struct {
	In  io.ReadCloser
	Out io.WriteCloser
	// Mode is ours; the official agent uses binary, or text with -text.
	Mode Mode
	// Capability is what we announce; 0 = wire.CapDefault.
	Capability wire.Capability
	// Noise receives the text that comes before the preambles; nil drops it.
	Noise io.Writer
	// MaxNoise bounds that text in bytes; 0 = DefaultMaxNoise.
	MaxNoise int
	// Timeout bounds the negotiation; 0 = none, as in the official agent: the
	// controller may take its time.
	Timeout time.Duration
	// NextObject returns the bytes of exactly one object of a Java object stream
	// whose header has been read, and reads no byte beyond it; the reader is also
	// an io.ByteReader. It is needed for controllers before 2013, which frame
	// nothing; nil refuses them.
	NextObject func(r io.Reader) ([]byte, error)

	MaxCommand int // bytes of one incoming command; 0 = wire.DefaultMaxCommand
}

// Dial exchanges the preambles (hudson.remoting.ChannelBuilder.negotiate).
func (s *Stdio) Dial(ctx context.Context) (*Conn, error) {
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.Timeout, errors.New("no preamble in time: is the other end a Jenkins controller?"))
		defer cancel()
	}
	pipe := newPipePair(s.In, s.Out)
	stop := context.AfterFunc(ctx, func() { pipe.Close() })
	conn, err := s.negotiate(pipe)
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		pipe.Close()
		return nil, fmt.Errorf("transport: stdio: %w", err)
	}
	return conn, nil
}

func (s *Stdio) negotiate(pipe *pipePair) (*Conn, error) {
	ours := s.Capability
	if ours == 0 {
		ours = wire.CapDefault
	}
	hello := preambleCapability + ours.Base64()
	if s.Mode != ModeNegotiate {
		hello += modePreamble(s.Mode)
	}
	if _, err := io.WriteString(pipe, hello); err != nil {
		return nil, err
	}
	limit := s.MaxNoise
	if limit <= 0 {
		limit = DefaultMaxNoise
	}
	in := bufio.NewReaderSize(pipe, 16<<10)
	theirs, mode, err := scanPreambles(in, s.Noise, limit)
	if err != nil {
		return nil, err
	}
	switch {
	case s.Mode == ModeNegotiate:
		if _, err := io.WriteString(pipe, modePreamble(mode)); err != nil {
			return nil, err
		}
	case s.Mode != mode:
		return nil, fmt.Errorf("the controller speaks %v, this agent was started for %v: add or remove -text", mode, s.Mode)
	}
	var rwc io.ReadWriteCloser = &joined{Reader: in, Writer: pipe, Closer: pipe}
	if mode == ModeText {
		rwc = &joined{Reader: newTextReader(in), Writer: &textWriter{w: pipe}, Closer: pipe}
	}
	conn := &Conn{protocol: "Standard in/out", remote: "stdin/stdout, " + mode.String(), capability: theirs}
	if theirs.Has(wire.CapChunkedEncoding) {
		conn.commands = wire.NewStream(rwc, wire.StreamConfig{MaxCommand: s.MaxCommand})
		return conn, nil
	}
	if s.NextObject == nil {
		return nil, fmt.Errorf("the controller announces %v, without chunked encoding: it is older than 2013 and not supported here", theirs)
	}
	conn.remote += ", classic"
	conn.commands, err = newClassic(rwc, s.NextObject, s.MaxCommand)
	return conn, err
}

func modePreamble(m Mode) string {
	if m == ModeText {
		return preambleText
	}
	return preambleBinary
}

// joined puts a stream together from layers.
type joined struct {
	io.Reader
	io.Writer
	io.Closer
}
