package hudson

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// Nodes that the controller sends.

func enum(class, name string) *jser.Enum { return &jser.Enum{Class: jser.EnumClass(class), Name: name} }

func compression(name string) *jser.Enum { return enum("hudson.FilePath$TarCompression", name) }

func openOptionArray(names ...string) *jser.Array {
	vs := make([]jser.Value, 0, len(names))
	for _, n := range names {
		class := "java.nio.file.LinkOption"
		if n == "IGNORE_TMP_DIRS" {
			class = "hudson.FilePath$DisplayOption"
		}
		vs = append(vs, enum(class, n))
	}
	return &jser.Array{Class: jser.ArrayClass("[Ljava.nio.file.OpenOption;", 0), Elems: vs}
}

func globScanner(includes string, excludes any) *jser.Object {
	return fields("hudson.util.DirScanner$Glob", "useDefaultExcludes", true, "excludes", excludes, "includes", includes, "openOptions", openOptionArray())
}

func tarFactory(method string) *jser.Object {
	return fields("hudson.util.io.ArchiverFactory$TarArchiverFactory", "method", compression(method))
}

func remotePath(p string) *jser.Object { return fields("hudson.FilePath", "remote", p) }

var (
	testPipeDesc  = jser.Custom("hudson.remoting.Pipe", 1, nil)
	testInputDesc = jser.Custom("hudson.remoting.RemoteInputStream", 1, nil)
)

// pipeTo is a hudson.remoting.Pipe that the agent writes to.
func (r *rig) pipeTo(w io.Writer) *jser.Object {
	b := append([]byte{1}, binary.BigEndian.AppendUint32(nil, uint32(r.c.ExportWriter(w)))...)
	return &jser.Object{Class: testPipeDesc, Data: []jser.ClassData{{Desc: testPipeDesc, Extra: []jser.Value{jser.Block(b)}}}}
}

// input is an InputStream that the agent reads from.
func (r *rig) input(src io.Reader) *jser.Object { return remoting.InputStream(r.c.ExportReader(src)) }

// hostileTree is a workspace with everything that gets in the way.
func hostileTree(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "ws")
	write := func(name, text string, mode fs.FileMode) {
		p := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(text), mode))
		require.NoError(t, os.Chmod(p, mode))
		require.NoError(t, os.Chtimes(p, time.Unix(1577836800, 0), time.Unix(1577836800, 0)))
	}
	write("plain.txt", "plain", 0o640)
	write("bin/run.sh", "#!/bin/sh\n", 0o755)
	write("with space/ünï 😀.txt", "unicode", 0o644)
	write("new\nline\ttab.txt", "newline", 0o600)
	write(strings.Repeat("d", 120)+"/"+strings.Repeat("e", 120)+"/"+strings.Repeat("f", 60), "long", 0o644)
	write("semi;colon'quote\"$HOME`x`", "quotes", 0o644)
	require.NoError(t, os.Symlink("plain.txt", filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "bin", "loop")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	return dir
}

// treeOf describes what is below a directory, directories only by what they
// hold.
func treeOf(t testing.TB, dir string) []string {
	var out []string
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if d.Type()&fs.ModeSymlink != 0 {
			target, _ := os.Readlink(p)
			out = append(out, rel+" -> "+target)
			return nil
		}
		text := ""
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text = string(b)
		}
		out = append(out, fmt.Sprintf("%s %v %d %q", rel, fi.Mode(), fi.ModTime().Unix(), text))
		return nil
	}))
	slices.Sort(out)
	return out
}

