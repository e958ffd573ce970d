package exec

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// MemoryFacts are what the control group of this process (the container, in a
// pod) says about memory, in bytes.
type MemoryFacts struct {
	Version  int    // of the control group hierarchy: 1 or 2
	Limit    uint64 // the smallest up the hierarchy, as far as it is visible; 0 = none
	Current  uint64 // used, page cache included
	OOMKills uint64 // processes the kernel has killed in the group for lack of memory
}

// ErrNoCgroup is returned where no memory control group can be found.
var ErrNoCgroup = errors.New("exec: no memory control group")

// unlimited is the smallest value that means "no limit" in version 1.
const unlimited = 1 << 62

// Memory reads the facts of this process's control group.
func Memory() (MemoryFacts, error) { return memoryBelow("/") }

// memoryBelow reads them from the file system at root; tests pass another.
func memoryBelow(root string) (MemoryFacts, error) {
	g, err := findMemoryGroup(root)
	if err != nil {
		return MemoryFacts{}, err
	}
	f := MemoryFacts{Version: g.version}
	limit, current, events := "memory.max", "memory.current", "memory.events"
	if g.version == 1 {
		limit, current, events = "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.oom_control"
	}
	for dir := g.dir; ; dir = filepath.Dir(dir) {
		if n, ok := readNumber(filepath.Join(dir, limit)); ok && n < unlimited && (f.Limit == 0 || n < f.Limit) {
			f.Limit = n
		}
		if dir == g.mount || len(dir) <= len(g.mount) {
			break
		}
	}
	var ok bool
	if f.Current, ok = readNumber(filepath.Join(g.dir, current)); !ok {
		return f, fmt.Errorf("%w: %s has no %s", ErrNoCgroup, g.dir, current)
	}
	b, _ := os.ReadFile(filepath.Join(g.dir, events))
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			f.OOMKills, _ = strconv.ParseUint(v, 10, 64)
		}
	}
	return f, nil
}

type memoryGroup struct {
	version    int
	mount, dir string
}

// findMemoryGroup joins /proc/self/cgroup (which group) with mountinfo (where it
// is mounted, and which part of the hierarchy: a container sees its own as root).
func findMemoryGroup(root string) (memoryGroup, error) {
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return memoryGroup{}, fmt.Errorf("%w: %w", ErrNoCgroup, err)
	}
	g := memoryGroup{}
	var group string
	for line := range strings.Lines(string(groups)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) != 3 {
			continue
		}
		if f[0] == "0" && f[1] == "" && g.version == 0 {
			g.version, group = 2, f[2]
		} else if listHas(f[1], "memory") {
			g.version, group = 1, f[2]
		}
	}
	mounts, err := os.ReadFile(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return memoryGroup{}, fmt.Errorf("%w: %w", ErrNoCgroup, err)
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, ok := strings.Cut(line, " - ")
		m, t := strings.Fields(before), strings.Fields(after)
		if !ok || len(m) < 5 || len(t) < 3 {
			continue
		}
		if g.version == 2 && t[0] == "cgroup2" || g.version == 1 && t[0] == "cgroup" && listHas(t[2], "memory") {
			g.mount = filepath.Join(root, unescapeMount(m[4]))
			g.dir = g.mount
			if rel, ok := below(unescapeMount(m[3]), group); ok {
				if dir := filepath.Join(g.mount, rel); isDir(dir) {
					g.dir = dir
				}
			}
			return g, nil
		}
	}
	return memoryGroup{}, ErrNoCgroup
}

func listHas(list, want string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if s == want {
			return true
		}
	}
	return false
}

// below gives group relative to the part of the hierarchy that is mounted.
func below(mounted, group string) (string, bool) {
	mounted, group = path.Clean(mounted), path.Clean(group)
	if mounted == "/" {
		return group, strings.HasPrefix(group, "/")
	}
	if group == mounted {
		return ".", true
	}
	return strings.CutPrefix(group, mounted+"/")
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

// unescapeMount undoes mountinfo's octal escapes of blanks and backslashes.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

func readNumber(file string) (uint64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64) // "max" is none
	return n, err == nil
}
