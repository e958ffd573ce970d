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
	prefix           = "hudson.remoting."
	classUserRequest = prefix + "UserRequest"
	classResponse    = prefix + "Response"
	classUnexport    = prefix + "UnexportCommand"
	classClose       = prefix + "Channel$CloseCommand"
	classCancel      = prefix + "Request$Cancel"
	classConnect     = prefix + "Pipe$ConnectCommand"
	classInChunk     = prefix + "ProxyInputStream$Chunk"
	classInEOF       = prefix + "ProxyInputStream$EOF"
	classInvoker     = prefix + "RemoteInvocationHandler"
	classRPC         = prefix + "RemoteInvocationHandler$RPCRequest"
	classUserRPC     = prefix + "RemoteInvocationHandler$UserRPCRequest"
	outputCommands   = prefix + "ProxyOutputStream$"
	writerCommands   = prefix + "ProxyWriter$"
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
	r.mu.Lock()
	forward, answer := r.admit(class, suffix, isOutput, o)
	r.mu.Unlock()
	if forward && r.send(raw) != nil && class != classCancel {
		return isOutput || class == classUnexport || class == classResponse // mourn does the rest
	}
	return answer
}

// admit decides whether the JVM gets a command, and enters what it means for
// us; r.mu is held. answer is what forward returns.
func (r *running) admit(class, suffix string, isOutput bool, o *jser.Object) (forward, answer bool) {
	oid := o.Int("oid")
	switch {
	case r.dead:
		return false, class == classUnexport || class == classResponse || class == classInEOF
	case class == classResponse:
		return r.owns(o.Int("id")), true // others are for one that is gone
	case class == classCancel:
		return r.direct[o.Int("id")], true
	case class == classConnect:
		return r.owns(o.Int("oidRos")), r.owns(o.Int("oidRos"))
	case isOutput && (suffix == "Ack" || suffix == "NotifyDeadWriter"):
		// The oid is the controller's.
		_, writes := r.writers[oid]
		return writes, true
	case !r.owns(oid):
		return false, class == classUnexport || class == classInEOF
	}
	r.busy = time.Now()
	switch {
	case class == classUnexport, class == classInEOF:
		r.unref(oid)
	case class == classRPC, class == classUserRPC, class == classInChunk:
		r.direct[o.Int("id")] = true
	case isOutput:
		r.fed = o.Int("ioId")
		r.sinks[oid] = true
		if suffix == "EOF" || suffix == "Unexport" {
			delete(r.exports, oid)
			delete(r.sinks, oid)
		}
	}
	return true, true
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
	late := time.NewTimer(e.c.cfg.Patience)
	defer late.Stop()
	select {
	case <-done:
	case <-r.done:
	case <-late.C:
		return remoting.Errorf(remoting.IOExceptionClass,
			"footman: the companion JVM (process %d) has not finished in %v what the controller wrote to its streams before", r.os.Pid, e.c.cfg.Patience)
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
		if oid, ok := remoting.ChunkTarget(raw); ok {
			r.wrote(oid, false)
			_ = e.ch.SendRaw(raw)
			continue
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
	suffix, isOutput := strings.CutPrefix(class, outputCommands)
	chars := false
	if !isOutput {
		suffix, chars = strings.CutPrefix(class, writerCommands)
	}
	if oid := o.Int("oid"); isOutput || chars {
		switch suffix {
		case "Chunk", "Flush":
			r.wrote(oid, chars)
		case "EOF", "Unexport":
			r.mu.Lock()
			delete(r.writers, oid)
			delete(r.pipes, oid)
			r.mu.Unlock()
		}
	}
	r.mu.Lock()
	switch class {
	case classConnect:
		r.piped[o.Int("oidRos")] = true
		r.exports[o.Int("oidPos")]++
	case classUserRequest, classRPC, classUserRPC:
		e.countExports(r, o)
	}
	r.mu.Unlock()
	_ = e.ch.SendRaw(raw) // the end of the channel ends the JVM
}

// wrote notes that the JVM writes to a stream of the controller.
func (r *running) wrote(oid int32, chars bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writers[oid] = chars
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

// countExports notes the objects of the JVM that an answer, or a request of its
// own, gives to the controller; r.mu is held. Class loaders don't count: the
// controller loads nothing from agents.
func (e *episode) countExports(r *running, o *jser.Object) {
	v := o.Get("returnValue")
	payload, ok := jser.Bytes(o.Get("request"))
	if n, isObject := v.(*jser.Object); isObject && !ok {
		payload, ok = jser.Bytes(n.Get("response"))
	}
	if ok {
		if p, err := remoting.DecodePayload(payload, e.c.cfg.Limits); err == nil {
			v = p
		}
	}
	if v == nil {
		v = o.Get("arguments")
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
			if !x.Bool("goingHome") && !x.Bool("autoUnexportByCaller") && r.owns(x.Int("oid")) {
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
	r.dead = true
	direct, writers, sinks, pipes := r.direct, r.writers, r.sinks, r.pipes
	calls, objects := len(r.waiting)+len(r.direct), len(r.exports)
	r.mu.Unlock()
	err := e.gone(r)
	if calls+objects > 0 {
		e.c.log.Warn("The companion JVM ended", "err", err, "calls", calls, "objects", objects)
	}
	for id := range direct {
		e.ch.FailRequest(id, remoting.Errorf(remoting.IOExceptionClass, "footman: %v", err))
	}
	for oid := range sinks {
		e.ch.RefuseStream(oid, err)
	}
	for oid := range pipes {
		e.ch.EndPipe(oid, err)
	}
	for oid, chars := range writers {
		if !pipes[oid] {
			e.ch.ReleaseStream(oid, chars)
		}
	}
}
