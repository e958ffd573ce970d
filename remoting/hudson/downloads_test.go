package hudson

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// urlNode is a java.net.URL.
func urlNode(s string) *jser.Object {
	protocol, rest, _ := strings.Cut(s, ":")
	authority, file := "", rest
	if strings.HasPrefix(rest, "//") {
		authority, file, _ = strings.Cut(rest[2:], "/")
		file = "/" + file
	}
	return fields("java.net.URL", "hashCode", int32(-1), "port", int32(-1), "authority", authority, "file", file, "host", authority, "protocol", protocol, "ref", nil)
}

func TestUnpack(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		hits.Add(1)
		switch q.URL.Path {
		case "/t.zip":
			_, _ = w.Write(zipped(t, "bin/tool", "zip"))
		case "/t.tar.gz":
			if strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
				w.Header().Set("Content-Encoding", "gzip") // some servers do; the transport would unpack it
			}
			_, _ = w.Write(tarGz(t, "bin/tool", "tgz"))
		case "/moved.zip":
			http.Redirect(w, q, "/t.zip", http.StatusFound)
		case "/evil.tgz":
			_, _ = w.Write(tarGz(t, "../evil", "x"))
		case "/page.tgz":
			_, _ = w.Write([]byte("<html>please log in</html>"))
		case "/broken.tgz":
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(tarGz(t, "f", "x")[:20])
		case "/500.zip":
			w.WriteHeader(500)
		default:
			w.WriteHeader(404)
		}
	}))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	r := newRig(t, &Agent{HTTP: client})
	unpack := func(url, to string) error {
		_, err := r.call(onPath(fields("hudson.FilePath$Unpack", "archive", urlNode(url)), to))
		return err
	}
	for _, c := range []struct{ path, want string }{
		{"/t.zip", ""}, {"/t.tar.gz", ""}, {"/moved.zip", ""},
		{"/none.zip", "java.io.FileNotFoundException: BASE/none.zip"},
		{"/500.zip", "java.io.IOException: Server returned HTTP response code: 500 for URL: BASE/500.zip"},
		{"/evil.tgz", "java.io.IOException: Failed to unpack BASE/evil.tgz ("},
		{"/page.tgz", "java.io.IOException: Failed to unpack BASE/page.tgz (26 bytes read)"},
		{"/broken.tgz", "java.io.IOException: Failed to unpack BASE/broken.tgz (20 bytes read)"},
	} {
		to := filepath.Join(t.TempDir(), "tools", "x")
		err := unpack(srv.URL+c.path, to)
		if c.want == "" {
			require.NoError(t, err, c.path)
			require.FileExists(t, filepath.Join(to, "bin/tool"))
			continue
		}
		require.ErrorContains(t, err, strings.ReplaceAll(c.want, "BASE", srv.URL))
		require.NoFileExists(t, filepath.Join(filepath.Dir(to), "evil"))
	}
	err := unpack(strings.Replace(srv.URL, "http://", "http://me:SECRET@", 1)+"/page.tgz", t.TempDir())
	require.ErrorContains(t, err, "Failed to unpack http://me:xxxxx@127")
	require.NotContains(t, err.Error(), "SECRET")
	file := filepath.Join(t.TempDir(), "t.zip")
	require.NoError(t, os.WriteFile(file, zipped(t, "f", "x"), 0o644))
	require.NoError(t, unpack("file:"+file, t.TempDir()))
	require.ErrorContains(t, unpack("file:"+file+"x.zip", t.TempDir()), "FileNotFoundException")
	require.ErrorContains(t, unpack("ftp://h/x.zip", t.TempDir()), "not implemented natively with a URL of the protocol ftp")
	srv.Close()
	require.ErrorContains(t, unpack(srv.URL+"/t.zip", t.TempDir()), "java.net.ConnectException: Connection refused")
}

func TestExecutable(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := t.TempDir()
	for _, f := range []string{"a/b/run", "top"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, f), nil, 0o640))
	}
	require.NoError(t, os.Symlink("..", filepath.Join(dir, "a", "loop")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	call := fields("hudson.tools.ZipExtractionInstaller$ChmodRecAPlusX")
	r.must(onPath(call, dir))
	r.must(onPath(call, filepath.Join(dir, "missing")))
	for _, f := range []string{"a/b/run", "top"} {
		fi, err := os.Stat(filepath.Join(dir, f))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o751), fi.Mode().Perm())
	}
}

func TestCopyOfAnArtifact(t *testing.T) {
	var hits atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if hits.Add(1) == 1 || q.URL.Path == "/never" {
			w.WriteHeader(503)
			return
		}
		_, _ = w.Write([]byte("artifact"))
	}))
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	r := newRig(t, &Agent{HTTP: client})
	to := filepath.Join(t.TempDir(), "d", "f")
	call := func(path string) (jser.Value, error) {
		return r.call(onPath(fields("hudson.plugins.copyartifact.CopyArtifact$CopyURLWithFingerprinting", "client", nil, "listener", nil,
			"u", urlNode(srv.URL+path+"?signature=SECRET")), to))
	}
	v, err := call("/a")
	require.NoError(t, err)
	sum, _ := jser.Bytes(v)
	want := md5.Sum([]byte("artifact"))
	require.Equal(t, want[:], sum)
	_, err = call("/never")
	require.ErrorContains(t, err, "Failed to download "+srv.URL+"/never to "+to)
	require.NotContains(t, err.Error(), "SECRET")
}

