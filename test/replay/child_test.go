package replay

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody is the account that scenario 22 was recorded with.
const nobody = 65534

// unprivileged holds the scenarios whose permission errors are real only for
// an account that is not root, beside files of root.
var unprivileged = map[string]bool{"22-error-paths": true}

// usage is what a child tells its parent about the tables.
type usage struct {
	Declared map[int]int
	Relayed  map[string]int
}

// asNobody plays a scenario in a child process without privileges. The child
// can't read the sources, so that binary and recording are copied.
func asNobody(t *testing.T, name string) {
	if os.Getuid() != 0 {
		t.Skipf("SCENARIO %s IS NOT PLAYED: it needs root, to make files of root and to become uid %d beside them", name, nobody)
	}
	dir, err := os.MkdirTemp("", "replay-child-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	self, err := os.Executable()
	require.NoError(t, err)
	copyFile(t, self, filepath.Join(dir, "replay.test"), 0o755)
	require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	for _, f := range []string{"session.jsonl.gz", "meta.json"} {
		copyFile(t, filepath.Join(fixturesDir(), name, f), filepath.Join(dir, name, f), 0o644)
	}
	report := filepath.Join(dir, "usage")
	require.NoError(t, os.WriteFile(report, nil, 0o666))
	require.NoError(t, os.Chown(report, nobody, nobody))
	s, err := loadSession(name)
	require.NoError(t, err)
	root := newRoot(t, s)
	// The scenario's own preparation: a directory and a file of root.
	protected := filepath.Join(root, s.node, "protected")
	require.NoError(t, os.Mkdir(protected, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(protected, "f"), nil, 0o644))
	for _, d := range []string{root, filepath.Join(root, s.node), filepath.Join(root, "home")} {
		require.NoError(t, os.Chown(d, nobody, nobody))
	}

	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "replay.test"), "-test.v", "-test.run=^TestReplay$", "-test.timeout=2m")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "REPLAY_SCENARIO=" + name, "REPLAY_FIXTURES=" + dir, "REPLAY_ROOT=" + root, "REPLAY_USAGE=" + report}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as uid %d: %v\n%s", nobody, err, out)
	} else {
		t.Logf("as uid %d:\n%s", nobody, out)
	}
	b, err := os.ReadFile(report)
	require.NoError(t, err)
	var u usage
	require.NoError(t, json.Unmarshal(b, &u))
	usedMu.Lock()
	defer usedMu.Unlock()
	for i, n := range u.Declared {
		usedDeclarations[i] += n
	}
	for c, n := range u.Relayed {
		usedRelayed[c] += n
	}
}

// reportUsage is the child's half of it.
func reportUsage(t *testing.T) {
	file := os.Getenv("REPLAY_USAGE")
	if file == "" {
		return
	}
	usedMu.Lock()
	defer usedMu.Unlock()
	b, err := json.Marshal(usage{usedDeclarations, usedRelayed})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, b, 0o666))
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, mode))
}
