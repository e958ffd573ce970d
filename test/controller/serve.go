package controller

import (
	"fmt"
	"strings"

	"github.com/footman-ci/footman/remoting/jser"
)

// ClassSource finds the bytes of Java classes and resources for an agent that
// loads them: "hudson/FilePath.class". It must be safe for concurrent use. A
// native agent never asks.
type ClassSource func(resource string) ([]byte, bool)

// serveUser answers callables of the agent.
func (c *conn) serveUser(o *jser.Object) {
	id := o.Int("id")
	payload, _ := jser.Bytes(o.Get("request"))
	callable, err := decodeObject(payload)
	if err != nil {
		c.log.Warn("a callable of the agent that can't be read", "err", err)
		return
	}
	var answer []byte
	switch callable.Class.Name {
	case "hudson.remoting.PingThread$Ping":
		answer = userResponse(id, nil)
	case "hudson.remoting.Channel$IOSyncer":
		c.mu.Lock()
		after := c.doing[o.Int("lastIoId")]
		c.mu.Unlock()
		if after != nil {
			c.workers.Go(func() {
				select {
				case <-after:
				case <-c.ctx.Done():
				}
				_ = c.write(userResponse(id, nil))
			})
			return
		}
		answer = userResponse(id, nil)
	case "hudson.util.ProcessTree$DoVetoersExist":
		answer = userResponse(id, jser.Boolean(false))
	case "hudson.util.ProcessTree$ListAll":
		answer = userResponse(id, jser.ArrayList())
	default:
		answer = userException(id, jser.Throwable(jser.UnsupportedOperationExceptionClass,
			"the embedded controller does not execute "+callable.Class.Name, nil))
	}
	_ = c.write(answer)
}

// serveRPC answers calls of class loaders (RemoteClassLoader$IClassLoader).
func (c *conn) serveRPC(o *jser.Object) {
	id, method := o.Int("id"), o.Str("methodName")
	args, _ := jser.Values(o.Get("arguments"))
	arg := ""
	if len(args) > 0 {
		arg, _ = args[0].(string)
	}
	name, isLoader := loaderName(o.Int("oid"))
	c.log.Debug("call of the agent", "oid", o.Int("oid"), "method", method, "arg", arg)
	var value jser.Value
	switch {
	case !isLoader:
		_ = c.write(response(id, nil, jser.Throwable(jser.IllegalStateExceptionClass, fmt.Sprintf("no object %d is exported", o.Int("oid")), nil)))
		return
	case method == "getName":
		value = name
	case method == "fetch" || method == "fetch2" || method == "fetch3":
		b, ok := c.resource(strings.ReplaceAll(arg, ".", "/") + ".class")
		if !ok {
			_ = c.write(response(id, nil, jser.Throwable(classNotFound, arg, nil, nil)))
			return
		}
		value = jser.ByteArray(b)
		switch method {
		case "fetch2":
			value = jser.New(classFileDesc, o.Int("oid"), value)
		case "fetch3":
			file := jser.New(classFile2Desc, jser.New(imageDirectDesc, value), o.Int("oid"), nil)
			value = jser.HashMap(jser.Entry{Key: arg, Value: file})
		}
	case method == "getResource":
		if b, ok := c.resource(arg); ok {
			value = jser.ByteArray(b)
		}
	case method == "getResources":
		value = &jser.Array{Class: jser.ArrayClass("[[B", 4220094040397411095), Elems: []jser.Value{}}
	default:
		_ = c.write(response(id, nil, jser.Throwable(jser.UnsupportedOperationExceptionClass, "the embedded controller has no "+method, nil)))
		return
	}
	_ = c.write(response(id, value, nil))
}

// classFileDesc is a class with the loader that defines it.
var classFileDesc = jser.Serializable("hudson.remoting.RemoteClassLoader$ClassFile", 1, nil,
	jser.Prim("classLoader", 'I'), jser.Ref("classImage", "[B"))

// classFile2Desc is the same with what may come instead of the class: here its
// bytes, always.
var (
	classFile2Desc = jser.Serializable("hudson.remoting.RemoteClassLoader$ClassFile2", 1,
		jser.Serializable("hudson.remoting.RemoteClassLoader$ResourceFile", 1, nil, jser.Ref("image", "hudson.remoting.ResourceImageRef")),
		jser.Prim("classLoader", 'I'), jser.Ref("referer", "hudson.remoting.RemoteClassLoader$ClassFile2"))
	imageDirectDesc = jser.Serializable("hudson.remoting.ResourceImageDirect", 1,
		jser.Serializable("hudson.remoting.ResourceImageRef", 1, nil), jser.Ref("payload", "[B"))
)

var classNotFound = jser.Serializable("java.lang.ClassNotFoundException", 9176873029745254542,
	jser.Serializable("java.lang.ReflectiveOperationException", 123456789, jser.ExceptionClass), jser.Ref("ex", "java.lang.Throwable"))

func (c *conn) resource(name string) ([]byte, bool) {
	if c.classes == nil {
		return nil, false
	}
	return c.classes(name)
}
