package hudson

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerWorkspaces adds the bookkeeping of workspaces.
func registerWorkspaces(t *callable.Table) {
	t.Register(
		callable.Entry{Class: "jenkins.branch.WorkspaceLocatorImpl$WriteAtomic", Fields: []string{"text"}, Source: "branch-api 2.1044", Run: writeAtomic},
		callable.Entry{Class: "hudson.model.WorkspaceCleanupThread$CleanupOldWorkspaces", Fields: []string{"retentionInDays", "retainForDays"},
			Source: "core", Run: cleanWorkspaces},
	)
}

// writeAtomic is hudson.util.TextFile.write: readers see the old text or the
// new one, also after a crash.
func writeAtomic(_ context.Context, c *callable.Call) (jser.Value, error) {
	dir := filepath.Dir(c.Path)
	if err := mkdirs(dir); err != nil {
		return nil, err
	}
	f, err := tempFile(dir, filepath.Base(c.Path)+"-atomic", "tmp")
	if err != nil {
		return nil, err
	}
	_, err = f.Write(validUTF8(c.Object.Str("text")))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), c.Path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return nil, err
	}
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
	return nil, nil
}

// cleanWorkspaces removes a workspace, and those of the same name with "@"
// behind it, that nobody has changed for so many days.
func cleanWorkspaces(ctx context.Context, c *callable.Call) (jser.Value, error) {
	days := max(c.Object.Int("retentionInDays"), c.Object.Int("retainForDays"))
	limit := time.Now().AddDate(0, 0, -int(days))
	parent, base := filepath.Split(filepath.Clean(c.Path))
	for _, n := range readNames(parent) {
		if n != base && !strings.HasPrefix(n, base+"@") { // WorkspaceList.COMBINATOR
			continue
		}
		dir := filepath.Join(parent, n)
		fi, err := os.Stat(dir)
		if err != nil || !fi.IsDir() || fi.ModTime().After(limit) {
			continue
		}
		if err := removeWithRetries(ctx, dir, removeTree); err != nil {
			return nil, err
		}
	}
	return nil, nil
}
