package ant

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func write(t testing.TB, dir string, names ...string) {
	for _, name := range names {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(name), 0o644))
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		sensitive     bool
		want          bool
	}{
		{"**/*.txt", "a/b/c.txt", true, true},
		{"a/", "a/b/c", true, true},
		{`a\b`, "a/b", true, true},
		{"a", "A", true, false},
		{"a", "A", false, true},
		{"straße", "STRASSE", false, true},
		{"straße*", "STRASSE", false, false}, // one letter is one letter as soon as there is a wildcard
		{"?", "😀", true, false},              // two UTF-16 units
		{"??", "😀", true, true},
		{"", "", true, true},
	} {
		require.Equal(t, c.want, Match(c.pattern, c.path, c.sensitive), "%+v", c)
	}
}

func TestScanErrors(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "file")
	_, err := New("**", "").Scan(dir + "/none")
	require.EqualError(t, err, dir+"/none does not exist.")
	_, err = New("**", "").Scan(dir + "/file")
	require.EqualError(t, err, dir+"/file is not a directory.")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = New("**", "").ScanContext(ctx, dir)
	require.ErrorIs(t, err, context.Canceled)
	for _, glob := range []string{"/etc/*", `C:\x\*`, "c:/x", `\\host\x`} {
		_, err = List(context.Background(), dir, glob, "", true)
		require.EqualError(t, err, "Expecting Ant GLOB pattern, but saw '"+glob+"'. See https://ant.apache.org/manual/Types/fileset.html for syntax")
	}
	names, err := List(context.Background(), dir, "*", "", true)
	require.NoError(t, err)
	require.Equal(t, []string{"file"}, names)
}

func TestNamesThatAreNotUTF8KeepTheirBytes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a\xffb.txt")
	names, err := New("**/*.txt", "").Scan(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"a\xffb.txt"}, names)
	names, err = New("a?b.*", "").Scan(dir)
	require.NoError(t, err)
	require.Len(t, names, 1)
}

// TestVanishing removes directories and files while the walk is on its way to them.
func TestVanishing(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		write(t, dir, fmt.Sprintf("d%02d/f", i))
	}
	var seen []string
	err := New("**", "").Walk(context.Background(), dir, func(rel string, _ fs.DirEntry) error {
		seen = append(seen, rel)
		return os.RemoveAll(filepath.Join(dir, fmt.Sprintf("d%02d", 2*len(seen)-1)))
	})
	require.NoError(t, err)
	require.Equal(t, 10, len(seen))
	require.True(t, slices.IsSorted(seen))
}

// TestWalkOrder compares the order of the walk with sorting all paths.
func TestWalkOrder(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a/x", "a-b", "a.c/y", "a0", "ab/z", "é/1", "é-", "😀/1", "\uE000", "\uFF21/x", "B", "a/b/c", "a/b-/c", "a/b.")
	names, err := New("", "").Scan(dir)
	require.NoError(t, err)
	require.Len(t, names, 14)
	require.True(t, slices.IsSortedFunc(names, compareNames), "%q", names)
}

// TestOnlyWhereSomethingCanMatch makes directories unlistable that the walk has no business in.
func TestOnlyWhereSomethingCanMatch(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "src/a/b/X.java", "src/skip/deep/Y.java", "other/Z.java")
	w := newWalk(context.Background(), dir, newPatterns([]string{"src/*/b/*.java"}, []string{"src/skip/**"}, true, true))
	roots, err := w.findRoots()
	require.NoError(t, err)
	require.Len(t, roots, 1)
	require.Equal(t, "src", roots[0].rel)
	require.True(t, w.p.leadsTo([]string{"src", "a"}, w.tick))
	require.True(t, w.p.leadsTo([]string{"src", "a", "b"}, w.tick))
	require.False(t, w.p.leadsTo([]string{"src", "a", "c"}, w.tick))
	require.False(t, w.p.leadsTo([]string{"src", "a", "b", "d"}, w.tick))
	require.False(t, w.p.leadsTo([]string{"src", "skip"}, w.tick))
}

func TestValidateMask(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.txt", "aa/bb/cc/dd.jar", "with space.txt", "one two/x")
	for _, c := range []struct {
		masks     string
		sensitive bool
		want      string
	}{
		{"~/x", true, textTilde},
		{"", true, ""},
		{"*.txt", true, ""},
		{"*.txt, aa/**", true, ""},
		{"aa", true, ""}, // a directory will do
		{"A.TXT", false, ""},
		{"A.TXT", true, "‘A.TXT’ doesn’t match anything because it is treated case sensitively. You can deactivate case sensitivity to get matches"},
		{"a.txt aa/**", true, "Whitespace can no longer be used as the separator. Please Use ‘,’ as the separator instead."},
		{`"with space.txt" aa/**`, true, "Whitespace can no longer be used as the separator. Please Use ‘,’ as the separator instead."},
		{"none/a.txt", true, "‘none/a.txt’ doesn’t match anything, but ‘a.txt’ does. Perhaps that’s what you mean?"},
		{"none/", true, "‘none/’ doesn’t match anything, but ‘’ does. Perhaps that’s what you mean?"},
		{"cc/*.jar", true, "‘cc/*.jar’ doesn’t match anything, but ‘aa/bb/cc/*.jar’ does. Perhaps that’s what you mean?"},
		{"none/*", true, "‘none/*’ doesn’t match anything, but ‘*’ does. Perhaps that’s what you mean?"}, // fixture 08
		{"aa/x/*.zip", true, "‘aa/x/*.zip’ doesn’t match anything: ‘aa’ exists but not ‘aa/x/*.zip’"},
		{"zz/*.zip", true, "‘zz/*.zip’ doesn’t match anything: even ‘zz’ doesn’t exist"},
		{"*.zip", true, "‘*.zip’ doesn’t match anything"},
		{"*.txt,*.zip", true, "‘*.zip’ doesn’t match anything"},
	} {
		got, err := ValidateMask(context.Background(), dir, c.masks, 1000, c.sensitive)
		require.NoError(t, err, "%+v", c)
		require.Equal(t, c.want, got, "%+v", c)
	}
	_, err := ValidateMask(context.Background(), dir, "**/*.zip", 3, true)
	require.Equal(t, &BoundError{3}, err)
	require.EqualError(t, err, "no matches found within 3")
	_, err = ValidateMask(context.Background(), dir+"/none", "*", 1000, true)
	require.EqualError(t, err, "basedir "+dir+"/none does not exist.")
}

