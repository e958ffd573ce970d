package replay

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/footman-ci/footman/remoting/jser"
)

// flow gathers what one agent wrote to the controller's streams: by oid, and
// for WriteLog by log file, as many small streams together are one log there.
type flow struct {
	data    map[int32][]byte
	eof     map[int32]bool
	errors  map[int32]*jser.Object
	logOf   map[int32]string // request id → log file
	logs    map[string][]byte
	logOids map[int32]bool // streams that belong to a log file
}

func newFlow() *flow {
	return &flow{data: map[int32][]byte{}, eof: map[int32]bool{}, errors: map[int32]*jser.Object{}, logOf: map[int32]string{},
		logs: map[string][]byte{}, logOids: map[int32]bool{}}
}

// take notes a stream command. It returns the oid, the size that is to be
// acknowledged (-1 for commands that are not) and the kind: Chunk, Flush, EOF,
// Unexport.
func (f *flow) take(o *jser.Object) (oid int32, size int, kind string) {
	oid, size = o.Int("oid"), -1
	_, kind, _ = strings.Cut(o.Class.Name, "$")
	switch kind {
	case "Chunk":
		var b []byte
		if strings.HasPrefix(o.Class.Name, writerStream) {
			a, _ := o.Get("buf").(*jser.Array)
			u, _ := a.Elems.([]uint16)
			b, size = []byte(string(utf16.Decode(u))), len(u)
		} else {
			b, _ = jser.Bytes(o.Get("buf"))
			size = len(b)
		}
		if log, ok := f.logOf[o.Int("requestId")]; ok {
			f.logs[log] = append(f.logs[log], b...)
			f.logOids[oid] = true
			break
		}
		f.data[oid] = append(f.data[oid], b...)
	case "EOF":
		f.eof[oid] = true
		if e := o.Obj("error"); e != nil {
			f.errors[oid] = e
		}
	}
	return oid, size, kind
}

// lines is a measure of how far a text has come that does not depend on the
// length of paths: ended lines, and half a line. Lines that textPatterns drops
// don't count.
func lines(b []byte) int {
	if bytes.IndexByte(b[:min(len(b), 512)], 0) >= 0 {
		return 1 // no text
	}
	s := string(b)
	if len(s) < 4096 {
		s = strings.ReplaceAll(s, "Terminated\n", "")
	}
	n := 2 * strings.Count(s, "\n")
	if s != "" && !strings.HasSuffix(s, "\n") {
		n++
	}
	return n
}

// logFile names the log that a WriteLog callable reads: the control directory
// is what differs between steps.
func logFile(payload jser.Value) string {
	dir := ""
	walk(payload, func(o *jser.Object) {
		if s := o.Str("controlDir"); s != "" {
			dir = s
		}
		if o.Class.Name == "hudson.FilePath" && dir == "" {
			dir = o.Str("remote")
		}
	})
	return dir
}

// references counts what a request gives to the agent that the agent must give
// back: streams by EOF or Unexport, pipes by ConnectCommand or EOF, kept
// proxies by UnexportCommand.
func references(payload jser.Value) map[int32]int {
	refs := map[int32]int{}
	walk(payload, func(o *jser.Object) {
		switch o.Class.Name {
		case cRemoteOut, cRemoteWriter:
			if oid, ok := jser.BlockInt32(o.Extra(o.Class.Name), 0); ok {
				refs[oid]++
			}
		case cPipe:
			if oid, ok := jser.BlockInt32(o.Extra(cPipe), 1); ok {
				refs[oid]++
			}
		case cHandler:
			if !o.Bool("goingHome") && !o.Bool("autoUnexportByCaller") {
				refs[o.Int("oid")]++
			}
		}
	})
	return refs
}

// agentObjects lists the agent's own oids in an answer.
func agentObjects(v jser.Value) (oids []int32) {
	walk(v, func(o *jser.Object) {
		switch o.Class.Name {
		case cRemoteOut, cRemoteWriter:
			if oid, ok := jser.BlockInt32(o.Extra(o.Class.Name), 0); ok {
				oids = append(oids, oid)
			}
		case cPipe, cRemoteIn:
			if oid, ok := jser.BlockInt32(o.Extra(o.Class.Name), 1); ok {
				oids = append(oids, oid)
			}
		case cHandler:
			if !o.Bool("goingHome") {
				oids = append(oids, o.Int("oid"))
			}
		}
	})
	return oids
}

// Descriptors of the commands that the driver makes itself.
var (
	commandDesc   = jser.Serializable("hudson.remoting.Command", 1, nil, jser.Ref("createdAt", "java.lang.Exception"))
	outAckDesc    = jser.Serializable(outStream+"Ack", 1, commandDesc, jser.Prim("oid", 'I'), jser.Prim("size", 'I'))
	writerAckDesc = jser.Serializable(writerStream+"Ack", 1, commandDesc, jser.Prim("oid", 'I'), jser.Prim("size", 'I'))
	unexportDesc  = jser.Serializable(cUnexport, 1, commandDesc, jser.Prim("oid", 'I'))
	inEOFDesc     = jser.Serializable(cInEOF, 1, commandDesc, jser.Prim("oid", 'I'))
	closeDesc     = jser.Serializable(cClose, 972857271608138115, commandDesc)
	outUnexport   = jser.Serializable(outStream+"Unexport", 1, commandDesc, jser.Prim("ioId", 'I'), jser.Prim("oid", 'I'))
	responseDesc  = jser.Serializable(cResponse, 1, commandDesc, jser.Prim("id", 'I'), jser.Prim("lastIoId", 'I'),
		jser.Ref("exception", "java.lang.Throwable"), jser.Ref("returnValue", "java.io.Serializable"))
	normalDesc = jser.Serializable("hudson.remoting.UserRequest$NormalResponse", 1, nil, jser.Ref("response", "[B"))
)

func nullAnswer(id int32, user bool) *jser.Object {
	var v jser.Value
	if user {
		v = jser.New(normalDesc, jser.ByteArray(append(append([]byte(nil), jser.Header...), 0x70)))
	}
	return jser.New(responseDesc, nil, id, int32(0), nil, v)
}

func encodeCommand(o *jser.Object) []byte {
	e := jser.Encoder{Annotate: func(*jser.ClassDesc) []byte { return nil }}
	b, err := e.Encode(o)
	if err != nil {
		panic(fmt.Sprintf("replay: %s: %v", o.Class, err))
	}
	return b
}
