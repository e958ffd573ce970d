package hudson

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/remotingtest"
)

// oldRig is a controller of 2011 with an agent behind it.
func oldRig(t *testing.T) *rig {
	agent := &Agent{Environ: []string{"PATH=/usr/bin:/bin", "Path=x"}}
	old := remoting.Config{UserResponses: true, NoThrottling: true}
	with := old
	with.Handler = NewTable(agent)
	c, a := remotingtest.Pair(t, old, with)
	return &rig{t, c, a, agent}
}

// anonymousOf makes FilePath$<number> as Hudson 1.395 sends it.
func anonymousOf(number int, suid int64, fs ...any) *jser.Object {
	o := fields(fmt.Sprintf("hudson.FilePath$%d", number), append([]any{"this$0", jser.Value(nil)}, fs...)...)
	o.Class.SUID = suid
	return o
}

// wrapped is the FileCallableWrapper of that time, an inner class.
func wrapped(callable *jser.Object, path string) *jser.Object {
	return fields("hudson.FilePath$FileCallableWrapper", "callable", callable, "this$0", fields("hudson.FilePath", "remote", path))
}

func TestHudsonFiles(t *testing.T) {
	r := oldRig(t)
	dir := filepath.Join(t.TempDir(), "a", "b")
	act := func(o *jser.Object, path string) jser.Value { return r.must(wrapped(o, path)) }
	truth := func(v jser.Value) bool { return v.(*jser.Object).Bool("value") }

	require.True(t, truth(act(anonymousOf(8, 3618440128614518993), dir)), "mkdirs")
	require.DirExists(t, dir)
	require.True(t, truth(act(anonymousOf(18, -3942719907008882491), dir)), "isDirectory")
	file := filepath.Join(dir, "f.txt")
	require.False(t, truth(act(anonymousOf(15, -6473625066854757172), file)), "exists")
	require.Nil(t, act(anonymousOf(26, 1413164826173817464, "val$content", "grüße", "val$encoding", "UTF-8"), file), "write")
	require.Equal(t, int64(len("grüße")), act(anonymousOf(19, 9202119524784756435), file).(*jser.Object).Long("value"), "length")
	sum, err := digest(file)
	require.NoError(t, err)
	require.Equal(t, sum, act(anonymousOf(27, 3193765857384943869), file), "digest")
	require.Equal(t, file, act(anonymousOf(5, -448043159720967473), file), "absolutize")

	copies := act(anonymousOf(31, -6598647498196649358, "val$fileMask", "**/*.txt", "val$excludes", nil,
		"val$target", fields("hudson.FilePath", "remote", filepath.Join(dir, "copy"))), dir)
	require.Equal(t, int32(1), copies.(*jser.Object).Int("value"), "copyRecursiveTo")
	require.FileExists(t, filepath.Join(dir, "copy", "f.txt"))

	script := act(anonymousOf(12, -2243813362328982998, "val$inThisDirectory", true, "val$contents", "echo\n", "val$prefix", "hudson", "val$suffix", ".sh"), dir)
	require.Equal(t, dir, filepath.Dir(script.(string)), "createTextTempFile")
	require.Nil(t, act(anonymousOf(14, 2060515634565448977), script.(string)), "delete")
	require.NoFileExists(t, script.(string))
	require.Nil(t, act(anonymousOf(9, 873999645217128003), dir), "deleteRecursive")
	require.NoDirExists(t, dir)
}

// Another release's class of the same number does something else: nothing may
// be executed by number alone.
func TestAnonymousClassesOfOtherReleasesAreRefused(t *testing.T) {
	r := oldRig(t)
	dir := t.TempDir()
	for name, o := range map[string]*jser.Object{
		"serialVersionUID":        anonymousOf(9, 1),
		"one more field":          anonymousOf(9, 873999645217128003, "val$other", nil),
		"fields of a neighbour":   anonymousOf(4, explicitSUID, "val$out", nil),
		"a class that is unknown": anonymousOf(99, 1),
		"unzip from anywhere":     anonymousOf(2, explicitSUID),
	} {
		_, err := r.call(wrapped(o, dir))
		require.ErrorContains(t, err, "not implemented natively", name)
	}
	require.DirExists(t, dir)
}

func TestHudsonLaunchWaitsInTheCall(t *testing.T) {
	r := oldRig(t)
	out := filepath.Join(t.TempDir(), "out")
	v := r.must(fields("hudson.Launcher$RemoteLaunchCallable", "cmd", jser.ArrayList("sh", "-c", "echo $V >"+out+"; exit 5"),
		"env", jser.StringArray("V=value"), "masks", nil, "in", nil, "out", nil, "err", nil, "workDir", nil, "listener", nil))
	require.Equal(t, int32(5), v.(*jser.Object).Int("value"))
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "value\n", string(b))
}

func TestHudsonEnvVars(t *testing.T) {
	v := oldRig(t).must(fields("hudson.EnvVars$GetEnvVars"))
	require.Equal(t, int64(8355796526435837590), v.(*jser.Object).Class.SUID)
	v = newRig(t, &Agent{}).must(fields("hudson.EnvVars$GetEnvVars"))
	require.Equal(t, int64(4320331661987259022), v.(*jser.Object).Class.SUID)
}

func TestHudsonFingerprints(t *testing.T) {
	r := oldRig(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("x"), 0o600))
	o := fields("hudson.tasks.Fingerprinter$1", "val$targets", "*.txt", "val$buildTimestamp", int64(0))
	o.Class.SUID = 2125862872680301499
	list, err := jser.List(r.must(wrapped(o, dir)))
	require.NoError(t, err)
	require.Len(t, list, 1)
	record := list[0].(*jser.Object)
	require.Equal(t, "a.txt", record.Str("relativePath"))
	require.Equal(t, "9dd4e461268c8034f5c8564e155c67a6", record.Str("md5sum"))
	require.True(t, record.Bool("produced"))
}

// FilePath.read and write are callables of their own, not FileCallables: the
// path is that of the FilePath around them.
func TestHudsonStreams(t *testing.T) {
	r := oldRig(t)
	file := filepath.Join(t.TempDir(), "new", "file")
	o := anonymousOf(25, 8076625799219617859)
	o.Data[0].Values[0] = fields("hudson.FilePath", "remote", file)
	require.Equal(t, "hudson.remoting.RemoteOutputStream", jser.Name(r.must(o)))
	require.FileExists(t, file)
}

// Exceptions of classes that came later travel as ones that were always there.
func TestHudsonExceptions(t *testing.T) {
	_, err := oldRig(t).call(wrapped(anonymousOf(13, 1322741809488055368, "val$prefix", "x", "val$suffix", ""), "/"))
	require.ErrorContains(t, err, "too short")
	_, err = oldRig(t).call(fields("com.example.Unknown"))
	require.ErrorContains(t, err, "com.example.Unknown is not implemented natively")
}
