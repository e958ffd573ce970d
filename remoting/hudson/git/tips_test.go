package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTips compares with the walks of JGit on a history with merges, equal times
// and clocks that went wrong.
func TestTips(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	text, err := os.ReadFile("testdata/tips.txt")
	require.NoError(t, err)
	_, text2, _ := strings.Cut(string(text), "\n")
	history, questions, _ := strings.Cut(text2, "# commits")
	_, questions, _ = strings.Cut(questions, "\n")
	var in strings.Builder
	times := []int{}
	for line := range strings.Lines(history) {
		f := strings.Fields(line)
		fmt.Fprintf(&in, "commit refs/heads/b%d\nmark :%d\ncommitter a <a@x> %s +0000\ndata 0\n", len(times)+1, len(times)+1, f[0])
		for i, p := range f[1:] {
			fmt.Fprintf(&in, "%s :%s\n", []string{"from", "merge"}[min(i, 1)], p)
		}
		in.WriteString("\n")
		at, _ := strconv.Atoi(f[0])
		times = append(times, at)
	}
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "stream"), []byte(in.String()), 0o600))
	w.sh(w.c.Dir, "git init -q && git fast-import --quiet <../stream")
	id := map[string]ID{}
	for line := range strings.Lines(w.sh(w.c.Dir, "git for-each-ref --format='%(objectname) %(refname:short)' refs/heads")) {
		x, ok := parseID(line)
		require.True(t, ok)
		id[strings.TrimPrefix(strings.Fields(line)[1], "b")] = x
	}
	for line := range strings.Lines(questions) {
		asked, want, _ := strings.Cut(strings.TrimSpace(line), " => ")
		var ids []ID
		for _, n := range strings.Fields(asked) {
			ids = append(ids, id[n])
		}
		got, err := w.c.Tips(ctx, ids)
		require.NoError(t, err)
		require.Equal(t, "["+want+"]", fmt.Sprint(got), asked)
		got, err = w.c.ByTime(ctx, ids)
		require.NoError(t, err)
		require.Len(t, got, len(ids))
		at := func(i int) int { n, _ := strconv.Atoi(strings.Fields(asked)[i]); return times[n-1] }
		for i := range got[1:] {
			a, b := got[i], got[i+1]
			require.True(t, at(a) < at(b) || at(a) == at(b) && a < b, asked)
		}
	}
	_, err = w.c.Tips(ctx, []ID{{9}})
	require.Error(t, err)
}
