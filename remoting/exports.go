package remoting

import (
	"io"
	"sync"
)

// exportTable holds the objects that the peer can name by oid
// (hudson.remoting.ExportTable). An entry dies when its references are gone.
type exportTable struct {
	mu      sync.Mutex // guards all fields
	first   int32
	next    int32
	entries map[int32]*exported
	closed  error
}

type exported struct {
	refs   int
	object Exported // or
	sink   sink     // an exported OutputStream, or
	source *source  // an exported InputStream
}

func (t *exportTable) init(first int32) {
	t.first, t.next = first, first
	t.entries = map[int32]*exported{}
}

func (t *exportTable) add(e *exported) int32 {
	e.refs = 1
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed != nil {
		go e.release(t.closed)
		return t.next
	}
	for t.entries[t.next] != nil {
		t.bump()
	}
	oid := t.next
	t.entries[oid] = e
	t.bump()
	return oid
}

func (t *exportTable) bump() {
	if t.next++; t.next < t.first {
		t.next = t.first
	}
}

func (t *exportTable) get(oid int32) *exported {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.entries[oid]
}

func (t *exportTable) object(oid int32) (Exported, bool) {
	e := t.get(oid)
	if e == nil || e.object == nil {
		return nil, false
	}
	return e.object, true
}

// unref drops one reference; an unknown oid is ignored, as it may have been
// released by other means.
func (t *exportTable) unref(oid int32) {
	t.mu.Lock()
	e := t.entries[oid]
	if e != nil {
		if e.refs--; e.refs > 0 {
			e = nil
		} else {
			delete(t.entries, oid)
		}
	}
	t.mu.Unlock()
	if e != nil {
		e.release(nil)
	}
}

// remove drops an entry whatever its references.
func (t *exportTable) remove(oid int32) {
	t.mu.Lock()
	e := t.entries[oid]
	delete(t.entries, oid)
	t.mu.Unlock()
	if e != nil {
		e.release(nil)
	}
}

// detach drops an entry without releasing it.
func (t *exportTable) detach(oid int32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.entries, oid)
}

func (t *exportTable) releaseAll(cause error) {
	t.mu.Lock()
	all := t.entries
	t.entries, t.closed = map[int32]*exported{}, cause
	t.mu.Unlock()
	for _, e := range all {
		e.release(cause)
	}
}

func (t *exportTable) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries)
}

// release tells the object that the peer no longer refers to it. cause is nil
// unless the channel ended.
func (e *exported) release(cause error) {
	switch {
	case e.sink != nil:
		if cause == nil {
			cause = io.ErrClosedPipe
		}
		e.sink.abort(cause)
	case e.source != nil:
		e.source.release()
	default:
		if r, ok := e.object.(Releaser); ok {
			r.Release()
		}
	}
}

// Export makes a local object callable by the controller and returns its oid.
// It is released by UnexportCommand or with the channel.
func (c *Channel) Export(o Exported) int32 { return c.exports.add(&exported{object: o}) }

// Unexport drops an object that the controller does not need to release.
func (c *Channel) Unexport(oid int32) { c.exports.remove(oid) }

// Exports is the number of live entries of the export table.
func (c *Channel) Exports() int { return c.exports.len() }
