package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting/transport"
)

// In a container the agent is PID 1, and the kubernetes plugin gives a build up
// as soon as the container ends. So PID 1 only watches:
//
//	supervisor (PID 1) ── fd 3: the cookie, once ──▶ agent
//	     │  ▲──────────── fd 4: each new cookie ────┘   │
//	     │ reaps every orphan, forwards signals          │ runs the builds
//	     └ restarts an agent that crashed or was killed ─┘
//
// The cookie makes the controller take the new agent for the old one. It
// travels through pipes: neither arguments nor environment nor a file show it.

// supervisedEnv tells a child that it is supervised. It is taken out of the
// environment of builds.
const supervisedEnv = "FOOTMAN_SUPERVISED"

// Restarts are for accidents: an agent that keeps crashing takes the container
// down with it. The first restart is quick, for a build waits.
const (
	restartDelay    = 20 * time.Millisecond // doubled with each accident within restartWindow
	maxRestartDelay = time.Second
	restartWindow   = time.Minute
	restartLimit    = 10 // within restartWindow
)

// supervisor runs and watches one agent.
type supervisor struct {
	argv    []string
	log     *slog.Logger
	cookie  string
	crashes []time.Time
}

// supervise runs argv as the agent until it ends for good, and returns its
// exit code.
func supervise(argv []string, log *slog.Logger) int {
	s := &supervisor{argv: argv, log: log}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go exec.ReapUntil(ctx, func(_ int, err error) {
		if err != nil {
			log.Warn("orphans can't be reaped", "err", err)
		}
	})
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	// What the supervisor needs from now on is a few kilobytes.
	debug.SetGCPercent(10)
	debug.FreeOSMemory()
	stopping := false
	for {
		state, err := s.run(signals, &stopping)
		if err != nil {
			log.Error("the agent can't be started", "err", err)
			return exitFailure
		}
		code, crashed := outcome(state)
		if !crashed || stopping {
			return code
		}
		delay, ok := s.crashed(time.Now())
		if !ok {
			log.Error("the agent keeps crashing; giving up", "crashes", restartLimit, "within", restartWindow)
			return code
		}
		log.Warn("the agent ended unexpectedly; starting it again", "status", state.String(), "out of memory", oomKilled(state), "in", delay)
		if s.stopped(signals, delay) {
			return exitOK // it was idle, in a way
		}
	}
}

// stopped waits before a restart, and reports whether it is not wanted any
// more.
func (s *supervisor) stopped(signals <-chan os.Signal, delay time.Duration) bool {
	t := time.NewTimer(delay)
	defer t.Stop()
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				return true
			}
		case <-t.C:
			return false
		}
	}
}

// outcome is the exit code, and whether it is that of an accident: killed by a
// signal, or a Go program that crashed.
func outcome(state *os.ProcessState) (code int, crashed bool) {
	ws, ok := state.Sys().(syscall.WaitStatus)
	if ok && ws.Signaled() {
		return 128 + int(ws.Signal()), true
	}
	return state.ExitCode(), state.ExitCode() == exitCrashed
}

// oomKilled tells whether a SIGKILL may have come from the kernel.
func oomKilled(state *os.ProcessState) bool {
	ws, ok := state.Sys().(syscall.WaitStatus)
	m, err := exec.Memory()
	return ok && err == nil && ws.Signaled() && ws.Signal() == syscall.SIGKILL && m.OOMKills > 0
}

// crashed notes an accident. It returns how long to wait before the restart,
// and false when there were too many.
func (s *supervisor) crashed(now time.Time) (time.Duration, bool) {
	for len(s.crashes) > 0 && now.Sub(s.crashes[0]) > restartWindow {
		s.crashes = s.crashes[1:]
	}
	n := len(s.crashes)
	s.crashes = append(s.crashes, now)
	return min(restartDelay<<n, maxRestartDelay), n < restartLimit
}

// ownProgram is this program for os.StartProcess, also when its file has been
// deleted or replaced since.
func ownProgram() (string, error) {
	if runtime.GOOS == "linux" {
		return "/proc/self/exe", nil
	}
	return os.Executable()
}

// run starts the agent once and waits for its end.
func (s *supervisor) run(signals <-chan os.Signal, stopping *bool) (*os.ProcessState, error) {
	toChild, give, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	take, fromChild, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, toChild.Close(), give.Close())
	}
	defer take.Close()
	exe, err := ownProgram()
	if err != nil {
		return nil, err
	}
	p, done, err := exec.Guard(func() (*os.Process, error) {
		return os.StartProcess(exe, s.argv, &os.ProcAttr{
			Env:   append(os.Environ(), supervisedEnv+"=1"),
			Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, toChild, fromChild},
		})
	})
	_ = errors.Join(toChild.Close(), fromChild.Close()) // the child has its own
	if err != nil {
		give.Close()
		return nil, err
	}
	_, err = io.WriteString(give, s.cookie+"\n")
	_ = errors.Join(err, give.Close()) // a child that is dead already is seen below
	cookies := make(chan string)
	go func() {
		defer close(cookies)
		for lines := bufio.NewScanner(take); lines.Scan(); {
			cookies <- lines.Text()
		}
	}()
	ended := make(chan *os.ProcessState, 1)
	go func() {
		state, _ := p.Wait() // the child is ours alone, see exec.Guard
		done()
		ended <- state
	}()
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGTERM || sig == syscall.SIGINT {
				*stopping = true
			}
			_ = p.Signal(sig) // it may have just ended
		case c, ok := <-cookies:
			if !ok {
				cookies = nil
				continue
			}
			s.cookie = c
		case state := <-ended:
			if state == nil {
				return nil, errors.New("its exit status is lost")
			}
			take.Close()
			for c := range drain(cookies) {
				s.cookie = c
			}
			return state, nil
		}
	}
}

// drain tolerates a channel that was seen closed.
func drain(c chan string) chan string {
	if c == nil {
		c = make(chan string)
		close(c)
	}
	return c
}

// handedCookies is the cookie store of a supervised agent: it starts with what
// the supervisor knows and tells it what changes.
type handedCookies struct {
	transport.Cookies
	out *os.File
}

// SetCookie stores a cookie and hands it to the supervisor.
func (h *handedCookies) SetCookie(c string) {
	if c == h.Cookie() {
		return
	}
	h.Cookies.SetCookie(c)
	_, _ = fmt.Fprintln(h.out, c) // without a supervisor the cookie lives as long as we do
}

// cookieStore is where this process keeps the connection cookie.
func cookieStore() transport.CookieStore {
	if os.Getenv(supervisedEnv) == "" {
		return &transport.Cookies{}
	}
	os.Unsetenv(supervisedEnv)
	syscall.CloseOnExec(3)
	syscall.CloseOnExec(4)
	in := os.NewFile(3, "supervisor")
	defer in.Close()
	b, _ := io.ReadAll(io.LimitReader(in, 4096)) // nothing is a first start
	h := &handedCookies{out: os.NewFile(4, "supervisor")}
	h.Cookies.SetCookie(strings.TrimSpace(string(b)))
	return h
}

// supervised reports whether this process is to watch an agent instead of
// being one.
func supervised() bool { return os.Getpid() == 1 && os.Getenv(supervisedEnv) == "" }
