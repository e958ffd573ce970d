package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/footman-ci/footman/remoting"
)

// Leaving well:
//
//	SIGTERM ─▶ no new work ─▶ what runs may finish (-drainTimeout) ─▶ CloseCommand ─▶ exit 0
//	   again ─▶ exit 143 at once
//	EC2's notice ─▶ the same, for as long as it leaves (spot.go)
//
// What durable steps left running is not waited for: it goes on, and the next
// agent finds its files.

var errSignalled = errors.New("stopped by a signal")

const (
	// byeTime is how long the controller has to answer a CloseCommand.
	byeTime = 500 * time.Millisecond
	// After the last process of a build the controller has more to ask:
	// artifacts, leftover processes. The agent leaves when nothing was asked for
	// settleQuiet, and at the latest after settleTime when nothing is being
	// answered.
	settleQuiet = 400 * time.Millisecond
	settleTime  = 3 * time.Second
	// killedTime is how long processes have that were cut off: they are asked
	// to end, and killed 5 s later.
	killedTime = 6 * time.Second
)

// stopOnSignal makes a context that ends, once everything that runs is
// finished, after a SIGTERM or SIGINT; a second one ends the process at once.
// The table must exist already.
func (a *agent) stopOnSignal(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.notices = make(chan notice)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	done := make(chan struct{})
	go func() {
		var drained, tick <-chan time.Time
		var idle <-chan struct{}
		var rest settling
		stopping := false
		stop := func(why string, timeout time.Duration) {
			stopping = true
			a.builds.Drain()
			a.watch.leave()
			a.systemd.stopping(why)
			n := a.builds.Running()
			a.log.Info("Stopping", "signal", why, "running", n, "for at most", timeout)
			if n == 0 {
				cancel(errSignalled)
				return
			}
			drained, idle = time.After(timeout), a.builds.Idle()
		}
		for {
			select {
			case n := <-a.notices:
				if !stopping {
					stop(n.what, n.drainFor(time.Now()))
				}
			case s := <-signals:
				if stopping {
					a.log.Warn("Stopping at once", "signal", s.String(), "running", a.builds.Running())
					os.Exit(exitKilled)
				}
				stop(s.String(), a.o.drainTimeout)
			case <-idle:
				idle = nil
				t := time.NewTicker(settleQuiet / 10)
				defer t.Stop()
				tick, rest = t.C, settling{began: time.Now()}
			case now := <-tick:
				if rest.over(now, a.channel()) {
					tick, drained = nil, nil
					cancel(errSignalled)
				}
			case <-drained:
				tick, drained = nil, nil
				if n := a.builds.Running(); n > 0 {
					a.log.Warn("Stopping although processes of builds run", "running", n)
				}
				cancel(errSignalled)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// settling watches a channel on which a build is being finished.
type settling struct {
	began, moved time.Time
	commands     int64
}

// over reports that nobody wants anything any more.
func (s *settling) over(now time.Time, ch *remoting.Channel) bool {
	if ch == nil {
		return now.Sub(s.began) > settleTime // it may come back
	}
	if n := ch.Stats().CommandsIn.Load(); n != s.commands || s.moved.IsZero() {
		s.commands, s.moved = n, now
	}
	if ch.Requests() > 0 {
		s.moved = now
		return false
	}
	return now.Sub(s.moved) >= settleQuiet || now.Sub(s.began) >= settleTime
}

// awaitKilled waits for the processes that the end of the connection kills.
func (a *agent) awaitKilled() {
	if a.builds.Running() == 0 {
		return
	}
	select {
	case <-a.builds.Idle():
	case <-time.After(killedTime):
		a.log.Warn("Processes of builds are left behind", "running", a.builds.Running())
	}
}
