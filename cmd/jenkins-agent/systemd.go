package main

import (
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// As a unit with Type=notify the agent tells systemd how it is (sd_notify(3)):
//
//	trying to connect  ─▶ EXTEND_TIMEOUT_USEC, so that no start timeout ends it
//	first online       ─▶ READY=1: `systemctl start` returns
//	on, off again      ─▶ STATUS=…: one line of `systemctl status`
//	leaving            ─▶ STOPPING=1
//	with WatchdogSec=  ─▶ WATCHDOG=1 at half of that time, as long as the agent's
//	                      own locks can be had
//
// A lost connection is no reason for the watchdog: the agent comes back by
// itself, and a restart would cut off the processes of builds.

const (
	notifyEnv       = "NOTIFY_SOCKET"
	watchdogEnv     = "WATCHDOG_USEC"
	watchdogPidEnv  = "WATCHDOG_PID"
	startExtension  = 30 * time.Second
	extensionPeriod = 10 * time.Second
)

// systemd is the other end of NOTIFY_SOCKET; nil where there is none. Safe for
// concurrent use.
type systemd struct {
	conn     net.Conn
	watchdog time.Duration // 0 for none
	log      *slog.Logger
	first    sync.Once
	ready    chan struct{} // closed when first online
	leaving  atomic.Bool
}

// newSystemd takes the variables out of the environment: what builds start is
// not to speak for the unit.
func newSystemd(log *slog.Logger) *systemd {
	path := os.Getenv(notifyEnv)
	usec, pid := os.Getenv(watchdogEnv), os.Getenv(watchdogPidEnv)
	for _, name := range []string{notifyEnv, watchdogEnv, watchdogPidEnv} {
		os.Unsetenv(name)
	}
	if path == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", path) // package net knows @ for an abstract address
	if err != nil {
		log.Warn("systemd can't be told how the agent is", "err", err)
		return nil
	}
	s := &systemd{conn: conn, log: log, ready: make(chan struct{})}
	if n, err := strconv.ParseInt(usec, 10, 64); err == nil && n > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		s.watchdog = time.Duration(n) * time.Microsecond
	}
	return s
}

// say sends lines; nobody waits for an answer.
func (s *systemd) say(lines ...string) {
	if s == nil {
		return
	}
	if _, err := s.conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		s.log.Debug("systemd not told", "err", err)
	}
}

func (s *systemd) online(protocol string) {
	if s == nil {
		return
	}
	s.first.Do(func() { close(s.ready) })
	s.say("READY=1", "STATUS=Connected by "+protocol)
}

func (s *systemd) offline() {
	if s != nil && !s.leaving.Load() {
		s.say("STATUS=Not connected; trying again")
	}
}

func (s *systemd) stopping(why string) {
	if s != nil {
		s.leaving.Store(true)
		s.say("STOPPING=1", "STATUS=Stopping: "+why)
	}
}

// keep asks for more time until the agent is online, and feeds the watchdog from
// then on. alive returns when the agent's locks could be had. The returned
// function ends it.
func (s *systemd) keep(alive func()) (end func()) {
	if s == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		if s.connecting(done) && s.watchdog > 0 {
			every(s.watchdog/2, done, func() {
				alive()
				s.say("WATCHDOG=1")
			})
		}
	}()
	return func() { close(done) }
}

// connecting reports whether the agent came online before it ended.
func (s *systemd) connecting(done <-chan struct{}) bool {
	more := "EXTEND_TIMEOUT_USEC=" + strconv.FormatInt(startExtension.Microseconds(), 10)
	s.say(more, "STATUS=Connecting")
	stop := make(chan struct{})
	go every(extensionPeriod, stop, func() { s.say(more) })
	defer close(stop)
	select {
	case <-s.ready:
		return true
	case <-done:
		return false
	}
}

// every calls f at each period until done is closed.
func every(period time.Duration, done <-chan struct{}, f func()) {
	t := time.NewTicker(period)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f()
		case <-done:
			return
		}
	}
}
