package main

import (
	"os"
	"runtime"
	"runtime/debug"
	rtm "runtime/metrics"
	"time"

	"github.com/footman-ci/footman/exec"
)

const (
	// heapFloor is how far the heap may grow before it is collected, however
	// little of it lives. A collection costs about a millisecond; under load an
	// agent with half a megabyte of live heap would have a hundred a second.
	heapFloor = 4 << 20
	// growth is GOGC above the floor, in per cent.
	growth = 40
	// quiet is the time between two collections that says that nothing happens:
	// the runtime forces one every two minutes.
	quiet = time.Minute
)

// tuneMemory trades a little CPU for memory: the runtime's default would let
// the heap double before collecting. In a container the collector is told the
// limit, so that it works harder before the kernel kills. GOGC and GOMEMLIMIT
// win.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		followHeap()
	}
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	if m, err := exec.Memory(); err == nil && m.Limit > 0 {
		// Builds share the container: half of it is theirs at least.
		debug.SetMemoryLimit(int64(m.Limit / 2))
	}
}

// followHeap sets GOGC after each collection, and gives memory back to the
// system when the agent has been quiet.
func followHeap() {
	live := []rtm.Sample{{Name: "/gc/heap/live:bytes"}}
	percent, last := gcPercent(0), time.Now()
	debug.SetGCPercent(percent)
	afterCollection(func() {
		rtm.Read(live)
		// Setting it stops the world: not for small changes.
		if p := gcPercent(live[0].Value.Uint64()); p-percent > 10 || percent-p > 10 || p == growth && p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
		now := time.Now()
		if now.Sub(last) > quiet {
			go debug.FreeOSMemory() // collects, and so comes here again
		}
		last = now
	})
}

// gcPercent is the GOGC by which the next collection comes at heapFloor or, if
// that is more, when the heap has grown by growth.
func gcPercent(live uint64) int {
	// The runtime's own floor is 4 MiB at 100 and proportional to it.
	const most = heapFloor * 100 / (4 << 20)
	if live >= heapFloor {
		return growth
	}
	return int(min(most, max(growth, (heapFloor-live)*100/max(live, 1))))
}

// afterCollection calls do after each garbage collection, in the goroutine of
// the finalizers.
func afterCollection(do func()) {
	type mark struct{ _ *byte } // a pointer keeps it out of the allocator for tiny objects
	var again func(*mark)
	again = func(m *mark) {
		do()
		runtime.SetFinalizer(m, again)
	}
	runtime.SetFinalizer(&mark{}, again)
}
