package remoting

import (
	"context"
	"errors"

	"github.com/footman-ci/footman/remoting/jser"
)

// Relay is a second executor behind the same channel: a companion JVM, whose
// oids, request ids and ioIds are all below FirstID.
type Relay interface {
	// Forward takes a command of the controller that concerns a number below
	// FirstID. raw is the whole command and valid only during the call. false
	// means that nobody is there; a request is then answered by the channel.
	Forward(class string, o *jser.Object, raw []byte) bool
	// Serve executes a call that only the companion can: it is for one of its
	// objects, or refers to one. When the companion has answered by itself, Serve
	// returns ErrAnswered.
	Serve(ctx context.Context, call *Call, why error) (jser.Value, error)
	// Barrier waits until the companion has finished the pipe operations of the
	// controller that were forwarded to it, up to ioID.
	Barrier(ctx context.Context, ioID int32) error
}

// ErrAnswered is what a Handler returns when the answer has been sent already.
var ErrAnswered = errors.New("remoting: answered elsewhere")

// ParseCommand decodes a command far enough to route it: its class, and its
// fields but for createdAt.
func ParseCommand(raw []byte, lim jser.Limits) (class string, o *jser.Object, err error) {
	cmd, err := parseCommand(raw, lim)
	return cmd.class, cmd.obj, err
}

// DecodePayload decodes the stream inside a UserRequest or NormalResponse.
func DecodePayload(stream []byte, lim jser.Limits) (jser.Value, error) {
	return new(loaderReader).decode(stream, lim)
}

// CancelCommand is Request$Cancel for the request with that id.
func CancelCommand(id int32) ([]byte, error) { return encodeCommand(jser.New(cancelDesc, nil, id)) }

// BarrierCommand is a request that is answered once the pipe operations up to ioID are
// done. It asks the receiver's IChannel for a property, which needs no class
// but those of the JDK.
func BarrierCommand(id, ioID int32) ([]byte, error) {
	return encodeCommand(jser.New(rpcRequestDesc, nil, id, ioID, nil, int32(1), jser.ObjectArray("footman.barrier"),
		"hudson.remoting.IChannel", "getProperty", jser.StringArray("java.lang.Object")))
}

// EndPipe ends a pipe of the controller in the place of somebody who can't any
// more: its reader gets err.
func (c *Channel) EndPipe(oid int32, err error) {
	_ = c.newWriter(c.ctx, nil, oid, false).CloseWithError(err)
}

// RefusePipe connects a pipe that the controller wants to write to, and refuses
// what it writes: without a reader it would wait for ever.
func (c *Channel) RefusePipe(oid int32) {
	if p, err := c.connectPipe(c.ctx, oid); err == nil {
		_ = p.Close()
	}
}

// RefuseStream tells the controller that a stream it writes to is dead
// (NotifyDeadWriter): a write that waits for an acknowledgement then fails.
func (c *Channel) RefuseStream(oid int32, why error) { c.refuseChunk(oid, 0, why) }

// ReleaseStream gives back a stream of the controller that nobody will write
// to; chars says that it is a java.io.Writer.
func (c *Channel) ReleaseStream(oid int32, chars bool) {
	_ = c.newWriter(c.ctx, nil, oid, chars).Release()
}

// ChunkTarget returns the oid of a ProxyOutputStream$Chunk in its usual form.
// It looks at bytes only, where ParseCommand copies the data.
func ChunkTarget(raw []byte) (oid int32, ok bool) {
	var n [3]int32
	_, ok = chunkTemplate.match(raw, n[:])
	return n[1], ok
}

// toRelay passes a command on to the companion. Requests and answers that come
// after pipe operations of ours wait for these first, beside the reader. false
// means that the command is ours to answer.
func (c *Channel) toRelay(cmd command, raw []byte) bool {
	var last int32
	switch cmd.class {
	case classRPCRequest, classUserRPCRequest, classInChunk, classResponse:
		last = cmd.obj.Int("lastIoId")
	}
	if last == 0 || c.inOps.before(last) == nil {
		return c.cfg.Relay.Forward(cmd.class, cmd.obj, raw)
	}
	raw = append([]byte(nil), raw...)
	c.requests.Add(1)
	go func() {
		defer c.requests.Done()
		if c.inOps.wait(c.ctx, last) != nil {
			return // the channel has ended
		}
		if !c.cfg.Relay.Forward(cmd.class, cmd.obj, raw) && cmd.class != classResponse {
			c.dispatch(cmd, raw)
		}
	}()
	return true
}

// acknowledged credits an acknowledgement to our writer. The companion may
// write to the same stream: what is more than we have sent is for it.
func (c *Channel) acknowledged(class string, oid int32, n int) {
	rest := c.window(oid, false).ack(n)
	if rest <= 0 || c.cfg.Relay == nil {
		return
	}
	desc := outAckDesc
	if class == classWriterAck {
		desc = writerAckDesc
	}
	o := jser.New(desc, nil, oid, int32(rest))
	if raw, err := encodeCommand(o); err == nil {
		c.cfg.Relay.Forward(class, o, raw)
	}
}

// FailRequest answers a bare request of the controller with an exception.
func (c *Channel) FailRequest(id int32, err error) {
	_ = c.sendBytes(c.encodePlain(&Call{Channel: c, ID: id}, nil, Throwable(err)))
}

// LoaderName asks the controller what a class loader of it is called: "Jenkins
// v2.541.2", or a plugin's name. Controllers before remoting 3244 don't know.
func (c *Channel) LoaderName(ctx context.Context, loader int32) (string, error) {
	o := RemoteObject{c: c, oid: loader}
	v, err := o.Invoke(ctx, "hudson.remoting.RemoteClassLoader$IClassLoader", "getName", nil, nil, 0)
	name, _ := v.(string)
	return name, err
}

// Stream is an OutputStream of the peer whose oid is known by other means than
// a call.
func (c *Channel) Stream(oid int32) *ProxyWriter { return c.newWriter(c.ctx, nil, oid, false) }

// RefersToUs reports whether the call carries an object that we exported, which
// a companion can't resolve.
func (call *Call) RefersToUs() bool { return call.ours }

// Object is an object of the peer whose oid is known by other means than a
// call. user makes calls travel as UserRequests.
func (c *Channel) Object(oid int32, user bool) *RemoteObject {
	return &RemoteObject{c: c, oid: oid, user: user, space: true}
}
