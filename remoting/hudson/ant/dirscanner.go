package ant

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Visitor takes the entries that a DirScanner finds (hudson.util.FileVisitor). The archive writers are visitors.
type Visitor interface {
	// Visit gets a file or directory: path is where it is, rel its name with '/' and without one at the end.
	Visit(path, rel string) error
	// VisitSymlink gets a link and what it says, if UnderstandsSymlink; otherwise links are passed to Visit.
	VisitSymlink(path, target, rel string) error
	UnderstandsSymlink() bool
}

// DirScanner finds entries below dir and passes them on (hudson.util.DirScanner and its four known subclasses).
// An error of the visitor ends the scan and is returned as it is.
type DirScanner interface {
	Scan(ctx context.Context, dir string, v Visitor) error
}

// Glob is hudson.util.DirScanner$Glob. With neither Includes nor Excludes (nil: null on the wire) it is Full, names
// starting with the directory's own; otherwise names are relative to the directory, sorted, and only files and links are
// found. A missing directory has no files.
type Glob struct {
	Includes        string
	Excludes        *string
	DefaultExcludes bool // field useDefaultExcludes
	NoFollow        bool // LinkOption.NOFOLLOW_LINKS among field openOptions
}

// Scan implements DirScanner.
func (g Glob) Scan(ctx context.Context, dir string, v Visitor) error {
	if g.Includes == "" && g.Excludes == nil {
		return Full{}.Scan(ctx, dir, v)
	}
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	s := New(g.Includes, "")
	if g.Excludes != nil {
		s.Excludes = *g.Excludes
	}
	s.DefaultExcludes = g.DefaultExcludes
	s.FollowSymlinks = !g.NoFollow
	return s.Walk(ctx, dir, func(rel string, entry fs.DirEntry) error {
		path := filepath.Join(dir, rel)
		if entry.Type()&fs.ModeSymlink != 0 {
			return single(path, rel, v)
		}
		return v.Visit(path, rel)
	})
}

// single is DirScanner.scanSingle.
func single(path, rel string, v Visitor) error {
	if v.UnderstandsSymlink() {
		if target, err := os.Readlink(path); err == nil {
			return v.VisitSymlink(path, cleanTarget(target), rel)
		}
	}
	return v.Visit(path, rel)
}

// cleanTarget writes a link's target as java.nio.file.Path does: no double and no trailing slashes.
func cleanTarget(target string) string {
	if !strings.Contains(target, "//") && !strings.HasSuffix(target, "/") {
		return target
	}
	abs := strings.HasPrefix(target, "/")
	pieces := strings.FieldsFunc(target, func(r rune) bool { return r == '/' })
	if target = strings.Join(pieces, "/"); abs {
		target = "/" + target
	}
	return target
}

// Full is hudson.util.DirScanner$Full: everything readable, directories before what they hold, in the order of the
// directories on disk, names starting with the directory's own. A link to a directory is passed on as a link and then
// gone into, as in Java.
type Full struct{}

// Scan implements DirScanner.
func (Full) Scan(ctx context.Context, dir string, v Visitor) error {
	return full(ctx, dir, filepath.Base(dir), v)
}

func full(ctx context.Context, path, rel string, v Visitor) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !readable(path) {
		return nil
	}
	if err := single(path, rel, v); err != nil {
		return err
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return nil
	}
	children, err := readDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for i := range children {
		name := children[i].name
		if err := full(ctx, path+"/"+name, rel+"/"+name, v); err != nil {
			return err
		}
	}
	return nil
}

// Filter is hudson.util.DirScanner$Filter: Full, with the files that Accept refuses left out. A nil Accept is Full;
// any other follows links, because the filtering visitor of Java does not understand them.
type Filter struct {
	Accept func(path string) bool
}

// Scan implements DirScanner.
func (f Filter) Scan(ctx context.Context, dir string, v Visitor) error {
	if f.Accept != nil {
		v = filtered{accept: f.Accept, to: v}
	}
	return Full{}.Scan(ctx, dir, v)
}

type filtered struct {
	accept func(path string) bool
	to     Visitor
}

func (f filtered) Visit(path, rel string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() || f.accept(path) {
		return f.to.Visit(path, rel)
	}
	return nil
}

func (f filtered) VisitSymlink(path, _, rel string) error { return f.Visit(path, rel) }
func (f filtered) UnderstandsSymlink() bool               { return false }

// Explicit is hudson.FilePath$ExplicitlySpecifiedDirScanner: no scan, a list of files. The order is that of the map on
// the wire.
type Explicit []Named

// Named is one entry of the scanner's map: the name it gets, and where it is below the directory.
type Named struct{ Rel, Actual string }

// Scan implements DirScanner.
func (e Explicit) Scan(ctx context.Context, dir string, v Visitor) error {
	for _, n := range e {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := single(filepath.Join(dir, n.Actual), n.Rel, v); err != nil {
			return err
		}
	}
	return nil
}

// Without wraps a visitor as FilePath.ignoringSymlinks and ignoringTmpDirs do for FilePath$Archive: links, or
// directories called "*@tmp", are left out with all they hold, looking upwards from an entry no further than root. Links
// are then never passed on as links. An empty root (null on the wire) lets everything through.
func Without(v Visitor, root string, links, tmpDirs bool) Visitor {
	if !links && !tmpDirs {
		return v
	}
	return without{to: v, root: root, links: links, tmpDirs: tmpDirs}
}

type without struct {
	to             Visitor
	root           string
	links, tmpDirs bool
}

func (w without) Visit(path, rel string) error {
	if w.root != "" {
		for at := path; at != w.root && len(at) > 1; at = filepath.Dir(at) {
			info, err := os.Lstat(at)
			if err != nil {
				continue
			}
			if w.links && info.Mode()&fs.ModeSymlink != 0 {
				return nil
			}
			if w.tmpDirs && isTmpDir(at) {
				return nil
			}
		}
	}
	return w.to.Visit(path, rel)
}

func (w without) VisitSymlink(path, _, rel string) error { return w.Visit(path, rel) }
func (w without) UnderstandsSymlink() bool               { return false }

// tmpSuffix ends the names of the directories that Jenkins puts beside a workspace (WorkspaceList.TMP_DIR_SUFFIX).
const tmpSuffix = "@tmp"

func isTmpDir(path string) bool {
	name := filepath.Base(path)
	if len(name) <= len(tmpSuffix) || !strings.HasSuffix(name, tmpSuffix) {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