// recorder notes what a visitor gets.
type recorder struct {
	links bool
	seen  []string
}

func (r *recorder) Visit(_, rel string) error { r.seen = append(r.seen, rel); return nil }
func (r *recorder) VisitSymlink(_, target, rel string) error {
	r.seen = append(r.seen, rel+" -> "+target)
	return nil
}
func (r *recorder) UnderstandsSymlink() bool { return r.links }

func TestDirScanners(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ws")
	write(t, dir, "f", "d/g", ".git/config", "job@tmp/x")
	require.NoError(t, os.Symlink("d//", filepath.Join(dir, "l")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "broken")))
	none := ""
	for name, c := range map[string]struct {
		scanner DirScanner
		links   bool
		want    []string
	}{
		"glob": {Glob{Includes: "**", DefaultExcludes: true}, true, []string{"broken -> nowhere", "d/g", "f", "job@tmp/x", "l/g"}},
		"glob, excludes empty": {
			Glob{Excludes: &none}, false, []string{".git/config", "broken", "d/g", "f", "job@tmp/x", "l/g"},
		},
		"glob, no links": {Glob{Includes: "**", NoFollow: true}, true, []string{".git/config", "d/g", "f", "job@tmp/x"}},
		"full": {
			Glob{}, true,
			[]string{"ws", "ws/.git", "ws/.git/config", "ws/d", "ws/d/g", "ws/f", "ws/job@tmp", "ws/job@tmp/x", "ws/l -> d", "ws/l/g"},
		},
		"filter": {
			Filter{Accept: func(path string) bool { return strings.HasSuffix(path, "/g") }}, true,
			[]string{"ws", "ws/.git", "ws/d", "ws/d/g", "ws/job@tmp", "ws/l", "ws/l/g"},
		},
		"explicit": {Explicit{{"z", "f"}, {"a", "broken"}, {"m", "no such file"}}, true, []string{"z", "a -> nowhere", "m"}},
	} {
		r := &recorder{links: c.links}
		require.NoError(t, c.scanner.Scan(context.Background(), dir, r), name)
		if strings.HasPrefix(name, "full") || name == "filter" {
			slices.Sort(r.seen) // they follow the order on disk
		}
		require.Equal(t, c.want, r.seen, name)
	}
	r := &recorder{links: true}
	require.NoError(t, Glob{Includes: "**", DefaultExcludes: true}.Scan(context.Background(), dir+"/none", r))
	require.Empty(t, r.seen)

	r = &recorder{links: true}
	require.NoError(t, Full{}.Scan(context.Background(), dir, Without(r, dir, true, true)))
	slices.Sort(r.seen)
	require.Equal(t, []string{"ws", "ws/.git", "ws/.git/config", "ws/d", "ws/d/g", "ws/f"}, r.seen)
}

func FuzzMatch(f *testing.F) {
	for _, p := range append(DefaultExcludes(), "a/**/b?*c/", `\`, "//", "😀?\xff") {
		f.Add(p, "a/b/c", true)
	}
	f.Fuzz(func(t *testing.T, pattern, path string, sensitive bool) {
		got := Match(pattern, path, sensitive)
		if got && sensitive && !Match(pattern, path, false) {
			t.Errorf("%q matches %q only with case", pattern, path)
		}
		p := compile(normalize(pattern))
		if got && p.wild {
			pieces := splitPath(path)
			if !p.matchStart(pieces, sensitive) {
				t.Errorf("%q matches %q but would not be looked for there", pattern, path)
			}
		}
	})
}

func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	write(f, dir, "a/b/c", "a/b.txt", "x y", "A/B")
	require.NoError(f, os.Symlink("..", filepath.Join(dir, "a/up")))
	f.Add("**/*.txt, a/", "a/up/**", byte(7))
	f.Fuzz(func(t *testing.T, includes, excludes string, flags byte) {
		s := Scanner{includes, excludes, flags&1 != 0, flags&2 != 0, flags&4 != 0}
		names, err := s.Scan(dir)
		if err != nil {
			return
		}
		if !slices.IsSortedFunc(names, compareNames) {
			t.Errorf("not sorted: %q", names)
		}
		if len(slices.Compact(names)) != len(names) {
			t.Errorf("twice: %q", names)
		}
		_, _ = ValidateMask(context.Background(), dir, includes, 100, s.CaseSensitive)
	})
}

// BenchmarkScan is a tree of 50 000 files in 500 directories. Java took 400 to 650 ms for the first two on the machine
// where this took 80 to 100.
func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	for d := range 500 {
		for i := range 100 {
			write(b, dir, fmt.Sprintf("m%02d/src/p%d/F%d.java", d/10, d%10, i))
		}
	}
	for _, c := range []struct{ name, includes string }{{"all", "**"}, {"suffix", "**/*.java"}, {"none", "**/target/*.jar"}, {"narrow", "m07/src/p3/*.java"}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				_, err := New(c.includes, "").Scan(dir)
				require.NoError(b, err)
			}
		})
	}
}
