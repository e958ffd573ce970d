package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// memoryLimit is a control group with a limit. The container's own is a child of
// it, so that what happened can be read when the container has gone.
type memoryLimit struct {
	dir  string
	two  bool // control groups version 2
	root string
}

const cgroupRoot = "/sys/fs/cgroup"

// limitMemory makes a control group that may use limit bytes.
func limitMemory(name string, limit int64) (*memoryLimit, error) {
	m := &memoryLimit{root: name, dir: filepath.Join(cgroupRoot, "memory", name)}
	file := "memory.limit_in_bytes"
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		m.two, m.dir, file = true, filepath.Join(cgroupRoot, name), "memory.max"
		_ = os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+memory +pids"), 0)
	}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		return nil, &notRun{fmt.Sprintf("a memory limit needs a writable control group: %v", err)}
	}
	if err := os.WriteFile(filepath.Join(m.dir, file), []byte(strconv.FormatInt(limit, 10)), 0); err != nil {
		m.close()
		return nil, &notRun{fmt.Sprintf("no memory limit can be set: %v", err)}
	}
	for _, swap := range []string{"memory.swap.max", "memory.swappiness"} {
		_ = os.WriteFile(filepath.Join(m.dir, swap), []byte("0"), 0)
	}
	return m, nil
}

// child is the container's own group, as the runtime wants it named.
func (m *memoryLimit) child(name string) string { return "/" + m.root + "/" + name }

// peak is the most that the group has used, in bytes; 0 where the kernel does
// not count it.
func (m *memoryLimit) peak() int64 {
	for _, f := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
		if b, err := os.ReadFile(filepath.Join(m.dir, f)); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			return n
		}
	}
	return 0
}

// kills is how many processes the kernel has killed for want of memory, in the
// group and below it.
func (m *memoryLimit) kills() int {
	n := 0
	_ = filepath.WalkDir(m.dir, func(path string, d os.DirEntry, err error) error {
		if name := filepath.Base(path); err == nil && (name == "memory.oom_control" || name == "memory.events" && path == filepath.Join(m.dir, name)) {
			b, _ := os.ReadFile(path)
			for line := range strings.Lines(string(b)) {
				if v, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
					k, _ := strconv.Atoi(v)
					n += k
				}
			}
		}
		return nil
	})
	return n
}

// close removes the group. The runtime removes the container's a moment after it
// has ended.
func (m *memoryLimit) close() {
	for range 20 {
		if os.Remove(m.dir) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
