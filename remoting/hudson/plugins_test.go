package hudson

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/archive"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/remotingtest"
)

// put writes files below a directory: name, content, name, content, …
func put(t testing.TB, dir string, nameContent ...string) {
	t.Helper()
	for i := 0; i < len(nameContent); i += 2 {
		p := filepath.Join(dir, nameContent[i])
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(nameContent[i+1]), 0o644))
	}
}

// content reads a file.
func content(t testing.TB, path ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(b)
}

const utilityPackage = "org.jenkinsci.plugins.pipeline.utility.steps."

func (r *rig) unzip(log *sink, zipFile, dest string, fs ...any) (jser.Value, error) {
	all := append([]any{"allowExtractionOutsideDestination", false, "destination", remotePath(dest), "quiet", false, "read", false,
		"charset", "UTF-8", "glob", nil, "listener", plainListener(r.stream(log), nil)}, fs...)
	byName := map[string]any{}
	var order []string
	for i := 0; i < len(all); i += 2 { // the last of two wins
		n := all[i].(string)
		if _, ok := byName[n]; !ok {
			order = append(order, n)
		}
		byName[n] = all[i+1]
	}
	var args []any
	for _, n := range order {
		args = append(args, n, byName[n])
	}
	return r.call(onPath(fields(utilityPackage+"zip.UnZipStepExecution$UnZipFileCallable", args...), zipFile))
}

func (r *rig) pack(class, dir, dest string, fs ...any) (jser.Value, error) {
	args := append([]any{"allowExtractionOutsideDestination", false, "destination", remotePath(dest), "overwrite", true, "defaultExcludes", true}, fs...)
	return r.call(onPath(fields(utilityPackage+class, args...), dir))
}

func (r *rig) untar(class string, log *sink, file, dest string, fs ...any) (jser.Value, error) {
	args := append([]any{"allowExtractionOutsideDestination", false, "destination", remotePath(dest), "listener", plainListener(r.stream(log), nil)}, fs...)
	return r.call(onPath(fields(utilityPackage+class, args...), file))
}

const (
	zipIt   = "zip.ZipStepExecution$ZipItFileCallable"
	tarIt   = "tar.TarStepExecution$TarItFileCallable"
	untarIt = "tar.UnTarStepExecution$UnTarFileCallable"
	testsZ  = "zip.UnZipStepExecution$TestZipFileCallable"
	testsT  = "tar.UnTarStepExecution$TestTarFileCallable"
)

func TestZipSteps(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "d/a.txt", "a\n", "d/sub/b.log", "b\n", "d/.git/x", "x")
	require.NoError(t, os.Chmod(dir+"/d/a.txt", 0o755))
	require.NoError(t, os.Symlink("a.txt", dir+"/d/l"))
	v, err := r.pack(zipIt, dir+"/d", dir+"/d/o.zip", "glob", "**/*", "exclude", nil)
	require.NoError(t, err)
	require.EqualValues(t, 3, jser.Unbox(v), "the zip itself is not among the entries")

	log := newSink()
	v, err = r.unzip(log, dir+"/d/o.zip", dir+"/u")
	require.NoError(t, err)
	require.Nil(t, v)
	require.Equal(t, fmt.Sprintf("Extracting from %[1]s/d/o.zip\nExtracting: a.txt -> %[1]s/u/a.txt\nExtracting: l -> %[1]s/u/l\n"+
		"Extracting: sub/b.log -> %[1]s/u/sub/b.log\nExtracted: 3 files\n", dir), log.String())
	require.Equal(t, "b\n", content(t, dir, "u/sub/b.log"))

	log = newSink()
	v, err = r.unzip(log, dir+"/d/o.zip", dir+"/none", "read", true, "glob", "*.txt")
	require.NoError(t, err)
	m, err := jser.StringMap(v)
	require.NoError(t, err)
	require.Len(t, m, 1)
	require.Equal(t, "a\n", *m["a.txt"])
	require.Equal(t, "Extracting from "+dir+"/d/o.zip\nReading: a.txt\nRead: 1 files\n", log.String())
	require.NoDirExists(t, dir+"/none")
}

