package remoting

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
	"unicode/utf16"

	"github.com/footman-ci/footman/remoting/jser"
)

func decodeUTF16(u []uint16) string { return string(utf16.Decode(u)) }

// remoteRef is an object of the controller that came with a request. Each one
// that the stream names is a reference that we must give back.
type remoteRef struct {
	node   *jser.Object
	oid    int32
	writer *ProxyWriter
	reader io.Closer
	kept   bool // somebody else gives it back
}

// collectStreams finds what the payload of a call refers to.
func (call *Call) collectStreams(v jser.Value) {
	seen := map[*jser.Object]bool{}
	var walk func(v jser.Value)
	walk = func(v jser.Value) {
		switch v := v.(type) {
		case *jser.Object:
			if v == nil || seen[v] {
				return
			}
			seen[v] = true
			switch v.Class.Name {
			case classRemoteOutputStream, classRemoteWriter, classPipe:
				call.streams = append(call.streams, &remoteRef{node: v})
				return
			case classInvocationHandler:
				if oid := v.Int("oid"); v.Bool("goingHome") && oid > 1 {
					if oid < FirstID {
						call.foreign = true
					} else {
						call.ours = true
					}
				}
				if !v.Bool("goingHome") && !v.Bool("autoUnexportByCaller") {
					call.streams = append(call.streams, &remoteRef{node: v, oid: v.Int("oid")})
				}
				return
			}
			for i := range v.Data {
				for _, f := range v.Data[i].Values {
					walk(f)
				}
				for _, f := range v.Data[i].Extra {
					walk(f)
				}
			}
		case *jser.Array:
			if vs, ok := v.Elems.([]jser.Value); ok {
				for _, e := range vs {
					walk(e)
				}
			}
		}
	}
	walk(v)
}

func (call *Call) ref(node *jser.Object) *remoteRef {
	for _, r := range call.streams {
		if r.node == node {
			return r
		}
	}
	return nil
}

// releaseStreams gives back every reference that the handler did not keep.
func (call *Call) releaseStreams() {
	for _, r := range call.streams {
		switch {
		case r.kept:
		case r.writer != nil:
			if !r.writer.retained() {
				_ = r.writer.Release()
			}
		case r.reader != nil:
			_ = r.reader.Close()
		case r.node.Class.Name == classInvocationHandler:
			call.Channel.release(r.oid)
		default:
			call.releaseUntouched(r)
		}
	}
}

// releaseUntouched gives back a stream that the handler never opened.
func (call *Call) releaseUntouched(r *remoteRef) {
	ctx := call.Channel.ctx
	switch r.node.Class.Name {
	case classPipe:
		remoteToLocal, oid, ok := pipeOID(r.node)
		switch {
		case !ok:
		case remoteToLocal:
			// Somebody reads at the other end and would wait for ever.
			_ = call.Channel.newWriter(ctx, nil, oid, false).CloseWithError(
				Errorf(IOExceptionClass, "footman: the call ended without writing to the pipe"))
		default:
			// The controller waits for a reader before it writes: connect one
			// that refuses everything.
			if p, err := call.Channel.connectPipe(ctx, oid); err == nil {
				_ = p.Close()
			}
		}
	default:
		if oid, ok := jser.BlockInt32(r.node.Extra(r.node.Class.Name), 0); ok {
			_ = call.Channel.newWriter(ctx, nil, oid, r.node.Class.Name == classRemoteWriter).Release()
		}
	}
}

// release sends UnexportCommand.
func (c *Channel) release(oid int32) {
	_ = c.send(func(dst []byte) []byte { return unexportTemplate.append(dst, oid) })
}

// IsStream reports whether a node is an OutputStream or Writer of the
// controller.
func IsStream(v jser.Value) bool {
	n := jser.Name(v)
	return n == classRemoteOutputStream || n == classRemoteWriter || n == classPipe
}

// Writer opens an OutputStream, Writer or Pipe that came with the call. Unless
// it is retained or closed, it is released when the call ends. Opening a node
// twice gives the same writer.
func (call *Call) Writer(ctx context.Context, v jser.Value) (*ProxyWriter, error) {
	node, _ := v.(*jser.Object)
	r := call.ref(node)
	if r == nil || node.Class.Name == classInvocationHandler {
		return nil, &jser.TypeError{Want: "a stream of the controller", Got: v}
	}
	if r.writer != nil {
		return r.writer, nil
	}
	name := node.Class.Name
	var oid int32
	var ok bool
	if name == classPipe {
		var out bool
		out, oid, ok = pipeOID(node)
		ok = ok && out
	} else {
		oid, ok = jser.BlockInt32(node.Extra(name), 0)
	}
	if !ok {
		return nil, &jser.TypeError{Want: "a stream of the controller to write to", Got: v}
	}
	r.writer = call.Channel.newWriter(ctx, call, oid, name == classRemoteWriter)
	return r.writer, nil
}

