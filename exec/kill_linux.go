package exec

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxPidfds bounds the descriptors of one kill; targets beyond it are watched by
// their start time in /proc.
const maxPidfds = 256

// killer ends a set of processes that may grow while it does.
type killer struct {
	root    *Process // nil unless a Process is killed
	model   envModel
	targets map[procKey]*target
	order   []*target        // as found
	zombies map[procKey]bool // of the last look
	fds     int
}

type target struct {
	procInfo
	fd     int  // pidfd, -1 without
	termed bool // SIGTERM was sent, or was not allowed
	denied bool
	gone   bool
	died   time.Time // when it was seen gone
}

func killProcess(ctx context.Context, p *Process, m envModel, opts KillOptions) (KillResult, error) {
	return (&killer{root: p, model: m}).run(ctx, opts)
}

func killMatching(ctx context.Context, m envModel, opts KillOptions) (KillResult, error) {
	return (&killer{model: m}).run(ctx, opts)
}

// run looks, signals what has no living children among the targets, waits until
// something vanishes, and looks again. A parent gets its signal when its children
// are gone or the grace is over, so a shell sees its command die first and ends
// with that command's code, as under ProcessTree.killRecursively.
func (k *killer) run(ctx context.Context, opts KillOptions) (KillResult, error) {
	k.targets = map[procKey]*target{}
	defer k.closeAll()
	deadline := time.Now().Add(opts.grace())
	pause := 10 * time.Millisecond
	quiet := 0 // looks in a row that saw no target alive
	for {
		still, err := k.look()
		if err != nil {
			return k.result(), err
		}
		late := !time.Now().Before(deadline)
		if k.alive() == 0 {
			// Elsewhere processes come and go all the time: no waiting for ever.
			again := 20
			if len(k.targets) == 0 {
				again = 2
			}
			if quiet++; still || late || quiet > again {
				return k.result(), nil
			}
			if _, err := k.await(ctx, 2*time.Millisecond); err != nil {
				return k.result(), err
			}
			continue
		}
		quiet = 0
		if !still {
			pause = 10 * time.Millisecond
		}
		k.terminate(late)
		if late {
			break
		}
		vanished, err := k.await(ctx, min(pause, time.Until(deadline)))
		if err != nil {
			return k.result(), err
		}
		if vanished {
			pause = 10 * time.Millisecond
		} else {
			pause = min(2*pause, 500*time.Millisecond)
		}
	}
	if err := k.last(ctx, opts.Force); err != nil {
		return k.result(), err
	}
	return k.result(), nil
}