// zipOf makes a zip of names that each hold "x".
func zipOf(t *testing.T, names ...string) string {
	path := filepath.Join(t.TempDir(), "z.zip")
	f, err := os.Create(path)
	require.NoError(t, err)
	z := zip.NewWriter(f)
	for _, n := range names {
		w, err := z.Create(n)
		require.NoError(t, err)
		_, err = io.WriteString(w, "x")
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	require.NoError(t, f.Close())
	return path
}

func TestZipsThatAreRefused(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "no.zip", "this is no zip", "empty.zip", "")
	require.NoError(t, os.Mkdir(dir+"/dest", 0o755))
	require.NoError(t, os.Symlink(dir, dir+"/dest/out"))
	for name, c := range map[string]struct{ zip, class, text string }{
		"no zip":         {dir + "/no.zip", "java.util.zip.ZipException", "zip END header not found"},
		"empty":          {dir + "/empty.zip", "java.util.zip.ZipException", "zip file is empty"},
		"parent":         {zipOf(t, "../evil"), "java.io.FileNotFoundException", dir + "/evil is out of bounds!"},
		"absolute":       {zipOf(t, "/tmp/evil"), "java.io.FileNotFoundException", "/tmp/evil is out of bounds!"},
		"through a link": {zipOf(t, "out/evil"), "java.io.FileNotFoundException", dir + "/dest/out/evil is out of bounds!"},
	} {
		_, err := r.unzip(newSink(), c.zip, dir+"/dest")
		var remote *remoting.RemoteError
		require.ErrorAs(t, err, &remote, name)
		require.Equal(t, c.class, remote.Class, name)
		require.Equal(t, c.text, remote.Message, name)
		require.NoFileExists(t, dir+"/evil", name)
	}
	_, err := r.unzip(newSink(), zipOf(t, "a"), dir+"/dest", "charset", "no-such")
	require.ErrorContains(t, err, "no-such")
	// the test step says false instead
	for _, c := range [][2]string{
		{dir + "/no.zip", "ERROR: Error validating zip file: zip END header not found\n"},
		{zipOf(t, "../evil"), "ERROR: " + dir + "/evil is out of bounds!\n"},
	} {
		log := newSink()
		v, err := r.untar(testsZ, log, c[0], dir+"/dest")
		require.NoError(t, err)
		require.Equal(t, false, jser.Unbox(v))
		require.True(t, strings.HasSuffix(log.String(), c[1]), log.String())
	}
}

func TestBrokenZipData(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	good := zipOf(t, "a")
	b := []byte(content(t, good))
	i := bytes.Index(b, []byte("PK\x01\x02")) // the directory's checksum of the entry
	b[i+16] ^= 0xff
	j := bytes.Index(b, []byte("PK\x07\x08")) // and that behind the data
	b[j+4] ^= 0xff
	require.NoError(t, os.WriteFile(good, b, 0o644))
	_, err := r.unzip(newSink(), good, dir)
	require.NoError(t, err, "java.util.zip.ZipFile does not check")
	require.Equal(t, "x", content(t, dir, "a"))
	log := newSink()
	v, err := r.untar(testsZ, log, good, dir)
	require.NoError(t, err)
	require.Equal(t, false, jser.Unbox(v))
	require.Equal(t, "Checking 1 zipped entries in "+good+"\nERROR: Checksum error in : "+good+":a\n", log.String())
}

func TestUnpackingIsBounded(t *testing.T) {
	r, dir := newRig(t, &Agent{ArchiveLimits: archive.Limits{Entries: 2, Bytes: 10}}), t.TempDir()
	_, err := r.unzip(newSink(), zipOf(t, "a", "b", "c"), dir)
	require.ErrorContains(t, err, "more than 2 entries")
	put(t, dir, "big/x", strings.Repeat("x", 11))
	_, err = r.pack(zipIt, dir+"/big", dir+"/o.zip", "glob", "**/*")
	require.NoError(t, err)
	_, err = r.unzip(newSink(), dir+"/o.zip", dir+"/u")
	require.ErrorContains(t, err, "more than 10 bytes unpacked")
}

