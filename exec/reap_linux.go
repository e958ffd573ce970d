package exec

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Reap takes the statuses of ended children that nobody here waits for: orphans
// that the kernel handed to this process as PID 1 or as a subreaper. It returns
// how many. Children started by Start or Guard are left alone.
//
// A child forked by other means (os/exec without Guard) may lose its status.
func Reap() (int, error) { return reap(nil) }

// Orphan is an orphan that has ended and was reaped.
type Orphan struct {
	ProcessRef
	Status syscall.WaitStatus
}

// ReapEach is Reap that tells whom it has reaped. told is called with the
// registry of own children locked: it must not start a process.
func ReapEach(told func(Orphan)) (int, error) { return reap(told) }

func reap(told func(Orphan)) (int, error) {
	// Held throughout: no child can be forked and not yet registered meanwhile.
	children.Lock()
	defer children.Unlock()
	pids, err := childPids()
	n := 0
	for _, pid := range pids {
		if _, own := children.byPid[pid]; own {
			continue
		}
		o := Orphan{ProcessRef: ProcessRef{Pid: pid}}
		if told != nil { // a zombie still has its name
			if p, err := readProc(pid); err == nil {
				o.Comm = p.comm
			}
		}
		if got, err := syscall.Wait4(pid, &o.Status, syscall.WNOHANG, nil); err == nil && got == pid {
			n++
			if told != nil {
				told(o)
			}
		}
	}
	return n, err
}

// childPids lists this process's children, from /proc/self/task/*/children or,
// in a kernel without that, from the process tree.
func childPids() ([]int, error) {
	files, _ := filepath.Glob(procDir + "/self/task/*/children")
	if len(files) == 0 {
		s, err := takeSnapshot()
		if err != nil {
			return nil, err
		}
		return s.children[os.Getpid()], nil
	}
	var pids []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended; its children moved to another
		}
		for _, s := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(s)
			if err != nil {
				return pids, fmt.Errorf("exec: %s: %w", f, err)
			}
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// ReapUntil calls Reap now and at every SIGCHLD until ctx ends. reaped, if not
// nil, gets the result of each call that found something or failed.
func ReapUntil(ctx context.Context, reaped func(n int, err error)) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGCHLD)
	defer signal.Stop(ch)
	for {
		if n, err := Reap(); (n > 0 || err != nil) && reaped != nil {
			reaped(n, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ch:
		}
	}
}
