package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWorkDirLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	o := options{workDir: dir, internalDir: "remoting"}
	internal, err := o.openWorkDir()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "remoting"), internal)
	for _, d := range []string{"logs", "jarCache"} {
		require.DirExists(t, filepath.Join(internal, d))
	}
	again, err := o.openWorkDir()
	require.NoError(t, err)
	require.Equal(t, internal, again)

	o = options{workDir: t.TempDir(), internalDir: "in", jarCache: "/elsewhere", agentLog: "/elsewhere"}
	internal, err = o.openWorkDir()
	require.NoError(t, err)
	left, err := os.ReadDir(internal)
	require.NoError(t, err)
	require.Empty(t, left, "both directories are somewhere else")

	none, err := (&options{}).openWorkDir()
	require.NoError(t, err)
	require.Empty(t, none)
}

// The texts are those of WorkDirManager.
func TestWorkDirErrors(t *testing.T) {
	tmp := t.TempDir()
	plain := filepath.Join(tmp, "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o600))
	half := filepath.Join(tmp, "half")
	require.NoError(t, os.Mkdir(half, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(half, "remoting"), nil, 0o600))
	for want, o := range map[string]options{
		"The specified working directory path points to a non-directory file: " + plain:                          {workDir: plain, internalDir: "remoting"},
		"The specified remoting internal directory path points to a non-directory file: " + half + "/remoting":   {workDir: half, internalDir: "remoting"},
		"The working directory is missing, but it is expected to exist: " + tmp + "/none":                        {workDir: tmp + "/none", internalDir: "remoting", failIfWorkDirMissing: true},
		"The remoting internal directory is missing, but it is expected to exist: " + half + "/other":            {workDir: half, internalDir: "other", failIfWorkDirMissing: true},
		"Name of remoting internal directory ('a/b') is not compliant with the required format: [a-zA-Z0-9._-]*": {workDir: tmp, internalDir: "a/b"},
	} {
		_, err := o.openWorkDir()
		require.EqualError(t, err, want)
	}
	require.NoDirExists(t, tmp+"/none")
	if os.Getuid() == 0 {
		t.Log("NOT TESTED: a directory without access, as root may do everything")
		return
	}
	require.NoError(t, os.Chmod(half, 0o500))
	t.Cleanup(func() { _ = os.Chmod(half, 0o700) })
	_, err := (&options{workDir: half, internalDir: "new"}).openWorkDir()
	require.ErrorContains(t, err, "should be fully accessible to the remoting executable (RWX): "+half)
}

func TestLogRotation(t *testing.T) {
	for name, first := range map[string]string{"remoting.log": ".0", "agent.log": ""} {
		t.Run(name, func(t *testing.T) {
			base := filepath.Join(t.TempDir(), name)
			require.NoError(t, os.WriteFile(base+first, []byte("before\n"), 0o600))
			r, err := newRotatingFile(base, first)
			require.NoError(t, err)
			r.limit = 40
			for i := range 40 {
				n, err := r.Write([]byte(strings.Repeat(string(rune('a'+i%26)), 9) + "\n"))
				require.NoError(t, err)
				require.Equal(t, 10, n)
			}
			require.NoError(t, r.Close())
			require.NoError(t, r.Close())
			n, err := r.Write([]byte("late")) // never an error: the log is not what matters
			require.NoError(t, err)
			require.Equal(t, 4, n)

			all, err := filepath.Glob(base + "*")
			require.NoError(t, err)
			require.Len(t, all, logFileCount)
			for i, f := range []string{first, ".1", ".2", ".3", ".4"} {
				b, err := os.ReadFile(base + f)
				require.NoError(t, err)
				require.LessOrEqual(t, len(b), 40)
				if i == 0 {
					require.Contains(t, string(b), "nnnnnnnnn") // the 40th
				}
			}
		})
	}
	_, err := newRotatingFile(filepath.Join(t.TempDir(), "no", "dir"), ".0")
	require.ErrorContains(t, err, "the log can't be written")
}

func TestAgentLogIsTheFileItself(t *testing.T) {
	f := filepath.Join(t.TempDir(), "my.log")
	w, err := (&options{agentLog: f}).openLog("/not/used")
	require.NoError(t, err)
	_, _ = w.Write([]byte("x"))
	require.NoError(t, w.Close())
	require.FileExists(t, f)
}

func TestLogFormats(t *testing.T) {
	var text, js bytes.Buffer
	for w, o := range map[*bytes.Buffer]options{&text: {}, &js: {logJSON: true}} {
		log := slog.New(o.logHandler(w)).With("node", "n 1")
		log.Info("Connected", "protocol", "WebSocket", "err", "two\nlines")
		log.Debug("never seen")
		log.Warn("careful")
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	require.Len(t, lines, 2, "a record is one line")
	require.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} INFO    Connected node="n 1" protocol=WebSocket err="two\\nlines"$`, lines[0])
	require.Contains(t, lines[1], "WARNING careful")
	for d := json.NewDecoder(&js); d.More(); {
		var m map[string]any
		require.NoError(t, d.Decode(&m))
		require.Equal(t, "n 1", m["node"])
	}
	var debug bytes.Buffer
	slog.New((&options{debug: true}).logHandler(&debug)).Debug("seen")
	require.Contains(t, debug.String(), "seen")
}

// A volume with fsGroup belongs to a supplementary group of the agent. Run in
// a process of its own, because a umask is the whole process's.
func TestUmaskForFSGroup(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED LOUDLY: needs root, to make a directory of another group and to have supplementary groups")
	}
	const agentID, group, foreign = 54321, 54322, 54323
	for name, c := range map[string]struct {
		mode   os.FileMode
		gid    int
		groups []uint32
		umask  string
		want   string
	}{
		"fsGroup":                 {0o775 | os.ModeSetgid, group, []uint32{group}, "022", "0002"},
		"fsGroup, strict umask":   {0o775 | os.ModeSetgid, group, []uint32{group}, "027", "0007"},
		"own group":               {0o775, agentID, []uint32{group}, "022", "0022"},
		"not a member":            {0o777, foreign, []uint32{group}, "022", "0022"},
		"the group may not write": {0o755, group, []uint32{group}, "022", "0022"},
		"no supplementary groups": {0o777, group, nil, "022", "0022"},
	} {
		t.Run(name, func(t *testing.T) {
			tmp, err := os.MkdirTemp("", "umask") // t.TempDir is closed to others
			require.NoError(t, err)
			defer os.RemoveAll(tmp)
			dir := filepath.Join(tmp, "work")
			require.NoError(t, os.Mkdir(dir, 0o777))
			require.NoError(t, os.Chown(dir, agentID, c.gid))
			require.NoError(t, os.Chmod(dir, c.mode))
			require.NoError(t, os.Chmod(tmp, 0o755))
			exe, err := os.Executable()
			require.NoError(t, err)
			copied := filepath.Join(tmp, "program")
			require.NoError(t, exec.Command("cp", exe, copied).Run())
			require.NoError(t, os.Chmod(copied, 0o755))
			// stdin ends at once: the agent makes its directories and leaves.
			p := exec.Command("/bin/sh", "-c", "umask "+c.umask+"; exec \"$0\" -workDir \"$1\" </dev/null", copied, dir)
			p.Env = []string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}
			p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: agentID, Gid: agentID, Groups: c.groups}}
			out, _ := p.CombinedOutput()
			fi, err := os.Stat(filepath.Join(dir, "remoting"))
			require.NoError(t, err, string(out))
			want := map[string]os.FileMode{"0002": 0o775, "0007": 0o770, "0022": 0o755}[c.want]
			require.Equal(t, want, fi.Mode().Perm(), string(out))
		})
	}
}
