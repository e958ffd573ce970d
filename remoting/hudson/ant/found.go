package ant

import (
	"context"
	"io/fs"
	"path/filepath"
)

// Found is what a DirectoryScanner that does not follow links sorts out, as paths relative to its base.
type Found struct {
	Files []string // DirectoryScanner.getIncludedFiles
	Dirs  []string // getIncludedDirectories; "" is the base itself
	Links []string // getNotFollowedSymlinks, where Java has absolute paths
}

// Find scans dir with lists of single patterns: a comma is part of a pattern here. Case matters, links are not followed,
// nothing is excluded by default, and no include means nothing at all.
//
// Errors are those of Scanner.Walk.
func Find(ctx context.Context, dir string, includes, excludes []string) (*Found, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := checkBase(abs, "basedir "+dir); err != nil {
		return nil, err
	}
	found := &Found{}
	w := newWalk(ctx, abs, newPatterns(includes, excludes, true, false))
	w.onFile = func(rel string, _ fs.DirEntry) error { found.Files = append(found.Files, rel); return nil }
	w.onDir = func(rel string) { found.Dirs = append(found.Dirs, rel) }
	w.onLink = func(rel string) { found.Links = append(found.Links, rel) }
	return found, w.run()
}
