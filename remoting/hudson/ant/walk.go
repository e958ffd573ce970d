package ant

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxLinkLevels is how often one and the same directory may be met below itself through links of one name
// (DirectoryScanner.MAX_LEVELS_OF_SYMLINKS).
const maxLinkLevels = 5

// walk is one run over a tree.
type walk struct {
	ctx  context.Context
	base string // absolute
	p    *patterns

	onFile   func(rel string, entry fs.DirEntry) error // an included file
	onDir    func(rel string)                          // an included directory; nil: not wanted
	onLink   func(rel string)                          // a link that is not followed; nil: not wanted
	tick     func()                                    // called wherever Java asks isCaseSensitive()
	unsorted bool                                      // take entries in the order of the directory

	names []string // names of the directories being read, from the root down: for links that lead upwards
}

func newWalk(ctx context.Context, base string, p *patterns) *walk {
	return &walk{ctx: ctx, base: base, p: p, tick: func() {}}
}

// run is DirectoryScanner.scan, without its errors for a bad base directory.
func (w *walk) run() error {
	for range w.p.includes.plain {
		w.tick()
	}
	if !w.p.followLinks {
		if info, err := os.Lstat(w.base); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return nil
		}
	}
	if w.p.includes.has("", nil, w.p.caseSensitive, w.tick) {
		w.included("")
	}
	roots, err := w.findRoots()
	if err != nil {
		return err
	}
	for _, r := range roots {
		if err := w.root(r); err != nil {
			return err
		}
	}
	return nil
}

// included reports an included directory to onDir unless it is excluded.
func (w *walk) included(rel string, pieces ...string) {
	excluded := w.p.excludes.has(rel, pieces, w.p.caseSensitive, w.tick)
	if !excluded && w.onDir != nil {
		w.onDir(rel)
	}
}

// link reports a link that is not followed, if it would have led to something
// (DirectoryScanner.accountForNotFollowedSymlink).
func (w *walk) link(rel string, pieces []string, dir bool) {
	if w.onLink == nil || w.p.excludes.has(rel, pieces, w.p.caseSensitive, w.tick) {
		return
	}
	if w.p.includes.has(rel, pieces, w.p.caseSensitive, w.tick) || dir && w.p.leadsTo(pieces, w.tick) {
		w.onLink(rel)
	}
}

// root walks from one root: the base itself, or what a pattern names before its first wildcard.
func (w *walk) root(r root) error {
	if r.file {
		return w.includedFile(r.rel, r.pieces, fs.FileInfoToDirEntry(r.info))
	}
	if r.rel != "" && w.p.includes.has(r.rel, r.pieces, w.p.caseSensitive, w.tick) {
		w.included(r.rel, r.pieces...)
		if !w.p.leadsTo(r.pieces, w.tick) {
			return nil
		}
	}
	path := w.path(r.rel)
	children, err := readDir(path)
	if err != nil {
		return unreadable(path, err)
	}
	w.names = append(w.names[:0], filepath.Base(path))
	return w.directory(r.rel, slices.Clip(r.pieces), children)
}

func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &BuildError{path + " does not exist."}
	}
	return &BuildError{"IO error scanning directory '" + path + "'"}
}

func (w *walk) path(rel string) string {
	if rel == "" {
		return w.base
	}
	return strings.TrimSuffix(w.base, "/") + "/" + rel
}

