package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// maxBinary is the budget of the agent for linux, in bytes.
const maxBinary = 15_000_000

// TestBinaryFitsItsBudget builds as the Makefile does, for both architectures of
// the images.
func TestBinaryFitsItsBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds two binaries")
	}
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("MAKE IS MISSING: THE SIZE OF THE BINARY IS NOT CHECKED HERE")
	}
	for _, arch := range []string{"amd64", "arm64"} {
		bin := filepath.Join(t.TempDir(), "jenkins-agent")
		cmd := exec.Command("make", "-s", "-C", "../..", "BIN="+bin, bin)
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		st, err := os.Stat(bin)
		require.NoError(t, err)
		t.Logf("%s: %d bytes of %d", arch, st.Size(), maxBinary)
		require.LessOrEqual(t, st.Size(), int64(maxBinary), "%s: what grew? `go tool nm -size -sort size` on a build without -ldflags tells", arch)
	}
}
