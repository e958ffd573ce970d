//go:build !linux

package exec

import (
	"context"
	"syscall"
)

func killMatching(context.Context, envModel, KillOptions) (KillResult, error) {
	return KillResult{}, ErrNoProcessTree
}

// killProcess ends the process alone.
func killProcess(_ context.Context, p *Process, _ envModel, _ KillOptions) (KillResult, error) {
	if p.IsAlive() {
		_ = p.Signal(syscall.SIGTERM)
	}
	return KillResult{Found: []ProcessRef{{Pid: p.pid}}}, ErrNoProcessTree
}

// Processes lists processes by their environment; not here.
func Processes(map[string]string) ([]ProcessRef, error) { return nil, ErrNoProcessTree }