func TestFingerprints(t *testing.T) {
	r := newRig(t, &Agent{})
	dir := hostileTree(t)
	start := time.Now().UnixMilli()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "fresh.txt"), []byte("fresh"), 0o644))
	find := func(targets string) (jser.Value, error) {
		return r.call(onPath(fields("hudson.tasks.Fingerprinter$FindRecords", "buildTimestamp", start, "caseSensitive", false, "defaultExcludes", true,
			"excludes", "**/loop/**", "targets", targets), dir))
	}
	v, err := find("FRESH.txt, PLAIN.TXT, with*/**")
	require.NoError(t, err)
	vs, err := jser.List(v)
	require.NoError(t, err)
	var got []string
	for _, x := range vs {
		o := x.(*jser.Object)
		got = append(got, fmt.Sprint(o.Str("relativePath"), "|", o.Str("fileName"), "|", o.Str("md5sum"), "|", o.Bool("produced")))
	}
	sum := func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }
	require.Equal(t, []string{"fresh.txt|fresh.txt|" + sum("fresh") + "|true", "plain.txt|plain.txt|" + sum("plain") + "|false",
		"with space/ünï 😀.txt|ünï 😀.txt|" + sum("unicode") + "|false"}, got)
	_, err = find("dangl*")
	require.ErrorContains(t, err, "Failed to compute digest for "+filepath.Join(dir, "dangling"))
	_, err = r.call(onPath(fields("hudson.tasks.ArtifactArchiver$ListFiles", "caseSensitive", true, "defaultExcludes", true, "followSymlinks", true,
		"excludes", nil, "includes", "**"), filepath.Join(dir, "missing")))
	require.ErrorContains(t, err, "org.apache.tools.ant.BuildException: ")
	v = r.must(onPath(fields("org.jenkinsci.plugins.workflow.steps.ArtifactArchiverStepExecution$ListFiles", "excludes", nil, "includes", "p*"), dir))
	es, err := jser.Map(v)
	require.NoError(t, err)
	require.Len(t, es, 1)
}

// controllerLoader serves class files as a controller does.
type controllerLoader struct {
	files map[string][]byte
	calls atomic.Int32
}

func (l *controllerLoader) Invoke(_ context.Context, m *remoting.Invocation) (jser.Value, error) {
	l.calls.Add(1)
	if m.Method != "fetch" || len(m.Args) != 1 || m.Types[0] != "java.lang.String" {
		return nil, fmt.Errorf("unexpected call %s", m.Method)
	}
	if b := l.files[m.Args[0].(string)]; b != nil {
		return jser.ByteArray(b), nil
	}
	notFound := jser.Serializable("java.lang.ClassNotFoundException", 9176873029745254542, jser.ExceptionClass)
	return nil, remoting.Errorf(notFound, "%s", m.Args[0])
}

// drifted is the SUID of testdata/drifted.class, made by javac 17 of
//
//	package hudson.model;
//	public class Slave { static class GetClockDifference3 implements java.io.Serializable { long remoteTime, startTime; int more; } }
const drifted int64 = -5313603058903302973

func TestImplicitSUIDs(t *testing.T) {
	log := newSink()
	agent := &Agent{CheckClasses: true, Log: slog.New(slog.NewTextHandler(log, nil))}
	r := newRig(t, agent)
	file, err := os.ReadFile("testdata/drifted.class")
	require.NoError(t, err)
	name := clockDifferenceDesc.Name
	l := &controllerLoader{files: map[string][]byte{name: file, "Wrong": file, "Junk": {1, 2, 3}}}
	oid := r.c.Export(l)
	for range 3 {
		suid, err := agent.SUID(within(t, 10*time.Second), r.a, oid, name)
		require.NoError(t, err)
		require.Equal(t, drifted, suid)
	}
	require.EqualValues(t, 1, l.calls.Load(), "kept")
	for class, want := range map[string]string{"Wrong": "holds " + name, "Junk": "class file of Junk", "Missing": "java.lang.ClassNotFoundException: Missing"} {
		_, err = agent.SUID(within(t, 10*time.Second), r.a, oid, class)
		require.ErrorContains(t, err, want)
	}
	_, err = r.a.FetchClass(within(t, 10*time.Second), 0, "X")
	require.ErrorContains(t, err, "no class loader")

	// the loader of another call: looked up in the background, then used
	call := &callable.Call{Call: &remoting.Call{Channel: r.a, Loader: r.c.Export(l)}}
	require.Same(t, clockDifferenceDesc, agent.implicit(call, clockDifferenceDesc), "the first answer does not wait")
	log.await(t, "please report it")
	require.Equal(t, drifted, agent.implicit(call, clockDifferenceDesc).SUID)
	call.Loader = r.c.Export(l)
	agent.implicit(call, clockDifferenceDesc)
	_, err = agent.SUID(within(t, 10*time.Second), r.a, call.Loader, name)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(log.String(), "please report it"), "told once")
	agent.CheckClasses = false
	require.Same(t, clockDifferenceDesc, agent.implicit(call, clockDifferenceDesc))
}