// last gives those signalled late a moment, and kills the rest if force is set.
func (k *killer) last(ctx context.Context, force bool) error {
	rounds := 1
	if force {
		rounds = 100
	}
	for range rounds {
		if force {
			for _, t := range k.living() {
				k.signal(t, syscall.SIGKILL)
			}
		}
		if _, err := k.await(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		still, err := k.look()
		if err != nil {
			return err
		}
		if still && k.alive() == 0 {
			break
		}
	}
	return nil
}

// look adds what has come since and notes what has gone. It reports whether the
// tree stood still: a snapshot lists the pids first and reads them afterwards, so
// one that ended in between may have left a child that is not listed.
func (k *killer) look() (still bool, err error) {
	s, err := takeSnapshot()
	if err != nil {
		return false, err
	}
	still = s.vanished == 0
	for key := range s.zombies {
		still = still && (len(k.targets) == 0 || k.zombies[key])
	}
	k.zombies = s.zombies
	root := 0
	// Asked after the snapshot: while nobody took its status, the pid is its own.
	if k.root != nil && !k.root.ended.Load() {
		root = k.root.pid
	}
	for _, t := range k.order {
		now, ok := s.procs[t.pid]
		if !ok || now.start != t.start || now.dead() {
			still = still && t.gone
			k.bury(t)
		} else {
			t.ppid = now.ppid
		}
	}
	found := s.matching(root, k.model)
	keep := s.protected()
	for _, t := range k.living() { // children of targets whose own parents are gone
		for _, c := range s.children[t.pid] {
			if p := s.procs[c]; !p.dead() && !keep[c] {
				found[c] = p
			}
		}
	}
	pids := make([]procInfo, 0, len(found))
	for _, p := range found {
		if _, have := k.targets[p.procKey]; !have {
			pids = append(pids, p)
		}
	}
	slices.SortFunc(pids, func(a, b procInfo) int { return cmp.Compare(a.pid, b.pid) })
	for _, p := range pids {
		still = false
		if t, err := k.hold(p); err == nil {
			k.targets[p.procKey] = t
			k.order = append(k.order, t)
		}
	}
	return still, nil
}

// hold opens p's pidfd and makes sure that it is still the process we saw.
func (k *killer) hold(p procInfo) (*target, error) {
	t := &target{procInfo: p, fd: -1}
	if k.fds < maxPidfds {
		fd, err := unix.PidfdOpen(p.pid, 0)
		if errors.Is(err, syscall.ESRCH) {
			return nil, errVanished
		}
		if err == nil {
			t.fd = fd
			k.fds++
		}
	}
	if now, err := readProc(p.pid); err != nil || now.start != p.start {
		k.bury(t)
		return nil, errVanished
	}
	return t, nil
}

// terminate sends SIGTERM to the targets that are due, leaves first.
func (k *killer) terminate(all bool) {
	living := k.living()
	if !all {
		parents := map[int]bool{}
		for _, t := range living {
			if !t.denied {
				parents[t.ppid] = true
			}
		}
		for _, t := range k.order {
			if t.gone && t.mourned() {
				parents[t.ppid] = true
			}
		}
		for _, t := range living {
			if !t.termed && !parents[t.pid] {
				t.termed = true
				k.signal(t, syscall.SIGTERM)
			}
		}
		return
	}
	depth := map[int]int{}
	byPid := map[int]*target{}
	for _, t := range living {
		byPid[t.pid] = t
	}
	for _, t := range living {
		for p, n := byPid[t.ppid], 0; p != nil && n < len(living); p, n = byPid[p.ppid], n+1 {
			depth[t.pid]++
		}
	}
	slices.SortStableFunc(living, func(a, b *target) int { return cmp.Compare(depth[b.pid], depth[a.pid]) })
	for _, t := range living {
		if !t.termed {
			t.termed = true
			k.signal(t, syscall.SIGTERM)
		}
	}
}

func (k *killer) signal(t *target, sig syscall.Signal) {
	var err error
	if t.fd >= 0 {
		err = unix.PidfdSendSignal(t.fd, sig, nil, 0)
	} else if now, rerr := readProc(t.pid); rerr != nil || now.start != t.start {
		err = syscall.ESRCH
	} else {
		err = syscall.Kill(t.pid, sig)
	}
	switch {
	case errors.Is(err, syscall.ESRCH):
		k.bury(t)
	case err != nil:
		t.denied = true
	}
}

// await waits until a target ends, at most d.
func (k *killer) await(ctx context.Context, d time.Duration) (bool, error) {
	end := time.Now().Add(d)
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		left := min(time.Until(end), 50*time.Millisecond)
		var fds []unix.PollFd
		var of []*target
		for _, t := range k.living() {
			if t.fd >= 0 {
				fds = append(fds, unix.PollFd{Fd: int32(t.fd), Events: unix.POLLIN})
				of = append(of, t)
			}
		}
		n, err := unix.Poll(fds, max(int((left+time.Millisecond-1)/time.Millisecond), 0))
		if n > 0 && err == nil {
			for i := range fds {
				if fds[i].Revents != 0 {
					k.bury(of[i])
				}
			}
			return true, nil
		}
		if !time.Now().Before(end) {
			return false, nil
		}
	}
}

func (k *killer) living() []*target {
	var out []*target
	for _, t := range k.order {
		if !t.gone {
			out = append(out, t)
		}
	}
	return out
}

// alive counts the targets that may still end: one that we may not signal is not
// waited for.
func (k *killer) alive() (n int) {
	for _, t := range k.living() {
		if !t.denied {
			n++
		}
	}
	return n
}

// A shell that takes the status of its killed command prints "Terminated", and
// people look for that line. Java gives it the time: it waits until a process
// has left /proc, looking every 10 ms, before it turns to the parent.
const (
	mourning    = 10 * time.Millisecond
	maxMourning = 100 * time.Millisecond // for a parent that never waits
)

// mourned reports whether the parent of a target that is gone still has to take
// its status.
func (t *target) mourned() bool {
	since := time.Since(t.died)
	if since < mourning || since >= maxMourning {
		return since < mourning
	}
	now, err := readProc(t.pid)
	return err == nil && now.start == t.start
}

func (k *killer) bury(t *target) {
	if !t.gone {
		t.died = time.Now()
	}
	t.gone = true
	if t.fd >= 0 {
		unix.Close(t.fd)
		t.fd = -1
		k.fds--
	}
}

func (k *killer) closeAll() {
	for _, t := range k.order {
		if t.fd >= 0 {
			unix.Close(t.fd)
			t.fd = -1
		}
	}
}

func (k *killer) result() KillResult {
	var r KillResult
	for _, t := range k.order {
		ref := ProcessRef{t.pid, t.comm}
		r.Found = append(r.Found, ref)
		if !t.gone {
			r.Survivors = append(r.Survivors, ref)
		}
		if t.denied {
			r.Denied = append(r.Denied, ref)
		}
	}
	return r
}
