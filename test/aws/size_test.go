// Package aws holds the checks of awsauth that need more than Go: the size of
// the binary, the recipes, and (run.sh) the real AWS tools.
package aws

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Budgets of awsauth in the agent's binary: added bytes, and the time and memory
// of package initialisation in all packages it brings.
const (
	maxAddedBytes = 4_000_000
	maxInitMillis = 2.0
	maxInitBytes  = 200_000
)

// TestBudget builds a program with and without awsauth and compares.
func TestBudget(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: builds two binaries")
	}
	dir := t.TempDir()
	build := func(name string) (string, int64) {
		out := filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "./size/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		msg, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", msg)
		st, err := os.Stat(out)
		require.NoError(t, err)
		return out, st.Size()
	}
	_, base := build("base")
	full, size := build("full")
	t.Logf("awsauth adds %d bytes (%.2f MB) to %d; the budget is %d", size-base, float64(size-base)/1e6, base, maxAddedBytes)
	require.LessOrEqual(t, size-base, int64(maxAddedBytes))

	// The best of ten: on a busy machine any single run measures the others.
	line := regexp.MustCompile(`(?m)^init (\S+) @\S+ ms, (\S+) ms clock, (\d+) bytes`)
	best, bytes := 1000.0, 0
	for range 10 {
		cmd := exec.Command(full, "--help")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		trace, err := cmd.CombinedOutput()
		require.NoError(t, err)
		sum := 0.0
		bytes = 0
		for _, m := range line.FindAllStringSubmatch(string(trace), -1) {
			require.NotEqual(t, "github.com/footman-ci/footman/awsauth", m[1], "awsauth itself does nothing at start")
			if strings.HasPrefix(m[1], "github.com/aws/") {
				ms, err := strconv.ParseFloat(m[2], 64)
				require.NoError(t, err)
				n, err := strconv.Atoi(m[3])
				require.NoError(t, err)
				sum += ms
				bytes += n
			}
		}
		best = min(best, sum)
	}
	t.Logf("packages of the SDK initialise in %.2f ms with %d bytes; awsauth itself in none", best, bytes)
	require.Less(t, best, maxInitMillis)
	require.Less(t, bytes, maxInitBytes)
}
