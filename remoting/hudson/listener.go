package hudson

import (
	"errors"
	"fmt"
	"slices"
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
	closeableListener:                   "mainDelegate",
	"hudson.util.LogTaskListener":       "delegate",
	"jenkins.util.BuildListenerAdapter": "delegate",
}

// listenerFields are the fields that each class may have. Another one may be a
// decorator that we don't know of.
var listenerFields = map[string][]string{
	closeableListener:                   {"mainDelegate", "closeDelegate"},
	"hudson.util.LogTaskListener":       {"delegate"},
	"jenkins.util.BuildListenerAdapter": {"delegate"},
	nullListener:                        {},
	bufferedListener:                    {"ros", "tuning"},
	newlineListener:                     {"delegate"},
	decoratedListener:                   {"delegate", "decorators"},
	mergedDecorator:                     {"original", "subsequent"},
	mergedFilter:                        {"original", "subsequent"},
	filterDecorator:                     {"filter"},
	filterDecoratorV1:                   {"filter"},
	stampDecorator:                      {},
	secretFilter:                        {"pattern", "charsetName"},
	podDecorator:                        {"pattern"},
	teeFilter:                           {"f", "transferredToRemote"},
	activityFilter:                      {"id", "timeout"},
	colourFilter:                        {"colorMap", "notes"},
}

// knownFields reports a field of o that listenerFields does not list.
func knownFields(o *jser.Object) error {
	for i := range o.Data {
		for _, f := range o.Data[i].Desc.Fields {
			if !slices.Contains(listenerFields[o.Class.Name], f.Name) {
				return fmt.Errorf("the field %s of %s", f.Name, o.Class)
			}
		}
		if len(o.Data[i].Extra) > 0 && o.Class.Name != teeFilter {
			return fmt.Errorf("more data of %s", o.Class)
		}
	}
	return nil
}

const (
	streamListener    = "hudson.util.StreamTaskListener"
	closeableListener = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$CloseableTaskListener"
	nullListener      = "hudson.model.NullTaskListener"
	bufferedListener  = "org.jenkinsci.plugins.workflow.log.BufferedBuildListener$Replacement"
	decoratedListener = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$DecoratedTaskListener"
	newlineListener   = "org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep$Execution$NewlineSafeTaskListener"
	mergedDecorator   = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$MergedTaskListenerDecorator"
	mergedFilter      = "org.jenkinsci.plugins.workflow.steps.BodyInvoker$MergedFilter"
	filterDecorator   = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$ConsoleLogFilterAdapter"
	filterDecoratorV1 = "org.jenkinsci.plugins.workflow.log.TaskListenerDecorator$ConsoleLogFilterImpl"
	secretFilter      = "org.jenkinsci.plugins.credentialsbinding.impl.BindingStep$Filter"
	podDecorator      = "org.csanchez.jenkins.plugins.kubernetes.pipeline.SecretsMasker"
	stampDecorator    = "hudson.plugins.timestamper.pipeline.GlobalDecorator"
	colourFilter      = "hudson.plugins.ansicolor.AnsiColorConsoleLogFilter"
)

// maxListenerDepth bounds a chain that wraps itself.
const maxListenerDepth = 16

// parseListener reads a TaskListener; null is one that prints nowhere. The error
// says what is not understood.
func parseListener(v jser.Value) (*listener, error) {
	l := &listener{}
	if v == nil {
		return l, nil
	}
	return l, l.parse(v, maxListenerDepth)
}

