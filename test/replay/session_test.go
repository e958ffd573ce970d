// Package replay plays the controller's side of recorded sessions into our
// agent and compares each of its answers with what the official agent.jar
// answered, by class and by value.
//
//	session.jsonl.gz ──▶ driver ── c2a commands, rewritten ──▶ remoting.Engine, a Channel
//	      │                ▲                                   for each connection
//	      │                │                                   + hudson.NewTable
//	      │                ├───────── what our agent sends ───────────┤
//	      │                │                                          │ what is not native
//	      └─ recorded a2c ──▶ compare ◀── our a2c              jvm.Companion ── stand-in,
//	                             │                               which says what was recorded
//	                   declared differences
//
// A request goes out once our agent has given every answer that the recording
// shows before it, so what ran at once in the recording runs at once here.
// Paths, cookies and the agent's oids differ between the two; the driver learns
// the pairs from the answers and rewrites later commands. The upgrade requests
// are compared apart, header by header (handshake_test.go).
package replay

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// Classes of the wire that the driver treats in a way of their own.
const (
	cUserRequest    = "hudson.remoting.UserRequest"
	cRPCRequest     = "hudson.remoting.RemoteInvocationHandler$RPCRequest"
	cUserRPCRequest = "hudson.remoting.RemoteInvocationHandler$UserRPCRequest"
	cResponse       = "hudson.remoting.Response"
	cCancel         = "hudson.remoting.Request$Cancel"
	cUnexport       = "hudson.remoting.UnexportCommand"
	cConnect        = "hudson.remoting.Pipe$ConnectCommand"
	cClose          = "hudson.remoting.Channel$CloseCommand"
	cInEOF          = "hudson.remoting.ProxyInputStream$EOF"
	cInChunk        = "hudson.remoting.ProxyInputStream$Chunk"
	cHandler        = "hudson.remoting.RemoteInvocationHandler"
	cRemoteOut      = "hudson.remoting.RemoteOutputStream"
	cRemoteIn       = "hudson.remoting.RemoteInputStream"
	cRemoteWriter   = "hudson.remoting.RemoteWriter"
	cPipe           = "hudson.remoting.Pipe"
	outStream       = "hudson.remoting.ProxyOutputStream$"
	writerStream    = "hudson.remoting.ProxyWriter$"

	cWriteLog    = "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$WriteLog"
	cStatusCheck = "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$StatusCheck"
)

var noDefaults = map[string]bool{cPipe: true, cRemoteIn: true, "hudson.util.StreamTaskListener": true}

// command is one line of session.jsonl.gz.
type command struct {
	N        int
	Conn     int
	Dir      string // "c2a" or "a2c"
	Class    string
	Callable string
	RPC      string
	For      string
	Result   string
	ID       *int32
	OID      *int32
	B64      string

	raw []byte
	obj *jser.Object // the recorded command: read, never changed
}

// key names what a request asks for: the callable, or interface.method.
func (c *command) key() string {
	if method, _, _ := strings.Cut(c.RPC, "("); method != "" {
		return method
	}
	return c.Callable
}

func (c *command) isRequest() bool {
	return c.Class == cUserRequest || c.Class == cRPCRequest || c.Class == cUserRPCRequest || c.Class == cInChunk
}

// session is one recording.
type session struct {
	name     string
	recorded time.Time // when it was made
	base     string    // directory of all agents' roots then
	node     string
	protocol string // as CommunicationProtocol names the transport
	commands []*command
	requests map[int32]*command // of the controller, by id
	closed   bool               // the connection ended in order, by CloseCommands
	next     *session           // what came over the connection after this one
}

const fixtures = "../testdata/fixtures"

