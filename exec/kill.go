package exec

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrNoProcessTree is returned where processes cannot be listed.
var ErrNoProcessTree = errors.New("exec: the process tree cannot be read on this system (only Linux is supported)")

// KillOptions say how processes are ended. The zero value is what Jenkins does:
// SIGTERM, 5 s to vanish, nothing more.
type KillOptions struct {
	// Grace is how long processes may take after SIGTERM; 0 is 5 s
	// (ProcessTree's SoftKillWaitSeconds).
	Grace time.Duration
	// Force sends SIGKILL to what is left after Grace.
	Force bool
}

func (o KillOptions) grace() time.Duration {
	if o.Grace <= 0 {
		return 5 * time.Second
	}
	return o.Grace
}

// ProcessRef names a process that was found. It has neither arguments nor
// environment, so that it may be logged.
type ProcessRef struct {
	Pid  int
	Comm string // up to 15 bytes, from /proc/<pid>/stat
}

func (r ProcessRef) String() string { return fmt.Sprintf("%d (%s)", r.Pid, r.Comm) }

// KillResult says what a kill found and what it left.
type KillResult struct {
	Found     []ProcessRef // all that were to end, in the order they were found
	Survivors []ProcessRef // those still there afterwards
	Denied    []ProcessRef // those the system did not let us signal
}

// KillByEnv ends all processes whose environment contains every pair of model,
// and their descendants, children before parents (ProcessTree.killAll). Names
// compare without case, values exactly. An empty model matches nothing. This
// process and its ancestors are never touched, nor are processes whose
// environment cannot be read, unless they descend from a match.
//
// Unlike Java's, the walk is repeated until nothing is found, so processes
// forked meanwhile are caught, and the grace is one for all, not one for each.
// It returns ctx's error when that ends first.
func KillByEnv(ctx context.Context, model map[string]string, opts KillOptions) (KillResult, error) {
	if len(model) == 0 {
		return KillResult{}, nil
	}
	return killMatching(ctx, newEnvModel(model), opts)
}

// Kill ends the process, its descendants, and whatever carries its cookie, as
// LocalProc.kill does before it joins. The caller then calls Wait, which returns
// the process's own exit code (143 for a shell that TERM ended).
func (p *Process) Kill(ctx context.Context, opts KillOptions) (KillResult, error) {
	return killProcess(ctx, p, newEnvModel(map[string]string{CookieName: p.cookie}), opts)
}

// envModel are the pairs an environment has to contain, by folded name.
type envModel map[string]string

func newEnvModel(model map[string]string) envModel {
	m := make(envModel, len(model))
	for k, v := range FromMap(model).All() {
		m[foldKey(k)] = v
	}
	return m
}

// matches reads a /proc/<pid>/environ: entries end with NUL, an entry without a
// name does not count, of equal names the last one wins.
func (m envModel) matches(environ []byte) bool {
	if len(m) == 0 {
		return false
	}
	found := make(map[string]bool, len(m))
	for k, v := range environEntries(environ) {
		f := foldKey(string(k))
		if want, ok := m[f]; ok {
			found[f] = string(v) == want
		}
	}
	for f := range m {
		if !found[f] {
			return false
		}
	}
	return true
}
