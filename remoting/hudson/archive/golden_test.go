package archive

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// entry is one line of testdata/tree.jsonl: name, permissions, seconds, and text, "/" or "-> target".
type entry [4]string

func goldenTree(t testing.TB) (entries []entry) {
	f, err := os.Open("testdata/tree.jsonl")
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var e entry
		require.NoError(t, json.Unmarshal(s.Bytes(), &e))
		entries = append(entries, e)
	}
	return entries
}

func (e entry) isDir() bool            { return e[3] == "/" }
func (e entry) link() (string, bool)   { return strings.CutPrefix(e[3], "-> ") }
func (e entry) mtime() time.Time       { n, _ := strconv.ParseInt(e[2], 10, 64); return time.Unix(n, 0) }
func (e entry) perm() fs.FileMode      { n, _ := strconv.ParseUint(e[1], 8, 32); return fs.FileMode(n) }
func (e entry) path(dir string) string { return filepath.Join(dir, e[0]) }

// buildTree makes the tree that ArchiveTable.java made.
func buildTree(t testing.TB, entries []entry) string {
	dir := t.TempDir()
	for _, e := range entries {
		path := e.path(dir)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if target, ok := e.link(); ok {
			require.NoError(t, os.Symlink(target, path))
		} else if e.isDir() {
			require.NoError(t, os.MkdirAll(path, 0o755))
		} else {
			require.NoError(t, os.WriteFile(path, []byte(e[3]), 0o644))
		}
	}
	for _, e := range slices.Backward(entries) {
		if e[1] != "" {
			require.NoError(t, os.Chmod(e.path(dir), e.perm()))
			require.NoError(t, os.Chtimes(e.path(dir), e.mtime(), e.mtime()))
		}
	}
	return dir
}

