package remoting

import (
	"context"
	"sync"
)

// opTracker knows which incoming pipe operations are not finished, so that a
// request that follows one can wait for it (Request.lastIoId).
type opTracker struct {
	mu      sync.Mutex // guards pending
	pending map[int32]chan struct{}
}

func (t *opTracker) init() { t.pending = map[int32]chan struct{}{} }

func (t *opTracker) begin(ioID int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pending[ioID] == nil {
		t.pending[ioID] = make(chan struct{})
	}
}

func (t *opTracker) end(ioID int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ch := t.pending[ioID]; ch != nil {
		close(ch)
		delete(t.pending, ioID)
	}
}

// wait blocks until no operation up to ioID is pending; 0 means none to wait
// for. The official agent runs all operations on one lane, so one that is done
// means that all before it are.
func (t *opTracker) wait(ctx context.Context, ioID int32) error {
	if ioID == 0 {
		return nil
	}
	for {
		ch := t.before(ioID)
		if ch == nil {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *opTracker) before(ioID int32) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, ch := range t.pending {
		if id-ioID <= 0 { // wraps like the counter itself
			return ch
		}
	}
	return nil
}

// last is the largest pending operation, 0 when there is none.
func (t *opTracker) last() int32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last int32
	for id := range t.pending {
		if last == 0 || id-last > 0 {
			last = id
		}
	}
	return last
}

// SyncIO waits until every pipe operation received so far is done
// (hudson.remoting.Channel$IOSyncer).
func (c *Channel) SyncIO(ctx context.Context) error { return c.inOps.wait(ctx, c.inOps.last()) }
