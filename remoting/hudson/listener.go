package hudson

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/encoding"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// A hudson.model.TaskListener arrives as a chain of wrappers around one stream
// of the controller. It is read in two steps: parseListener understands the
// chain without touching the stream, so that a callable can be refused before
// anything happens; open makes the Go writers.
//
//	NewlineSafeTaskListener ─▶ CloseableTaskListener ─▶ DecoratedTaskListener
//	   newline at the end                               masks, time stamps, …
//	                                                          │
//	   RemoteOutputStream ◀─ delay buffer ◀─ BufferedBuildListener$Replacement
//	                      ◀───────────────── StreamTaskListener (with charset)
//
// What decorates text in a way that we don't know is an error of parseListener:
// a decorator may be there to mask secrets, and text must never go round it.

// listener is a TaskListener that was understood.
type listener struct {
	stream  *jser.Object // RemoteOutputStream; nil swallows text
	charset string       // of printed lines, "" = UTF-8
	flush   bool         // each printed line is flushed (PrintStream autoflush)
	delay   *delayTuning
	layers  []func(textSink) textSink // innermost first
}

// Classes that pass text on unchanged, and the field with what they wrap.
var neutralListeners = map[string]string{
	"org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$CloseableTaskListener": "mainDelegate",
	"hudson.util.LogTaskListener":                             "delegate",
	"jenkins.util.BuildListenerAdapter":                       "delegate",
	"org.jenkinsci.plugins.workflow.log.BuildListenerAdapter": "delegate",
}

const (
	streamListener    = "hudson.util.StreamTaskListener"
	nullListener      = "hudson.model.NullTaskListener"
	bufferedListener  = "org.jenkinsci.plugins.workflow.log.BufferedBuildListener$Replacement"
	decoratedListener = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$DecoratedTaskListener"
	newlineListener   = "org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep$Execution$NewlineSafeTaskListener"
	mergedDecorator   = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$MergedTaskListenerDecorator"
	filterDecorator   = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$ConsoleLogFilterAdapter"
	filterDecoratorV1 = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$ConsoleLogFilterImpl"
)

// maxListenerDepth bounds a chain that wraps itself.
const maxListenerDepth = 16

// parseListener reads a TaskListener. The error says what is not understood.
func parseListener(v jser.Value) (*listener, error) {
	l := &listener{}
	return l, l.parse(v, maxListenerDepth)
}

func (l *listener) parse(v jser.Value, depth int) error {
	if v == nil {
		return nil
	}
	o, ok := v.(*jser.Object)
	if !ok || depth == 0 {
		return fmt.Errorf("the listener %s", jser.Name(v))
	}
	name := o.Class.Name
	if field, neutral := neutralListeners[name]; neutral {
		return l.parse(o.Get(field), depth-1)
	}
	switch name {
	case nullListener:
		return nil
	case bufferedListener:
		l.stream, l.delay = o.Obj("ros"), tuningOf(o.Obj("tuning"))
		return l.checkStream(name)
	case newlineListener:
		if err := l.parse(o.Get("delegate"), depth-1); err != nil {
			return err
		}
		l.flush = false
		l.layers = append(l.layers, newlineSafe)
		return nil
	case decoratedListener:
		if err := l.parse(o.Get("delegate"), depth-1); err != nil {
			return err
		}
		l.flush = false
		ds, err := jser.List(o.Get("decorators"))
		if err != nil {
			return fmt.Errorf("the decorators of a listener (%w)", err)
		}
		return l.decorate(ds, depth-1)
	}
	if o.Class.Is(streamListener) {
		return l.parseStream(o)
	}
	return fmt.Errorf("the listener %s", name)
}

// parseStream reads a StreamTaskListener, which writes its stream and the name
// of its charset. A subclass with data of its own may do anything to the text;
// one without has nothing to do it with.
func (l *listener) parseStream(o *jser.Object) error {
	for i := range o.Data {
		d := &o.Data[i]
		if d.Desc.Name != streamListener && (len(d.Desc.Fields) > 0 || len(d.Extra) > 0) {
			return fmt.Errorf("the listener %s", o.Class)
		}
	}
	extra := o.Extra(streamListener)
	if len(extra) != 2 {
		return fmt.Errorf("a listener %s of unknown form", o.Class)
	}
	l.stream, _ = extra[0].(*jser.Object)
	l.charset, _ = extra[1].(string)
	if _, err := charsetByName(l.charset); err != nil {
		return fmt.Errorf("a listener with the charset %q", l.charset)
	}
	l.flush = true
	return l.checkStream(o.Class.Name)
}

func (l *listener) checkStream(name string) error {
	if l.stream == nil || !remoting.IsStream(l.stream) {
		return fmt.Errorf("a listener %s without a stream", name)
	}
	return nil
}

// decorate adds decorators: the first of the list is next to the stream.
func (l *listener) decorate(ds []jser.Value, depth int) error {
	for _, d := range ds {
		o, ok := d.(*jser.Object)
		if !ok || depth == 0 {
			return fmt.Errorf("the log decorator %s", jser.Name(d))
		}
		switch o.Class.Name {
		case mergedDecorator:
			if err := l.decorate([]jser.Value{o.Get("subsequent"), o.Get("original")}, depth-1); err != nil {
				return err
			}
			continue
		case filterDecorator, filterDecoratorV1:
			if o = o.Obj("filter"); o == nil {
				return fmt.Errorf("a log filter of unknown form")
			}
		}
		parse := decorators[o.Class.Name]
		if parse == nil {
			return fmt.Errorf("the log decorator %s", o.Class)
		}
		layer, err := parse(o)
		if err != nil {
			return err
		}
		if layer != nil {
			l.layers = append(l.layers, layer)
		}
	}
	return nil
}

