package exec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
)

// maxEnviron bounds what is read of one process's environment; the kernel's own
// bound for arguments and environment together is 6 MiB by default.
const maxEnviron = 8 << 20

// procDir is where processes are read; tests set it.
var procDir = "/proc"

// procKey names a process for good: a pid alone may be used again.
type procKey struct {
	pid   int
	start uint64 // clock ticks since boot, field 22 of stat
}

type procInfo struct {
	procKey
	ppid  int
	state byte // Z is a zombie, which nobody can kill any more
	comm  string
}

// snapshot is the process tree at one moment, as far as /proc can give that.
type snapshot struct {
	procs    map[int]procInfo
	children map[int][]int
	zombies  map[procKey]bool
	vanished int // listed, but gone when read
}

// dead tells whether p has ended and only waits to be waited for.
func (p procInfo) dead() bool { return p.state == 'Z' || p.state == 'X' }

func takeSnapshot() (*snapshot, error) {
	d, err := os.Open(procDir)
	if err != nil {
		return nil, fmt.Errorf("exec: process tree: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("exec: process tree: %w", err)
	}
	s := &snapshot{procs: map[int]procInfo{}, children: map[int][]int{}, zombies: map[procKey]bool{}}
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil || pid <= 0 {
			continue
		}
		p, err := readProc(pid)
		if err != nil {
			s.vanished++
			continue
		}
		s.procs[pid] = p
		s.children[p.ppid] = append(s.children[p.ppid], pid)
		if p.dead() {
			s.zombies[p.procKey] = true
		}
	}
	return s, nil
}

func readProc(pid int) (procInfo, error) {
	b, err := os.ReadFile(filepath.Join(procDir, strconv.Itoa(pid), "stat"))
	if err != nil {
		return procInfo{}, err
	}
	return parseStat(pid, b)
}

// parseStat reads "pid (comm) state ppid … starttime": comm may contain anything,
// so the last ')' ends it.
func parseStat(pid int, b []byte) (procInfo, error) {
	p := procInfo{procKey: procKey{pid: pid}}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return p, fmt.Errorf("exec: stat of process %d has no name", pid)
	}
	p.comm = string(b[open+1 : end])
	f := bytes.Fields(b[end+1:])
	if len(f) < 20 || len(f[0]) != 1 {
		return p, fmt.Errorf("exec: stat of process %d has %d fields", pid, len(f))
	}
	p.state = f[0][0]
	var err error
	if p.ppid, err = strconv.Atoi(string(f[1])); err != nil {
		return p, fmt.Errorf("exec: stat of process %d: parent: %w", pid, err)
	}
	if p.start, err = strconv.ParseUint(string(f[19]), 10, 64); err != nil {
		return p, fmt.Errorf("exec: stat of process %d: start time: %w", pid, err)
	}
	return p, nil
}

func readEnviron(pid int) ([]byte, error) {
	f, err := os.Open(filepath.Join(procDir, strconv.Itoa(pid), "environ"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxEnviron))
}

// protected are this process and its ancestors.
func (s *snapshot) protected() map[int]bool {
	out := map[int]bool{1: true}
	for pid := os.Getpid(); pid > 0 && !out[pid]; {
		out[pid] = true
		pid = s.procs[pid].ppid
	}
	out[os.Getpid()] = true
	return out
}

// matching are the processes to end: root (0 = none) and those whose environment
// matches, each with all descendants, without zombies and the protected.
func (s *snapshot) matching(root int, m envModel) map[int]procInfo {
	keep := s.protected()
	out := map[int]procInfo{}
	var add func(pid int)
	add = func(pid int) {
		p, ok := s.procs[pid]
		if _, dup := out[pid]; !ok || dup || keep[pid] {
			return
		}
		if !p.dead() {
			out[pid] = p
		}
		for _, c := range s.children[pid] {
			add(c)
		}
	}
	if root > 0 {
		add(root)
	}
	for pid, p := range s.procs {
		if _, have := out[pid]; have || keep[pid] || p.dead() {
			continue
		}
		if env, err := readEnviron(pid); err == nil && m.matches(env) {
			add(pid)
		}
	}
	return out
}

// Processes lists the processes whose environment contains every pair of model;
// descendants without it are not listed.
func Processes(model map[string]string) ([]ProcessRef, error) {
	s, err := takeSnapshot()
	if err != nil {
		return nil, err
	}
	m := newEnvModel(model)
	var out []ProcessRef
	for pid, p := range s.procs {
		if env, err := readEnviron(pid); err == nil && m.matches(env) {
			out = append(out, ProcessRef{pid, p.comm})
		}
	}
	return out, nil
}

var errVanished = errors.New("exec: process vanished")
