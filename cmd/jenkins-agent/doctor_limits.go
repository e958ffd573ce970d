package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/footman-ci/footman/exec"
)

const (
	memoryLeast = 32 << 20 // bytes; the agent takes less than 20 MiB, a shell and git come on top
	memoryTight = 90       // per cent in use
	cpuLeast    = 0.1      // cores; below that TLS alone takes seconds
	pidsLeast   = 128
	filesLeast  = 1024
	zombiesMost = 20
)

// limits looks at what the kernel allows; root is / but for tests.
func (d *doctor) limits(root string) {
	facts, err := exec.Memory()
	d.memory(facts, err)
	group := cgroup{root}
	d.cpu(group)
	d.pids(group)
	var files syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files) == nil {
		d.openFiles(files.Cur)
	}
	d.firstProcess(root, os.Getpid())
}

func (d *doctor) memory(f exec.MemoryFacts, err error) {
	mib := func(n uint64) uint64 { return n >> 20 }
	switch {
	case err != nil:
		d.ok("memory", "no limit is to be seen")
	case f.Limit == 0:
		d.ok("memory", "no limit (cgroup v%d)", f.Version)
	case f.Limit < memoryLeast:
		d.warn("memory", "give the container 64Mi or more: builds in it count, too", "the limit is %d MiB (cgroup v%d): the agent needs less, a git or a compiler beside it more", mib(f.Limit), f.Version)
	case f.Current*100 > f.Limit*memoryTight:
		d.warn("memory", "raise the limit of this container, or run fewer builds at once; page cache counts, but is given back", "%d of %d MiB are in use (cgroup v%d)", mib(f.Current), mib(f.Limit), f.Version)
	default:
		d.ok("memory", "the limit is %d MiB, %d in use (cgroup v%d); builds in this container count, too", mib(f.Limit), mib(f.Current), f.Version)
	}
	if f.OOMKills > 0 {
		d.warn("memory", "raise the limit of this container", "the kernel has killed %d processes here for lack of memory", f.OOMKills)
	}
}

// cgroup reads the control group of this process, of version 1 or 2, below the
// file system at root.
type cgroup struct{ root string }

// read returns the first of the files that exists; those of version 1 name
// their controller first.
func (g cgroup) read(names ...string) string {
	groups := map[string]string{} // by controller, "" for version 2
	b, _ := os.ReadFile(filepath.Join(g.root, "proc/self/cgroup"))
	for line := range strings.Lines(string(b)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for c := range strings.SplitSeq(f[1], ",") {
				groups[c] = f[2]
			}
		}
	}
	for _, name := range names {
		controller, file := filepath.Split(name)
		controller = strings.TrimSuffix(controller, "/")
		base := filepath.Join(g.root, "sys/fs/cgroup", controller)
		// A container sees its own group at the top; on the host, and without a
		// namespace, it is further down.
		for _, dir := range []string{filepath.Join(base, groups[controller]), base} {
			if b, err := os.ReadFile(filepath.Join(dir, file)); err == nil {
				return string(bytes.TrimSpace(b))
			}
		}
	}
	return ""
}

// cores is the CPU limit, 0 for none.
func (g cgroup) cores() float64 {
	fields := strings.Fields(g.read("cpu.max"))
	if len(fields) != 2 {
		fields = []string{g.read("cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us"), g.read("cpu/cpu.cfs_period_us", "cpu,cpuacct/cpu.cfs_period_us")}
	}
	quota, err1 := strconv.ParseFloat(fields[0], 64)
	period, err2 := strconv.ParseFloat(fields[1], 64)
	if err1 != nil || err2 != nil || quota <= 0 || period <= 0 {
		return 0
	}
	return quota / period
}

func (d *doctor) cpu(g cgroup) {
	switch n := g.cores(); {
	case n == 0:
		d.ok("cpu", "no limit")
	case n < cpuLeast:
		d.warn("cpu", "raise the CPU limit, or leave it out and set a request", "the limit is %.2g cores: connecting alone takes seconds", n)
	default:
		d.ok("cpu", "the limit is %.3g cores", n)
	}
}

func (d *doctor) pids(g cgroup) {
	if n, err := strconv.Atoi(g.read("pids.max", "pids/pids.max")); err == nil && n < pidsLeast {
		d.warn("pids", "raise the limit (docker run --pids-limit, podPidsLimit of the kubelet)", "only %d processes and threads are allowed", n)
	}
}

func (d *doctor) openFiles(n uint64) {
	if n < filesLeast {
		d.warn("files", "raise it: ulimit -n, LimitNOFILE= in the systemd unit, or ulimits of the container", "only %d files may be open at once", n)
		return
	}
	d.ok("files", "%d may be open at once", n)
}

// idlers are programs that images start as PID 1 and that do not collect
// orphans.
var idlers = []string{"sh", "dash", "ash", "busybox", "sleep", "cat", "tail", "java", "node", "python", "python3", "perl", "ruby", "sshd", "dockerd"}

// firstProcess looks at who collects orphans. Durable steps leave one each.
func (d *doctor) firstProcess(root string, self int) {
	comm := readTrimmed(filepath.Join(root, "proc/1/comm"))
	if self == 1 {
		comm = "jenkins-agent"
	}
	if comm == "" {
		d.ok("pid1", "can't be seen")
		return
	}
	zombies := 0
	stats, _ := filepath.Glob(filepath.Join(root, "proc/[0-9]*/stat"))
	for _, f := range stats {
		// pid (comm) state ppid …
		if _, rest, ok := cutLast(readTrimmed(f), ") "); ok {
			if fields := strings.Fields(rest); len(fields) > 1 && fields[0] == "Z" && fields[1] == "1" {
				zombies++
			}
		}
	}
	remedy := "start the container with jenkins-agent as its first process, or jenkins-agent hold in tool containers; or docker run --init, shareProcessNamespace: true in a pod"
	switch {
	case zombies > zombiesMost:
		d.warn("pid1", remedy, "%d processes that ended are left over: PID 1 (%s) does not collect them", zombies, comm)
	case slices.Contains(idlers, comm):
		d.warn("pid1", remedy, "PID 1 is %s, which does not collect the orphans that sh steps leave", comm)
	default:
		d.ok("pid1", "%s, %d processes wait to be collected", comm, zombies)
	}
}

func readTrimmed(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
