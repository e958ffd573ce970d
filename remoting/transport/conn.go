package transport

import (
	"io"
	"log/slog"

	"github.com/footman-ci/footman/remoting/wire"
)

// commands is what every transport makes of its bytes in the end.
type commands interface {
	ReadCommand() ([]byte, error)
	WriteCommand(cmd []byte) error
	Close() error
}

// Conn is an established connection: past every handshake, ready for commands.
type Conn struct {
	commands
	protocol   string
	remote     string
	capability wire.Capability
	minimum    string
	cookie     string
}

// ReadCommand returns one whole command, a complete Java object stream. The
// slice is valid until the next call. io.EOF is an orderly end of the stream,
// net.ErrClosed follows our own Close. One goroutine may read.
func (c *Conn) ReadCommand() ([]byte, error) { return c.commands.ReadCommand() }

// WriteCommand sends one whole command. One goroutine may write at a time.
func (c *Conn) WriteCommand(cmd []byte) error { return c.commands.WriteCommand(cmd) }

// Close ends the connection, unblocks reader and writer, is idempotent and
// safe from any goroutine. It returns within a second, whatever the peer does.
func (c *Conn) Close() error { return c.commands.Close() }

// Protocol is the name users know: "WebSocket", "JNLP4-connect", "Standard in/out".
func (c *Conn) Protocol() string { return c.protocol }

// RemoteAddr describes the other end for logs.
func (c *Conn) RemoteAddr() string { return c.remote }

// RemoteCapability is what the controller announced.
func (c *Conn) RemoteCapability() wire.Capability { return c.capability }

// MinimumVersion is the oldest remoting version the controller accepts, "" if
// it did not say.
func (c *Conn) MinimumVersion() string { return c.minimum }

// Cookie is the connection cookie of this connection, "" if there is none.
func (c *Conn) Cookie() string { return c.cookie }

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return l
}
