package remoting

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/footman-ci/footman/remoting/jser"
)

// Errors that end a channel or refuse an operation on one that ended.
var (
	ErrClosed      = errors.New("remoting: the channel is closed")
	ErrPeerClosed  = errors.New("remoting: the controller closed the channel")
	ErrPingTimeout = errors.New("remoting: the controller did not answer a ping in time")
)

// Channel is one connection to a controller. All methods are safe for
// concurrent use.
type Channel struct {
	cfg Config
	log *slog.Logger
	t   Transport

	ctx    context.Context // ends with the channel; its cause says why
	cancel context.CancelCauseFunc

	writeMu   sync.Mutex // guards the write side of t and the fields below
	buf       []byte     // reused for small commands
	nextIO    int32
	closeSent bool

	mu      sync.Mutex                   // guards the fields below
	nextID  int32                        // of our requests
	calls   map[int32]chan *jser.Object  // our requests that wait for a Response
	running map[int32]context.CancelFunc // the peer's requests
	windows map[int32]*window            // of the peer's streams, by oid
	loaders map[int32]bool               // of the peer, that requests named; only with a Relay
	pinging bool

	exports exportTable
	inOps   opTracker
	loader  atomic.Int32 // oid of the controller's core class loader, 0 while unknown

	requests sync.WaitGroup
	stats    Stats
}

// Stats counts what went over a channel.
type Stats struct {
	CommandsIn, CommandsOut atomic.Int64
	BytesIn, BytesOut       atomic.Int64 // of commands, without framing
	Stalls                  atomic.Int64 // writes that waited for an acknowledgement
}

// NewChannel makes a channel over a connected transport. Nothing happens
// before Serve.
func NewChannel(t Transport, cfg Config) *Channel {
	cfg = cfg.withDefaults()
	c := &Channel{
		cfg: cfg, log: cfg.Log, t: t,
		nextIO: cfg.FirstID, nextID: cfg.FirstID,
		calls:   map[int32]chan *jser.Object{},
		running: map[int32]context.CancelFunc{},
		windows: map[int32]*window{},
		loaders: map[int32]bool{},
	}
	c.exports.init(cfg.FirstID)
	c.inOps.init()
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// Serve reads and dispatches commands until the channel ends. It returns
// ErrPeerClosed after a CloseCommand of the controller, ErrClosed after Close,
// and otherwise what broke the connection. Handlers may still be running when
// it returns; their contexts have ended (see Wait).
func (c *Channel) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { c.terminate(context.Cause(ctx)) })
	defer stop()
	for {
		b, err := c.t.ReadCommand()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("remoting: the connection ended without a CloseCommand: %w", io.ErrUnexpectedEOF)
			}
			c.terminate(err)
			return context.Cause(c.ctx)
		}
		c.stats.CommandsIn.Add(1)
		c.stats.BytesIn.Add(int64(len(b)))
		if c.hot(b) {
			continue
		}
		cmd, err := parseCommand(b, c.cfg.Limits)
		if err != nil {
			// As the official agent does: one unreadable command is not the end
			// of the channel.
			c.log.Warn("skipping a command that can't be read", "bytes", len(b), "err", err)
			continue
		}
		if c.foreign(cmd) && c.toRelay(cmd, b) {
			continue
		}
		if !c.dispatch(cmd, b) {
			return context.Cause(c.ctx)
		}
	}
}

// Wait blocks until all handlers of the channel have returned.
func (c *Channel) Wait() { c.requests.Wait() }

// Done is closed when the channel ends.
func (c *Channel) Done() <-chan struct{} { return c.ctx.Done() }

// Err says why the channel ended, nil while it runs.
func (c *Channel) Err() error { return context.Cause(c.ctx) }

// Context ends with the channel.
func (c *Channel) Context() context.Context { return c.ctx }

// Config is how the channel was made, with defaults filled in.
func (c *Channel) Config() Config { return c.cfg }

// Requests is how many requests of the controller run now.
func (c *Channel) Requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.running)
}

// Stats returns the counters of the channel.
func (c *Channel) Stats() *Stats { return &c.stats }