// decorators are the TaskListenerDecorators and ConsoleLogFilters that we know.
// A nil layer changes nothing.
var decorators = map[string]func(o *jser.Object) (func(textSink) textSink, error){
	"org.jenkinsci.plugins.credentialsbinding.impl.BindingStep$Filter": maskingFilter,
	"hudson.plugins.timestamper.pipeline.GlobalDecorator":              stampingDecorator,
}

// stampingDecorator is timestamper's: "[2026-01-31T12:00:00.000Z] " before each
// line, with the time when the line was complete.
func stampingDecorator(o *jser.Object) (func(textSink) textSink, error) {
	for i := range o.Data {
		if len(o.Data[i].Desc.Fields) > 0 {
			return nil, fmt.Errorf("the log decorator %s with fields", o.Class)
		}
	}
	return func(next textSink) textSink { return &stampSink{next: next, start: true} }, nil
}

// maskingFilter is withCredentials' (credentials-binding).
func maskingFilter(o *jser.Object) (func(textSink) textSink, error) {
	for i := range o.Data {
		for _, f := range o.Data[i].Desc.Fields {
			if f.Name != "pattern" && f.Name != "charsetName" {
				return nil, fmt.Errorf("the log filter %s with the field %s", o.Class, f.Name)
			}
		}
	}
	secret := o.Obj("pattern")
	if secret == nil || secret.Class.Name != "hudson.util.Secret" {
		return nil, fmt.Errorf("the log filter %s of unknown form", o.Class)
	}
	pattern, ok := secret.Get("value").(string)
	if !ok {
		return nil, fmt.Errorf("the log filter %s of unknown form", o.Class)
	}
	literals, ok := quotedLiterals(pattern)
	if !ok {
		return nil, fmt.Errorf("the log filter %s whose pattern is no list of quoted texts", o.Class)
	}
	if len(literals) == 0 {
		return nil, nil
	}
	charset := o.Str("charsetName")
	e, err := charsetByName(charset)
	if err != nil || !bytewise(e) {
		return nil, fmt.Errorf("the log filter %s in the charset %q", o.Class, charset)
	}
	m, err := newMasker(literals, charset)
	if err != nil {
		return nil, fmt.Errorf("the log filter %s in the charset %q", o.Class, charset)
	}
	return func(next textSink) textSink { return &maskSink{next: next, m: m} }, nil
}

// bytewise reports whether a text occurs in another exactly where its encoding
// does: so it is for UTF-8 and for charsets of one byte.
func bytewise(e encoding.Encoding) bool {
	if e == nil {
		return true
	}
	return singleByte(e)
}

// delayTuning is DelayBufferedOutputStream$Tuning.
type delayTuning struct {
	min, max time.Duration
	backoff  float64
	size     int
}

func tuningOf(o *jser.Object) *delayTuning {
	t := &delayTuning{min: time.Second, max: 10 * time.Second, backoff: 1.05, size: 64 << 10}
	if o == nil {
		return t
	}
	millis := func(name string, d time.Duration) time.Duration {
		if n := o.Long(name); n > 0 && n < int64(time.Hour/time.Millisecond) {
			return time.Duration(n) * time.Millisecond
		}
		return d
	}
	t.min, t.max = millis("minRecurrencePeriod", t.min), millis("maxRecurrencePeriod", t.max)
	if b, ok := o.Get("recurrencePeriodBackoff").(float32); ok && b >= 1 && b < 100 {
		t.backoff = float64(b)
	}
	if n := int(o.Int("bufferSize")); n > 0 {
		t.size = min(n, 1<<20)
	}
	return t
}

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
		if p, ok := w.out.(holder); ok {
			w.holders = append(w.holders, p)
		}
	}
	return w, nil
}

// listenerWriter prints to a listener of the controller.
type listenerWriter struct {
	out     textSink
	base    *delaySink            // nil when it prints nowhere
	remote  *remoting.ProxyWriter // likewise
	holders []holder
	charset string
	flush   bool
}

// Write writes bytes as TaskListener.getLogger does.
func (w *listenerWriter) Write(p []byte) (int, error) { return w.out.Write(p) }

// println prints one line of our own.
func (w *listenerWriter) println(line string) error {
	b, err := encodeText(strings.TrimRight(line, "\n")+"\n", w.charset)
	if err != nil {
		return err
	}
	if _, err = w.out.Write(b); err == nil && w.flush {
		err = w.out.Flush()
	}
	return err
}

// Flush sends what is buffered, apart from an unfinished line that a decorator
// has to see whole.
func (w *listenerWriter) Flush() error { return w.out.Flush() }

// finish sends everything, unfinished lines too.
func (w *listenerWriter) finish() error {
	err := w.out.Finish()
	if w.base != nil {
		w.base.stop()
	}
	return err
}

// release gives the stream back, when the listener was retained.
func (w *listenerWriter) release() {
	if w.base != nil {
		w.base.stop()
		_ = w.remote.Release()
	}
}

// progress reports what of the text is not on its way yet: raw bytes that a
// decorator holds back as an unfinished line, and how much went into the delay
// buffer and out of it.
func (w *listenerWriter) progress() (held int, taken, sent int64) {
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
