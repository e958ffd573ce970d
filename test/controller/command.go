package controller

import (
	"bytes"
	"encoding/binary"

	"github.com/footman-ci/footman/remoting/jser"
)

// Commands that carry no stack trace, or whose stack trace nobody can miss.
var (
	commandDesc = jser.Serializable("hudson.remoting.Command", 1, nil, jser.Ref("createdAt", "java.lang.Exception"))
	requestDesc = jser.Serializable("hudson.remoting.Request", 1, commandDesc,
		jser.Prim("id", 'I'), jser.Prim("lastIoId", 'I'), jser.Ref("response", "hudson.remoting.Response"))
	responseDesc = jser.Serializable("hudson.remoting.Response", 1, commandDesc,
		jser.Prim("id", 'I'), jser.Prim("lastIoId", 'I'), jser.Ref("exception", "java.lang.Throwable"), jser.Ref("returnValue", "java.io.Serializable"))
	ackDesc = jser.Serializable("hudson.remoting.ProxyOutputStream$Ack", 1, commandDesc,
		jser.Prim("oid", 'I'), jser.Prim("size", 'I'))
	deadDesc  = jser.Serializable("hudson.remoting.ProxyOutputStream$NotifyDeadWriter", 1, commandDesc, jser.Prim("oid", 'I'))
	chunkDesc = jser.Serializable("hudson.remoting.ProxyOutputStream$Chunk", 1, commandDesc,
		jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'), jser.Prim("requestId", 'I'), jser.Ref("buf", "[B"))
	unexportDesc = jser.Serializable("hudson.remoting.UnexportCommand", 1, commandDesc, jser.Prim("oid", 'I'))

	normalResponseDesc    = jser.Serializable("hudson.remoting.UserRequest$NormalResponse", 1, nil, jser.Ref("response", "[B"))
	exceptionResponseDesc = jser.Serializable("hudson.remoting.UserRequest$ExceptionResponse", 1, nil,
		jser.Ref("proxyResponse", "[B"), jser.Ref("rawResponse", "[B"))
)

// encodePlain writes a command: no class-loader tags.
func encodePlain(o *jser.Object) []byte {
	b, err := jser.Encode(o)
	if err != nil {
		panic(err) // our own constants
	}
	return b
}

// chunkHead is a Chunk up to its three ints, chunkTail what stands between them
// and the length of the data.
var chunkHead, chunkTail = func() (head, tail []byte) {
	b := encodePlain(jser.New(chunkDesc, nil, int32(idMark), int32(ioMark), int32(0), jser.ByteArray([]byte{})))
	i := bytes.Index(b, binary.BigEndian.AppendUint32(nil, idMark))
	return b[:i], b[i+12 : len(b)-4]
}()

// chunk appends a ProxyOutputStream$Chunk to b.
func chunk(b []byte, ioID, oid int32, data []byte) []byte {
	b = append(b, chunkHead...)
	for _, n := range [...]int32{ioID, oid, 0} {
		b = binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b = append(b, chunkTail...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// encodeJDK writes the payload of an answer: JDK classes only, tagged with the
// boot class path (-3).
func encodeJDK(v jser.Value) []byte {
	e := jser.Encoder{Annotate: func(*jser.ClassDesc) []byte { return binary.BigEndian.AppendUint32(nil, ^uint32(2)) }}
	b, err := e.Encode(v)
	if err != nil {
		panic(err)
	}
	return b
}

func response(id int32, value jser.Value, exception *jser.Object) []byte {
	return encodePlain(jser.New(responseDesc, nil, id, int32(0), exception, value))
}

func userResponse(id int32, value jser.Value) []byte {
	return response(id, jser.New(normalResponseDesc, jser.ByteArray(encodeJDK(value))), nil)
}

func userException(id int32, exception *jser.Object) []byte {
	b := jser.ByteArray(encodeJDK(exception))
	return response(id, jser.New(exceptionResponseDesc, b, b), nil)
}
