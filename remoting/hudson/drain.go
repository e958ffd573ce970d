package hudson

import (
	"sync"

	"github.com/footman-ci/footman/remoting"
)

// drain counts the processes that somebody waits for, so that an agent that is
// told to stop can let them finish.
//
//	SIGTERM ─▶ Drain ─▶ launches are refused ─▶ the last process ends ─▶ Idle
//
// What a durable step left behind is not counted: it was started by a process
// that ended at once, goes on without us, and the next agent finds its files.
type drain struct {
	mu      sync.Mutex // guards the fields below
	going   bool
	running int
	idle    chan struct{}                // closed when going and nothing runs; nil until asked for
	logs    map[*listenerWriter]struct{} // of processes that run, where lines of ours are safe
}

// Drain refuses launches from now on. Running processes are left alone.
func (a *Agent) Drain() {
	a.drain.mu.Lock()
	defer a.drain.mu.Unlock()
	a.drain.going = true
	a.drain.check()
}

// Idle is closed when the agent drains and the last process that the
// controller started has ended.
func (a *Agent) Idle() <-chan struct{} {
	a.drain.mu.Lock()
	defer a.drain.mu.Unlock()
	if a.drain.idle == nil {
		a.drain.idle = make(chan struct{})
	}
	a.drain.check()
	return a.drain.idle
}

// Running is how many processes of the controller run now.
func (a *Agent) Running() int {
	a.drain.mu.Lock()
	defer a.drain.mu.Unlock()
	return a.drain.running
}

// enter counts a process that is about to start, or refuses it. log is where
// lines of ours may go, or nil.
func (d *drain) enter(log *listenerWriter) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.going {
		return remoting.Errorf(remoting.IOExceptionClass, "footman: the agent is going away and starts nothing new")
	}
	d.count(log)
	return nil
}

// proceed counts a process of work that was under way already, such as the next
// command of a checkout.
func (d *drain) proceed(log *listenerWriter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count(log)
}

// count is for holders of mu.
func (d *drain) count(log *listenerWriter) {
	d.running++
	if log != nil {
		if d.logs == nil {
			d.logs = map[*listenerWriter]struct{}{}
		}
		d.logs[log] = struct{}{}
	}
}

// leave uncounts a process that has ended or did not start.
func (d *drain) leave(log *listenerWriter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
	delete(d.logs, log)
	d.check()
}

// check closes idle once; mu is held.
func (d *drain) check() {
	if !d.going || d.running > 0 || d.idle == nil {
		return
	}
	select {
	case <-d.idle:
	default:
		close(d.idle)
	}
}
