package jvm

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
)

// episode is one channel and the JVMs that served it, one at a time.
type episode struct {
	c  *Companion
	ch *remoting.Channel

	mu         sync.Mutex // guards the fields below
	jvm        *running
	starting   *start
	generation int // of the next JVM
	ended      bool
	init       [][]byte // to be replayed to each JVM
	barrierID  int32
}

// running is a JVM and what it has to do with the controller.
type running struct {
	*process
	base int32 // its numbers are in [base, base+span)
	done chan struct{}

	mu      sync.Mutex              // guards the fields below
	waiting map[int32]chan struct{} // the controller's user requests that it executes
	direct  map[int32]bool          // its bare requests
	dropped map[int32]chan struct{} // requests of ours: the answer is for nobody
	writers map[int32]bool          // streams of the controller that it wrote to; true is a java.io.Writer
	sinks   map[int32]bool          // its streams that the controller wrote to
	pipes   map[int32]bool          // pipes of the controller that it is to write to: somebody reads them
	piped   map[int32]bool          // pipes of the controller that it connected
	exports map[int32]int           // its objects that the controller refers to
	dead    bool                    // nothing more may be entered above
	fed     int32                   // last pipe operation of the controller that it got
	synced  int32                   // last one known to be finished
	busy    time.Time               // last sign of use
}

// start is one attempt that several calls may wait for.
type start struct {
	done chan struct{}
	err  error // valid when done is closed
}

func (e *episode) running() *running {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jvm
}

// remember keeps a command for the JVMs to come, and plays it to the one that
// runs.
func (e *episode) remember(raw []byte) {
	e.mu.Lock()
	if len(e.init) < maxReplay {
		e.init = append(e.init, raw)
	}
	r := e.jvm
	e.mu.Unlock()
	if r != nil {
		go func() { _ = e.replay(r, raw) }() // one that does not answer is ended there
	}
}

