package jvm

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

var errTooMany = errors.New("the companion JVM has died too often on this connection; the agent starts none until it has reconnected")

// Class names of commands, package hudson.remoting.
const (
	prefix         = "hudson.remoting."
	classResponse  = prefix + "Response"
	classUnexport  = prefix + "UnexportCommand"
	classClose     = prefix + "Channel$CloseCommand"
	classCancel    = prefix + "Request$Cancel"
	classConnect   = prefix + "Pipe$ConnectCommand"
	classInChunk   = prefix + "ProxyInputStream$Chunk"
	classInEOF     = prefix + "ProxyInputStream$EOF"
	classInvoker   = prefix + "RemoteInvocationHandler"
	classRPC       = prefix + "RemoteInvocationHandler$RPCRequest"
	classUserRPC   = prefix + "RemoteInvocationHandler$UserRPCRequest"
	outputCommands = prefix + "ProxyOutputStream$"
	writerCommands = prefix + "ProxyWriter$"
)

// forward passes a command of the controller on to the JVM that it is for.
// false means that this JVM is gone.
func (e *episode) forward(class string, o *jser.Object, raw []byte) bool {
	r := e.running()
	if r == nil {
		return class == classUnexport || class == classResponse || class == classInEOF // nobody misses these
	}
	suffix, isOutput := strings.CutPrefix(class, outputCommands)
	if !isOutput {
		suffix, isOutput = strings.CutPrefix(class, writerCommands)
	}
	switch {
	case class == classResponse:
		if !r.owns(o.Int("id")) {
			return true // for one that is gone
		}
	case class == classCancel:
	case class == classConnect:
		if !r.owns(o.Int("oidRos")) {
			return false
		}
	case isOutput && (suffix == "Ack" || suffix == "NotifyDeadWriter"):
		// The oid is the controller's; the caller knows that we don't write there.
	default:
		if !r.owns(o.Int("oid")) {
			return class == classUnexport || class == classInEOF
		}
	}
	r.mu.Lock()
	r.busy = time.Now()
	switch class {
	case classUnexport, classInEOF:
		r.unref(o.Int("oid"))
	case classRPC, classUserRPC, classInChunk:
		r.direct[o.Int("id")] = true
	}
	if isOutput {
		switch suffix {
		case "Chunk", "Flush", "EOF", "Unexport":
			r.fed = o.Int("ioId")
		}
		if suffix == "EOF" || suffix == "Unexport" {
			delete(r.exports, o.Int("oid"))
		}
	}
	r.mu.Unlock()
	return r.send(raw) == nil
}

// owns reports whether a number is one of this JVM's.
func (r *running) owns(n int32) bool { return n >= r.base && n < r.base+span }

// unref drops a reference of the controller; mu is held.
func (r *running) unref(oid int32) {
	if r.exports[oid]--; r.exports[oid] <= 0 {
		delete(r.exports, oid)
	}
}

// barrier waits until the JVM has finished the pipe operations up to ioID.
func (e *episode) barrier(ctx context.Context, ioID int32) error {
	r := e.running()
	if r == nil {
		return nil
	}
	r.mu.Lock()
	need := r.fed != 0 && r.fed-r.synced > 0 && r.synced-ioID < 0
	upTo := r.fed
	r.mu.Unlock()
	if !need {
		return nil
	}
	id := e.ownRequest()
	b, err := remoting.BarrierCommand(id, upTo)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	r.mu.Lock()
	r.dropped[id] = done
	r.mu.Unlock()
	if err := r.send(b); err != nil {
		return nil // with the JVM its operations are over
	}
	select {
	case <-done:
	case <-r.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	r.mu.Lock()
	if upTo-r.synced > 0 {
		r.synced = upTo
	}
	r.mu.Unlock()
	return nil
}

// ownRequest numbers requests that we make in the controller's place: the
// controller counts up from 0, we count down from -1.
func (e *episode) ownRequest() int32 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.barrierID--; e.barrierID >= 0 {
		e.barrierID = -1
	}
	return e.barrierID
}

