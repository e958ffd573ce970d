package jvm

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// maxOutbox bounds what waits for the JVM to read it, in bytes. The windows of
// the controller's streams keep it far below.
const maxOutbox = 64 << 20

// outbox holds commands on their way to the JVM, so that a JVM that does not
// read does not stop the channel:
//
//	reader of the channel ── put ──▶ queue ── pump ──▶ stdin of the JVM
//
// One that takes nothing for the given time is ended.
type outbox struct {
	p        *process
	patience time.Duration

	mu    sync.Mutex // guards the fields below
	queue [][]byte
	size  int
	wake  chan struct{} // closed and replaced with every change
	shut  bool
}

var errGone = errors.New("jvm: the JVM has ended")

func newOutbox(p *process, patience time.Duration) *outbox {
	o := &outbox{p: p, patience: patience, wake: make(chan struct{})}
	go o.pump()
	return o
}

func (o *outbox) changed() {
	close(o.wake)
	o.wake = make(chan struct{})
}

// put queues a copy of raw. It waits only when the queue is full.
func (o *outbox) put(raw []byte) error {
	raw = append([]byte(nil), raw...)
	for {
		o.mu.Lock()
		if o.shut {
			o.mu.Unlock()
			return errGone
		}
		if o.size == 0 || o.size+len(raw) <= maxOutbox {
			o.queue = append(o.queue, raw)
			o.size += len(raw)
			o.changed()
			o.mu.Unlock()
			return nil
		}
		wake := o.wake
		o.mu.Unlock()
		select {
		case <-wake:
		case <-o.p.ended:
			return errGone
		}
	}
}

// next waits for commands; nil means that the JVM has ended.
func (o *outbox) next() [][]byte {
	for {
		o.mu.Lock()
		batch := o.queue
		o.queue = nil
		wake := o.wake
		o.mu.Unlock()
		if len(batch) > 0 {
			return batch
		}
		select {
		case <-wake:
		case <-o.p.ended:
			return nil
		}
	}
}

// pump writes until the JVM ends or does not read any more.
func (o *outbox) pump() {
	defer func() {
		o.mu.Lock()
		o.shut = true
		o.changed()
		o.mu.Unlock()
	}()
	stalled := time.AfterFunc(time.Hour, func() { o.p.kill(fmt.Sprintf("it has read nothing for %v", o.patience)) })
	stalled.Stop()
	defer stalled.Stop()
	for batch := o.next(); batch != nil; batch = o.next() {
		for _, raw := range batch {
			stalled.Reset(o.patience)
			err := o.p.WriteCommand(raw)
			stalled.Stop()
			if err != nil {
				// Most likely it has ended, and its status says more.
				select {
				case <-o.p.ended:
				case <-time.After(time.Second):
					o.p.kill("it has closed its standard input")
				}
				return
			}
			o.mu.Lock()
			o.size -= len(raw)
			o.changed()
			o.mu.Unlock()
		}
	}
}
