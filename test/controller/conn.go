package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/footman-ci/footman/remoting/jser"
)

// link carries whole commands; see ws.go and tcp.go.
type link interface {
	ReadCommand() ([]byte, error)
	WriteCommand([]byte) error
	Close() error
	drop() // ends the connection without a word
}

// Stats counts what went over one connection. Bytes include the chunk headers,
// not those of WebSocket, TLS or TCP.
type Stats struct {
	CommandsIn, CommandsOut int64 // from and to the agent
	BytesIn, BytesOut       int64
}

type counters struct{ commandsIn, commandsOut, bytesIn, bytesOut atomic.Int64 }

func (c *counters) snapshot() Stats {
	return Stats{c.commandsIn.Load(), c.commandsOut.Load(), c.bytesIn.Load(), c.bytesOut.Load()}
}

// ErrOffline means that the connection of the agent ended, or that there is
// none.
var ErrOffline = errors.New("controller: the agent is offline")

// RemoteError is an exception that the agent answered with.
type RemoteError struct {
	Class, Message string
	Cause          *RemoteError // nil when there is none
}

func (e *RemoteError) Error() string {
	s := e.Class + ": " + e.Message
	if e.Cause != nil {
		s += " (" + e.Cause.Error() + ")"
	}
	return s
}

// conn is one connection of an agent: the controller's end of a Channel.
type conn struct {
	log       *slog.Logger
	link      link
	protocol  string
	cookie    string
	classes   ClassSource
	templates map[string]*template
	counters  *counters

	ctx    context.Context // ends with the connection
	cancel context.CancelCauseFunc

	writeMu sync.Mutex // orders commands, and ioIds with them
	nextIO  int32

	mu      sync.Mutex // guards the fields below
	ended   bool       // nothing may be started any more
	nextID  int32
	nextOID int32
	calls   map[int32]chan answer
	sinks   map[int32]*sink
	windows map[int32]*window
	sources map[int32]chan<- int32 // pipes that wait for the agent's end, by our oid
	doing   map[int32]<-chan struct{}

	workers sync.WaitGroup
}

// answer is a Response, and what must be done before it counts.
type answer struct {
	obj   *jser.Object
	after <-chan struct{}
}

func newConn(l link, traffic *counters, log *slog.Logger, classes ClassSource) *conn {
	c := &conn{log: log, link: l, counters: traffic, classes: classes, nextID: 1, nextOID: firstOID,
		calls: map[int32]chan answer{}, sinks: map[int32]*sink{}, windows: map[int32]*window{},
		sources: map[int32]chan<- int32{}, doing: map[int32]<-chan struct{}{}}
	c.templates = templates()
	if classes != nil {
		c.templates = singleLoader()
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	return c
}

// end closes the connection; the first cause wins.
func (c *conn) end(cause error) {
	c.cancel(fmt.Errorf("%w: %w", ErrOffline, cause))
	_ = c.link.Close()
}

func (c *conn) err() error { return context.Cause(c.ctx) }

// serve reads commands until the connection ends, then waits for what it
// started.
func (c *conn) serve() {
	for {
		b, err := c.link.ReadCommand()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the agent closed the connection")
			}
			c.end(err)
			break
		}
		c.counters.commandsIn.Add(1)
		if err := c.dispatch(b); err != nil {
			c.end(err)
			break
		}
	}
	c.mu.Lock()
	c.ended = true
	for _, s := range c.sinks {
		s.finish(c.err())
	}
	for _, w := range c.windows {
		w.kill(c.err())
	}
	c.mu.Unlock()
	c.workers.Wait()
}

// errClosed is an orderly end.
var errClosed = errors.New("the agent said goodbye")

func (c *conn) dispatch(b []byte) error {
	o, err := decodeObject(b)
	if err != nil {
		return fmt.Errorf("a command that can't be read: %w", err)
	}
	switch o.Class.Name {
	case "hudson.remoting.Response":
		c.respond(o)
	case "hudson.remoting.UserRequest":
		c.serveUser(o)
	case "hudson.remoting.RemoteInvocationHandler$RPCRequest":
		c.serveRPC(o)
	case "hudson.remoting.ProxyOutputStream$Chunk", "hudson.remoting.ProxyOutputStream$Flush",
		"hudson.remoting.ProxyOutputStream$EOF", "hudson.remoting.ProxyOutputStream$Unexport":
		c.sinkCommand(o)
	case "hudson.remoting.ProxyOutputStream$Ack":
		if w := c.knownWindow(o.Int("oid")); w != nil {
			w.ack(int(o.Int("size")))
		}
	case "hudson.remoting.ProxyOutputStream$NotifyDeadWriter":
		if w := c.knownWindow(o.Int("oid")); w != nil {
			w.kill(errors.New("controller: the agent's end of the stream is dead"))
		}
	case "hudson.remoting.Pipe$ConnectCommand":
		c.mu.Lock()
		ch := c.sources[o.Int("oidRos")]
		delete(c.sources, o.Int("oidRos"))
		c.mu.Unlock()
		if ch != nil {
			ch <- o.Int("oidPos")
		}
	case "hudson.remoting.UnexportCommand", "hudson.remoting.GCCommand":
		// Loaders live as long as the connection, streams end with their use.
	case "hudson.remoting.Channel$CloseCommand":
		_ = c.writePlain("Close")
		return errClosed
	default:
		c.log.Warn("unexpected command", "class", o.Class.Name)
	}
	return nil
}

