package remoting

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/footman-ci/footman/remoting/jser"
)

// Call is one request of the controller that is being served.
type Call struct {
	Channel *Channel
	ID      int32
	Text    string // UserRequest.toString, for logs
	// Callable is what is to be executed, as the controller sent it.
	Callable *jser.Object
	// Loader is the oid of the class loader of the callable: classes in the
	// answer are looked up there. A handler that unwraps a callable sets it to
	// the loader of what it found (ClassDesc.Mark).
	Loader int32
	// Raw is the whole command, kept only when the channel has a Relay.
	Raw []byte

	foreign bool         // refers to an object of the companion
	ours    bool         // refers to an object that we exported
	io      atomic.Int32 // last pipe operation sent for this call
	streams []*remoteRef
}

// NoteIO makes the answer of the call follow a pipe operation: the controller
// completes the call only when it has processed that operation.
func (call *Call) NoteIO(ioID int32) {
	for {
		old := call.io.Load()
		if ioID <= old || call.io.CompareAndSwap(old, ioID) {
			return
		}
	}
}

func (c *Channel) startUserRequest(o *jser.Object, raw []byte) {
	if c.cfg.Relay != nil {
		raw = append([]byte(nil), raw...)
	} else {
		raw = nil
	}
	c.start(o, func(ctx context.Context, call *Call) []byte {
		call.Raw = raw
		call.Text = o.Str("toString")
		call.Loader = proxyOID(o.Get("classLoaderProxy"))
		v, err := c.serveUser(ctx, call, o)
		if errors.Is(err, ErrAnswered) {
			return nil
		}
		return c.encodeResponse(call, v, err)
	})
}

func (c *Channel) serveUser(ctx context.Context, call *Call, o *jser.Object) (jser.Value, error) {
	payload, ok := jser.Bytes(o.Get("request"))
	if !ok {
		return nil, Errorf(IOExceptionClass, "footman: the request %s has no payload", call.Text)
	}
	v, err := c.decodePayload(payload)
	if err != nil {
		return nil, Errorf(IOExceptionClass, "footman: the request %s can't be read: %v", call.Text, err)
	}
	callable, ok := v.(*jser.Object)
	if !ok {
		return nil, Errorf(IOExceptionClass, "footman: %s is no callable", jser.Describe(v))
	}
	call.Callable = callable
	if callable.Class.Mark > 0 {
		call.Loader = callable.Class.Mark
	}
	if call.Loader > 0 {
		c.loader.CompareAndSwap(0, call.Loader)
	}
	if own := proxyOID(o.Get("classLoaderProxy")); own > 0 && c.cfg.Relay != nil {
		c.mu.Lock()
		c.loaders[own] = true
		c.mu.Unlock()
	}
	call.collectStreams(v)
	isRPC := callable.Class.Is(classRPCRequest)
	if oid := callable.Int("oid"); isRPC && oid > 1 && oid < FirstID {
		call.foreign = true
	}
	switch {
	case call.foreign && c.cfg.Relay != nil:
		return c.cfg.Relay.Serve(ctx, call, nil)
	case isRPC:
		return c.invoke(ctx, call, callable)
	}
	return c.cfg.Handler.Handle(ctx, call)
}

// serveRPC answers a bare RPCRequest: value or exception stand directly in the
// Response, in the stream of the command.
func (c *Channel) serveRPC(ctx context.Context, call *Call, o *jser.Object) []byte {
	call.Text = o.Str("declaringClassName") + "." + o.Str("methodName")
	v, err := c.invoke(ctx, call, o)
	if err != nil {
		return c.encodePlain(call, nil, Throwable(err))
	}
	return c.encodePlain(call, v, nil)
}

