package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/remoting/callable"
)

// seenFile, beside the companion's files in workDir, says which classes the
// controllers of this work directory sent and which way they went. It has a line
// for each class and way, written when that comes for the first time:
//
//	2026-11-21T16:25:00Z relayed org.example.Foo
const seenFile = "seen"

// maxSeen bounds the lines of that file.
const maxSeen = 5000

// sighting is one line of it.
type sighting struct {
	Class string    `json:"class"`
	Route string    `json:"route"`
	First time.Time `json:"first"`
}

// seen appends to the file. Safe for concurrent use.
type seen struct {
	path string

	mu    sync.Mutex // guards known
	known map[string]bool
}

func newSeen(path string) *seen {
	s := &seen{path: path, known: map[string]bool{}}
	list, _ := readSeen(path) // none, or unreadable: then lines come twice
	for _, l := range list {
		s.known[l.Route+" "+l.Class] = true
	}
	return s
}

// note is for callable.Table.Seen.
func (s *seen) note(class, route string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := route + " " + class
	if s.known[key] || len(s.known) >= maxSeen || strings.ContainsAny(class, "\n\r") {
		return
	}
	s.known[key] = true
	// The agent works without this file, so a full disk is no reason to complain.
	if os.MkdirAll(filepath.Dir(s.path), 0o777) != nil {
		return
	}
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = fmt.Fprintf(f, "%s %s\n", time.Now().UTC().Format(time.RFC3339), key)
}

// readSeen reads such a file, and leaves out what it does not understand.
func readSeen(path string) ([]sighting, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := []sighting{}
	lines := bufio.NewScanner(io.LimitReader(f, 4<<20))
	for lines.Scan() {
		when, rest, _ := strings.Cut(lines.Text(), " ")
		route, class, ok := strings.Cut(rest, " ")
		first, err := time.Parse(time.RFC3339, when)
		if !ok || err != nil {
			continue
		}
		out = append(out, sighting{class, route, first})
	}
	return out, lines.Err()
}

// listSeen prints what a work directory's controllers sent: what needed the
// companion first.
func listSeen(c *cli.Context) error {
	dir := c.String("workDir")
	if dir == "" {
		return usagef("callables -seen: name the work directory of the agent with -workDir")
	}
	path := filepath.Join(companionDir(dir, c.String("internalDir")), seenFile)
	list, err := readSeen(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("no agent has written %s: it has seen no controller yet, or runs with another -workDir", path)
	}
	if err != nil {
		return err
	}
	order := []string{callable.RouteRefused, callable.RouteRelayed, callable.RouteNative}
	slices.SortStableFunc(list, func(a, b sighting) int {
		if d := slices.Index(order, a.Route) - slices.Index(order, b.Route); d != 0 {
			return d
		}
		return strings.Compare(a.Class, b.Class)
	})
	if c.Bool("json") {
		e := json.NewEncoder(c.App.Writer)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	for _, s := range list {
		if _, err := fmt.Fprintf(c.App.Writer, "%-7s  %s  %s\n", s.Route, s.First.Format("2006-01-02"), s.Class); err != nil {
			return err
		}
	}
	return nil
}