func TestTarSteps(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "d/a.txt", "a\n", "d/sub/b.log", "b\n")
	require.NoError(t, os.Chmod(dir+"/d/a.txt", 0o750))
	for _, gz := range []bool{true, false} {
		file := fmt.Sprintf("%s/o.%v", dir, gz)
		v, err := r.pack(tarIt, dir+"/d", file, "compress", gz, "glob", "**/*")
		require.NoError(t, err)
		require.EqualValues(t, 2, jser.Unbox(v))
		log, dest := newSink(), file+".u"
		v, err = r.untar(untarIt, log, file, dest, "keepPermissions", true, "quiet", false, "glob", nil)
		require.NoError(t, err)
		require.Nil(t, v)
		require.Equal(t, fmt.Sprintf("Extracting from %[1]s\nExtracting: a.txt -> %[2]s/a.txt\nExtracting: sub/b.log -> %[2]s/sub/b.log\nExtracted: 2 files\n",
			file, dest), log.String())
		fi, err := os.Stat(dest + "/a.txt")
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o750), fi.Mode())
		log = newSink()
		v, err = r.untar(testsT, log, file, dest)
		require.NoError(t, err)
		require.Equal(t, true, jser.Unbox(v))
		require.Contains(t, log.String(), " bytes in "+file+"\n")
	}
}

func TestTarsThatAreRefused(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/etc", Mode: 0o777}))
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "../evil", Mode: 0o644, Size: 1}))
	_, err := w.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	put(t, dir, "no.tar", "this is no tar", "evil.tar", b.String(), "noise.tar", strings.Repeat("noise", 1000), "bad.tgz", gzipMagic+strings.Repeat("x", 600))

	log := newSink()
	_, err = r.untar(untarIt, log, dir+"/no.tar", dir+"/u", "keepPermissions", true)
	require.NoError(t, err, "as upstream")
	require.Equal(t, "Extracting from "+dir+"/no.tar\nExtracted: 0 files\n", log.String())
	_, err = r.untar(untarIt, newSink(), dir+"/noise.tar", dir+"/u")
	require.ErrorContains(t, err, "Error detected parsing the header")
	_, err = r.untar(untarIt, newSink(), dir+"/evil.tar", dir+"/u")
	require.ErrorContains(t, err, dir+"/evil is out of bounds!")
	require.NoFileExists(t, dir+"/evil")
	fi, err := os.Lstat(dir + "/u/l")
	require.NoError(t, err)
	require.True(t, fi.Mode().IsRegular(), "links become files")

	for file, want := range map[string]string{
		"evil.tar":  "ERROR: " + dir + "/evil is out of bounds!\n",
		"noise.tar": "ERROR: Error validating tar file: Error detected parsing the header\n",
		"bad.tgz":   "ERROR: Error validating tgz file: ",
	} {
		log := newSink()
		v, err := r.untar(testsT, log, filepath.Join(dir, file), dir+"/u")
		require.NoError(t, err)
		require.Equal(t, false, jser.Unbox(v), file)
		require.Contains(t, log.String(), want, file)
	}
}

func TestHashes(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "a", "a\n")
	hash := func(algorithm string) (jser.Value, error) {
		return r.call(onPath(fields(utilityPackage+"fs.ComputeHashCallable", "hashAlgorithm", algorithm), dir+"/a"))
	}
	for algorithm, want := range map[string]string{
		"SHA1": "3f786850e387550fdab836ed7e6dc881de23001b", "md5": "60b725f10c9c85c70d97880dfe8191b3",
		"SHA-256": "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7",
	} {
		v, err := hash(algorithm)
		require.NoError(t, err)
		require.Equal(t, want, v)
	}
	_, err := hash("ROT13")
	require.ErrorContains(t, err, "ROT13 MessageDigest not available")
	require.Nil(t, r.must(onPath(fields(utilityPackage+"fs.ComputeHashCallable", "hashAlgorithm", "SHA1"), dir)), "a directory")
	require.Equal(t, "3f786850e387550fdab836ed7e6dc881de23001b",
		r.must(onPath(fields(utilityPackage+"fs.FileSha1Step$ExecutionImpl$ComputeSha1"), dir+"/a")))
}

