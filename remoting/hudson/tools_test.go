package hudson

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

func TestTools(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, &Agent{Environ: []string{"TOOLS=" + dir, "PATH=/usr/bin:/bin"}})
	put(t, dir, "m/bin/mvn", "", "old/bin/maven", "", "ant/bin/ant", "", "g/bin/gradle", "", "m1/project.xml", "", "m2/pom.xml", "", "m2/sub/x", "")
	const maven = "hudson.tasks.Maven$MavenInstallation$GetExecutable"
	for _, c := range []struct {
		class, field, home string
		want               jser.Value
	}{
		{maven, "rawHome", "$TOOLS/m", dir + "/m/bin/mvn"},
		{maven, "rawHome", dir + "/old", dir + "/old/bin/maven"},
		{maven, "rawHome", dir, nil},
		{"hudson.tasks.Ant$AntInstallation$GetExecutable", "rawHome", "${TOOLS}/ant", dir + "/ant/bin/ant"},
		{"hudson.plugins.gradle.GradleInstallation$GetExeFile", "gradleHome", dir + "/g", dir + "/g/bin/gradle"},
	} {
		require.Equal(t, c.want, r.must(fields(c.class, c.field, c.home)), c)
	}
	for _, c := range [][3]string{
		{"m1", "install", "maven"}, {"m2", "install", "mvn"}, {"m1", "-f pom.xml", "maven"}, {"m2", "-f pom.xml x", "mvn"}, {"m2", "-f sub", "maven"},
	} {
		require.Equal(t, c[2], r.must(onPath(fields("hudson.tasks.Maven$DecideDefaultMavenCommand", "arguments", c[1]), filepath.Join(dir, c[0]))), c)
	}
	cpu, err := jdkCPU("amd64")
	require.NoError(t, err)
	require.Equal(t, "amd64", cpu.(*jser.Enum).Name)
	_, err = jdkCPU("aarch64")
	require.Error(t, err)
	arch, err := dockerArch("Linux", "aarch64")
	require.NoError(t, err)
	require.Equal(t, "linux/x86_64", arch)
	isChild := func(child string) jser.Value {
		return jser.Unbox(r.must(onPath(fields("hudson.plugins.emailext.plugins.content.AbstractEvalContent$IsChildFileCallable",
			"potentialChild", remotePath(child)), "/ws")))
	}
	require.Equal(t, true, isChild("/ws/a/b"))
	require.Equal(t, false, isChild("/wsx/a"))
}

func TestMavenVersion(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	version := func() jser.Value {
		return r.must(fields("hudson.tasks.Maven$MavenInstallation$GetMavenVersion", "home", dir))
	}
	require.Equal(t, "", version())
	put(t, dir, "src/META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nImplementation-Version: 3.9.\r\n 11\r\n\r\nName: x\r\n", "lib/other.jar", "x")
	_, err := r.pack(zipIt, dir+"/src", dir+"/lib/maven-core.jar", "glob", "**/*")
	require.NoError(t, err)
	require.Equal(t, "3.9.11", version())
}

func pattern(kind, text string) *jser.Object {
	return fields("hudson.plugins.ws_cleanup.Pattern", "pattern", text, "type", enum("hudson.plugins.ws_cleanup.Pattern$PatternType", kind))
}

func TestCleanup(t *testing.T) {
	for _, c := range []struct {
		name     string
		patterns []jser.Value
		dirs     bool
		left     []string
	}{
		{"files", []jser.Value{pattern("INCLUDE", "**/*.log"), pattern("EXCLUDE", "keep/**")}, false,
			[]string{"a", "a/1.txt", "keep", "keep/k.log"}}, // links to directories that may hold some go, as upstream
		{"directories", []jser.Value{pattern("INCLUDE", "a/**")}, true, []string{"keep", "keep/k.log", "l", "out"}},
		{"all but", []jser.Value{pattern("EXCLUDE", "keep/**")}, true, []string{"keep", "keep/k.log"}},
		{"links", []jser.Value{pattern("INCLUDE", "l")}, false, []string{"a", "a/1.txt", "a/2.log", "keep", "keep/k.log", "out"}},
		{"a comma is no separator", []jser.Value{pattern("INCLUDE", "a/1.txt,a/2.log")}, false,
			[]string{"a", "a/1.txt", "a/2.log", "keep", "keep/k.log", "l", "out"}},
	} {
		r, dir, outside := newRig(t, &Agent{}), t.TempDir(), t.TempDir()
		put(t, dir, "a/1.txt", "", "a/2.log", "", "keep/k.log", "")
		put(t, outside, "precious.log", "")
		require.NoError(t, os.Symlink("a", dir+"/l"))
		require.NoError(t, os.Symlink(outside, dir+"/out"))
		require.Nil(t, r.must(onPath(fields("hudson.plugins.ws_cleanup.Cleanup", "deleteDirs", c.dirs, "deleteCommand", nil,
			"listener", nil, "patterns", jser.ArrayList(c.patterns...)), dir)))
		var left []string
		require.NoError(t, filepath.WalkDir(dir, func(p string, _ os.DirEntry, err error) error {
			if rel, _ := filepath.Rel(dir, p); rel != "." {
				left = append(left, rel)
			}
			return err
		}))
		require.Equal(t, c.left, left, c.name)
		require.FileExists(t, outside+"/precious.log", c.name)
	}
}

func TestCleanupCommand(t *testing.T) {
	r, dir := newRig(t, &Agent{Environ: []string{"PATH=/usr/bin:/bin"}}), t.TempDir()
	put(t, dir, "a b", "")
	clean := func(command string, log *sink) error {
		_, err := r.call(onPath(fields("hudson.plugins.ws_cleanup.Cleanup", "deleteDirs", false, "deleteCommand", command,
			"listener", plainListener(r.stream(log), nil), "patterns", jser.ArrayList(pattern("INCLUDE", "**"))), dir))
		return err
	}
	log := newSink()
	require.NoError(t, clean("ls --no-such-option %s", log))
	require.Contains(t, log.String(), "ERROR: Cleanup command 'ls --no-such-option "+dir+"/a b' failed with code 2:\n")
	require.Contains(t, log.String(), "no-such-option'\n")
	require.ErrorContains(t, clean("/no-such-dir/rm %s", newSink()), "/no-such-dir/rm")
	require.NoError(t, clean("rm %s", newSink()))
	require.NoFileExists(t, dir+"/a b")
}

func TestDeleteArgs(t *testing.T) {
	require.Equal(t, []string{"rm", "-r", "/a"}, deleteArgs("rm -r", "/a"))
	require.Equal(t, []string{"rm", "/a b", "-x"}, deleteArgs("rm %s -x", "/a b"))
	require.Equal(t, []string{"my rm", "/a"}, deleteArgs(`"my rm"`, "/a"))
}
