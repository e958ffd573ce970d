package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// makeTar writes headers with data as archive/tar does, whatever they say.
func makeTar(t testing.TB, headers ...tar.Header) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range headers {
		data := h.Uname // borrowed for the text
		h.Uname = ""
		h.Size = int64(len(data))
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		require.NoError(t, w.WriteHeader(&h))
		_, err := w.Write([]byte(data))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func file(name, text string) tar.Header { return tar.Header{Name: name, Uname: text} }
func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}
func hard(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
}
func directory(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeDir} }

// outside lists everything beside the target, which must stay as it was.
func outside(t *testing.T, dir string) (names []string) {
	require.NoError(t, filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
		if path == dir {
			return fs.SkipDir
		}
		if err == nil && !d.IsDir() {
			data, _ := os.ReadFile(path)
			names = append(names, d.Name()+"="+string(data))
		}
		return err
	}))
	return names
}

// TestHostileTar unpacks archives that try to leave the target, with Jenkins' words for it.
func TestHostileTar(t *testing.T) {
	for _, c := range []struct {
		name    string
		entries []tar.Header
		want    string // message of the cause; TARGET is the target's path; "" is success
	}{
		{"dot dot", []tar.Header{file("../evil", "x")}, "Tar n contains illegal file name that breaks out of the target directory: ../evil"},
		{"dot dot inside", []tar.Header{file("a/../../evil", "x")}, "Tar n contains illegal file name that breaks out of the target directory: a/../../evil"},
		{"out and in again", []tar.Header{file("../target/x", "x")}, "Tar n contains illegal file name that breaks out of the target directory: ../target/x"},
		{"dot dot that stays", []tar.Header{file("a/../b", "x")}, ""},
		{"directory", []tar.Header{directory("../evil/")}, "Tar n contains illegal file name that breaks out of the target directory: ../evil/"},
		{"absolute is taken below", []tar.Header{file("/evil", "x")}, ""},
		{"behind a link", []tar.Header{link("l", ".."), file("l/evil", "x")}, "Tar n attempts to write to file with symlink in path: l/evil"},
		{"behind a link, deeper", []tar.Header{link("d/l", "../.."), file("d/l/e/evil", "x")}, "Tar n attempts to write to file with symlink in path: d/l/e/evil"},
		{"directory behind a link", []tar.Header{link("l", ".."), directory("l/evil/")}, "Tar n attempts to write to file with symlink in path: l/evil/"},
		{"link behind a link", []tar.Header{link("l", ".."), link("l/evil", "x")}, "Tar n attempts to write to file with symlink in path: l/evil"},
		{"around a link", []tar.Header{link("l", ".."), file("l/../evil", "x")}, "Tar n attempts to write to file with symlink in path: l/../evil"},
		{"through a link", []tar.Header{link("l", "../victim"), file("l", "x")}, "Tar 'n' entry 'l' would write through existing symlink: TARGET/l"},
		{"through an absolute link", []tar.Header{link("l", "VICTIM"), file("l", "x")}, "Tar 'n' entry 'l' would write through existing symlink: TARGET/l"},
		{"directory becomes a link", []tar.Header{directory("d/"), link("d", ".."), file("d/evil", "x")}, "Tar n attempts to write to file with symlink in path: d/evil"},
		{"parent becomes a link", []tar.Header{file("d/x", "x"), hard("y", "d/x"), link("d", ".."), file("d/evil", "x")}, ""},
		{"hard link out", []tar.Header{hard("h", "../victim"), file("h", "x")}, ""},
		{"hard link out by a link", []tar.Header{link("l", ".."), hard("h", "l/victim"), file("h", "x")}, ""},
		{"hard link to a link", []tar.Header{link("l", "../victim"), hard("h", "l"), file("h", "x")}, ""},
		{"behind a link inside", []tar.Header{directory("d/"), link("l", "d"), file("l/x", "x"), file("l/e/y", "y")}, ""},
		{"through a link inside", []tar.Header{file("f", "x"), link("l", "f"), file("l", "y"), link("n", "new"), file("n", "z")}, ""},
		{"behind a link to a link out", []tar.Header{link("l", "m"), link("m", ".."), file("l/evil", "x")}, "Tar n attempts to write to file with symlink in path: l/evil"},
		{"behind a dangling link out", []tar.Header{link("l", "../new"), file("l/evil", "x")}, "Tar n attempts to write to file with symlink in path: l/evil"},
		{"link to itself", []tar.Header{link("l", "l"), file("l", "x")}, "Tar 'n' entry 'l' would write through existing symlink: TARGET/l"},
		{"file as a directory", []tar.Header{file("f", "x"), file("f/g", "x")}, "open TARGET/f/g: not a directory"},
		{"the target itself", []tar.Header{file(".", "x")}, "openat TARGET: is a directory"},
		{"no name", []tar.Header{directory("./"), link(".", "x")}, ""},
		{"FIFO and device", []tar.Header{{Name: "p", Typeflag: tar.TypeFifo}, {Name: "c", Typeflag: tar.TypeChar}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := t.TempDir()
			dir := filepath.Join(top, "target")
			victim := filepath.Join(top, "victim")
			require.NoError(t, os.WriteFile(victim, []byte("intact"), 0o644))
			require.NoError(t, os.Mkdir(dir, 0o755))
			for i := range c.entries {
				c.entries[i].Linkname = strings.ReplaceAll(c.entries[i].Linkname, "VICTIM", victim)
			}
			_, err := ReadTar(context.Background(), bytes.NewReader(makeTar(t, c.entries...)), dir, ReadOptions{Name: "n"})
			require.Equal(t, []string{"victim=intact"}, outside(t, dir))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var f *Failure
			require.ErrorAs(t, err, &f)
			require.Equal(t, "Failed to extract n", f.Text)
			require.Equal(t, strings.ReplaceAll(c.want, "TARGET", dir), f.Cause.Error())
		})
	}
}

