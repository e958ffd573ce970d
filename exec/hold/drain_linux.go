package hold

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The containers of a pod get TERM all at once, and the kubernetes plugin gives
// up the node, with the builds on it, when the first of them ends. While the
// agent lets builds finish, the tools have to stay:
//
//	agent  holds a lock on .footman/agent as long as it lives; in it is how
//	       many milliseconds it may take to leave
//	hold   TERM ─▶ locked: goes on serving ─▶ free, or too late ─▶ stops
const agentFile = "agent"

const (
	// leaveTime is what an agent needs beside the time for builds: the controller
	// has questions, and it says goodbye.
	leaveTime = 5 * time.Second
	// maxLeave bounds what is believed of a file that others can write.
	maxLeave = time.Hour
)

// LockAgent tells the holds of the pod that an agent lives, until the file is
// closed or the process ends. drain is how long the agent lets builds run on when
// it is told to stop. The error is fs.ErrNotExist where no hold has been yet, and
// EWOULDBLOCK while another agent has the lock, or a hold looks at it.
func (p Place) LockAgent(drain time.Duration) (*os.File, error) {
	// Not truncated: it may be another's.
	f, err := os.OpenFile(filepath.Join(p.Dir(), agentFile), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return nil, fmt.Errorf("hold: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("hold: lock %s: %w", f.Name(), err)
	}
	text := strconv.FormatInt((drain+leaveTime).Milliseconds(), 10) + "\n"
	_, err = f.WriteAt([]byte(text), 0)
	// Holds of other users read it, whatever the umask.
	if err = errors.Join(err, f.Truncate(int64(len(text))), f.Chmod(0o644)); err != nil {
		f.Close()
		return nil, fmt.Errorf("hold: %w", err)
	}
	return f, nil
}

// agentLeaves tells whether the pod's agent lives, and how long it may take to
// leave. An agent that makes no lock, the official one, does not count.
func (p Place) agentLeaves() (time.Duration, bool) {
	path := filepath.Join(p.Dir(), agentFile)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0, false
	}
	defer f.Close() // gives a lock of ours back
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, false
	}
	b, err := readSmall(path)
	if err != nil {
		return 0, false
	}
	ms, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || ms < 0 {
		return 0, false
	}
	return min(time.Duration(min(ms, maxLeave.Milliseconds()))*time.Millisecond, maxLeave), true
}

// awaitAgent goes on serving while the pod's agent leaves. Another signal to stop
// ends the patience.
func (h *Hold) awaitAgent(ctx context.Context, signals <-chan os.Signal) {
	limit, lives := h.Place.agentLeaves()
	if !lives {
		return
	}
	if h.Drain > 0 {
		limit = h.Drain
	}
	h.Log.Info("asked to stop; the agent of the pod lets builds finish first", "for at most", limit)
	late := time.After(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if _, lives := h.Place.agentLeaves(); !lives {
				return
			}
		case <-late:
			h.Log.Warn("stopping although the agent of the pod is still there", "after", limit)
			return
		case sig := <-signals:
			if sig == unix.SIGTERM || sig == unix.SIGINT {
				return
			}
			h.forward(sig)
		}
	}
}
