package hudson

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

// browsable is a workspace with links in and out of it.
func browsable(t testing.TB) string {
	top, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	ws := filepath.Join(top, "ws")
	for _, d := range []string{"sub/deep/deeper", "b dir", "ws@tmp", "x@tmp/y", "one/.hidden"} {
		require.NoError(t, os.MkdirAll(filepath.Join(ws, d), 0o755))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(ws, "one/two/three"), 0o755))
	for _, f := range []string{"sub/c.txt", "a.txt", "B.txt", "é.txt", "x@tmp/secret", "sub/deep/deeper/f", "one/two/three/f1", "one/two/three/f2"} {
		require.NoError(t, os.WriteFile(filepath.Join(ws, f), []byte("text of "+f), 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(top, "outside"), []byte("outside"), 0o644))
	require.NoError(t, os.Symlink("sub", filepath.Join(ws, "linkdir")))
	require.NoError(t, os.Symlink("a.txt", filepath.Join(ws, "link")))
	require.NoError(t, os.Symlink("../outside", filepath.Join(ws, "out")))
	require.NoError(t, os.Symlink(top, filepath.Join(ws, "outdir")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(ws, "dangling")))
	require.NoError(t, os.Symlink("loop", filepath.Join(ws, "loop")))
	return ws
}

func TestHasSymlink(t *testing.T) {
	r := newRig(t, &Agent{})
	ws := browsable(t)
	has := func(path, root string, options *jser.Array) bool {
		return jser.Unbox(r.must(onPath(fields("hudson.FilePath$HasSymlink", "openOptions", options, "verificationRoot", root), path))).(bool)
	}
	no := openOptionArray("NOFOLLOW_LINKS")
	for path, want := range map[string]bool{"sub/c.txt": false, "linkdir/c.txt": true, "link": true, "dangling": true, "loop": true, "missing": false, "": false, "linkdir/missing": false} {
		require.Equal(t, want, has(filepath.Join(ws, path), ws, no), path)
		require.False(t, has(filepath.Join(ws, path), ws, openOptionArray()), path)
	}
	require.False(t, has(filepath.Join(ws, "linkdir/c.txt"), filepath.Join(ws, "linkdir"), no), "links above the root don't count")
	require.False(t, has(filepath.Join(ws, "linkdir/c.txt"), "", no))
	v := r.must(onPath(fields("hudson.FilePath$HasSymlink", "noFollowLinks", true, "verificationRoot", ws), filepath.Join(ws, "link")))
	require.Equal(t, true, jser.Unbox(v), "as core 2.289 asks")
}

func TestIsDescendant(t *testing.T) {
	r := newRig(t, &Agent{})
	ws := browsable(t)
	ask := func(dir, child string) (jser.Value, error) {
		return r.call(onPath(fields("hudson.FilePath$IsDescendant", "potentialChildRelativePath", child), dir))
	}
	for child, want := range map[string]bool{"sub/c.txt": true, "": true, "../x": false, "..": false, "linkdir/c.txt": true, "missing/x": true, "sub/../../q": false,
		"sub/../a.txt": true, "out": false, "outdir": false, "outdir/ws/a.txt": false, "dangling": true, "loop": false, "a.txt/x": false} {
		v, err := ask(ws, child)
		require.NoError(t, err, child)
		require.Equal(t, want, jser.Unbox(v), child)
	}
	v, err := ask(filepath.Join(ws, "missing"), "x")
	require.NoError(t, err)
	require.Equal(t, false, jser.Unbox(v))
	_, err = ask(ws, "/etc")
	require.ErrorContains(t, err, "Only a relative path is supported, the given path is absolute: /etc")
}

func TestIsAbsolute(t *testing.T) {
	r := newRig(t, &Agent{})
	for s, want := range map[string]bool{"": false, "a/b": false, "/a": true, "..": false} {
		require.Equal(t, want, jser.Unbox(r.must(fields("hudson.model.DirectoryBrowserSupport$IsAbsolute", "fragment", s))), s)
	}
}