func TestStashAndUnstash(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := hostileTree(t)
	for _, c := range []struct{ class, field, factory string }{
		{"UntarRemote", "in", "GZIP"},
		{"UntarFrom", "in", "NONE"},
	} {
		t.Run(c.class, func(t *testing.T) {
			out := newSink()
			n := r.must(onPath(fields("hudson.FilePath$Archive", "factory", tarFactory(c.factory), "openOptions", openOptionArray(),
				"out", r.stream(out), "scanner", globScanner("**", "bin/loop/**,fifo"), "verificationRoot", nil), dir))
			require.Equal(t, int32(8), jser.Unbox(n))
			require.True(t, out.closed, "the stream ends before the answer")

			to := filepath.Join(t.TempDir(), "a", "b")
			fs := []any{"compression", compression(c.factory), "in", r.input(strings.NewReader(out.String()))}
			if c.class == "UntarRemote" {
				fs = append(fs, "name", "s1.tar.gz")
			}
			require.Nil(t, r.must(onPath(fields("hudson.FilePath$"+c.class, fs...), to)))
			want := slices.DeleteFunc(treeOf(t, dir), func(s string) bool { return strings.HasPrefix(s, "fifo") || strings.HasPrefix(s, "bin/loop") })
			require.Equal(t, want, treeOf(t, to))
			require.NoDirExists(t, filepath.Join(to, "empty"), "a pattern finds only files")
		})
	}
}

// TestSymlinkLoopEnds: five rounds, as by Ant.
func TestSymlinkLoopEnds(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := hostileTree(t)
	v := r.must(onPath(fields("hudson.tasks.ArtifactArchiver$ListFiles", "caseSensitive", true, "defaultExcludes", true, "followSymlinks", true,
		"excludes", nil, "includes", "**/run.sh"), dir))
	es, err := jser.Map(v)
	require.NoError(t, err)
	require.Greater(t, len(es), 1)
	require.Less(t, len(es), 10)
}

func TestArchiveOfSpecialFiles(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o644))
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	require.NoError(t, err)
	defer l.Close()
	out := newSink()
	archive := func(w io.Writer, includes string) (jser.Value, error) {
		return r.call(onPath(fields("hudson.FilePath$Archive", "factory", tarFactory("NONE"), "openOptions", openOptionArray(),
			"out", r.stream(w), "scanner", globScanner(includes, nil), "verificationRoot", nil), dir))
	}
	_, err = archive(out, "fifo")
	require.NoError(t, err, "Java would wait for somebody who writes into it")
	_, err = archive(newSink(), "sock*")
	require.ErrorContains(t, err, "java.nio.file.FileSystemException")
	_, err = archive(newSink(), "socket")
	require.NoError(t, err, "a name without wildcards is that of a regular file")
	_, err = archive(newSink(), "nothing/**")
	require.NoError(t, err)
}

func TestUnreadableFile(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("SKIPPED LOUDLY: root can read every file; run as another user to test unreadable files")
	}
	r := newRig(t, &Agent{})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "secret"), nil, 0))
	_, err := r.call(onPath(fields("hudson.FilePath$CopyRecursiveRemoteToLocal", "compression", compression("GZIP"), "filenamesEncoding", "UTF-8",
		"pipe", r.pipeTo(newSink()), "scanner", globScanner("**", nil)), dir))
	require.ErrorContains(t, err, "AccessDeniedException")
}

func TestArtifactsToTheController(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := hostileTree(t)
	out := newSink()
	files := jser.HashMap(jser.Entry{Key: "as/named.txt", Value: "plain.txt"}, jser.Entry{Key: "link", Value: "link"})
	n := r.must(onPath(fields("hudson.FilePath$CopyRecursiveRemoteToLocal", "compression", compression("GZIP"), "filenamesEncoding", "UTF-8",
		"pipe", r.pipeTo(out), "scanner", fields("hudson.FilePath$ExplicitlySpecifiedDirScanner", "files", files)), dir))
	require.Equal(t, int32(2), jser.Unbox(n))
	z, err := gzip.NewReader(strings.NewReader(out.String()))
	require.NoError(t, err)
	names := map[string]string{}
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		names[h.Name] = h.Linkname
	}
	require.Equal(t, map[string]string{"as/named.txt": "", "link": "plain.txt"}, names)

	// a file that is gone by now: the answer is the error, the pipe ends all the same
	out = newSink()
	gone := jser.HashMap(jser.Entry{Key: "gone", Value: "gone"})
	_, err = r.call(onPath(fields("hudson.FilePath$CopyRecursiveRemoteToLocal", "compression", compression("NONE"), "filenamesEncoding", "UTF-8",
		"pipe", r.pipeTo(out), "scanner", fields("hudson.FilePath$ExplicitlySpecifiedDirScanner", "files", gone)), dir))
	require.ErrorContains(t, err, "NoSuchFileException")
	require.True(t, out.closed)
}