func (l *listener) parse(v jser.Value, depth int) error {
	o, ok := v.(*jser.Object)
	if !ok || depth == 0 {
		return fmt.Errorf("the listener %q", jser.Name(v))
	}
	name := o.Class.Name
	if o.Class.Is(streamListener) {
		return l.parseStream(o)
	}
	if _, known := listenerFields[name]; !known {
		return fmt.Errorf("the listener %s", o.Class)
	}
	if err := knownFields(o); err != nil {
		return err
	}
	if field, neutral := neutralListeners[name]; neutral {
		return l.parse(o.Get(field), depth-1)
	}
	switch name {
	case nullListener:
		return nil
	case bufferedListener:
		l.stream, l.delay = o.Obj("ros"), tuningOf(o.Obj("tuning"))
		return l.checkStream(name)
	case newlineListener, decoratedListener:
		if err := l.parse(o.Get("delegate"), depth-1); err != nil {
			return err
		}
		// Its PrintStream is a new one around the stream of the delegate.
		l.flush, l.charset = false, ""
		if name == newlineListener {
			l.layers = append(l.layers, newlineSafe)
			return nil
		}
		ds, err := jser.List(o.Get("decorators"))
		if err != nil || len(ds) == 0 {
			return fmt.Errorf("a listener %s without decorators", name)
		}
		return l.decorate(ds, depth-1)
	}
	return fmt.Errorf("the listener %s", o.Class)
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
			return fmt.Errorf("the log decorator %q", jser.Name(d))
		}
		switch o.Class.Name {
		case mergedDecorator:
			if err := knownFields(o); err != nil {
				return err
			}
			if err := l.decorate([]jser.Value{o.Get("subsequent"), o.Get("original")}, depth-1); err != nil {
				return err
			}
			continue
		case filterDecorator, filterDecoratorV1:
			if err := knownFields(o); err != nil {
				return err
			}
			if o = o.Obj("filter"); o == nil {
				return errors.New("a log decorator without a filter")
			}
			if o.Class.Name == mergedFilter {
				if err := l.decorate([]jser.Value{o}, depth-1); err != nil {
					return err
				}
				continue
			}
		case mergedFilter: // the other way round than mergedDecorator
			if err := knownFields(o); err != nil {
				return err
			}
			if err := l.decorate([]jser.Value{o.Get("original"), o.Get("subsequent")}, depth-1); err != nil {
				return err
			}
			continue
		}
		parse := decorators[o.Class.Name]
		if parse == nil {
			return fmt.Errorf("the log decorator %s", o.Class)
		}
		if err := knownFields(o); err != nil {
			return err
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
	secretFilter:   maskingFilter,
	podDecorator:   podMasking,
	stampDecorator: stampingDecorator,
	teeFilter:      teeingFilter,
	activityFilter: activityLayer,
	colourFilter:   colouringFilter,
}

// stampingDecorator is timestamper's: "[2026-01-31T12:00:00.000Z] " before each
// line. Upstream takes the time when the line is complete, we when it begins.
func stampingDecorator(*jser.Object) (func(textSink) textSink, error) {
	return func(next textSink) textSink { return &stampSink{next: next, start: true} }, nil
}

// colouringFilter is ansicolor's, which turns escape sequences into notes for
// the browser. It hides nothing, and what we print has none: text passes as it
// is, with the sequences of a file name at worst.
func colouringFilter(*jser.Object) (func(textSink) textSink, error) { return nil, nil }

// maskingFilter is withCredentials' (credentials-binding): a regular expression
// with all forms of the secrets, kept in a Secret, which travels in clear.
func maskingFilter(o *jser.Object) (func(textSink) textSink, error) {
	unknown := fmt.Errorf("the log filter %s of unknown form", o.Class)
	secret := o.Obj("pattern")
	if secret == nil || secret.Class.Name != "hudson.util.Secret" {
		return nil, unknown
	}
	pattern, ok := secret.Get("value").(string)
	if !ok {
		return nil, unknown
	}
	return maskingLayer(o, pattern, o.Str("charsetName"))
}

// podMasking is the kubernetes plugin's, around every log of a build in a pod: it
// hides the agent's secret, and variables of containers that come from secrets.
// The same regular expression, as a java.util.regex.Pattern without flags.
func podMasking(o *jser.Object) (func(textSink) textSink, error) {
	p := o.Obj("pattern")
	if p == nil || p.Class.Name != "java.util.regex.Pattern" || p.Int("flags") != 0 {
		return nil, fmt.Errorf("the log decorator %s of unknown form", o.Class)
	}
	return maskingLayer(o, p.Str("pattern"), "UTF-8")
}

// maskingLayer is SecretPatterns$MaskingOutputStream with a pattern of
// SecretPatterns.getAggregateSecretPattern.
func maskingLayer(o *jser.Object, pattern, charset string) (func(textSink) textSink, error) {
	literals, ok := quotedLiterals(pattern)
	if !ok {
		return nil, fmt.Errorf("the log filter %s whose pattern is no list of quoted texts", o.Class)
	}
	if len(literals) == 0 {
		return nil, nil
	}
	e, err := charsetByName(charset)
	if err != nil || !bytewise(e) {
		return nil, fmt.Errorf("the log filter %s in the charset %q", o.Class, charset)
	}
	m := newMasker(literals, e)
	return func(next textSink) textSink { return newMaskSink(next, m) }, nil
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