func TestCheckedRead(t *testing.T) {
	r := newRig(t, &Agent{})
	ws := browsable(t)
	both := openOptionArray("NOFOLLOW_LINKS", "IGNORE_TMP_DIRS")
	read := func(path string, options *jser.Array) (string, string) {
		out := &errorSink{sink: newSink(), ended: make(chan string, 1)}
		r.must(onPath(fields("hudson.FilePath$Read", "openOptions", options, "p", r.pipeTo(out), "verificationRoot", ws), filepath.Join(ws, path)))
		return out.String(), <-out.ended
	}
	for path, want := range map[string]string{"link": "Symlinks are prohibited.", "linkdir/c.txt": "Symlinks are prohibited.", "out": "Symlinks are prohibited.",
		"x@tmp/secret": "Tmp directory is prohibited."} {
		text, err := read(path, both)
		require.Empty(t, text)
		require.Contains(t, err, want, path)
		text, err = read(path, openOptionArray())
		require.NotEmpty(t, text)
		require.Empty(t, err)
	}
	text, err := read("sub/c.txt", both)
	require.Equal(t, "text of sub/c.txt", text)
	require.Empty(t, err)
	_, err = read("missing", both)
	require.Contains(t, err, "NoSuchFileException")
	require.NoError(t, syscall.Mkfifo(filepath.Join(ws, "fifo"), 0o644))
	text, err = read("fifo", both)
	require.Empty(t, text+err, "a FIFO without a writer is empty")
}

// errorSink gives the error that a stream ended with.
type errorSink struct {
	*sink
	ended chan string
}

func (s *errorSink) CloseWithError(err error) error {
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.ended <- text
	return nil
}

