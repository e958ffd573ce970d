package hudson

import (
	"context"
	"os"
	"path/filepath"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// copyTree is FilePath$CopyRecursiveLocal: from one directory of this agent to
// another.
func copyTree(ctx context.Context, c *callable.Call) (jser.Value, error) {
	to, err := target(c)
	if err != nil {
		return nil, err
	}
	scanner, err := dirScanner(c.Object.Get("scanner"))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Path); err != nil {
		return jser.Integer(0), nil
	}
	v := copyVisitor{dest: to}
	if err := scanner.Scan(ctx, c.Path, &v); err != nil {
		return nil, archiveError(err)
	}
	return jser.Integer(v.count), nil
}

// copyVisitor copies what a scanner finds; directories come into being with
// what is in them.
type copyVisitor struct {
	dest  string
	count int32
}

func (v *copyVisitor) Visit(path, rel string) error {
	fi, err := os.Stat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	to := filepath.Join(v.dest, rel)
	if err := mkdirs(filepath.Dir(to)); err != nil {
		return err
	}
	if err := copyFile(path, to); err != nil {
		return err
	}
	v.count++
	return nil
}

// VisitSymlink counts a link also when it could not be made, as Java does:
// hudson.Util.createSymlink only tells its listener.
func (v *copyVisitor) VisitSymlink(_, target, rel string) error {
	to := filepath.Join(v.dest, rel)
	if err := mkdirs(filepath.Dir(to)); err != nil {
		return err
	}
	if fi, err := os.Lstat(to); err == nil && !fi.IsDir() {
		_ = os.Remove(to)
	}
	_ = os.Symlink(target, to)
	v.count++
	return nil
}

func (v *copyVisitor) UnderstandsSymlink() bool { return true }

// errNoURL answers a call whose URL can't be read.
func errNoURL(v jser.Value) error {
	return remoting.Errorf(remoting.IOExceptionClass, "footman: no URL in %s", jser.Describe(v))
}
