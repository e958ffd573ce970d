package remoting

import (
	"context"
	"fmt"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// request sends a Request of ours and waits for its Response. make builds the
// command with the id it is given. When ctx ends first, the controller is told
// to cancel.
func (c *Channel) request(ctx context.Context, make func(id int32) *jser.Object) (*jser.Object, error) {
	answer := newAnswer()
	c.mu.Lock()
	if err := c.Err(); err != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("%w (%w)", ErrClosed, err)
	}
	for c.calls[c.nextID] != nil {
		c.bumpID()
	}
	id := c.nextID
	c.bumpID()
	c.calls[id] = answer
	c.mu.Unlock()
	if err := c.sendObject(make(id)); err != nil {
		c.forget(id)
		return nil, err
	}
	select {
	case resp := <-answer:
		// What the controller sent before its answer must be in place.
		if err := c.inOps.wait(ctx, resp.Int("lastIoId")); err != nil {
			return nil, err
		}
		if t := resp.Get("exception"); t != nil {
			return nil, remoteError(t)
		}
		return resp, nil
	case <-ctx.Done():
		c.forget(id)
		_ = c.sendObject(jser.New(cancelDesc, nil, id))
		return nil, context.Cause(ctx)
	case <-c.ctx.Done():
		c.forget(id)
		return nil, fmt.Errorf("%w (%w)", ErrClosed, c.Err())
	}
}

func newAnswer() chan *jser.Object { return make(chan *jser.Object, 1) }

func (c *Channel) bumpID() {
	if c.nextID++; c.nextID < c.cfg.FirstID {
		c.nextID = c.cfg.FirstID
	}
}

func (c *Channel) forget(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.calls, id)
}

// UserCall runs a callable on the controller and returns its result. The
// callable's classes are looked up by the loader with that oid, 0 meaning the
// core's, and a negative one a loader that we export (as controllers do) under
// its absolute value. text describes the call in the controller's logs. lastIO, if not 0,
// is the pipe operation that must be done before.
func (c *Channel) UserCall(ctx context.Context, callable *jser.Object, text string, loader, lastIO int32) (jser.Value, error) {
	if loader == 0 {
		loader = c.loader.Load()
	}
	payload, err := encodePayload(callable, loader)
	if err != nil {
		return nil, err
	}
	// A RemoteIClassLoader resolves to the controller's own loader, so no class
	// loader of ours is ever exported.
	var loaderProxy jser.Value
	switch {
	case loader > 0:
		loaderProxy = jser.New(remoteLoaderDesc, loader)
	case loader < 0:
		loaderProxy = Proxy(-loader, "hudson.remoting.RemoteClassLoader$IClassLoader")
	}
	resp, err := c.request(ctx, func(id int32) *jser.Object {
		return jser.New(userRequestDesc, nil, id, lastIO, nil, loaderProxy, jser.ByteArray(payload), text)
	})
	if err != nil {
		return nil, err
	}
	return c.userResponse(resp.Get("returnValue"))
}

// userResponse reads a hudson.remoting.UserRequest$ResponseToUserRequest.
func (c *Channel) userResponse(v jser.Value) (jser.Value, error) {
	o, _ := v.(*jser.Object)
	bad := &jser.TypeError{Want: "a response to a user request", Got: v}
	if o == nil {
		return nil, bad
	}
	field, failed := "response", false
	switch o.Class.Name {
	case classNormalResponse:
	case classExceptionResponse:
		failed = true
		if field = "rawResponse"; o.Get(field) == nil {
			field = "proxyResponse"
		}
	case classUserResponse:
		failed = o.Bool("isException")
	default:
		return nil, bad
	}
	b, ok := jser.Bytes(o.Get(field))
	if !ok {
		return nil, bad
	}
	r, err := c.decodePayload(b)
	if err != nil {
		return nil, err
	}
	if failed {
		return nil, remoteError(r)
	}
	return r, nil
}

// RemoteObject is an object of the controller that came as a dynamic proxy.
type RemoteObject struct {
	c      *Channel
	oid    int32
	user   bool // calls travel as UserRequests
	space  bool // as UserRPCRequest rather than RPCRequest
	loader int32
}