// TestLinksThatWereThere: links in the target from before the unpacking.
func TestLinksThatWereThere(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "target")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(top, "victim"), []byte("intact"), 0o644))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "up")))
	require.NoError(t, os.Symlink(filepath.Join(top, "new"), filepath.Join(dir, "dangling")))
	read := func(hs ...tar.Header) error {
		_, err := ReadTar(context.Background(), bytes.NewReader(makeTar(t, hs...)), dir, ReadOptions{Name: "n"})
		return err
	}
	require.ErrorContains(t, read(file("up/victim", "x")), "attempts to write to file with symlink in path")
	require.ErrorContains(t, read(file("dangling", "x")), "would write through existing symlink")
	require.NoError(t, read(link("up", "elsewhere")), "a link may be replaced")
	require.NoError(t, read(directory("full/"), file("full/f", "x"), link("full", "x")), "a full directory stays, silently")
	require.DirExists(t, filepath.Join(dir, "full"))
	require.Equal(t, []string{"victim=intact"}, outside(t, dir))

	// the target itself may be a link
	require.NoError(t, os.Symlink("target", filepath.Join(top, "alias")))
	_, err := ReadTar(context.Background(), bytes.NewReader(makeTar(t, file("ok", "x"))), filepath.Join(top, "alias"), ReadOptions{Name: "n"})
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "ok"))
}

func makeZip(t testing.TB, names ...string) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range names {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, CreatorVersion: zipUnix << 8, ExternalAttrs: 0o644 << 16}
		f, err := w.CreateHeader(h)
		require.NoError(t, err)
		if !strings.HasSuffix(name, "/") {
			_, err = f.Write([]byte("x"))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func TestHostileZip(t *testing.T) {
	for _, c := range []struct {
		names []string
		bad   string // the name that is refused
	}{
		{[]string{"../evil"}, "../evil"},
		{[]string{"ok", "a/../../evil"}, "a/../../evil"},
		{[]string{"../evil/"}, "../evil/"},
		{[]string{"up/evil"}, "up/evil"},
		{[]string{"up/"}, "up/"},
		{[]string{"victim-link"}, "victim-link"},
		{[]string{"in/x", "in/up/evil"}, "in/up/evil"},
		{[]string{"/evil", "in/x", "a/../b"}, ""},
	} {
		top := t.TempDir()
		dir := filepath.Join(top, "target")
		require.NoError(t, os.MkdirAll(filepath.Join(dir, "real"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(top, "victim"), []byte("intact"), 0o644))
		require.NoError(t, os.Symlink("..", filepath.Join(dir, "up")))
		require.NoError(t, os.Symlink("../victim", filepath.Join(dir, "victim-link")))
		require.NoError(t, os.Symlink(filepath.Join(dir, "real"), filepath.Join(dir, "in"))) // absolute, but inside
		require.NoError(t, os.Symlink("../..", filepath.Join(dir, "real/up")))
		zipFile := filepath.Join(t.TempDir(), "z.zip")
		require.NoError(t, os.WriteFile(zipFile, makeZip(t, c.names...), 0o644))
		_, err := ReadZipFile(context.Background(), zipFile, dir, ReadOptions{})
		require.Equal(t, []string{"victim=intact"}, outside(t, dir))
		if c.bad == "" {
			require.NoError(t, err)
			require.FileExists(t, filepath.Join(dir, "real/x"))
			continue
		}
		require.EqualError(t, err, "Zip "+zipFile+" contains illegal file name that breaks out of the target directory: "+c.bad)
	}
}

func TestZipDanglingLinkOut(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "target")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.Symlink("../new", filepath.Join(dir, "l")))
	_, err := ReadZip(context.Background(), bytes.NewReader(makeZip(t, "l")), dir, ReadOptions{})
	require.Error(t, err)
	require.Empty(t, outside(t, dir))
}

func gzipped(t testing.TB, data []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err := z.Write(data)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return out.Bytes()
}