func TestCopiesOnTheAgent(t *testing.T) {
	r := newRig(t, &Agent{})
	dir, to := hostileTree(t), filepath.Join(t.TempDir(), "copy")
	copyLocal := func(from string, scanner *jser.Object) (jser.Value, error) {
		return r.call(onPath(fields("hudson.FilePath$CopyRecursiveLocal", "scanner", scanner, "target", remotePath(to)), from))
	}
	n, err := copyLocal(dir, globScanner("**", "bin/loop/**,fifo"))
	require.NoError(t, err)
	require.Equal(t, int32(8), jser.Unbox(n))
	n, err = copyLocal(dir, globScanner("**", "bin/loop/**,fifo"))
	require.NoError(t, err, "over what is there")
	require.Equal(t, int32(8), jser.Unbox(n))
	want := slices.DeleteFunc(treeOf(t, dir), func(s string) bool { return strings.HasPrefix(s, "fifo") || strings.HasPrefix(s, "bin/loop") })
	require.Equal(t, want, treeOf(t, to))
	n, err = copyLocal(filepath.Join(dir, "missing"), globScanner("**", nil))
	require.NoError(t, err)
	require.Equal(t, int32(0), jser.Unbox(n))

	small := filepath.Join(t.TempDir(), "small")
	require.NoError(t, os.MkdirAll(filepath.Join(small, "a"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(small, "a/f"), nil, 0o644))
	to = filepath.Join(small, "b")
	n, err = copyLocal(small, globScanner("**", nil))
	require.NoError(t, err, "into itself")
	require.Equal(t, int32(1), jser.Unbox(n))

	tgz := filepath.Join(t.TempDir(), "x.tgz")
	require.NoError(t, os.WriteFile(tgz, tarGz(t, "d/f", "content"), 0o644))
	r.must(onPath(fields("hudson.FilePath$UntarLocal", "compression", compression("GZIP"), "filePath", remotePath(tgz)), filepath.Join(to, "un")))
	require.FileExists(t, filepath.Join(to, "un/d/f"))
	_, err = r.call(onPath(fields("hudson.FilePath$UntarLocal", "compression", compression("GZIP"), "filePath", remotePath(tgz+"x")), to))
	require.ErrorContains(t, err, "NoSuchFileException")
	_, err = r.call(onPath(fields("hudson.FilePath$UnzipLocal", "filePath", remotePath(tgz+"x")), to))
	require.Error(t, err)
}

func tarGz(t testing.TB, name, text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(text)), Mode: 0o644, Format: tar.FormatGNU}))
	_, err := io.WriteString(w, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

func zipped(t testing.TB, name, text string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	f, err := w.Create(name)
	require.NoError(t, err)
	_, err = io.WriteString(f, text)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestReceivedArchives(t *testing.T) {
	r := newRig(t, &Agent{})
	gz, none := compression("GZIP"), compression("NONE")
	for _, c := range []struct {
		name     string
		callable func(in *jser.Object) *jser.Object
		data     []byte
		want     string // error; "" is success
	}{
		{"ReadFromTar", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$ReadFromTar", "compression", gz, "description", "**", "filenamesEncoding", "UTF-8", "pipe", in, "target", remotePath("/t"))
		}, tarGz(t, "f", "x"), ""},
		{"ReadFromTar, broken", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$ReadFromTar", "compression", gz, "description", "*.x", "filenamesEncoding", "UTF-8", "pipe", in, "target", remotePath("/t"))
		}, tarGz(t, "../f", "x"), "java.io.IOException: Failed to extract /t/*.x"},
		{"ReadToTar of core 2.289", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$ReadToTar", "compression", gz, "description", "**", "pipe", in, "this$0", remotePath("/t"))
		}, tarGz(t, "f", "x"), ""},
		{"no gzip", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$UntarFrom", "compression", gz, "in", in)
		}, []byte("this is no gzip"), "java.util.zip.ZipException: Not in GZIP format"},
		{"nothing", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$UntarFrom", "compression", gz, "in", in)
		}, nil, "java.io.EOFException"},
		{"cut", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$UntarRemote", "compression", gz, "in", in, "name", "s.tgz")
		}, tarGz(t, "f", strings.Repeat("x", 100000))[:60], "java.io.IOException: Failed to extract s.tgz"},
		{"absolute name stays below", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$UntarFrom", "compression", gz, "in", in)
		}, tarGz(t, "/f", "x"), ""},
		{"UnzipRemote", func(in *jser.Object) *jser.Object { return fields("hudson.FilePath$UnzipRemote", "in", in) }, zipped(t, "f", "x"), ""},
		{"UnzipFrom, escape", func(in *jser.Object) *jser.Object { return fields("hudson.FilePath$UnzipFrom", "in", in) },
			zipped(t, "../f", "x"), "contains illegal file name that breaks out of the target directory: ../f"},
		{"unknown compression", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$UntarFrom", "compression", compression("ZSTD"), "in", in)
		}, nil, "is not implemented natively with the compression"},
		{"plain tar that is gzip", func(in *jser.Object) *jser.Object {
			return fields("hudson.FilePath$UntarFrom", "compression", none, "in", in)
		}, tarGz(t, "f", "x"), "java.io.IOException: Failed to extract input stream"},
	} {
		t.Run(c.name, func(t *testing.T) {
			top := t.TempDir()
			to := filepath.Join(top, "to")
			_, err := r.call(onPath(c.callable(r.input(bytes.NewReader(c.data))), to))
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				require.NoFileExists(t, filepath.Join(top, "f"))
				require.NoFileExists(t, filepath.Join(to, "f"))
				return
			}
			require.NoError(t, err)
			require.FileExists(t, filepath.Join(to, "f"))
		})
	}
}

