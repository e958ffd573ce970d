package hudson

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// Decorators that need the controller: each write of a listener inside tee goes
// to a second stream as well, and one inside timeout(activity: true) tells the
// step that something was printed.
const (
	teeFilter      = "org.jenkinsci.plugins.pipeline.utility.steps.fs.TeeStep$TeeFilter"
	activityFilter = "org.jenkinsci.plugins.workflow.steps.TimeoutStepExecution$ConsoleLogFilterImpl2"
)

// binder is a layer that needs the call that brought it.
type binder interface {
	bind(ctx context.Context, c *remoting.Call, retain bool) error
	// unbind gives back what bind opened and a call does not give back itself.
	unbind()
}

// teeingFilter reads TeeStep$TeeFilter: the path and a flag, and behind them
// the stream to the file.
func teeingFilter(o *jser.Object) (func(textSink) textSink, error) {
	extra := o.Extra(teeFilter)
	if !o.Bool("transferredToRemote") || len(extra) != 1 || !remoting.IsStream(extra[0]) {
		return nil, fmt.Errorf("the log filter %s without a stream", o.Class)
	}
	return func(next textSink) textSink { return &teeSink{next: next, node: extra[0]} }, nil
}

// teeSink writes to the file of the step tee, too.
type teeSink struct {
	next   textSink
	node   jser.Value
	file   *remoting.ProxyWriter
	retain bool
}

func (t *teeSink) bind(ctx context.Context, c *remoting.Call, retain bool) (err error) {
	if t.file, err = c.Writer(ctx, t.node); err == nil && retain {
		t.file.Retain()
		t.retain = true
	}
	return err
}

func (t *teeSink) unbind() {
	if t.retain {
		_ = t.file.Release()
	}
}

func (t *teeSink) Write(p []byte) (int, error) {
	n, err := t.next.Write(p)
	if err != nil {
		return n, err
	}
	return t.file.Write(p)
}

func (t *teeSink) Flush() error {
	if err := t.next.Flush(); err != nil {
		return err
	}
	return t.file.Flush()
}

func (t *teeSink) Finish() error {
	if err := t.next.Finish(); err != nil {
		return err
	}
	return t.file.Flush()
}

var (
	toControllerDesc = jser.Serializable("jenkins.security.SlaveToMasterCallable", 1, nil)
	resetTimerDesc   = jser.Serializable("org.jenkinsci.plugins.workflow.steps.TimeoutStepExecution$ResetTimer", 1, toControllerDesc,
		jser.Ref("id", "java.lang.String"))
)

// activityLayer reads TimeoutStepExecution$ConsoleLogFilterImpl2.
func activityLayer(o *jser.Object) (func(textSink) textSink, error) {
	id, ok := o.Get("id").(string)
	timeout := time.Duration(o.Long("timeout")) * time.Millisecond
	if !ok || timeout <= 0 {
		return nil, fmt.Errorf("the log filter %s of unknown form", o.Class)
	}
	loader := o.Class.Mark
	return func(next textSink) textSink {
		s := &activitySink{next: next, pause: timeout / 2}
		s.reset = func(ctx context.Context, ch *remoting.Channel) error {
			_, err := ch.UserCall(ctx, jser.New(resetTimerDesc, id), resetTimerDesc.Name, loader, 0)
			return err
		}
		return s
	}, nil
}

// resetTime bounds a call to the controller.
const resetTime = 30 * time.Second

// activitySink calls ResetTimer when a line was printed: at once, and then at
// most every half of the timeout, as upstream, whose ticks come later.
type activitySink struct {
	next  textSink
	pause time.Duration
	reset func(ctx context.Context, ch *remoting.Channel) error

	mu     sync.Mutex // guards the fields below
	ch     *remoting.Channel
	last   time.Time   // of the last call
	timer  *time.Timer // of the next one, nil when there is none
	closed bool
}

func (s *activitySink) bind(_ context.Context, c *remoting.Call, _ bool) error {
	s.ch = c.Channel
	return nil
}

// unbind ends the timer; a line that was printed since counts.
func (s *activitySink) unbind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.timer != nil && s.timer.Stop() {
		s.call()
	}
	s.timer = nil
}

// call tells the controller; mu is held.
func (s *activitySink) call() {
	s.last = time.Now()
	ch := s.ch
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), resetTime)
		defer cancel()
		_ = s.reset(ctx, ch) // the step ends by itself if it must
	}()
}

// line notes that a line was printed.
func (s *activitySink) line() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.timer != nil {
		return
	}
	wait := s.pause - time.Since(s.last)
	if wait <= 0 {
		s.call()
		return
	}
	s.timer = time.AfterFunc(wait, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.timer != nil && !s.closed {
			s.timer = nil
			s.call()
		}
	})
}

func (s *activitySink) Write(p []byte) (int, error) {
	n, err := s.next.Write(p)
	if err == nil && bytes.IndexByte(p, '\n') >= 0 {
		s.line()
	}
	return n, err
}

func (s *activitySink) Flush() error  { return s.next.Flush() }
func (s *activitySink) Finish() error { return s.next.Finish() }