// visitTree passes the tree to a writer as a DirScanner does.
func visitTree(entries []entry, dir string) func(Archiver) error {
	return func(a Archiver) error {
		for _, e := range entries {
			var err error
			if target, ok := e.link(); ok && a.UnderstandsSymlink() {
				err = a.VisitSymlink(e.path(dir), target, e[0])
			} else {
				if _, serr := os.Stat(e.path(dir)); serr != nil {
					continue
				}
				err = a.Visit(e.path(dir), e[0])
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func gunzipped(t testing.TB, name string) []byte {
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	return data
}

func ownTar(t testing.TB) []byte {
	entries := goldenTree(t)
	var out bytes.Buffer
	w := NewTarWriter(&out, TarOptions{})
	w.now = func() time.Time { return time.Unix(1e9, 0) }
	n, err := WriteTree(w, visitTree(entries, buildTree(t, entries)))
	require.NoError(t, err)
	require.Equal(t, len(entries), n)
	return out.Bytes()
}

// TestTarIsAntsTar compares every byte.
func TestTarIsAntsTar(t *testing.T) {
	want, got := gunzipped(t, "testdata/ant.tar.gz"), ownTar(t)
	require.Equal(t, len(want), len(got))
	for i := 0; i < len(want); i += recordSize {
		require.Equal(t, hex.Dump(want[i:i+recordSize]), hex.Dump(got[i:i+recordSize]), "record %d", i/recordSize)
	}
}

func TestHeaderNumbers(t *testing.T) {
	f, err := os.Open("testdata/headers.jsonl")
	require.NoError(t, err)
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); n++ {
		var l struct {
			Mode, Size, Mtime int64
			Hex               string
		}
		require.NoError(t, json.Unmarshal(s.Bytes(), &l))
		var rec [recordSize]byte
		(&tarHeader{name: "name", mode: l.Mode, size: l.Size, mtime: l.Mtime, flag: flagFile}).put(&rec)
		require.Equal(t, l.Hex, hex.EncodeToString(rec[:]), "%+v", l)
	}
	require.Equal(t, 5, n)
}

// requireTree checks an unpacked tree: modes, times and contents of files, targets of links.
func requireTree(t *testing.T, dir string, entries []entry) {
	for _, e := range entries {
		info, err := os.Lstat(e.path(dir))
		require.NoError(t, err)
		if target, ok := e.link(); ok {
			got, err := os.Readlink(e.path(dir))
			require.NoError(t, err)
			require.Equal(t, target, got)
			continue
		}
		require.Equal(t, e.isDir(), info.IsDir(), e[0])
		if e.isDir() {
			continue
		}
		require.Equal(t, e.perm(), info.Mode().Perm(), e[0])
		require.Equal(t, e.mtime().Unix(), info.ModTime().Unix(), e[0])
		data, err := os.ReadFile(e.path(dir))
		require.NoError(t, err)
		require.Equal(t, e[3], string(data))
	}
}

func TestReadAntsTar(t *testing.T) {
	f, err := os.Open("testdata/ant.tar.gz")
	require.NoError(t, err)
	defer f.Close()
	dir := filepath.Join(t.TempDir(), "new", "dir")
	entries := goldenTree(t)
	n, err := ReadTar(context.Background(), f, dir, ReadOptions{Name: "x", Gzip: true})
	require.NoError(t, err)
	require.Equal(t, len(entries), n)
	requireTree(t, dir, entries)
}

func TestTarGzRoundTrip(t *testing.T) {
	entries := goldenTree(t)
	var out bytes.Buffer
	_, err := WriteTree(NewTarWriter(&out, TarOptions{Gzip: true}), visitTree(entries, buildTree(t, entries)))
	require.NoError(t, err)
	dir := t.TempDir()
	rounds := 2 // over itself, too
	if os.Getuid() != 0 {
		rounds = 1 // a file that is read-only stays, as with java.io.FileOutputStream
	}
	for range rounds {
		n, err := ReadTar(context.Background(), bytes.NewReader(out.Bytes()), dir, ReadOptions{Name: "x", Gzip: true})
		require.NoError(t, err)
		require.Equal(t, len(entries), n)
		requireTree(t, dir, entries)
	}
}

// TestReadCommonsTar reads what commons-compress wrote: pax and GNU long names, hard links, a FIFO, absolute names.
func TestReadCommonsTar(t *testing.T) {
	f, err := os.Open("testdata/commons.tar.gz")
	require.NoError(t, err)
	defer f.Close()
	dir := t.TempDir()
	n, err := ReadTar(context.Background(), f, dir, ReadOptions{Name: "x", Gzip: true})
	require.NoError(t, err)
	require.Equal(t, 14, n)
	long := strings.Repeat("n", 60)
	for _, top := range []string{"pax/", "gnu/"} {
		for name, want := range map[string]string{
			top + long + "/" + long + "/ü✓😀": "long", top + "hard": "long", top + "fifo": "", top + "owned": "setuid is dropped", "abs/" + top + "x": "absolute",
		} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, want, string(data))
		}
		target, err := os.Readlink(filepath.Join(dir, top, "sym"))
		require.NoError(t, err)
		require.Equal(t, "/"+strings.Repeat("z", 200), target)
		info, err := os.Lstat(filepath.Join(dir, top, "owned"))
		require.NoError(t, err)
		require.Equal(t, fs.FileMode(0o755), info.Mode())
		info, err = os.Lstat(filepath.Join(dir, top, "fifo"))
		require.NoError(t, err)
		require.True(t, info.Mode().IsRegular())
	}
}

// TestZipIsLikeAnts compares what the directories of the two archives say.
func TestZipIsLikeAnts(t *testing.T) {
	local := time.Local
	time.Local = time.UTC // as the golden archive was made
	defer func() { time.Local = local }()
	want, err := zip.OpenReader("testdata/ant.zip")
	require.NoError(t, err)
	defer want.Close()
	got, err := zip.NewReader(bytes.NewReader(ownZip(t)), int64(len(ownZip(t))))
	require.NoError(t, err)
	require.Equal(t, len(want.File), len(got.File))
	for i, w := range want.File {
		g := got.File[i]
		describe := func(f *zip.File) string {
			flags := f.Flags
			if strings.HasSuffix(f.Name, "/") {
				flags &^= 8 // ours have no descriptor
			}
			return fmt.Sprintf("%s made by %d flags %x attributes %o time %x %x size %d crc %x extra %x",
				f.Name, f.CreatorVersion>>8, flags, f.ExternalAttrs, f.ModifiedDate, f.ModifiedTime, f.UncompressedSize64, f.CRC32, f.Extra) //nolint:staticcheck
		}
		require.Equal(t, describe(w), describe(g))
	}
}

func ownZip(t testing.TB) []byte {
	entries := goldenTree(t)
	var out bytes.Buffer
	_, err := WriteTree(NewZipWriter(&out, ZipOptions{Prefix: "pre"}), visitTree(entries, buildTree(t, entries)))
	require.NoError(t, err)
	return out.Bytes()
}

func TestZipRoundTrip(t *testing.T) {
	entries := goldenTree(t)
	dir := t.TempDir()
	_, err := ReadZip(context.Background(), bytes.NewReader(ownZip(t)), dir, ReadOptions{})
	require.NoError(t, err)
	files := slices.DeleteFunc(entries, func(e entry) bool {
		_, link := e.link()
		return link || e.isDir() || e.mtime().Year() < 1980 // these have no time that can be read back
	})
	for i := range files { // DOS has two seconds
		files[i][2] = strconv.FormatInt(files[i].mtime().Unix()&^1, 10)
	}
	requireTree(t, filepath.Join(dir, "pre"), files)
	leftOver, err := filepath.Glob(filepath.Join(os.TempDir(), "tmpzip*.tmp"))
	require.NoError(t, err)
	require.Empty(t, leftOver)
}

func TestReadCommonsZip(t *testing.T) {
	dir := t.TempDir()
	n, err := ReadZipFile(context.Background(), "testdata/commons.zip", dir, ReadOptions{})
	require.NoError(t, err)
	require.Equal(t, 6, n)
	for name, want := range map[string]string{
		"dir/ü.txt": "unicode extra field 640", "link": "dir/ü.txt 777", "abs": "absolute 600", "stored": "stored 755",
	} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		info, err := os.Lstat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, want, fmt.Sprintf("%s %o", data, info.Mode()))
		require.Equal(t, int64(1000000001), info.ModTime().Unix(), name)
	}
}

var keep = flag.String("keep", "", "directory for the archives of TestKeepOwnArchives")

// TestKeepOwnArchives leaves our archives of the golden tree for other programs to read: see test/javagen/archive.
func TestKeepOwnArchives(t *testing.T) {
	if *keep == "" {
		t.Skip("only with -keep DIR")
	}
	time.Local = time.UTC
	require.NoError(t, os.MkdirAll(*keep, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(*keep, "footman.tar"), ownTar(t), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(*keep, "footman.zip"), ownZip(t), 0o644))
	var out bytes.Buffer
	entries := goldenTree(t)
	w := NewTarWriter(&out, TarOptions{Gzip: true})
	w.now = func() time.Time { return time.Unix(1e9, 0) }
	_, err := WriteTree(w, visitTree(entries, buildTree(t, entries)))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(*keep, "footman.tar.gz"), out.Bytes(), 0o644))
}