func TestFilters(t *testing.T) {
	r := newRig(t, &Agent{})
	ws := browsable(t)
	list := func(filter *jser.Object) string {
		v := r.must(onPath(fields("hudson.FilePath$ListFilter", "filter", filter), ws))
		vs, err := jser.List(v)
		require.NoError(t, err)
		var names []string
		for _, f := range vs {
			names = append(names, filepath.Base(f.(*jser.Object).Str("remote")))
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	both := openOptionArray("NOFOLLOW_LINKS", "IGNORE_TMP_DIRS")
	require.Equal(t, "b dir linkdir one outdir sub ws@tmp x@tmp", list(fields("hudson.FilePath$DirectoryFilter")))
	require.Equal(t, "dangling link linkdir loop out outdir", list(fields("hudson.FilePath$SymlinkRetainingFileFilter", "openOptions", both, "verificationRoot", ws)))
	require.Equal(t, "B.txt a.txt b dir one sub é.txt", list(fields("hudson.FilePath$OptionalDiscardingFileFilter", "openOptions", both, "verificationRoot", ws)))
	_, err := r.call(onPath(fields("hudson.FilePath$ListFilter", "filter", fields("com.x.Filter")), ws))
	require.ErrorContains(t, err, "with the filter com.x.Filter")
}

func TestChildPaths(t *testing.T) {
	r := newRig(t, &Agent{})
	ws := browsable(t)
	cur := func(dir string) *jser.Object {
		return fields("jenkins.util.VirtualFile$FilePathVF", "cacheDescendant", false, "f", remotePath(dir), "root", remotePath(ws))
	}
	both := openOptionArray("NOFOLLOW_LINKS", "IGNORE_TMP_DIRS")
	v := r.must(fields("hudson.model.DirectoryBrowserSupport$BuildChildPaths", "cur", cur(ws), "locale", nil, "openOptions", both)).(*jser.Object)
	require.True(t, v.Bool("containsSymLink"))
	require.True(t, v.Bool("containsTmpDir"))
	require.Equal(t, "[b%20dir:b dir/] [one:one/ one/two:two/ one/two/three:three/] [sub:sub/] [a.txt:a.txt] [B.txt:B.txt] [%C3%A9.txt:é.txt]", shownPaths(t, v.Get("glob")))
	v = r.must(fields("hudson.model.DirectoryBrowserSupport$BuildChildPaths", "cur", cur(filepath.Join(ws, "sub")), "locale", nil, "openOptions", both)).(*jser.Object)
	require.False(t, v.Bool("containsSymLink"))
	require.Equal(t, "[deep:deep/ deep/deeper:deeper/] [c.txt:c.txt]", shownPaths(t, v.Get("glob")))
	list := r.must(fields("hudson.model.DirectoryBrowserSupport$BuildChildPaths", "root", cur(ws), "cur", cur(filepath.Join(ws, "sub")), "locale", nil))
	require.Equal(t, "[deep:deep/ deep/deeper:deeper/] [c.txt:c.txt]", shownPaths(t, list), "the form of core 2.289")
	list = r.must(fields("hudson.model.DirectoryBrowserSupport$BuildChildPaths", "root", cur(ws), "cur", cur(filepath.Join(ws, "missing")), "locale", nil))
	require.Empty(t, shownPaths(t, list))
	_, err := r.call(fields("hudson.model.DirectoryBrowserSupport$BuildChildPaths", "cur", fields("com.x.VF"), "locale", nil, "openOptions", both))
	require.ErrorContains(t, err, "with the folder com.x.VF")
}

func shownPaths(t testing.TB, glob jser.Value) string {
	rows, err := jser.List(glob)
	require.NoError(t, err)
	var out []string
	for _, row := range rows {
		paths, err := jser.List(row)
		require.NoError(t, err)
		var s []string
		for _, p := range paths {
			o := p.(*jser.Object)
			end := ""
			if o.Bool("isFolder") {
				end = "/"
			}
			require.True(t, o.Bool("isReadable"))
			require.Positive(t, o.Long("lastModified"))
			s = append(s, o.Str("href")+":"+o.Str("title")+end)
		}
		out = append(out, "["+strings.Join(s, " ")+"]")
	}
	return strings.Join(out, " ")
}

// TestCollation holds what java.text.Collator.getInstance(Locale.ENGLISH)
// makes of these names (JDK 17).
func TestCollation(t *testing.T) {
	sorted := []string{"_x", ".hidden", "(copy)", "{a}", "@lib", "$var", "#1", "+x", "0", "10", "2", "a", "A", "ä", "Ä", "aa", "ab", "Ab", "a b", "a-b", "b", "B", "cote", "coté", "côte", "Ø", "中"}
	for i := range sorted {
		for j := range sorted {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			require.Equal(t, want, newCollationKey(sorted[i]).compare(newCollationKey(sorted[j])), "%s and %s", sorted[i], sorted[j])
		}
	}
	require.Zero(t, newCollationKey("a\x01b").compare(newCollationKey("ab")))
	require.Equal(t, newCollationKey("Æß"), newCollationKey("Æß"))
}

func TestScannerAndReadable(t *testing.T) {
	r := newRig(t, &Agent{})
	ws := browsable(t)
	scan := func(includes string, excludes any, options *jser.Array) string {
		v := r.must(onPath(fields("jenkins.util.VirtualFile$Scanner", "useDefaultExcludes", true, "excludes", excludes, "includes", includes,
			"openOptions", options, "verificationRoot", ws), ws))
		names, err := jser.Strings(v)
		require.NoError(t, err)
		return strings.Join(names, " ")
	}
	both := openOptionArray("NOFOLLOW_LINKS", "IGNORE_TMP_DIRS")
	require.Equal(t, "B.txt a.txt sub/c.txt é.txt", scan("**/*.txt", nil, both))
	require.Equal(t, "B.txt a.txt linkdir/c.txt sub/c.txt é.txt", scan("**/*.txt", "outdir/**", openOptionArray()))
	require.Empty(t, scan("", nil, both))
	require.Empty(t, scan("x@tmp/**", nil, both))
	for name, want := range map[string]bool{"a.txt": true, "sub": true, "missing": false, "dangling": false} {
		require.Equal(t, want, jser.Unbox(r.must(onPath(fields("jenkins.util.VirtualFile$Readable"), filepath.Join(ws, name)))), name)
	}
}

func TestWorkspaceIndex(t *testing.T) {
	r := newRig(t, &Agent{})
	file := filepath.Join(t.TempDir(), "new", "workspaces.txt")
	for _, text := range []string{"a\nb\n", "", "ü 😀\n"} {
		r.must(onPath(fields("jenkins.branch.WorkspaceLocatorImpl$WriteAtomic", "text", text), file))
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, text, string(b))
	}
	require.Len(t, readNames(filepath.Dir(file)), 1, "no temporary file stays")
	_, err := r.call(onPath(fields("jenkins.branch.WorkspaceLocatorImpl$WriteAtomic", "text", "x"), filepath.Dir(file)))
	require.Error(t, err)
	require.Len(t, readNames(filepath.Dir(filepath.Dir(file))), 1)
}

func TestOldWorkspaces(t *testing.T) {
	r := newRig(t, &Agent{})
	root := t.TempDir()
	old := time.Now().Add(-31 * 24 * time.Hour)
	for name, at := range map[string]time.Time{"job": old, "job@2": old, "job@tmp": time.Now(), "jobs": old, "other": old} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, name, "x"), 0o755))
		require.NoError(t, os.Chtimes(filepath.Join(root, name), at, at))
	}
	require.NoError(t, os.Symlink("other", filepath.Join(root, "job@link")))
	r.must(onPath(fields("hudson.model.WorkspaceCleanupThread$CleanupOldWorkspaces", "retentionInDays", int32(30)), filepath.Join(root, "job")))
	names := readNames(root)
	slices.Sort(names)
	require.Equal(t, []string{"job@tmp", "jobs", "other"}, names)
	require.DirExists(t, filepath.Join(root, "other/x"), "only the link itself goes")
}
