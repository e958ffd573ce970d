package remoting

import (
	"bytes"

	"github.com/footman-ci/footman/remoting/jser"
)

// Class names of commands and of what they carry.
const (
	classUserRequest    = "hudson.remoting.UserRequest"
	classRPCRequest     = "hudson.remoting.RemoteInvocationHandler$RPCRequest"
	classUserRPCRequest = "hudson.remoting.RemoteInvocationHandler$UserRPCRequest"
	classCancel         = "hudson.remoting.Request$Cancel"
	classResponse       = "hudson.remoting.Response"
	classUnexport       = "hudson.remoting.UnexportCommand"
	classGC             = "hudson.remoting.GCCommand"
	classClose          = "hudson.remoting.Channel$CloseCommand"
	classPipeConnect    = "hudson.remoting.Pipe$ConnectCommand"

	classOutChunk    = "hudson.remoting.ProxyOutputStream$Chunk"
	classOutFlush    = "hudson.remoting.ProxyOutputStream$Flush"
	classOutEOF      = "hudson.remoting.ProxyOutputStream$EOF"
	classOutUnexport = "hudson.remoting.ProxyOutputStream$Unexport"
	classOutAck      = "hudson.remoting.ProxyOutputStream$Ack"
	classOutDead     = "hudson.remoting.ProxyOutputStream$NotifyDeadWriter"

	classWriterChunk    = "hudson.remoting.ProxyWriter$Chunk"
	classWriterFlush    = "hudson.remoting.ProxyWriter$Flush"
	classWriterEOF      = "hudson.remoting.ProxyWriter$EOF"
	classWriterUnexport = "hudson.remoting.ProxyWriter$Unexport"
	classWriterAck      = "hudson.remoting.ProxyWriter$Ack"
	classWriterDead     = "hudson.remoting.ProxyWriter$NotifyDeadWriter"

	classInChunk = "hudson.remoting.ProxyInputStream$Chunk"
	classInEOF   = "hudson.remoting.ProxyInputStream$EOF"

	classNormalResponse    = "hudson.remoting.UserRequest$NormalResponse"
	classExceptionResponse = "hudson.remoting.UserRequest$ExceptionResponse"
	classUserResponse      = "hudson.remoting.UserResponse"

	classRemoteOutputStream = "hudson.remoting.RemoteOutputStream"
	classRemoteInputStream  = "hudson.remoting.RemoteInputStream"
	classRemoteWriter       = "hudson.remoting.RemoteWriter"
	classPipe               = "hudson.remoting.Pipe"
	classInvocationHandler  = "hudson.remoting.RemoteInvocationHandler"
)

// noDefaults lists classes whose descriptor has fields that their writeObject
// leaves out: Pipe and RemoteInputStream write only an oid and flags,
// hudson.util.StreamTaskListener writes its stream and charset name as free
// objects.
var noDefaults = map[string]bool{
	classPipe:                        true,
	classRemoteInputStream:           true,
	"hudson.util.StreamTaskListener": true,
}

// DecodeOptions are what package jser has to know to read commands.
func DecodeOptions() jser.Options { return jser.Options{NoDefaults: noDefaults} }

// command is one decoded command.
type command struct {
	class string
	obj   *jser.Object
}

// isCreatedAt names the stack trace that most commands carry.
func isCreatedAt(d *jser.ClassDesc) bool { return d.Name == "hudson.remoting.Command$Source" }

// parseCommand decodes a command. The bytes may be reused afterwards.
func parseCommand(stream []byte, lim jser.Limits) (command, error) {
	opt := jser.Options{Limits: lim, NoDefaults: noDefaults}
	// createdAt, a stack trace, is half of most commands and says something only
	// in NotifyDeadWriter.
	if !bytes.Contains(stream[:min(len(stream), 128)], []byte("$NotifyDeadWriter")) {
		opt.Skip = isCreatedAt
	}
	v, err := jser.Decode(stream, opt)
	if err != nil {
		return command{}, err
	}
	o, ok := v.(*jser.Object)
	if !ok {
		return command{}, &jser.TypeError{Want: "a hudson.remoting.Command", Got: v}
	}
	return command{o.Class.Name, o}, nil
}