// Close ends the channel in order: a CloseCommand, then, once the controller
// answers it or ctx ends, the connection.
func (c *Channel) Close(ctx context.Context) error {
	if !c.sendClose() {
		c.terminate(ErrClosed)
	}
	select {
	case <-c.ctx.Done():
	case <-ctx.Done():
		c.terminate(ErrClosed)
	}
	return nil
}

// sendClose writes CloseCommand once. It reports whether it was written.
func (c *Channel) sendClose() bool {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	if c.closeSent {
		return true
	}
	var createdAt jser.Value
	if c.cfg.UserResponses {
		// Hudson 1.395 takes the message of the shutdown from there.
		createdAt = jser.Throwable(jser.ExceptionClass, "the agent closed the channel", nil)
	}
	b, err := jser.Encode(jser.New(closeDesc, createdAt))
	if err != nil {
		return false
	}
	c.closeSent = true
	return c.t.WriteCommand(b) == nil
}

// terminate ends the channel now. The first cause wins.
func (c *Channel) terminate(cause error) {
	if c.ctx.Err() != nil {
		return
	}
	c.cancel(cause)
	_ = c.t.Close()
	c.exports.releaseAll(context.Cause(c.ctx))
}

// dispatch handles one command in the order of arrival. It reports false when
// the channel has ended.
func (c *Channel) dispatch(cmd command, raw []byte) bool {
	o := cmd.obj
	switch cmd.class {
	case classUserRequest:
		c.startUserRequest(o, raw)
	case classRPCRequest, classUserRPCRequest:
		c.start(o, func(ctx context.Context, call *Call) []byte { return c.serveRPC(ctx, call, o) })
	case classInChunk:
		c.start(o, func(ctx context.Context, call *Call) []byte { return c.serveRead(ctx, call, o) })
	case classInEOF:
		c.exports.remove(o.Int("oid"))
	case classCancel:
		c.mu.Lock()
		cancel := c.running[o.Int("id")]
		c.mu.Unlock()
		if cancel != nil {
			cancel()
		} else if c.cfg.Relay != nil {
			c.cfg.Relay.Forward(cmd.class, o, raw)
		}
	case classResponse:
		c.mu.Lock()
		ch := c.calls[o.Int("id")]
		delete(c.calls, o.Int("id"))
		c.mu.Unlock()
		if ch != nil {
			ch <- o // buffered, and only one answer an id gets here
		}
	case classUnexport:
		c.exports.unref(o.Int("oid"))
	case classOutChunk, classWriterChunk, classOutFlush, classWriterFlush, classOutEOF, classWriterEOF, classOutUnexport, classWriterUnexport:
		c.pipeCommand(cmd)
	case classOutAck, classWriterAck:
		c.acknowledged(cmd.class, o.Int("oid"), int(o.Int("size")))
	case classOutDead, classWriterDead:
		c.window(o.Int("oid"), false).kill(deadWriter(o))
		if c.cfg.Relay != nil {
			c.cfg.Relay.Forward(cmd.class, o, raw) // which may write there, too
		}
	case classPipeConnect:
		c.log.Warn("the controller connected a pipe that was never offered", "oid", o.Int("oidRos"))
	case classGC:
	case classClose:
		c.sendClose()
		c.terminate(ErrPeerClosed)
		return false
	default:
		c.log.Warn("skipping an unknown command", "class", cmd.class)
		if _, isRequest := o.Field("lastIoId"); isRequest {
			c.start(o, func(_ context.Context, call *Call) []byte {
				return c.encodeResponse(call, nil, Errorf(UnsupportedOperationClass, "footman: unknown request %s", cmd.class))
			})
		}
	}
	return true
}

// start runs a request of the peer in its own goroutine and sends what serve
// returns: an encoded Response.
func (c *Channel) start(o *jser.Object, serve func(context.Context, *Call) []byte) {
	call := &Call{Channel: c, ID: o.Int("id")}
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	n := len(c.running)
	_, twice := c.running[call.ID]
	if n < c.cfg.MaxRequests && !twice {
		c.running[call.ID] = cancel
	}
	c.mu.Unlock()
	if n >= c.cfg.MaxRequests || twice {
		cancel()
		c.log.Warn("refusing a request", "id", call.ID, "running", n, "same id", twice)
		_ = c.sendBytes(c.encodeResponse(call, nil, Errorf(IllegalStateClass,
			"footman: %d requests are running (limit %d); request %d is refused", n, c.cfg.MaxRequests, call.ID)))
		return
	}
	last := o.Int("lastIoId")
	c.requests.Add(1)
	go func() {
		defer c.requests.Done()
		defer cancel()
		var answer []byte
		if err := c.barrier(ctx, last); err != nil {
			answer = c.encodeResponse(call, nil, err)
		} else {
			answer = c.guard(ctx, call, serve)
		}
		c.mu.Lock()
		delete(c.running, call.ID)
		c.mu.Unlock()
		call.releaseStreams()
		if answer != nil {
			_ = c.sendBytes(answer)
		}
	}()
}