// pipeOID reads the free data of hudson.remoting.Pipe.
func pipeOID(node *jser.Object) (remoteToLocal bool, oid int32, ok bool) {
	extra := node.Extra(classPipe)
	oid, ok = jser.BlockInt32(extra, 1)
	if !ok {
		return false, 0, false
	}
	return extra[0].(jser.Block)[0] != 0, oid, true
}

// Reader opens an InputStream (hudson.remoting.RemoteInputStream) or Pipe that
// came with the call. Close it when done; what is left open is closed when the
// call ends.
func (call *Call) Reader(ctx context.Context, v jser.Value) (io.ReadCloser, error) {
	node, _ := v.(*jser.Object)
	bad := &jser.TypeError{Want: "a stream of the controller to read from", Got: v}
	if node == nil {
		return nil, bad
	}
	if node.Class.Name == classRemoteInputStream {
		extra := node.Extra(classRemoteInputStream)
		if len(extra) == 2 { // greedy: a Pipe follows
			return call.Reader(ctx, extra[1])
		}
		at := 1 // behind the flag for greedy
		if len(extra) == 1 && len(blockOf(extra[0])) == 4 {
			at = 0 // before GREEDY_REMOTE_INPUTSTREAM there was no flag
		}
		oid, ok := jser.BlockInt32(extra, at)
		if !ok {
			return nil, bad
		}
		return &remoteReader{c: call.Channel, ctx: ctx, oid: oid}, nil
	}
	r := call.ref(node)
	if r == nil || node.Class.Name != classPipe {
		return nil, bad
	}
	out, oid, ok := pipeOID(node)
	if !ok || out {
		return nil, bad
	}
	if r.reader != nil {
		return r.reader.(*PipeReader), nil
	}
	p, err := call.Channel.connectPipe(ctx, oid)
	if err == nil {
		r.reader = p
	}
	return p, err
}

func blockOf(v jser.Value) jser.Block {
	b, _ := v.(jser.Block)
	return b
}

// connectPipe asks the writer of a pipe to send its data to us.
func (c *Channel) connectPipe(ctx context.Context, oidRos int32) (*PipeReader, error) {
	r := c.newPipeReader(ctx)
	if err := c.sendObject(jser.New(pipeConnectDesc, nil, r.oid, oidRos)); err != nil {
		c.exports.remove(r.oid)
		return nil, err
	}
	return r, nil
}

// Disown leaves all that came with the call to somebody else, who executes it.
func (call *Call) Disown() {
	for _, r := range call.streams {
		r.kept = true
	}
}

// Pipes lists pipes of the call by oid. out are those that the call is to write
// to: somebody reads at their other end and waits for an end.
//
// in lists those that the controller writes to once they are connected.
func (call *Call) Pipes() (out, in []int32) {
	for _, r := range call.streams {
		if r.node.Class.Name == classPipe {
			switch toUs, oid, ok := pipeOID(r.node); {
			case !ok:
			case toUs:
				out = append(out, oid)
			default:
				in = append(in, oid)
			}
		}
	}
	return out, in
}

// Keep says that the call's handler keeps a stream or proxy, which is then
// given back by whoever closes it. Readers that are kept must be closed.
func (call *Call) Keep(v jser.Value) {
	node, _ := v.(*jser.Object)
	if node != nil && node.Class.Name == classRemoteInputStream {
		if extra := node.Extra(classRemoteInputStream); len(extra) == 2 {
			node, _ = extra[1].(*jser.Object)
		}
	}
	if r := call.ref(node); r != nil {
		r.kept = true
	}
}

// remoteReader pulls data from an InputStream of the controller
// (hudson.remoting.ProxyInputStream).
type remoteReader struct {
	c    *Channel
	ctx  context.Context
	oid  int32
	once sync.Once
}

func (r *remoteReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	want := min(len(p), 128<<10)
	resp, err := r.c.request(r.ctx, func(id int32) *jser.Object {
		return jser.New(inChunkDesc, nil, id, int32(0), nil, int32(want), r.oid)
	})
	if err != nil {
		return 0, err
	}
	buf, ok := resp.Get("returnValue").(*jser.Object)
	if !ok {
		return 0, &jser.TypeError{Want: "a ProxyInputStream$Buffer", Got: resp.Get("returnValue")}
	}
	n := int(buf.Int("len"))
	if n < 0 {
		return 0, io.EOF
	}
	data, _ := jser.Bytes(buf.Get("buf"))
	if n > len(data) || n > len(p) {
		return 0, Errorf(IOExceptionClass, "footman: the controller sent %d bytes where %d were asked for", n, len(p))
	}
	return copy(p, data[:n]), nil
}

