package main

import (
	"os"
	"runtime/debug"

	"github.com/footman-ci/footman/exec"
)

// tuneMemory trades a little CPU for memory: the agent's own heap is a few
// hundred kilobytes, and the runtime's default would let it grow to megabytes
// before collecting. In a container the collector is told the limit, so that it
// works harder before the kernel kills. GOGC and GOMEMLIMIT win.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(40)
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if m, err := exec.Memory(); err == nil && m.Limit > 0 {
		// Builds share the container: half of it is theirs at least.
		debug.SetMemoryLimit(int64(m.Limit / 2))
	}
}