func TestTee(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "d/a", "", "tee.log", "before\n")
	v := r.must(onPath(fields(utilityPackage+"fs.TeeStep$CreateRemoteStreamCallable"), dir+"/tee.log"))
	require.Equal(t, "hudson.remoting.RemoteOutputStream", jser.Name(v))

	// A listener inside the step: all is printed twice, masked in both.
	log, file := newSink(), newSink()
	filter := jser.Custom(teeFilter, 1, nil, jser.Prim("transferredToRemote", 'Z'), jser.Ref("f", "hudson.FilePath"))
	tee := &jser.Object{Class: filter, Data: []jser.ClassData{{Desc: filter, Values: []jser.Value{true, remotePath(dir + "/tee.log")},
		Extra: []jser.Value{r.stream(file)}}}}
	merged := fields(mergedFilter, "original", tee, "subsequent", maskFilter(`\Qhush\E`).Obj("filter"))
	listener := decorated(plainListener(r.stream(log), nil), fields(filterDecorator, "filter", merged))
	put(t, dir, "hush.tar", "")
	args := []any{"allowExtractionOutsideDestination", false, "destination", remotePath(dir), "listener", listener}
	r.must(onPath(fields(utilityPackage+testsT, args...), dir+"/hush.tar"))
	require.Equal(t, "Checking 0 bytes in "+dir+"/****.tar\n", log.String())
	require.Equal(t, log.String(), file.String())

	// what is not understood in a merged filter is refused as a whole
	_, err := parseListener(decorated(plainListener(remoting.OutputStream(1), nil), fields(filterDecorator, "filter",
		fields(mergedFilter, "original", tee, "subsequent", fields("org.example.Filter")))))
	require.ErrorContains(t, err, "org.example.Filter")
	// without its stream it is not understood
	tee.Data[0].Extra = nil
	_, err = parseListener(decorated(plainListener(remoting.OutputStream(1), nil), fields(filterDecorator, "filter", tee)))
	require.ErrorContains(t, err, "TeeFilter")
}

func TestActivityIsReported(t *testing.T) {
	calls := make(chan string, 10)
	controller := remotingtest.HandlerFunc(func(_ context.Context, c *remoting.Call) (jser.Value, error) {
		calls <- c.Callable.Class.Name + " " + c.Callable.Str("id")
		return nil, nil
	})
	c, a := remotingtest.Pair(t, remoting.Config{Handler: controller}, remoting.Config{Handler: NewTable(&Agent{})})
	r := &rig{t: t, c: c, a: a}
	dir := t.TempDir()
	put(t, dir, "a.tar", "")
	log := newSink()
	filter := fields(filterDecorator, "filter", fields(activityFilter, "timeout", int64(3_600_000), "id", "abc"))
	listener := decorated(plainListener(r.stream(log), nil), filter)
	r.must(onPath(fields(utilityPackage+testsT, "destination", remotePath(dir), "listener", listener), dir+"/a.tar"))
	select {
	case got := <-calls:
		require.Equal(t, resetTimerDesc.Name+" abc", got)
	case <-time.After(30 * time.Second):
		require.Fail(t, "no ResetTimer")
	}
	require.Equal(t, "Checking 0 bytes in "+dir+"/a.tar\n", log.String())
	_, err := parseListener(decorated(plainListener(remoting.OutputStream(1), nil), fields(filterDecorator, "filter", fields(activityFilter, "id", "x"))))
	require.ErrorContains(t, err, "unknown form")
}

// FuzzUnpackSteps: whatever a file holds, nothing is written outside of the
// destination, and what is written is bounded.
func FuzzUnpackSteps(f *testing.F) {
	var z, tr bytes.Buffer
	zw := zip.NewWriter(&z)
	for _, n := range []string{"a", "d/", "d/b", "../x", "/abs", "l/../../y"} {
		w, _ := zw.Create(n)
		if !strings.HasSuffix(n, "/") {
			_, _ = w.Write([]byte("text"))
		}
	}
	_ = zw.Close()
	tw := tar.NewWriter(&tr)
	for _, h := range []tar.Header{{Name: "l", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "l/x", Size: 1, Mode: 0o644}, {Name: "../y", Size: 1}} {
		_ = tw.WriteHeader(&h)
		_, _ = tw.Write([]byte("x")[:h.Size])
	}
	_ = tw.Close()
	f.Add(z.Bytes())
	f.Add(tr.Bytes())
	f.Add([]byte(gzipMagic))
	agent := &Agent{ArchiveLimits: archive.Limits{Entries: 100, Bytes: 1 << 20}}
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		put(t, dir, "archive", string(b), "dest/keep", "")
		for _, run := range []callable.Func{agent.unzipStep, testZip, agent.untarStep, testTar} {
			o := fields(utilityPackage+"X", "destination", remotePath(dir+"/dest"), "keepPermissions", false, "listener", nil)
			_, _ = run(context.Background(), &callable.Call{Call: &remoting.Call{}, Object: o, Path: dir + "/archive"})
		}
		names, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, names, 2)
	})
}