// invoke calls a method of an exported object.
func (c *Channel) invoke(ctx context.Context, call *Call, o *jser.Object) (jser.Value, error) {
	oid, method := o.Int("oid"), o.Str("methodName")
	types, err := jser.Strings(o.Get("types"))
	if err != nil {
		return nil, Errorf(IllegalArgumentClass, "footman: %s: %v", method, err)
	}
	args, ok := jser.Values(o.Get("arguments"))
	if !ok || len(args) != len(types) {
		return nil, Errorf(IllegalArgumentClass, "footman: %s has %d arguments for %d types", method, len(args), len(types))
	}
	// oid 1 is the channel itself (hudson.remoting.IChannel). Nobody has set a
	// property here.
	if oid == 1 && (method == "getProperty" || method == "waitForProperty") {
		return nil, nil
	}
	obj, ok := c.exports.object(oid)
	if !ok {
		return nil, Errorf(IllegalStateClass, "Invalid object ID %d", oid)
	}
	return obj.Invoke(ctx, &Invocation{Method: method, Types: types, Args: args, Call: call})
}

// encodeResponse makes the Response to a UserRequest.
func (c *Channel) encodeResponse(call *Call, v jser.Value, err error) []byte {
	if c.cfg.UserResponses {
		return c.encodeUserResponse(call, v, err)
	}
	if err == nil {
		if v == nil {
			return responseTemplate.appendBytes(nil, nullPayload, call.ID, call.io.Load())
		}
		payload, encErr := encodePayload(v, call.Loader)
		if encErr == nil {
			return responseTemplate.appendBytes(make([]byte, 0, len(responseTemplate.prefix)+4+len(payload)), payload, call.ID, call.io.Load())
		}
		err = fmt.Errorf("footman: the answer to %s can't be written: %w", call.Text, encErr)
	}
	t := Throwable(err)
	raw, encErr := encodePayload(t, call.Loader)
	if encErr != nil {
		raw = nil
	}
	// The controller tries rawResponse and falls back to proxyResponse when it
	// does not know the class.
	text := throwableText(t)
	proxy, _ := encodePayload(jser.Throwable(IOExceptionClass, text, nil), call.Loader)
	var rawValue jser.Value
	if raw != nil {
		rawValue = jser.ByteArray(raw)
	}
	return c.encodePlain(call, jser.New(exceptionResponseDesc, jser.ByteArray(proxy), rawValue), nil)
}

// encodeUserResponse makes the Response to a UserRequest for old peers
// (hudson.remoting.UserResponse). They have no fallback for an exception whose
// class they don't know, so only the JDK's are sent as they are.
func (c *Channel) encodeUserResponse(call *Call, v jser.Value, err error) []byte {
	if err == nil {
		if payload, encErr := encodePayload(v, call.Loader); encErr == nil {
			return c.encodePlain(call, jser.New(userResponseDesc, false, jser.ByteArray(payload)), nil)
		} else {
			err = fmt.Errorf("footman: the answer to %s can't be written: %w", call.Text, encErr)
		}
	}
	t := Throwable(err)
	payload, encErr := encodePayload(t, call.Loader)
	if encErr != nil || !onlyJDK(t) {
		payload, _ = encodePayload(jser.Throwable(IOExceptionClass, throwableText(t), nil), call.Loader)
	}
	return c.encodePlain(call, jser.New(userResponseDesc, true, jser.ByteArray(payload)), nil)
}

// onlyJDK reports whether an exception and its causes are classes of the JDK.
func onlyJDK(t *jser.Object) bool {
	for depth := 0; t != nil; depth++ {
		if !isJDK(t.Class) || depth > 100 {
			return false
		}
		cause := t.Obj("cause")
		if cause == t {
			break
		}
		t = cause
	}
	return true
}

// encodePlain makes a Response whose value or exception is in its own stream.
func (c *Channel) encodePlain(call *Call, v jser.Value, exception *jser.Object) []byte {
	var ex jser.Value
	if exception != nil {
		ex = exception
	}
	b, err := encodeCommand(jser.New(responseDesc, nil, call.ID, call.io.Load(), ex, v))
	if err != nil {
		t := jser.Throwable(IOExceptionClass, fmt.Sprintf("footman: the answer to %s can't be written: %v", call.Text, err), nil)
		b, _ = encodeCommand(jser.New(responseDesc, nil, call.ID, call.io.Load(), t, nil))
	}
	return b
}