// proxyHandler returns the RemoteInvocationHandler inside a proxy, or nil.
func proxyHandler(v jser.Value) *jser.Object {
	o, ok := v.(*jser.Object)
	if !ok || o == nil || !o.Class.Proxy {
		return nil
	}
	h := o.Obj("h")
	if h == nil || h.Class.Name != classInvocationHandler {
		return nil
	}
	return h
}

func proxyOID(v jser.Value) int32 {
	if h := proxyHandler(v); h != nil {
		return h.Int("oid")
	}
	return 0
}

// RemoteObject opens a proxy that came with the call. Its reference is given back
// when the call ends, unless it is kept: then by RemoteObject.Release.
func (call *Call) RemoteObject(v jser.Value, keep bool) (*RemoteObject, error) {
	h := proxyHandler(v)
	if h == nil || h.Bool("goingHome") {
		return nil, &jser.TypeError{Want: "an object of the controller", Got: v}
	}
	if r := call.ref(h); r != nil && keep {
		r.kept = true
	}
	return &RemoteObject{c: call.Channel, oid: h.Int("oid"), user: h.Bool("userProxy"), space: h.Bool("userSpace"),
		loader: v.(*jser.Object).Class.Mark}, nil
}

// Exported resolves a proxy that the controller sends back to us.
func (call *Call) Exported(v jser.Value) (Exported, bool) {
	h := proxyHandler(v)
	if h == nil || !h.Bool("goingHome") {
		return nil, false
	}
	return call.Channel.exports.object(h.Int("oid"))
}

// Invoke calls a method of the remote object. types are spelled as
// Class.getName does. lastIO is as for UserCall.
func (r *RemoteObject) Invoke(ctx context.Context, iface, method string, types []string, args []jser.Value, lastIO int32) (jser.Value, error) {
	desc := rpcRequestDesc
	if r.space {
		desc = userRPCRequestDesc
	}
	rpc := func(id, last int32) *jser.Object {
		return jser.New(desc, nil, id, last, nil, r.oid, jser.ObjectArray(args...), iface, method, jser.StringArray(types...))
	}
	if r.user {
		c := r.c
		c.mu.Lock()
		inner := c.nextID // an inner request takes an id as well
		c.bumpID()
		c.mu.Unlock()
		return c.UserCall(ctx, rpc(inner, 0), fmt.Sprintf("UserRPCRequest:%s.%s(%d)", iface, method, r.oid), r.loader, lastIO)
	}
	resp, err := r.c.request(ctx, func(id int32) *jser.Object { return rpc(id, lastIO) })
	if err != nil {
		return nil, err
	}
	return resp.Get("returnValue"), nil
}

// Release gives back a kept reference.
func (r *RemoteObject) Release() { r.c.release(r.oid) }

// pingDesc is the callable of hudson.remoting.PingThread.
var pingDesc = jser.Serializable("hudson.remoting.PingThread$Ping", 1, nil)

// Ping asks the controller for a sign of life and waits for it.
func (c *Channel) Ping(ctx context.Context) error {
	_, err := c.UserCall(ctx, jser.New(pingDesc), "hudson.remoting.PingThread$Ping", 0, 0)
	return err
}

// StartPinger pings the controller at once and then every interval, and ends
// the channel with ErrPingTimeout when one is not answered within timeout.
// Only the first call has an effect; an interval ≤ 0 means no pings
// (hudson.slaves.ChannelPinger).
func (c *Channel) StartPinger(interval, timeout time.Duration) {
	c.mu.Lock()
	start := !c.pinging && interval > 0
	if start {
		c.pinging = true
	}
	c.mu.Unlock()
	if start {
		go c.pinger(interval, timeout)
	}
}

func (c *Channel) pinger(interval, timeout time.Duration) {
	for {
		ctx, cancel := c.ctx, context.CancelFunc(func() {})
		if timeout > 0 {
			ctx, cancel = context.WithTimeout(c.ctx, timeout)
		}
		err := c.Ping(ctx)
		expired := ctx.Err() == context.DeadlineExceeded
		cancel()
		if c.ctx.Err() != nil {
			return
		}
		if expired {
			c.log.Warn("the controller did not answer a ping", "timeout", timeout)
			c.terminate(ErrPingTimeout)
			return
		}
		if err != nil {
			// An exception is an answer all the same.
			c.log.Debug("ping answered with an exception", "err", err)
		}
		t := time.NewTimer(interval)
		select {
		case <-t.C:
		case <-c.ctx.Done():
			t.Stop()
			return
		}
	}
}