// get returns the JVM, starting it if it is not up. Callers that come while it
// starts wait for the same start.
func (e *episode) get(ctx context.Context, call *remoting.Call, why error) (*running, error) {
	if e.c.cfg.Off {
		return nil, errOff
	}
	for {
		e.mu.Lock()
		switch {
		case e.ended:
			e.mu.Unlock()
			return nil, remoting.ErrClosed
		case e.starting != nil: // first of all: it may be up, but not initialised
		case e.jvm != nil:
			r := e.jvm
			e.mu.Unlock()
			return r, nil
		default:
			s := &start{done: make(chan struct{})}
			e.starting = s
			go func() {
				s.err = e.start(call, why)
				e.mu.Lock()
				e.starting = nil
				e.mu.Unlock()
				close(s.done)
			}()
		}
		wait := e.starting
		e.mu.Unlock()
		select {
		case <-wait.done:
			if wait.err != nil {
				return nil, wait.err
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// start brings a JVM up and repeats what initialised us. The start belongs to
// the channel, not to the call that needed it first.
func (e *episode) start(call *remoting.Call, why error) error {
	e.mu.Lock()
	generation := e.generation
	e.mu.Unlock()
	if generation > maxGeneration {
		return &GoneError{errTooMany}
	}
	class := "-"
	if call != nil && call.Callable != nil {
		class = innermost(call)
	}
	began := time.Now()
	p, err := e.c.startProcess(e.ch.Context(), generation)
	if err != nil {
		e.c.log.Warn("The companion JVM can't be started", "class", class, "err", err)
		return err
	}
	e.c.log.Info("Companion JVM started", "class", class, "why", why, "pid", p.os.Pid, "took", time.Since(began).Round(time.Millisecond))
	r := &running{process: p, base: int32(generation * span), done: make(chan struct{}),
		waiting: map[int32]chan struct{}{}, direct: map[int32]bool{}, dropped: map[int32]chan struct{}{},
		writers: map[int32]bool{}, sinks: map[int32]bool{}, pipes: map[int32]bool{}, piped: map[int32]bool{}, exports: map[int32]int{}, busy: time.Now()}
	e.mu.Lock()
	if e.ended {
		e.mu.Unlock()
		p.stop()
		return remoting.ErrClosed
	}
	e.jvm = r
	e.generation++
	init := e.init
	e.mu.Unlock()
	if call != nil {
		e.c.markNeeded(class)
	}
	go e.read(r)
	go r.watchEnd()
	if e.c.cfg.IdleStop > 0 {
		go e.watch(r)
	}
	for _, raw := range init {
		if err := e.replay(r, raw); err != nil {
			return err
		}
	}
	return nil
}

// replay runs a callable in the JVM whose answer nobody waits for.
func (e *episode) replay(r *running, raw []byte) error {
	_, o, err := remoting.ParseCommand(raw, e.c.cfg.Limits)
	if err != nil {
		return nil // it was readable once; nothing depends on it
	}
	ch := make(chan struct{})
	r.mu.Lock()
	r.dropped[o.Int("id")] = ch
	r.mu.Unlock()
	if r.send(raw) != nil {
		<-r.done
		return e.gone(r)
	}
	late := time.NewTimer(e.c.cfg.Patience)
	defer late.Stop()
	for {
		select {
		case <-ch:
			return nil
		case <-late.C:
			r.kill(fmt.Sprintf("it has not initialised itself in %v (%s)", e.c.cfg.Patience, o.Str("toString")))
		case <-r.done:
			return e.gone(r)
		}
	}
}

// gone is the error for whatever the JVM was running.
func (e *episode) gone(r *running) error { return &GoneError{r.why()} }

// execute passes a call on and waits for the JVM to answer it.
func (e *episode) execute(ctx context.Context, r *running, call *remoting.Call) error {
	answered := make(chan struct{})
	out, in := call.Pipes()
	call.Disown()
	r.mu.Lock()
	late := r.dead // then nobody else ends the pipes
	r.waiting[call.ID] = answered
	for _, oid := range out {
		r.pipes[oid] = true
	}
	r.busy = time.Now()
	r.mu.Unlock()
	err := r.send(call.Raw)
	cancelled := ctx.Done()
	for err == nil {
		select {
		case <-answered:
			return remoting.ErrAnswered
		case <-cancelled:
			cancelled = nil
			if e.ch.Err() != nil {
				return context.Cause(ctx)
			}
			// The JVM answers a cancelled request, too.
			var b []byte
			if b, err = remoting.CancelCommand(call.ID); err == nil {
				err = r.send(b)
			}
		case <-r.done:
			// It may have answered with its last breath.
			select {
			case <-answered:
				return remoting.ErrAnswered
			default:
			}
			err = e.gone(r)
		}
	}
	_ = r.os.Kill() // if it could not be written to, it is of no use
	<-r.done
	err = e.gone(r)
	if late {
		for _, oid := range out {
			e.ch.EndPipe(oid, err)
		}
	}
	for _, oid := range in {
		r.mu.Lock()
		connected := r.piped[oid]
		r.mu.Unlock()
		if !connected {
			e.ch.RefusePipe(oid)
		}
	}
	return callError(call, err)
}

func callError(call *remoting.Call, err error) error {
	name := call.Text
	if call.Callable != nil {
		name = innermost(call)
	}
	return remoting.Errorf(remoting.IOExceptionClass, "footman: %s: %v", name, err)
}

// innermost names the class inside FilePath's wrappers.
func innermost(call *remoting.Call) string {
	for _, f := range []string{"callable", "task"} {
		if o := call.Callable.Obj(f); o != nil {
			return callable.ClassOf(o)
		}
	}
	return callable.ClassOf(call.Callable)
}

var _ callable.Fallback = (*Companion)(nil)
var _ remoting.Relay = (*Companion)(nil)

// end stops the JVM with its channel.
func (e *episode) end() {
	e.mu.Lock()
	r := e.jvm
	e.ended = true
	e.mu.Unlock()
	if r != nil {
		r.stop()
	}
}

// watchEnd closes the pipes of a JVM that has ended: a process that it left
// behind may keep its stdout open.
func (r *running) watchEnd() {
	<-r.ended
	t := time.NewTimer(time.Second) // for what is still in the pipe
	defer t.Stop()
	select {
	case <-r.done:
	case <-t.C:
		_ = r.Close()
	}
}

// watch stops a JVM that nobody needs any more.
func (e *episode) watch(r *running) {
	every := min(e.c.cfg.IdleStop/4, time.Minute)
	t := time.NewTicker(max(every, time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-t.C:
		}
		if r.idle(e.c.cfg.IdleStop) && e.retire(r) {
			e.c.log.Info("Companion JVM stopped: it had nothing to do", "after", e.c.cfg.IdleStop)
			r.stop()
			return
		}
	}
}

func (r *running) idle(after time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting) == 0 && len(r.direct) == 0 && len(r.exports) == 0 && time.Since(r.busy) >= after
}

// retire takes the JVM away from new calls.
func (e *episode) retire(r *running) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jvm != r {
		return false
	}
	e.jvm = nil
	return true
}