// barrier waits for the pipe operations that a request comes after.
func (c *Channel) barrier(ctx context.Context, ioID int32) error {
	if err := c.inOps.wait(ctx, ioID); err != nil || c.cfg.Relay == nil || ioID == 0 {
		return err
	}
	return c.cfg.Relay.Barrier(ctx, ioID)
}

// foreign reports whether a command is about a number of the companion.
func (c *Channel) foreign(cmd command) bool {
	if c.cfg.Relay == nil {
		return false
	}
	o := cmd.obj
	switch cmd.class {
	case classResponse:
		return o.Int("id") < FirstID
	case classPipeConnect:
		return o.Int("oidRos") < FirstID
	case classRPCRequest, classUserRPCRequest, classInChunk, classInEOF, classUnexport,
		classOutChunk, classOutFlush, classOutEOF, classOutUnexport,
		classWriterChunk, classWriterFlush, classWriterEOF, classWriterUnexport:
		oid := o.Int("oid")
		return oid > 1 && oid < FirstID
	case classOutAck, classWriterAck, classOutDead, classWriterDead:
		// The oid is the controller's: it is for whoever wrote there.
		return c.window(o.Int("oid"), false) == nil
	}
	return false
}

// SendRaw writes a command that was encoded elsewhere.
func (c *Channel) SendRaw(command []byte) error { return c.sendBytes(command) }

// guard turns a panic of a handler into an exception for the one call.
func (c *Channel) guard(ctx context.Context, call *Call, serve func(context.Context, *Call) []byte) (answer []byte) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("internal error", "request", call.Text, "panic", p, "stack", string(debug.Stack()))
			answer = c.encodeResponse(call, nil, Errorf(IllegalStateClass, "footman: internal error in %s: %v", call.Text, p))
		}
	}()
	return serve(ctx, call)
}

// send encodes a command into the shared buffer and writes it.
func (c *Channel) send(encode func(dst []byte) []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	c.buf = encode(c.buf[:0])
	err := c.write(c.buf)
	if cap(c.buf) > 128<<10 {
		c.buf = nil
	}
	return err
}

// sendIO is send for pipe operations: it numbers them in the order in which
// they are written.
func (c *Channel) sendIO(encode func(dst []byte, ioID int32) []byte) (ioID int32, err error) {
	err = c.send(func(dst []byte) []byte {
		ioID = c.nextIO
		if c.nextIO++; c.nextIO < c.cfg.FirstID {
			c.nextIO = c.cfg.FirstID
		}
		return encode(dst, ioID)
	})
	return ioID, err
}

func (c *Channel) sendBytes(b []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	return c.write(b)
}

// write sends one command; writeMu is held.
func (c *Channel) write(b []byte) error {
	if err := c.Err(); err != nil {
		return fmt.Errorf("%w (%w)", ErrClosed, err)
	}
	if c.closeSent {
		return ErrClosed // nothing may follow a CloseCommand
	}
	if err := c.t.WriteCommand(b); err != nil {
		c.terminate(err)
		return err
	}
	c.stats.CommandsOut.Add(1)
	c.stats.BytesOut.Add(int64(len(b)))
	return nil
}

func (c *Channel) sendObject(o *jser.Object) error {
	b, err := encodeCommand(o)
	if err != nil {
		return err
	}
	return c.sendBytes(b)
}

// encodeCommand writes the stream of a command: descriptors of commands carry
// no class-loader annotations.
func encodeCommand(o *jser.Object) ([]byte, error) {
	e := jser.Encoder{Annotate: func(*jser.ClassDesc) []byte { return nil }}
	return e.Encode(o)
}
