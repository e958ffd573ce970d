package hold

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/exec"
)

// Hold keeps a container and runs commands in it. Set the fields, then Run.
type Hold struct {
	// Name of the container and the volume it shares.
	Name  string
	Place Place
	// ContainerWork is the directory of the plugin's active containers, "" for
	// none of them.
	ContainerWork string
	Log           *slog.Logger
	// Init makes us the parent of all orphans, and the stop reach all processes:
	// for a program that does nothing else.
	Init bool
	// Grace is what processes get between TERM and KILL, 10 s.
	Grace time.Duration
	// Drain is how long a stop waits for the pod's agent, which lets builds finish;
	// 0 is what the agent says. Without an agent of ours there is no wait.
	Drain time.Duration
	// Environ and Dir are what commands start from; nil and "" are our own.
	Environ []string
	Dir     string
	// Shell is the command of an embedded shell, and ShellNames what it stands in
	// for where the container has no such program.
	Shell      []string
	ShellNames []string
	// MaxCommands bounds what runs through the socket at a time, 1024.
	MaxCommands int
	// Poll is how often files are looked at beside the events, 1 s.
	Poll time.Duration
	// NoEvents does without inotify.
	NoEvents bool

	mu       sync.Mutex
	commands map[*command]struct{}
	stopping bool
	orphans  []exec.Orphan // killed by SIGKILL, the last few
	oom      oomWatch
}

// command is something that runs.
type command struct {
	name string // its program, for messages
	pid  int
	at   time.Time
}

// ErrStopped is why Run ends after a signal. Busy is the number of processes
// that were ended with it, Killed that of those which had to be killed.
type ErrStopped struct {
	Signal       os.Signal
	Busy, Killed int
}

func (e *ErrStopped) Error() string {
	return fmt.Sprintf("hold: stopped by %v with %d processes running", e.Signal, e.Busy)
}

func (h *Hold) defaults() {
	if h.Log == nil {
		h.Log = slog.New(slog.DiscardHandler)
	}
	if h.Grace <= 0 {
		h.Grace = 10 * time.Second
	}
	if h.MaxCommands <= 0 {
		h.MaxCommands = 1024
	}
	if h.Poll <= 0 {
		h.Poll = time.Second
	}
	h.commands = map[*command]struct{}{}
}

func (h *Hold) environ() []string {
	if h.Environ != nil {
		return h.Environ
	}
	return os.Environ()
}

func (h *Hold) dir() string {
	if h.Dir != "" {
		return h.Dir
	}
	d, err := os.Getwd()
	if err != nil {
		return "/"
	}
	return d
}

// Run serves until ctx ends or a signal says to stop, ends what still runs, and
// returns nil or an *ErrStopped. Other errors mean that it could not begin.
func (h *Hold) Run(ctx context.Context) error {
	h.defaults()
	if err := checkName(h.Name); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	signals := make(chan os.Signal, 16)
	if h.Init {
		signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
		defer signal.Stop(signals)
		// In somebody else's PID namespace orphans would go to its PID 1.
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil && os.Getpid() != 1 {
			h.Log.Warn("orphans go to another process", "err", err)
		}
		reaping, stopReaping := context.WithCancel(context.Background())
		wg.Go(func() { h.reap(reaping) })
		defer stopReaping()
	}
	h.oom.start()
	server, err := h.listen()
	if err != nil {
		return err
	}
	wg.Go(func() { h.watchMemory(ctx) })
	if h.ContainerWork != "" {
		files := newFiles(h)
		wg.Go(func() { files.run(ctx) })
	}
	wg.Go(func() { server.serve(ctx) }) // last: whoever gets an answer finds all of us
	h.Log.Info("holding", "container", h.Name, "pid", os.Getpid(), "user", identity(), "socket", h.Place.socket(h.Name))
	sig := h.awaitStop(ctx, signals)
	if sig != nil {
		h.awaitAgent(ctx, signals)
	}
	busy, killed := h.stop(signals)
	server.close()
	if sig == nil {
		return nil
	}
	return &ErrStopped{sig, busy, killed}
}

// awaitStop forwards signals to commands until one of them means the end.
func (h *Hold) awaitStop(ctx context.Context, signals <-chan os.Signal) os.Signal {
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			if sig == unix.SIGTERM || sig == unix.SIGINT {
				return sig
			}
			h.forward(sig)
		}
	}
}

