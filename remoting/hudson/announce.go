package hudson

import (
	"context"
	"io"
	"os"
	"regexp"
	"sync"
	"sync/atomic"
	"time"
)

// A line of the agent's own in the logs of the builds that run, such as why the
// machine goes away. It is only written where it can't get into anything that
// is more than a log:
//
//	launch            stdout is the launcher's own listener ─▶ at once
//	step, pushed      (watching.go) its listener            ─▶ at once
//	step, asked for   (durable.go) the sink of the next WriteLog, if the caller
//	                  says that no other agent will go on with the step
//	everything else   never: the bytes may be a result
//
// returnStdout of a step is a file of its own (output.txt) and never touched.
//
// The third is delicate. durable-task keeps no offset of the log but counts
// what comes through the sink (FileMonitoringController.writeLog,
// lastLocation), so that our line moves its later offsets. steps takes that
// back for as long as this agent serves the step; a successor could not.

// stepPoll is how long a step counts as looked after since the controller
// asked for it: it does so every 15 s at least (DurableTaskStep,
// MAX_RECURRENCE_PERIOD).
const stepPoll = 20 * time.Second

// steps knows the durable steps that a controller polls. Safe for concurrent
// use.
type steps struct {
	mu    sync.Mutex // guards the fields below
	line  string     // for every step that has not got it
	byDir map[string]*polledStep
}

// polledStep is one of them.
type polledStep struct {
	polled time.Time
	over   bool // the controller has its exit code
	told   bool
	at     int64 // where our line begins, in the controller's count
	length int64 // of our line in bytes
}

// polled notes a question after the step in dir. from is the offset that the
// controller counts; own is how much of it is our line, and line what to say
// now, if anything.
func (s *steps) polled(dir string, from int64) (own int64, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.byDir[dir]
	if p == nil {
		if s.byDir == nil {
			s.byDir = map[string]*polledStep{}
		}
		s.sweep()
		p = &polledStep{}
		s.byDir[dir] = p
	}
	p.polled = time.Now()
	switch {
	case !p.told:
		return 0, s.line
	case from <= p.at: // the connection was lost before the line arrived
		p.told = false
		return 0, s.line
	}
	return min(from-p.at, p.length), ""
}

// durableResult finds the directory of a step in the script that starts it
// (BourneShellScript.launchWithCookie: nohup sh -c …).
var durableResult = regexp.MustCompile(`'([^']+/durable-[0-9a-f]+)/jenkins-result\.txt'`)

// launched notes the start of a step that nobody has asked for yet.
func (s *steps) launched(argv []string) {
	if len(argv) == 0 || argv[0] != "nohup" {
		return
	}
	if m := durableResult.FindStringSubmatch(argv[len(argv)-1]); m != nil {
		s.polled(m[1], 0)
	}
}

// asked notes a question after the exit code of a step.
func (s *steps) asked(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byDir[dir]; p != nil {
		p.polled = time.Now()
	}
}

// tell notes that our line goes out, at the controller's offset at.
func (s *steps) tell(dir string, at int64, length int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byDir[dir]; p != nil {
		p.told, p.at, p.length = true, at, int64(length)
	}
}

// ended stops counting a step whose exit code the controller has. What is
// known of our line stays: the controller reads the rest of the log after that.
func (s *steps) ended(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.byDir[dir]; p != nil {
		p.over = true
	}
}

// sweep forgets steps that are over; mu is held.
func (s *steps) sweep() {
	for dir, p := range s.byDir {
		if time.Since(p.polled) > stepPoll && (p.over || !p.told) {
			delete(s.byDir, dir)
		}
	}
}

// running counts the steps that the controller looks after.
func (s *steps) running() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.byDir {
		if !p.over && time.Since(p.polled) <= stepPoll {
			n++
		}
	}
	return n
}

// Steps is how many durable steps (sh of pipelines) run that a controller
// looks after. They are no part of Running: they go on without an agent, as
// far as the machine does.
func (a *Agent) Steps() int { return a.steps.running() + a.watches.running() }

// Announce writes a line to the logs of the builds that run, as far as that is
// safe. last says that no other agent will go on with the durable steps, which
// lets the line into the logs of those that are polled, too, when they are next
// asked for. Announce returns when everything else is sent or ctx ends.
func (a *Agent) Announce(ctx context.Context, line string, last bool) {
	if last {
		a.steps.mu.Lock()
		a.steps.line = line
		a.steps.mu.Unlock()
	}
	var wg sync.WaitGroup
	for _, w := range append(a.drain.listeners(), a.watches.listeners()...) {
		wg.Go(func() {
			if err := w.announce(line); err != nil {
				a.logger().Debug("a line for the log of a build was not sent", "err", err)
			}
		})
	}
	done := make(chan struct{})
	go func() { // ends with the channel at the latest, as the writers do
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// announceLog is WriteLog's part: it sends line behind text that was copied
// from the file. The controller counts from there.
func (a *Agent) announceLog(sink io.Writer, f *os.File, dir, line string, at, size int64) error {
	text := line + "\n"
	if last := make([]byte, 1); size > 0 {
		if _, err := f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			text = "\n" + text
		}
	}
	a.steps.tell(dir, at, len(text))
	_, err := io.WriteString(sink, text)
	return err
}

// announcing is what a listenerWriter needs for lines of ours.
type announcing struct {
	middle bool        // of a line; guarded by the writer's mu
	gone   atomic.Bool // nothing may be written any more
}

// announce prints a line on a line of its own, and sends it at once.
func (w *listenerWriter) announce(line string) error {
	if w.own.gone.Load() {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.own.middle {
		line = "\n" + line
	}
	b, err := encodeText(line+"\n", w.charset)
	if err != nil {
		return err
	}
	if _, err := w.out.Write(b); err != nil {
		return err
	}
	w.own.middle = false
	return w.out.Flush()
}

// listeners lists the logs of processes that run.
func (d *drain) listeners() (all []*listenerWriter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.logs {
		all = append(all, w)
	}
	return all
}

// listeners lists the logs of steps that are watched.
func (ws *watches) listeners() (all []*listenerWriter) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.byDir {
		all = append(all, w.out)
	}
	return all
}

func (ws *watches) running() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.byDir)
}