// directory handles the entries of one directory that was read.
func (w *walk) directory(rel string, pieces []string, children []child) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	prefix := rel
	if prefix != "" {
		prefix += "/"
	}
	if !w.p.followLinks {
		if w.onLink != nil {
			for i := range children {
				if c := &children[i]; c.isLink() {
					c.resolve(w.base + "/" + prefix)
					w.link(prefix+c.name, append(slices.Clip(pieces), c.name), c.dir)
				}
			}
		}
		children = slices.DeleteFunc(children, child.isLink)
	}
	pieces = append(pieces, "")
	last := len(pieces) - 1
	resolve := func(c *child) {
		c.resolve(w.base + "/" + prefix)
		if c.dir {
			pieces[last] = c.name
			c.leads = w.p.leadsTo(pieces, w.tick)
			if c.leads && !readable(w.base+"/"+prefix+c.name) {
				c.dir = false // File.list() answers null: Ant takes it for a file
			}
		}
	}
	if !w.unsorted {
		for i := range children {
			resolve(&children[i])
		}
		slices.SortFunc(children, func(a, b child) int { return compareEntries(a.name, a.dir, b.name, b.dir) })
	}
	for i := range children {
		c := &children[i]
		if w.unsorted {
			resolve(c)
		}
		pieces[last] = c.name
		if err := w.child(prefix+c.name, pieces, c); err != nil {
			return err
		}
		children[i] = child{} // let go of what is done
	}
	return nil
}

// child handles one entry of a directory.
func (w *walk) child(rel string, pieces []string, c *child) error {
	if !c.dir {
		return w.file(rel, pieces, c.entry)
	}
	var grandchildren []child
	if c.leads {
		var err error
		if grandchildren, err = readDir(w.path(rel)); errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		} else if err != nil {
			return w.file(rel, pieces, c.entry)
		}
	}
	if w.p.followLinks && c.isLink() && w.leadsUp(rel, c.name) {
		return nil
	}
	if w.p.includes.has(rel, pieces, w.p.caseSensitive, w.tick) {
		w.included(rel, pieces...)
	}
	w.tick() // Java asks once more whether to go down
	if !c.leads {
		return nil
	}
	w.names = append(w.names, c.name)
	err := w.directory(rel, pieces, grandchildren)
	w.names = w.names[:len(w.names)-1]
	return err
}

func (w *walk) file(rel string, pieces []string, entry fs.DirEntry) error {
	if !w.p.includes.has(rel, pieces, w.p.caseSensitive, w.tick) {
		return nil
	}
	return w.includedFile(rel, pieces, entry)
}

func (w *walk) includedFile(rel string, pieces []string, entry fs.DirEntry) error {
	if w.p.excludes.has(rel, pieces, w.p.caseSensitive, w.tick) {
		return nil
	}
	return w.onFile(rel, entry)
}

// leadsUp is DirectoryScanner.causesIllegalSymlinkLoop: the link's target has been entered too often already, counting
// the directories above that have the link's name.
func (w *walk) leadsUp(rel, name string) bool {
	same := 0
	for _, n := range w.names {
		if n == name {
			same++
		}
	}
	if same < maxLinkLevels {
		return false
	}
	path := w.path(rel)
	target, err := os.Stat(path)
	if err != nil {
		return false
	}
	met := 1
	above := filepath.Dir(path)
	for i := len(w.names) - 1; i >= 0; i-- {
		if w.names[i] == name {
			if info, err := os.Stat(above); err == nil && os.SameFile(info, target) {
				met++
			}
		}
		above = filepath.Dir(above)
	}
	return met > maxLinkLevels
}

// child is an entry of a directory.
type child struct {
	name  string
	entry fs.DirEntry
	dir   bool // it is a directory, perhaps behind a link
	leads bool // it is a directory in which something may match
}

func (c child) isLink() bool { return c.entry.Type()&fs.ModeSymlink != 0 }

// resolve finds out whether the entry is a directory, behind a link too. prefix is the path of its directory with a slash.
func (c *child) resolve(prefix string) {
	c.dir = c.entry.IsDir()
	if c.isLink() {
		info, err := os.Stat(prefix + c.name)
		c.dir = err == nil && info.IsDir()
	}
}

// readDir lists a directory in its own order.
func readDir(path string) ([]child, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	children := make([]child, len(entries))
	for i, e := range entries {
		children[i] = child{name: e.Name(), entry: e}
	}
	return children, nil
}
