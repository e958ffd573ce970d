package awsauth

import (
	"context"
	"sync"
	"time"
)

// past reports whether t is over, by the monotonic clock or by the wall clock:
// the first stands still while a machine sleeps, the second may be set.
func past(t time.Time) bool {
	now := time.Now()
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// leaves are the nodes that some target wants, each once.
func (k *Keeper) leaves() []*node {
	var out []*node
	if k.plan == nil {
		return nil
	}
	seen := map[*node]bool{}
	for _, t := range k.plan.Targets {
		if n := k.nodeOf(t); n != nil && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// wantedBy is the first target of a node, to name in errors.
func (k *Keeper) wantedBy(n *node) string {
	for _, t := range k.plan.Targets {
		if k.nodeOf(t) == n && t.Profile != "" {
			return t.Profile
		}
	}
	return ""
}

// loop is the scheduler. With once it ends as soon as every leaf is fresh or
// refused. All STS calls run beside it, so that a slow answer delays neither
// warnings nor the deletion of expired files.
func (k *Keeper) loop(ctx context.Context, once bool) {
	var wg sync.WaitGroup
	defer wg.Wait()
	done := make(chan struct{}, 1)
	k.writeAll()
	now := time.Now()
	poll, sweep, first := now.Add(k.t.Poll), now.Add(k.t.Sweep), now.Add(k.t.First)
	for {
		now = time.Now()
		if !now.Before(poll) {
			poll = now.Add(k.t.Poll)
			k.poll()
		}
		if !now.Before(sweep) {
			sweep = now.Add(k.t.Sweep)
			k.sweep()
		}
		wake := poll
		if sweep.Before(wake) {
			wake = sweep
		}
		due, wake, settled, expired := k.turn(now, wake, once)
		for _, n := range due {
			wg.Go(func() {
				k.refresh(ctx, n)
				select {
				case done <- struct{}{}:
				default:
				}
			})
		}
		if expired {
			k.writeAll()
		}
		if settled || !now.Before(first) {
			k.once.Do(func() { close(k.ready) })
		} else if first.Before(wake) {
			wake = first
		}
		if settled && once {
			wg.Wait()
			return
		}
		timer := time.NewTimer(time.Until(wake))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-done:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// turn looks at every leaf once: it warns, notices expiry, and says which nodes
// to ask for now (they are marked as in flight), when to wake at the latest, and
// whether everything is fresh or refused.
func (k *Keeper) turn(now, latest time.Time, once bool) (due []*node, wake time.Time, settled, expired bool) {
	wake, settled = latest, true
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.leaves() {
		if n.have && !n.grant.Expires.IsZero() {
			end := n.grant.expiresHere()
			k.warnLeft(n, end.Sub(now))
			if past(end) {
				n.have, expired = false, true
				k.log.Error("credentials expired, files deleted", "profile", displayName(k.wantedBy(n)), "role", n.link.RoleARN, "err", k.blame(n))
			} else if end.Before(wake) {
				wake = end
			}
		}
		if n.inFlight || !n.have && !refused(n) {
			settled = false
		}
		if once && (n.have || refused(n)) {
			continue
		}
		run, at := k.next(n)
		if run != nil {
			run.inFlight = true
			due = append(due, run)
		} else if !at.IsZero() && at.Before(wake) {
			wake = at
		}
	}
	return due, wake, settled, expired
}

// next finds what to do for a node: an attempt to make now (of the node or of a
// source it lacks), or the time to look again, zero if an answer is awaited.
func (k *Keeper) next(n *node) (run *node, at time.Time) {
	switch {
	case n.inFlight:
		return nil, time.Time{}
	case !past(n.due):
		return nil, n.due
	case n.source == nil || k.good(n.source):
		return n, time.Time{}
	}
	return k.next(n.source)
}

// good reports whether a source's grant lasts long enough to call with.
func (k *Keeper) good(n *node) bool {
	return n.have && (n.grant.Expires.IsZero() || !past(n.grant.expiresHere().Add(-min(k.t.Early, n.grant.life()/3))))
}

// refused reports whether a node or a source that it lacks was refused.
func refused(n *node) bool {
	for ; n != nil && !n.have; n = n.source {
		if n.final {
			return true
		}
	}
	return false
}

// blame is why a node is not fresh: its own failure or that of a source.
func (k *Keeper) blame(n *node) error {
	for ; n != nil; n = n.source {
		if n.err != nil {
			return n.err
		}
		if n.have && !past(n.due) {
			return nil
		}
	}
	return nil
}

// warnLeft says once per threshold that a failing refresh is running out of
// time.
func (k *Keeper) warnLeft(n *node, left time.Duration) {
	err := k.blame(n)
	if err == nil {
		return
	}
	said := false
	for n.warned < len(k.t.Warn) && left <= k.t.Warn[n.warned] {
		n.warned++
		said = true
	}
	if said && left > 0 {
		k.log.Warn("credentials are not being refreshed", "profile", displayName(k.wantedBy(n)), "role", n.link.RoleARN, "left", left.Round(time.Second).String(), "failures", n.failures, "err", err)
	}
}