func (r *remoteReader) Close() error {
	r.once.Do(func() { _ = r.c.sendObject(jser.New(inEOFDesc, nil, r.oid)) })
	return nil
}

// source is an exported InputStream that the controller reads from.
type source struct {
	mu sync.Mutex // one read at a time
	r  io.Reader
}

// ExportReader lets the controller read from r, which is closed when the
// controller closes its end, if it is an io.Closer.
func (c *Channel) ExportReader(r io.Reader) int32 {
	return c.exports.add(&exported{source: &source{r: r}})
}

func (s *source) release() {
	if c, ok := s.r.(io.Closer); ok {
		_ = c.Close()
	}
}

// serveRead answers ProxyInputStream$Chunk.
func (c *Channel) serveRead(ctx context.Context, call *Call, o *jser.Object) []byte {
	e := c.exports.get(o.Int("oid"))
	if e == nil || e.source == nil {
		return c.encodePlain(call, nil, Throwable(Errorf(IOExceptionClass, "Stream is already closed (no object %d)", o.Int("oid"))))
	}
	buf := make([]byte, max(0, min(int(o.Int("len")), 128<<10)))
	if len(buf) == 0 { // InputStream.readAllBytes asks so when its buffer is full
		return c.encodePlain(call, jser.New(inBufferDesc, int32(0), emptyBytes), nil)
	}
	s := e.source
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return c.encodePlain(call, nil, Throwable(context.Cause(ctx)))
	}
	n, err := s.r.Read(buf)
	if n > 0 || err == nil {
		return c.encodePlain(call, jser.New(inBufferDesc, int32(n), jser.ByteArray(buf[:n])), nil)
	}
	if err == io.EOF {
		return c.encodePlain(call, jser.New(inBufferDesc, int32(-1), jser.ByteArray([]byte{})), nil)
	}
	return c.encodePlain(call, nil, Throwable(err))
}

var (
	remoteOutputDesc = jser.Custom(classRemoteOutputStream, 1, nil)
	remoteInputDesc  = jser.Custom(classRemoteInputStream, 1, nil, jser.Prim("autoUnexport", 'Z'), jser.Prim("greedy", 'Z'))
	proxyDesc        = jser.Serializable("java.lang.reflect.Proxy", -2222568056686623797, nil, jser.Ref("h", "java.lang.reflect.InvocationHandler"))
	invocationDesc   = jser.Custom(classInvocationHandler, 1, nil, jser.Prim("autoUnexportByCaller", 'Z'), jser.Prim("goingHome", 'Z'),
		jser.Prim("oid", 'I'), jser.Prim("recordCreatedAt", 'Z'), jser.Prim("userProxy", 'Z'), jser.Prim("userSpace", 'Z'), jser.Ref("origin", "java.lang.Throwable"))
)

// OutputStream is the node that gives the controller an OutputStream of ours.
func OutputStream(oid int32) *jser.Object {
	b := binary.BigEndian.AppendUint32(nil, uint32(oid))
	return &jser.Object{Class: remoteOutputDesc, Data: []jser.ClassData{{Desc: remoteOutputDesc, Extra: []jser.Value{jser.Block(b)}}}}
}

// InputStream is the node that gives the controller an InputStream of ours,
// from which it pulls.
func InputStream(oid int32) *jser.Object {
	b := binary.BigEndian.AppendUint32([]byte{0}, uint32(oid)) // not greedy
	return &jser.Object{Class: remoteInputDesc, Data: []jser.ClassData{{Desc: remoteInputDesc, Extra: []jser.Value{jser.Block(b)}}}}
}

// Proxy is the node that gives the controller a callable object of ours.
// Calls arrive as bare requests: no second stream, no stack traces.
func Proxy(oid int32, iface string) *jser.Object { return proxy(oid, iface, false) }

// UserProxy is Proxy for an object whose methods take, return or throw classes
// of plugins: calls arrive as UserRequests, which name their class loaders.
func UserProxy(oid int32, iface string) *jser.Object { return proxy(oid, iface, true) }

func proxy(oid int32, iface string, user bool) *jser.Object {
	h := &jser.Object{Class: invocationDesc, Data: []jser.ClassData{{Desc: invocationDesc,
		Values: []jser.Value{false, false, oid, false, user, true, nil}}}}
	class := &jser.ClassDesc{Proxy: true, Flags: jser.FlagSerializable, Interfaces: []string{iface, "hudson.remoting.IReadResolve"}, Super: proxyDesc}
	return jser.New(class, h)
}
