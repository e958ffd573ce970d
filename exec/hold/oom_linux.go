package hold

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/footman-ci/footman/exec"
)

// oomWatch notices that the kernel has killed something for lack of memory. The
// kernel counts the kills, but tells no container whom: orphans that ended by
// KILL are known by name, else it was most likely what was biggest shortly
// before.
type oomWatch struct {
	mu      sync.Mutex
	kills   uint64
	biggest process
	none    bool // there is no control group
}

func (o *oomWatch) start() {
	m, err := exec.Memory()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kills, o.none = m.OOMKills, err != nil
}

// watchMemory looks at the group once a second, and at the processes when it is
// more than half full.
func (h *Hold) watchMemory(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if h.oom.none {
			return
		}
		m, err := exec.Memory()
		if err != nil {
			continue
		}
		if m.Limit > 0 && m.Current > m.Limit/2 {
			all, _ := processes()
			var big process
			for _, p := range descendants(all, os.Getpid()) {
				if p.rss > big.rss {
					big = p
				}
			}
			h.oom.mu.Lock()
			h.oom.biggest = big
			h.oom.mu.Unlock()
		}
		h.oomReport(m, "")
	}
}

// oomSince is asked when a command has ended by KILL: the sentence about what the
// kernel did since, "" for nothing.
func (h *Hold) oomSince(program string) string {
	if h.oom.none {
		return ""
	}
	m, err := exec.Memory()
	if err != nil {
		return ""
	}
	return h.oomReport(m, program)
}

func (h *Hold) oomReport(m exec.MemoryFacts, victim string) string {
	h.oom.mu.Lock()
	n := m.OOMKills - h.oom.kills
	if m.OOMKills < h.oom.kills {
		n = 0
	}
	h.oom.kills = m.OOMKills
	big := h.oom.biggest
	h.oom.mu.Unlock()
	if n == 0 {
		return ""
	}
	h.mu.Lock()
	if len(h.orphans) > 0 && victim == "" {
		victim = h.orphans[len(h.orphans)-1].String()
	}
	h.orphans = nil
	h.mu.Unlock()
	if victim == "" && big.pid != 0 {
		victim = fmt.Sprintf("most likely %d (%s), %d MiB", big.pid, big.comm, big.rss*int64(os.Getpagesize())>>20)
	}
	if victim == "" {
		victim = "its name is in the log of the node"
	}
	text := fmt.Sprintf("the kernel killed %d process(es) of container %q for lack of memory (limit %d MiB): %s", n, h.Name, m.Limit>>20, victim)
	h.Log.Warn(text)
	return text
}
