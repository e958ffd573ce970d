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
	most int64 // peak when the group was removed
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
	if m.most > 0 {
		return m.most
	}
	for _, f := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
		if b, err := os.ReadFile(filepath.Join(m.dir, f)); err == nil {
			n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
			return n
		}
	}
	return 0
}

// close removes the group, here and in the hierarchies of other controllers. The
// runtime removes the container's a moment after it has ended.
func (m *memoryLimit) close() {
	m.most = m.peak()
	others, _ := filepath.Glob(filepath.Join(cgroupRoot, "*", m.root))
	defer func() {
		for _, dir := range others {
			_ = os.Remove(dir)
		}
	}()
	for range 20 {
		if os.Remove(m.dir) == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}
