package hudson

import (
	"context"
	"strings"
	"sync"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// opener opens the listeners of one call. A node that occurs twice is opened
// once, as it is one object in Java.
type opener struct {
	c    *remoting.Call
	open map[*jser.Object]*delaySink
}

func newOpener(c *remoting.Call) *opener {
	return &opener{c: c, open: map[*jser.Object]*delaySink{}}
}

// listen opens a listener. With retain it lives until release is called, else
// it must be closed before the call ends.
func (o *opener) listen(ctx context.Context, l *listener, retain bool) (*listenerWriter, error) {
	w := &listenerWriter{charset: l.charset, flush: l.flush}
	if l.stream == nil {
		w.out = nowhere{}
		return w, nil
	}
	pw, err := o.c.Writer(ctx, l.stream)
	if err != nil {
		return nil, err
	}
	if retain {
		pw.Retain()
	}
	w.remote = pw
	base := o.open[l.stream]
	if base == nil {
		base = newDelaySink(pw, l.delay)
		o.open[l.stream] = base
	}
	w.base, w.out = base, base
	for _, layer := range l.layers {
		w.out = layer(w.out)
		if b, ok := w.out.(binder); ok {
			if err := b.bind(ctx, o.c, retain); err != nil {
				if retain {
					w.release()
				}
				return nil, err
			}
			w.binders = append(w.binders, b)
		}
		if p, ok := w.out.(holder); ok {
			w.holders = append(w.holders, p)
		}
	}
	return w, nil
}

// listenerWriter prints to a listener of the controller. All methods are safe
// for concurrent use.
type listenerWriter struct {
	mu      sync.Mutex // guards the layers
	out     textSink
	base    *delaySink            // nil when it prints nowhere
	remote  *remoting.ProxyWriter // likewise
	holders []holder
	binders []binder
	charset string
	flush   bool
	own     announcing
}

// Write writes bytes as TaskListener.getLogger does.
func (w *listenerWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(p) > 0 {
		w.own.middle = p[len(p)-1] != '\n'
	}
	return w.out.Write(p)
}

// println prints one line of our own.
func (w *listenerWriter) println(line string) error {
	b, err := encodeText(strings.TrimRight(line, "\n")+"\n", w.charset)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err = w.out.Write(b); err == nil && w.flush {
		err = w.out.Flush()
	}
	return err
}

// Flush sends what is buffered, apart from an unfinished line that a decorator
// has to see whole.
func (w *listenerWriter) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Flush()
}

// finish sends everything, unfinished lines too.
func (w *listenerWriter) finish() error {
	w.own.gone.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.out.Finish()
	w.unbind()
	if w.base != nil {
		w.base.stop()
	}
	return err
}

// unbind ends what the layers have running, once.
func (w *listenerWriter) unbind() {
	for _, b := range w.binders {
		b.unbind()
	}
	w.binders = nil
}

// release gives the stream back, when the listener was retained.
func (w *listenerWriter) release() {
	w.own.gone.Store(true)
	w.unbind()
	if w.base != nil {
		w.base.stop()
		_ = w.remote.Release()
	}
}

// progress reports what of the text is not on its way yet: raw bytes that a
// decorator holds back as an unfinished line, and how much went into the delay
// buffer and out of it.
func (w *listenerWriter) progress() (held int, taken, sent int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.holders {
		held += h.held()
	}
	if w.base != nil {
		taken, sent = w.base.progress()
	}
	return held, taken, sent
}

// lastIO is the last pipe operation, 0 for none.
func (w *listenerWriter) lastIO() int32 {
	if w.remote == nil {
		return 0
	}
	return w.remote.LastIO()
}