// forward passes a signal on to what runs.
func (h *Hold) forward(sig os.Signal) {
	for _, c := range h.running() {
		_ = syscall.Kill(-c.pid, sig.(syscall.Signal)) // it may have just ended
	}
}

// reap takes the statuses of orphans and remembers those that were killed.
func (h *Hold) reap(ctx context.Context) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGCHLD)
	defer signal.Stop(ch)
	for warned := false; ; {
		_, err := exec.ReapEach(h.noteOrphan)
		if err != nil && !warned {
			warned = true
			h.Log.Warn("orphans can't be reaped", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ch:
		}
	}
}

func (h *Hold) noteOrphan(o exec.Orphan) {
	if !o.Status.Signaled() || o.Status.Signal() != unix.SIGKILL {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.orphans) >= 16 {
		h.orphans = h.orphans[1:]
	}
	h.orphans = append(h.orphans, o)
}

// enter registers a command; it fails when we are stopping or too many run.
func (h *Hold) enter(c *command) *Refused {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.stopping:
		return notAllowed("container %q is being stopped", h.Name)
	case len(h.commands) >= h.MaxCommands:
		return notAllowed("container %q runs %d commands already", h.Name, len(h.commands))
	}
	c.at = time.Now()
	h.commands[c] = struct{}{}
	return nil
}

func (h *Hold) leave(c *command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.commands, c)
}

func (h *Hold) running() (out []*command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.commands {
		if c.pid > 1 {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *command) int { return a.at.Compare(b.at) })
	return out
}

// count is how many run, with those about to start.
func (h *Hold) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.commands)
}

// stop ends all processes: TERM, grace, KILL. It returns how many there were, and
// how many TERM did not end.
func (h *Hold) stop(signals <-chan os.Signal) (busy, killed int) {
	h.mu.Lock()
	h.stopping = true
	h.mu.Unlock()
	first := h.targets()
	if len(first) == 0 {
		return 0, 0
	}
	h.Log.Info("stopping", "processes", len(first), "grace", h.Grace)
	h.signalAll(unix.SIGTERM)
	if !h.awaitEmpty(h.Grace, signals) {
		left := h.targets()
		killed = len(left)
		h.Log.Warn("killing what did not end in time", "processes", strings.Join(names(left), ", "))
		for range 20 { // forks may be faster than we are
			h.signalAll(unix.SIGKILL)
			if h.awaitEmpty(100*time.Millisecond, nil) {
				break
			}
		}
	}
	// The ends of commands are still being told to whoever waits.
	for end := time.Now().Add(time.Second); h.count() > 0 && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
	return len(first), killed
}

// awaitEmpty waits for the end of all processes, at most d; another signal to
// stop ends the patience.
func (h *Hold) awaitEmpty(d time.Duration, signals <-chan os.Signal) bool {
	deadline := time.After(d)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if len(h.targets()) == 0 {
			return true
		}
		select {
		case <-tick.C:
		case <-deadline:
			return false
		case sig := <-signals:
			if sig == unix.SIGTERM || sig == unix.SIGINT {
				return false
			}
		}
	}
}

// targets are the processes that a stop ends: all that descend from us, or, inside
// another program, from our commands.
func (h *Hold) targets() []process {
	if !ownProc() {
		// None, or that of another PID namespace with other numbers.
		var out []process
		for _, c := range h.running() {
			out = append(out, process{pid: c.pid, pgrp: c.pid, comm: c.name})
		}
		return out
	}
	all, err := processes()
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			h.Log.Warn("processes can't be listed", "err", err)
		}
		return nil
	}
	if h.Init {
		return descendants(all, os.Getpid())
	}
	var out []process
	for _, c := range h.running() {
		for _, p := range all {
			if p.pid == c.pid {
				out = append(out, p)
			}
		}
		out = append(out, descendants(all, c.pid)...)
	}
	return out
}

// signalAll reaches process groups as a whole, so that what is forked meanwhile
// gets the signal as well.
func (h *Hold) signalAll(sig syscall.Signal) {
	if h.Init && os.Getpid() == 1 {
		_ = syscall.Kill(-1, sig) // the whole PID namespace but us; nobody there is fine
		return
	}
	own, _ := unix.Getpgid(0)
	done := map[int]bool{}
	for _, p := range h.targets() {
		switch {
		case p.pgrp == own || p.pgrp <= 1:
			_ = syscall.Kill(p.pid, sig)
		case !done[p.pgrp]:
			done[p.pgrp] = true
			_ = syscall.Kill(-p.pgrp, sig)
		}
	}
}
