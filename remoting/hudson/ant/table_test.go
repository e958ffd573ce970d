package ant

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// tableLine is any line of testdata/ant-1.10.15.jsonl.gz, which test/javagen/ant/AntTable.java prints.
type tableLine struct {
	Tree    string
	Entries [][]string
	Names   []string
	Scan    []string // tree, includes, excludes
	Flags   string
	List    int
	Error   string
	Ticks   []string // tree, pattern
	N       int
	Any     bool
	Paths   []string
	Pattern string
	Bits    string
}

func readTable(t testing.TB, each func(tableLine)) {
	f, err := os.Open("testdata/ant-1.10.15.jsonl.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l tableLine
		require.NoError(t, json.Unmarshal(lines.Bytes(), &l))
		each(l)
	}
	require.NoError(t, lines.Err())
}

// buildTree makes one of the table's trees below dir.
func buildTree(t testing.TB, base string, entries [][]string) {
	require.NoError(t, os.MkdirAll(base, 0o755))
	var locked []string
	for _, e := range entries {
		path := filepath.Join(base, e[1])
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		switch e[0] {
		case "d":
			require.NoError(t, os.MkdirAll(path, 0o755))
		case "f":
			require.NoError(t, os.WriteFile(path, nil, 0o644))
		case "l":
			require.NoError(t, os.Symlink(e[2], path))
		case "p":
			require.NoError(t, syscall.Mkfifo(path, 0o644))
		case "s":
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
			require.NoError(t, err)
			t.Cleanup(func() { l.Close() })
		case "x":
			locked = append(locked, path)
		}
	}
	for _, path := range locked {
		require.NoError(t, os.Chmod(path, 0o300))
		t.Cleanup(func() { os.Chmod(path, 0o755) })
	}
	for _, path := range locked {
		require.NoError(t, os.Chmod(path, 0))
	}
}

// TestAgainstAnt replays the table: every answer of the real Ant, text of errors included.
func TestAgainstAnt(t *testing.T) {
	work, err := os.MkdirTemp("", "ant") // short: socket paths are limited
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(work) })
	var lists [][]string
	var paths []string
	scans, ticks, patterns, skipped := 0, 0, 0, 0
	readTable(t, func(l tableLine) {
		switch {
		case l.Entries != nil:
			buildTree(t, filepath.Join(work, l.Tree), l.Entries)
		case l.Names != nil:
			lists = append(lists, l.Names)
		case l.Scan != nil:
			if l.Scan[0] == "unreadable" && os.Geteuid() == 0 {
				skipped++
				return
			}
			if scans++; testing.Short() && scans%7 != 0 {
				return
			}
			s := Scanner{
				Includes: l.Scan[1], Excludes: l.Scan[2],
				DefaultExcludes: strings.Contains(l.Flags, "d"),
				CaseSensitive:   strings.Contains(l.Flags, "c"),
				FollowSymlinks:  strings.Contains(l.Flags, "f"),
			}
			got, err := s.Scan(filepath.Join(work, l.Scan[0]))
			if l.Error != "" {
				require.Error(t, err, "%q", l)
				require.Equal(t, l.Error, strings.ReplaceAll(err.Error(), work, "WORK"))
				require.IsType(t, &BuildError{}, err)
				return
			}
			require.NoError(t, err, "%+v", l)
			if got == nil {
				got = []string{}
			}
			require.Equal(t, lists[l.List], got, "%q %s", l.Scan, l.Flags)
		case l.Ticks != nil:
			if l.Ticks[0] == "unreadable" && os.Geteuid() == 0 {
				skipped++
				return
			}
			ticks++
			dir := filepath.Join(work, l.Ticks[0])
			p := newPatterns([]string{l.Ticks[1]}, nil, true, true)
			if !l.Any {
				n := 0
				w := newWalk(context.Background(), dir, p)
				w.unsorted = true
				w.tick = func() { n++ }
				require.NoError(t, w.run())
				require.Equal(t, l.N, n, "%q", l.Ticks)
				// with room for n questions there is an answer, with less there is none
				v := validator{ctx: context.Background(), dir: dir, caseSensitive: true, bound: n - 1}
				ok, err := v.hasMatch(l.Ticks[1], true)
				require.NoError(t, err)
				require.False(t, ok)
				if v.bound = n - 2; n > 1 {
					_, err = v.hasMatch(l.Ticks[1], true)
					require.Equal(t, &BoundError{n - 2}, err, "%q", l.Ticks)
				}
				return
			}
			v := validator{ctx: context.Background(), dir: dir, bound: 1 << 20}
			ok, err := v.hasMatch(l.Ticks[1], true)
			require.NoError(t, err)
			require.True(t, ok, "%q", l.Ticks)
		case l.Paths != nil:
			paths = l.Paths
		case l.Bits != "":
			patterns++
			p := compile(l.Pattern)
			for i, path := range paths {
				pieces := splitPath(path)
				require.Equal(t, l.Bits[i]&1 != 0, p.matchPath(pieces, false), "%q %q", l.Pattern, path)
				require.Equal(t, l.Bits[i]&2 != 0, p.matchPath(pieces, true), "%q %q, case sensitive", l.Pattern, path)
			}
		}
	})
	if skipped > 0 {
		t.Logf("NOT TESTED: %d scans with unreadable directories, because root can read everything: run as another user", skipped)
	}
	t.Logf("%d scans, %d bounded searches, %d patterns × %d paths as Ant answers", scans, ticks, patterns, len(paths))
	require.Greater(t, scans, 5000)
}