func (c *conn) respond(o *jser.Object) {
	id := o.Int("id")
	c.mu.Lock()
	ch := c.calls[id]
	delete(c.calls, id)
	after := c.doing[o.Int("lastIoId")]
	c.mu.Unlock()
	if ch == nil {
		c.log.Debug("an answer that nobody waits for", "id", id)
		return
	}
	ch <- answer{o, after}
}

// write sends a command.
func (c *conn) write(b []byte) error {
	c.writeMu.Lock()
	defer c.writeMu.Unlock()
	return c.writeLocked(b)
}

func (c *conn) writeLocked(b []byte) error {
	if err := c.err(); err != nil {
		return err
	}
	c.counters.commandsOut.Add(1)
	if err := c.link.WriteCommand(b); err != nil {
		c.end(err)
		return c.err()
	}
	return nil
}

// writePlain sends a recorded command that is no request, with fields changed:
// name, value, name, value, …
func (c *conn) writePlain(name string, fields ...any) error {
	t := templates()[name]
	o, err := decodeObject(t.raw)
	if err != nil {
		return err
	}
	for i := 0; i < len(fields); i += 2 {
		set(o, fields[i].(string), fields[i+1])
	}
	return c.write(encodePlain(o))
}

// call runs a recorded callable on the agent. fill changes a copy of it and may
// be nil. When ctx ends first, the agent is told to cancel.
func (c *conn) call(ctx context.Context, name string, fill func(callable *jser.Object)) (jser.Value, error) {
	t := c.templates[name]
	callable := t.callable()
	if fill != nil {
		fill(callable)
	}
	payload, err := t.encode(callable)
	if err != nil {
		return nil, fmt.Errorf("controller: %s: %w", name, err)
	}
	return c.send(ctx, t, payload)
}

// send sends a UserRequest and waits for its answer.
func (c *conn) send(ctx context.Context, t *template, payload []byte) (jser.Value, error) {
	ch := make(chan answer, 1)
	id := c.newID(ch)
	c.writeMu.Lock()
	err := c.writeLocked(t.command(id, c.nextIO, payload))
	c.writeMu.Unlock()
	if err != nil {
		c.forget(id)
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	select {
	case a := <-ch:
		if a.after != nil {
			<-a.after
		}
		v, err := result(a.obj)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		return v, nil
	case <-ctx.Done():
		c.forget(id)
		_ = c.writePlain("Cancel", "id", id)
		return nil, fmt.Errorf("%s: %w", t.name, context.Cause(ctx))
	case <-c.ctx.Done():
		c.forget(id)
		return nil, fmt.Errorf("%s: %w", t.name, c.err())
	}
}

func (c *conn) newID(ch chan answer) int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.nextID
	c.nextID++
	if ch != nil {
		c.calls[id] = ch
	}
	return id
}

func (c *conn) forget(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

// result opens a Response.
func result(o *jser.Object) (jser.Value, error) {
	if e := o.Get("exception"); e != nil {
		return nil, remoteError(e)
	}
	r := o.Obj("returnValue")
	if r == nil {
		return nil, &jser.TypeError{Want: "a ResponseToUserRequest", Got: o.Get("returnValue")}
	}
	field, failed := "response", false
	if r.Class.Name == exceptionResponseDesc.Name {
		field, failed = "rawResponse", true
	}
	b, ok := jser.Bytes(r.Get(field))
	if !ok {
		return nil, &jser.TypeError{Want: "a payload", Got: r.Get(field)}
	}
	v, err := jser.Decode(b, decodeOptions)
	if err == nil && failed {
		return nil, remoteError(v)
	}
	return v, err
}

func remoteError(v jser.Value) error {
	o, ok := v.(*jser.Object)
	if !ok {
		return &RemoteError{Class: jser.Name(v), Message: jser.Describe(v)}
	}
	message := o.Str("detailMessage")
	if file := o.Str("file"); message == "" && file != "" {
		message = file // java.nio.file.FileSystemException
	}
	e := &RemoteError{Class: o.Class.Name, Message: message}
	if cause := o.Obj("cause"); cause != nil && cause != o { // Throwable.cause is itself while there is none
		e.Cause, _ = remoteError(cause).(*RemoteError)
	}
	return e
}
