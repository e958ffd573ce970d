package hold

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// process is one line of the process table.
type process struct {
	pid, ppid, pgrp int
	comm            string
	rss             int64 // pages
}

// processes lists what lives, without zombies.
func processes() ([]process, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []process
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + n + "/stat")
		if err != nil {
			continue // it has ended
		}
		if p, ok := parseProcess(pid, b); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// ownProc tells whether /proc is that of our PID namespace.
func ownProc() bool {
	s, err := os.Readlink("/proc/self")
	return err == nil && s == strconv.Itoa(os.Getpid())
}

// parseProcess reads "pid (comm) state ppid pgrp … rss"; it is false for zombies.
func parseProcess(pid int, b []byte) (process, bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return process{}, false
	}
	f := bytes.Fields(b[end+1:])
	if len(f) < 22 || f[0][0] == 'Z' || f[0][0] == 'X' {
		return process{}, false
	}
	p := process{pid: pid, comm: string(b[open+1 : end])}
	p.ppid, _ = strconv.Atoi(string(f[1]))
	p.pgrp, _ = strconv.Atoi(string(f[2]))
	p.rss, _ = strconv.ParseInt(string(f[21]), 10, 64)
	return p, true
}

// descendants of root, without it.
func descendants(all []process, root int) []process {
	children := map[int][]process{}
	for _, p := range all {
		children[p.ppid] = append(children[p.ppid], p)
	}
	var out []process
	for next := []int{root}; len(next) > 0; {
		pid := next[0]
		next = next[1:]
		for _, c := range children[pid] {
			if c.pid != root {
				out = append(out, c)
				next = append(next, c.pid)
			}
		}
		delete(children, pid)
	}
	return out
}

func names(ps []process) []string {
	var out []string
	for _, p := range ps {
		if len(out) == 10 {
			return append(out, "…")
		}
		out = append(out, fmt.Sprintf("%d (%s)", p.pid, p.comm))
	}
	return out
}