// read passes what the JVM says on to the controller until it ends.
func (e *episode) read(r *running) {
	for {
		raw, err := r.ReadCommand()
		if err != nil {
			break
		}
		class, o, err := remoting.ParseCommand(raw, e.c.cfg.Limits)
		if err != nil {
			e.c.log.Warn("The companion JVM wrote a command that can't be read", "bytes", len(raw), "err", err)
			continue
		}
		e.fromJVM(r, class, o, raw)
	}
	e.retire(r)
	_ = r.os.Kill() // its stdout has ended: nothing can come of it any more
	<-r.ended
	close(r.done)
	r.Close()
	e.mourn(r)
}

// fromJVM routes one command of the JVM.
func (e *episode) fromJVM(r *running, class string, o *jser.Object, raw []byte) {
	switch {
	case class == classClose:
		return // the channel is ours to close
	case class == classUnexport && e.ch.KnowsLoader(o.Int("oid")):
		return // we refer to that loader, too, and never give it back
	case class == classResponse:
		e.response(r, o, raw)
		return
	}
	if suffix, ok := strings.CutPrefix(class, outputCommands); ok {
		r.mu.Lock()
		switch suffix {
		case "Chunk", "Flush":
			r.writers[o.Int("oid")] = true
		case "EOF", "Unexport":
			delete(r.writers, o.Int("oid"))
		}
		r.mu.Unlock()
	}
	_ = e.ch.SendRaw(raw) // the end of the channel ends the JVM
}

// response passes the answer to a request on, or drops it if the request was
// ours.
func (e *episode) response(r *running, o *jser.Object, raw []byte) {
	id := o.Int("id")
	r.mu.Lock()
	r.busy = time.Now()
	ours := r.dropped[id]
	delete(r.dropped, id)
	waiting := r.waiting[id]
	delete(r.waiting, id)
	delete(r.direct, id)
	if ours == nil {
		e.countExports(r, o)
	}
	r.mu.Unlock()
	if ours != nil {
		close(ours)
		return
	}
	_ = e.ch.SendRaw(raw)
	if waiting != nil {
		close(waiting)
	}
}

// countExports notes the objects of the JVM that an answer gives to the
// controller; r.mu is held.
func (e *episode) countExports(r *running, o *jser.Object) {
	v := o.Get("returnValue")
	if n, ok := v.(*jser.Object); ok {
		if b, ok := jser.Bytes(n.Get("response")); ok {
			if p, err := remoting.DecodePayload(b, e.c.cfg.Limits); err == nil {
				v = p
			}
		}
	}
	seen := map[any]bool{}
	var walk func(v jser.Value)
	walk = func(v jser.Value) {
		switch v.(type) {
		case *jser.Object, *jser.Array:
		default:
			return
		}
		if seen[v] {
			return
		}
		seen[v] = true
		x, ok := v.(*jser.Object)
		if !ok {
			vs, _ := v.(*jser.Array).Elems.([]jser.Value)
			for _, e := range vs {
				walk(e)
			}
			return
		}
		switch x.Class.Name {
		case classInvoker:
			if !x.Bool("goingHome") && r.owns(x.Int("oid")) {
				r.exports[x.Int("oid")]++
			}
			return
		case prefix + "RemoteOutputStream", prefix + "RemoteWriter":
			if oid, ok := jser.BlockInt32(x.Extra(x.Class.Name), 0); ok {
				r.exports[oid]++
			}
			return
		case prefix + "RemoteInputStream", prefix + "Pipe":
			if oid, ok := jser.BlockInt32(x.Extra(x.Class.Name), 1); ok {
				r.exports[oid]++
			}
			return
		}
		for i := range x.Data {
			for _, f := range x.Data[i].Values {
				walk(f)
			}
			for _, f := range x.Data[i].Extra {
				walk(f)
			}
		}
	}
	walk(v)
}

// mourn answers for a JVM that ended: its requests fail, what it wrote to is
// given back. Calls that wait in execute answer for themselves.
func (e *episode) mourn(r *running) {
	if e.ch.Err() != nil {
		return
	}
	r.mu.Lock()
	direct, writers := r.direct, r.writers
	busy := len(r.waiting) + len(r.direct) + len(r.exports)
	r.mu.Unlock()
	err := e.gone(r)
	if busy > 0 {
		e.c.log.Warn("The companion JVM ended", "err", err, "calls", len(r.waiting)+len(direct))
	}
	for id := range direct {
		e.ch.FailRequest(id, remoting.Errorf(remoting.IOExceptionClass, "footman: %v", err))
	}
	for oid := range writers {
		e.ch.ReleaseStream(oid)
	}
}
