package remoting

import (
	"context"

	"github.com/footman-ci/footman/remoting/jser"
)

// FirstID is the first oid, request id and ioId that this end allocates.
const FirstID = 0x40000000

// Transport carries whole commands.
type Transport interface {
	// ReadCommand returns one complete Java object stream. The slice is valid
	// until the next call. io.EOF means that the peer ended the stream.
	ReadCommand() ([]byte, error)
	// WriteCommand sends one complete Java object stream. It has one caller at
	// a time and does not keep the slice.
	WriteCommand(cmd []byte) error
	// Close ends both directions and unblocks both methods. It may be called
	// from any goroutine and more than once.
	Close() error
}

// Handler executes the callables that the controller sends.
type Handler interface {
	// Handle runs one callable in its own goroutine and returns its result:
	// a node of package jser, or an error that becomes a Java exception (see
	// Throwable). ctx ends when the controller cancels the request or the
	// channel ends.
	Handle(ctx context.Context, call *Call) (jser.Value, error)
}

// Exported is a local object whose methods the controller may call.
type Exported interface {
	// Invoke runs one method. ctx is as for Handler.Handle.
	Invoke(ctx context.Context, m *Invocation) (jser.Value, error)
}

// Releaser is an Exported, reader or writer that wants to know when the
// controller gave up its last reference or the channel ended.
type Releaser interface{ Release() }

// Invocation is a method call on an exported object
// (hudson.remoting.RemoteInvocationHandler$RPCRequest).
type Invocation struct {
	Method string
	Types  []string // as Class.getName spells them: "int", "[B", "java.lang.String"
	Args   []jser.Value
	Call   *Call // the request that carries the invocation
}
