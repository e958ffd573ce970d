package remoting

import (
	"bytes"
	"encoding/binary"

	"github.com/footman-ci/footman/remoting/jser"
)

// Descriptors of the commands that we write. Fields are in canonical order.
// createdAt, the stack trace of the sender, is always null: the peer accepts
// that, and it saves a kilobyte a command.
var (
	commandDesc = jser.Serializable("hudson.remoting.Command", 1, nil, jser.Ref("createdAt", "java.lang.Exception"))
	requestDesc = jser.Serializable("hudson.remoting.Request", 1, commandDesc,
		jser.Prim("id", 'I'), jser.Prim("lastIoId", 'I'), jser.Ref("response", "hudson.remoting.Response"))
	responseDesc = jser.Serializable(classResponse, 1, commandDesc,
		jser.Prim("id", 'I'), jser.Prim("lastIoId", 'I'), jser.Ref("exception", "java.lang.Throwable"), jser.Ref("returnValue", "java.io.Serializable"))
	userRequestDesc = jser.Serializable(classUserRequest, 1, requestDesc,
		jser.Ref("classLoaderProxy", "hudson.remoting.RemoteClassLoader$IClassLoader"), jser.Ref("request", "[B"), jser.Ref("toString", "java.lang.String"))
	rpcRequestDesc = jser.Serializable(classRPCRequest, 1, requestDesc,
		jser.Prim("oid", 'I'), jser.Ref("arguments", "[Ljava/lang/Object;"), jser.Ref("declaringClassName", "java.lang.String"),
		jser.Ref("methodName", "java.lang.String"), jser.Ref("types", "[Ljava/lang/String;"))
	userRPCRequestDesc = jser.Serializable(classUserRPCRequest, -9185841650347902580, rpcRequestDesc)
	unexportDesc       = jser.Serializable(classUnexport, 1, commandDesc, jser.Prim("oid", 'I'))
	closeDesc          = jser.Serializable(classClose, 972857271608138115, commandDesc)
	cancelDesc         = jser.Serializable(classCancel, -1709992419006993208, commandDesc, jser.Prim("id", 'I'))
	pipeConnectDesc    = jser.Serializable(classPipeConnect, -9128735897846418140, commandDesc, jser.Prim("oidPos", 'I'), jser.Prim("oidRos", 'I'))

	outChunkDesc = jser.Serializable(classOutChunk, 1, commandDesc,
		jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'), jser.Prim("requestId", 'I'), jser.Ref("buf", "[B"))
	outFlushDesc = jser.Serializable(classOutFlush, 1, commandDesc,
		jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'), jser.Prim("requestId", 'I'))
	outEOFDesc = jser.Serializable(classOutEOF, 1, commandDesc,
		jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'), jser.Prim("requestId", 'I'), jser.Ref("error", "java.lang.Throwable"))
	outUnexportDesc = jser.Serializable(classOutUnexport, 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'))
	outAckDesc      = jser.Serializable(classOutAck, 1, commandDesc, jser.Prim("oid", 'I'), jser.Prim("size", 'I'))
	writerAckDesc   = jser.Serializable(classWriterAck, 1, commandDesc, jser.Prim("oid", 'I'), jser.Prim("size", 'I'))
	outDeadDesc     = jser.Serializable(classOutDead, 1, commandDesc, jser.Prim("oid", 'I'))

	writerChunkDesc    = jser.Serializable(classWriterChunk, 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'), jser.Ref("buf", "[C"))
	writerFlushDesc    = jser.Serializable(classWriterFlush, 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'))
	writerEOFDesc      = jser.Serializable(classWriterEOF, 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'))
	writerUnexportDesc = jser.Serializable(classWriterUnexport, 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'))

	inChunkDesc = jser.Serializable(classInChunk, 1, requestDesc, jser.Prim("len", 'I'), jser.Prim("oid", 'I'))
	inEOFDesc   = jser.Serializable(classInEOF, 1, commandDesc, jser.Prim("oid", 'I'))
	// ProxyInputStream$Buffer is the returnValue for a ProxyInputStream$Chunk.
	inBufferDesc = jser.Serializable("hudson.remoting.ProxyInputStream$Buffer", 1, nil, jser.Prim("len", 'I'), jser.Ref("buf", "[B"))

	normalResponseDesc    = jser.Serializable(classNormalResponse, 1, nil, jser.Ref("response", "[B"))
	userResponseDesc      = jser.Serializable(classUserResponse, 1, nil, jser.Prim("isException", 'Z'), jser.Ref("response", "[B"))
	exceptionResponseDesc = jser.Serializable(classExceptionResponse, 1, nil, jser.Ref("proxyResponse", "[B"), jser.Ref("rawResponse", "[B"))

	remoteLoaderDesc = jser.Serializable("hudson.remoting.RemoteClassLoader$RemoteIClassLoader", 1, nil, jser.Prim("oid", 'I'))
)

// template is an encoded command whose ints are filled in later. Hot commands
// (Chunk, Ack, Flush, Response) are written this way.
type template struct {
	prefix []byte // up to and without the length of a trailing byte[], if there is one
	at     []int  // offsets of the ints
	bytes  bool   // a byte[] is last
}

// mark0 is the first of the values that stand for ints while a template is
// made; no other part of a command has these bytes.
const mark0 = 0x7A6B5C01

func newTemplate(ints int, trailingBytes bool, o *jser.Object) template {
	b, err := jser.Encode(o)
	if err != nil {
		panic(err) // our own constants
	}
	t := template{prefix: b, bytes: trailingBytes}
	if trailingBytes {
		t.prefix = b[:len(b)-4]
	}
	for i := range ints {
		t.at = append(t.at, bytes.Index(b, binary.BigEndian.AppendUint32(nil, uint32(mark0+i))))
	}
	return t
}

func (t *template) append(dst []byte, ints ...int32) []byte {
	at := len(dst)
	dst = append(dst, t.prefix...)
	for i, v := range ints {
		binary.BigEndian.PutUint32(dst[at+t.at[i]:], uint32(v))
	}
	return dst
}

// match reads the ints, and what follows a trailing length, out of a command
// that is byte for byte of this form. data is part of cmd.
func (t *template) match(cmd []byte, ints []int32) (data []byte, ok bool) {
	if len(cmd) < len(t.prefix) {
		return nil, false
	}
	from := 0
	for i, at := range t.at {
		if !bytes.Equal(cmd[from:at], t.prefix[from:at]) {
			return nil, false
		}
		ints[i] = int32(binary.BigEndian.Uint32(cmd[at:]))
		from = at + 4
	}
	if !bytes.Equal(cmd[from:len(t.prefix)], t.prefix[from:]) {
		return nil, false
	}
	data = cmd[len(t.prefix):]
	if !t.bytes {
		return nil, len(data) == 0
	}
	if len(data) < 4 || int64(binary.BigEndian.Uint32(data)) != int64(len(data)-4) {
		return nil, false
	}
	return data[4:], true
}

func (t *template) appendBytes(dst []byte, data []byte, ints ...int32) []byte {
	dst = t.append(dst, ints...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(data)))
	return append(dst, data...)
}

var (
	emptyBytes = jser.ByteArray([]byte{})

	chunkTemplate    = newTemplate(3, true, jser.New(outChunkDesc, nil, int32(mark0), int32(mark0+1), int32(mark0+2), emptyBytes))
	flushTemplate    = newTemplate(3, false, jser.New(outFlushDesc, nil, int32(mark0), int32(mark0+1), int32(mark0+2)))
	ackTemplate      = newTemplate(2, false, jser.New(outAckDesc, nil, int32(mark0), int32(mark0+1)))
	unexportTemplate = newTemplate(1, false, jser.New(unexportDesc, nil, int32(mark0)))
	responseTemplate = newTemplate(2, true, jser.New(responseDesc, nil, int32(mark0), int32(mark0+1), nil, jser.New(normalResponseDesc, emptyBytes)))
)

// nullPayload is the payload of a callable that returned null.
var nullPayload = append(append([]byte(nil), jser.Header...), 0x70)
