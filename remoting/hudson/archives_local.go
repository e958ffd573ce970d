package hudson

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/jser"
)

// copyTree is FilePath$CopyRecursiveLocal: from one directory of this agent to
// another.
func (a *Agent) copyTree(ctx context.Context, c *callable.Call) (jser.Value, error) {
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
	n, err := copyScanned(ctx, to, a.Log, func(v ant.Visitor) error { return scanner.Scan(ctx, c.Path, v) })
	if err != nil {
		return nil, err
	}
	return jser.Integer(n), nil
}

// copyScanned copies what scan finds to dest and returns how many files and
// links that were. All names are found first, as by Ant: dest may be inside
// the directory that is scanned. log may be nil.
func copyScanned(ctx context.Context, dest string, log *slog.Logger, scan func(ant.Visitor) error) (int32, error) {
	var all found
	if err := scan(&all); err != nil {
		return 0, archiveError(err)
	}
	v := copier{dest: dest, log: log}
	for _, f := range all {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err := v.copy(f); err != nil {
			return 0, err
		}
	}
	return v.count, nil
}

// found collects what a scanner finds.
type found []foundFile

type foundFile struct {
	path, rel, target string
	link              bool
}

func (v *found) Visit(path, rel string) error {
	*v = append(*v, foundFile{path: path, rel: rel})
	return nil
}

func (v *found) VisitSymlink(path, target, rel string) error {
	*v = append(*v, foundFile{path: path, rel: rel, target: target, link: true})
	return nil
}

func (v *found) UnderstandsSymlink() bool { return true }

// copier copies files and links; directories come into being with what is in
// them.
type copier struct {
	dest  string
	plain bool // modes and times can't be kept there
	told  bool
	count int32
	log   *slog.Logger
}

func (v *copier) copy(f foundFile) error {
	to := filepath.Join(v.dest, f.rel)
	if f.link {
		return v.link(f, to)
	}
	fi, err := os.Stat(f.path)
	if err != nil || !fi.Mode().IsRegular() {
		return nil
	}
	if err := mkdirs(filepath.Dir(to)); err != nil {
		return err
	}
	if !v.plain {
		if err := copyFile(f.path, to); err != nil {
			// JENKINS-52325: some filesystems refuse to keep modes or times.
			v.plain = true
		}
	}
	if v.plain {
		if err := copyContent(f.path, to); err != nil {
			return err
		}
		if v.log != nil && !v.told {
			v.told = true
			v.log.Info("modes and times of files can't be kept when copying; going on without", "target", v.dest)
		}
	}
	v.count++
	return nil
}

// copyContent copies what is in a file and nothing else.
func copyContent(from, to string) error {
	in, err := openRegular(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// link counts a link also when it could not be made, as Java does:
// hudson.Util.createSymlink only tells its listener.
func (v *copier) link(f foundFile, to string) error {
	if err := mkdirs(filepath.Dir(to)); err != nil {
		return err
	}
	if fi, err := os.Lstat(to); err == nil && !fi.IsDir() {
		_ = os.Remove(to)
	}
	_ = os.Symlink(f.target, to)
	v.count++
	return nil
}

// errNoURL answers a call whose URL can't be read.
func errNoURL(v jser.Value) error {
	return remoting.Errorf(remoting.IOExceptionClass, "footman: no URL in %s", jser.Describe(v))
}