func loadSession(name string) (*session, error) {
	first := &session{name: name, requests: map[int32]*command{}}
	b, err := os.ReadFile(filepath.Join(fixturesDir(), name, "meta.json"))
	if err != nil {
		return nil, err
	}
	var meta struct {
		Node      string
		RemoteFS  string `json:"remote_fs"`
		Transport string
		Recorded  time.Time
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return nil, err
	}
	s := first
	s.node, s.base, s.recorded = meta.Node, filepath.Dir(meta.RemoteFS), meta.Recorded
	s.protocol = map[string]string{"WebSocket": "WebSocket", "JNLP4-connect": "JNLP4-connect", "stdio (command-launcher)": "Standard in/out"}[meta.Transport]
	if s.protocol == "" {
		return nil, fmt.Errorf("%s: unknown transport %q", name, meta.Transport)
	}
	f, err := os.Open(filepath.Join(fixturesDir(), name, "session.jsonl.gz"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for conn := 1; lines.Scan(); {
		c := &command{}
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			return nil, err
		}
		if c.Conn != conn {
			conn = c.Conn
			s.next = &session{name: name, recorded: s.recorded, base: s.base, node: s.node, protocol: s.protocol, requests: map[int32]*command{}}
			s = s.next
		}
		if c.raw, err = base64.StdEncoding.DecodeString(c.B64); err != nil {
			return nil, err
		}
		c.B64 = ""
		if c.obj, err = decodeCommand(c.raw); err != nil {
			return nil, fmt.Errorf("%s command %d: %w", name, c.N, err)
		}
		if c.Dir == "c2a" && c.isRequest() {
			s.requests[*c.ID] = c
		}
		s.closed = s.closed || c.Dir == "a2c" && c.Class == cClose
		s.commands = append(s.commands, c)
	}
	return first, lines.Err()
}

func decodeCommand(raw []byte) (*jser.Object, error) {
	v, err := jser.Decode(raw, jser.Options{NoDefaults: noDefaults})
	if err != nil {
		return nil, err
	}
	o, ok := v.(*jser.Object)
	if !ok {
		return nil, &jser.TypeError{Want: "a command", Got: v}
	}
	return o, nil
}

// decodePayload reads the stream inside a request or response. ClassDesc.Mark
// becomes the oid of the controller's loader that a class is looked up in, 0
// for JDK classes, negative for a loader of the agent.
func decodePayload(raw []byte) (jser.Value, error) {
	var seen []int32
	return jser.Decode(raw, jser.Options{NoDefaults: noDefaults, OnClassDesc: func(d *jser.ClassDesc) error {
		if len(d.Annotation) != 1 {
			return nil
		}
		b, _ := d.Annotation[0].(jser.Block)
		switch {
		case len(b) == 8:
			d.Mark = int32(binary.BigEndian.Uint32(b[4:]))
			seen = append(seen, d.Mark)
		case len(b) == 4:
			if i := int32(binary.BigEndian.Uint32(b)); i >= 0 && int(i) < len(seen) {
				d.Mark = seen[i]
			}
		}
		return nil
	}})
}

// result is what a Response says: a value or an exception.
func result(resp *jser.Object) (v jser.Value, thrown *jser.Object, err error) {
	if t := resp.Obj("exception"); t != nil {
		return nil, t, nil
	}
	rv := resp.Get("returnValue")
	o, ok := rv.(*jser.Object)
	if !ok {
		return rv, nil, nil
	}
	switch o.Class.Name {
	case "hudson.remoting.UserRequest$NormalResponse":
		b, _ := jser.Bytes(o.Get("response"))
		v, err = decodePayload(b)
		return v, nil, err
	case "hudson.remoting.UserRequest$ExceptionResponse":
		b, ok := jser.Bytes(o.Get("rawResponse"))
		if !ok {
			b, _ = jser.Bytes(o.Get("proxyResponse"))
		}
		v, err = decodePayload(b)
		t, _ := v.(*jser.Object)
		if err == nil && t == nil {
			err = fmt.Errorf("an ExceptionResponse without an exception")
		}
		return nil, t, err
	}
	return rv, nil, nil
}

// walk visits every node once.
func walk(v jser.Value, visit func(*jser.Object)) {
	seen := map[any]bool{}
	var rec func(jser.Value)
	rec = func(v jser.Value) {
		switch v := v.(type) {
		case *jser.Object:
			if seen[v] {
				return
			}
			seen[v] = true
			visit(v)
			for i := range v.Data {
				for _, f := range v.Data[i].Values {
					rec(f)
				}
				for _, f := range v.Data[i].Extra {
					rec(f)
				}
			}
		case *jser.Array:
			if seen[v] {
				return
			}
			seen[v] = true
			if vs, ok := v.Elems.([]jser.Value); ok {
				for _, e := range vs {
					rec(e)
				}
			}
		}
	}
	rec(v)
}

// setField changes a field of an object that is ours to change.
func setField(o *jser.Object, name string, v jser.Value) {
	for i := range o.Data {
		for j := range o.Data[i].Values {
			if o.Data[i].Desc.Fields[j].Name == name {
				o.Data[i].Values[j] = v
			}
		}
	}
}
