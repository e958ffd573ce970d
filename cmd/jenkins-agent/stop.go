package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/remoting"
)

// Leaving well:
//
//	SIGTERM ─▶ no new work ─▶ what runs may finish (-drainTimeout) ─▶ CloseCommand ─▶ exit 0
//	   again ─▶ exit 143 at once
//	EC2's notice ─▶ the same, for as long as it leaves (spot.go)
//
// Durable steps (sh of pipelines) count as running where they end with the
// agent: in a container, under systemd, on a machine that is taken back. Where
// they outlive it they are not waited for: the next agent finds their files.
//
// The logs of what runs get a line that says why (hudson.Agent.Announce).

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
	// announceTime bounds the wait for logs of builds to take a line.
	announceTime = time.Second
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
		var rest settling
		stopping, last := false, false
		running := func() int {
			if last {
				return a.builds.Running() + a.builds.Steps()
			}
			return a.builds.Running()
		}
		stop := func(why string, timeout time.Duration, machine bool) {
			stopping, last = true, machine || a.last()
			a.builds.Drain()
			a.watch.leave()
			a.systemd.stopping(why)
			n := running()
			a.log.Info("Stopping", "signal", why, "running", n, "for at most", timeout)
			told, enough := context.WithTimeout(ctx, announceTime)
			a.builds.Announce(told, a.farewell(why, timeout, last), last)
			enough()
			if n == 0 {
				cancel(errSignalled)
				return
			}
			drained = time.After(timeout)
			t := time.NewTicker(settleQuiet / 10)
			context.AfterFunc(ctx, t.Stop)
			tick = t.C
		}
		for {
			select {
			case n := <-a.notices:
				if !stopping {
					stop(n.what, n.drainFor(time.Now()), true)
				}
			case s := <-signals:
				if stopping {
					a.log.Warn("Stopping at once", "signal", unix.SignalName(s.(syscall.Signal)), "running", a.builds.Running())
					os.Exit(exitKilled)
				}
				stop(unix.SignalName(s.(syscall.Signal)), a.o.drainTimeout, false)
			case now := <-tick:
				if running() > 0 {
					rest = settling{}
				} else if rest.began.IsZero() {
					rest.began = now
				} else if rest.over(now, a.channel()) {
					tick, drained = nil, nil
					cancel(errSignalled)
				}
			case <-drained:
				tick, drained = nil, nil
				if n := running(); n > 0 {
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

// last reports whether what builds run ends with this agent.
func (a *agent) last() bool {
	return a.systemd != nil || a.supervised || os.Getenv(ecsMetadataEnv) != ""
}

// farewell is the line for the logs of builds.
func (a *agent) farewell(why string, timeout time.Duration, last bool) string {
	if where := a.place.Load(); where != nil {
		why += ", " + *where
	}
	line := fmt.Sprintf("jenkins-agent: stopping (%s): ", why)
	if last {
		return line + fmt.Sprintf("what runs here has %v left", timeout.Round(time.Second))
	}
	return line + fmt.Sprintf("what can't wait for the next agent has %v left", timeout.Round(time.Second))
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