func TestLimits(t *testing.T) {
	big := makeTar(t, file("a", strings.Repeat("0", 1<<20)), file("b", strings.Repeat("0", 1<<20)), file("c", ""))
	for what, limits := range map[string]Limits{
		"entries":                       {Entries: 2},
		"bytes unpacked":                {Bytes: 1<<20 + 1},
		"times the size of the archive": {Ratio: 50, RatioFrom: 1 << 20},
	} {
		_, err := ReadTar(context.Background(), bytes.NewReader(gzipped(t, big)), t.TempDir(), ReadOptions{Gzip: true, Limits: limits})
		var limit *LimitError
		require.ErrorAs(t, err, &limit, what)
		require.Equal(t, what, limit.What)
	}
	_, err := ReadTar(context.Background(), bytes.NewReader(gzipped(t, big)), t.TempDir(), ReadOptions{Gzip: true})
	require.NoError(t, err)

	_, err = ReadZip(context.Background(), bytes.NewReader(makeZip(t, "a", "b", "c")), t.TempDir(), ReadOptions{Limits: Limits{Entries: 2}})
	require.EqualError(t, err, "archive: more than 2 entries: refused, raise the limit if this archive is meant")
	_, err = ReadZip(context.Background(), bytes.NewReader(makeZip(t, "a", "b", "c")), t.TempDir(), ReadOptions{Limits: Limits{Directory: 10}})
	require.EqualError(t, err, "archive: more than 10 bytes of directory: refused, raise the limit if this archive is meant")
}

// TestBrokenArchives checks classes and texts of what is no archive, or half of one.
func TestBrokenArchives(t *testing.T) {
	good := gzipped(t, makeTar(t, file("a", strings.Repeat("some text\n", 100000))))
	read := func(data []byte) *Failure {
		_, err := ReadTar(context.Background(), bytes.NewReader(data), t.TempDir(), ReadOptions{Name: "n", Gzip: true})
		var f *Failure
		require.ErrorAs(t, err, &f)
		return f
	}
	require.Equal(t, &Failure{Class: ClassEOF}, read(nil))
	require.Equal(t, &Failure{Class: ClassZip, Text: "Not in GZIP format"}, read([]byte("no gzip at all")))
	f := read(good[:len(good)/2])
	require.Equal(t, "Failed to extract n", f.Text)
	require.Equal(t, &Failure{Class: ClassEOF, Text: "Unexpected end of ZLIB input stream"}, f.Cause)
	f = read(gzipped(t, bytes.Repeat([]byte("no tar "), 1000)))
	require.ErrorContains(t, f.Cause, "Error detected parsing the header")
	f = read(gzipped(t, makeTar(t, file("a", strings.Repeat("x", 3000)))[:1024]))
	require.EqualError(t, f.Cause, "unexpected EOF with 2488 bytes unread")

	// nothing is made for an archive without entries
	dir := filepath.Join(t.TempDir(), "none")
	n, err := ReadTar(context.Background(), bytes.NewReader(gzipped(t, make([]byte, blockSize))), dir, ReadOptions{Gzip: true})
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoDirExists(t, dir)

	_, err = ReadZip(context.Background(), strings.NewReader("no zip"), dir, ReadOptions{})
	require.ErrorContains(t, err, "archive is not a ZIP archive")
}

// TestReadTarDoesNotWait: the tar is complete, but its sender keeps the stream open until it has the answer.
func TestReadTarDoesNotWait(t *testing.T) {
	pr, pw := io.Pipe()
	go pw.Write(gzipped(t, makeTar(t, file("a", "x"))))
	dir := t.TempDir()
	n, err := ReadTar(context.Background(), struct{ io.Reader }{pr}, dir, ReadOptions{Gzip: true, Name: "n"})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.FileExists(t, filepath.Join(dir, "a"))
	require.NoError(t, pr.Close())
}

func TestGzipInPieces(t *testing.T) {
	data := makeTar(t, file("a", strings.Repeat("some text\n", 50000)), file("b", "x"))
	pieces := append(gzipped(t, data[:1000]), gzipped(t, data[1000:])...)
	n, err := ReadTar(context.Background(), bytes.NewReader(append(pieces, "and garbage"...)), t.TempDir(), ReadOptions{Gzip: true})
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

func TestReadTarStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := ReadTar(ctx, bytes.NewReader(gzipped(t, makeTar(t, file("a", "x")))), t.TempDir(), ReadOptions{Gzip: true})
	require.ErrorIs(t, err, context.Canceled)
	pr, pw := io.Pipe()
	go func() {
		data := gzipped(t, makeTar(t, file("a", strings.Repeat("some text\n", 1000))))
		pw.Write(data[:100])
		pw.CloseWithError(errors.New("connection lost"))
	}()
	_, err = ReadTar(context.Background(), pr, t.TempDir(), ReadOptions{Gzip: true, Name: "n"})
	require.ErrorContains(t, err, "connection lost")
}