func TestUnknownArchiveParts(t *testing.T) {
	r := newRig(t, &Agent{})
	archive := func(factory, scanner *jser.Object, options *jser.Array) string {
		_, err := r.call(onPath(fields("hudson.FilePath$Archive", "factory", factory, "openOptions", options,
			"out", r.stream(newSink()), "scanner", scanner, "verificationRoot", nil), t.TempDir()))
		require.Error(t, err)
		return err.Error()
	}
	glob, tgz := globScanner("**", nil), tarFactory("GZIP")
	require.Contains(t, archive(fields("com.x.SevenZip"), glob, openOptionArray()), "with the archiver com.x.SevenZip")
	require.Contains(t, archive(tgz, fields("com.x.Scanner"), openOptionArray()), "with the scanner com.x.Scanner")
	require.Contains(t, archive(tgz, fields("hudson.util.DirScanner$Filter", "filter", fields("com.x.Filter")), openOptionArray()), "with the filter com.x.Filter")
	require.Contains(t, archive(tgz, glob, openOptionArray("DELETE_ON_CLOSE")), "with the open option")
}

// TestCancelledUnstash: a stream that never ends does not hold the call.
func TestCancelledUnstash(t *testing.T) {
	r := newRig(t, &Agent{})
	src, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	go func() { _, _ = w.Write(tarGz(t, "f", "x")[:5]) }()
	call := onPath(fields("hudson.FilePath$UntarFrom", "compression", compression("GZIP"), "in", r.input(src)), t.TempDir())
	_, err := r.c.UserCall(ctx, call, "untar", 0, 0)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
