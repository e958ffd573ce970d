package ant

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"
)

// root is a place where a walk starts.
type root struct {
	rel    string // "" is the base directory
	pieces []string
	file   bool // a file that a pattern without wildcards names
	info   fs.FileInfo
}

// key orders roots: a directory with all that is below it.
func (r root) key() string {
	if r.file {
		return r.rel
	}
	return r.rel + "/"
}

// findRoots is the first half of DirectoryScanner.checkIncludePatterns: where to look, so that a huge base directory
// is not read for "build/libs/*.jar". Roots inside other roots are left out, the rest is in the order of the walk.
func (w *walk) findRoots() ([]root, error) {
	var found []root
	for i := range w.p.includes.wild {
		p := &w.p.includes.wild[i]
		if strings.HasPrefix(p.text, "/") {
			w.absolute(p)
			continue
		}
		pieces := literalStart(p)
		if len(pieces) == 0 {
			return []root{{}}, nil
		}
		r, ok, err := w.locate(strings.Join(pieces, "/"), pieces)
		if err != nil {
			return nil, err
		}
		if ok && r.file {
			w.tick() // compared with the whole pattern, in vain
		} else if ok {
			found = append(found, r)
		}
	}
	for i := range w.p.includes.plain {
		p := &w.p.includes.plain[i]
		if strings.HasPrefix(p.text, "/") {
			w.absolute(p)
			continue
		}
		r, ok, err := w.locate(p.text, splitPath(p.text))
		if err != nil {
			return nil, err
		}
		if ok && r.file {
			w.tick()
			if w.p.caseSensitive {
				ok = p.text == r.rel
			} else {
				ok = equalFold(p.text, r.rel)
			}
		}
		if ok {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b root) int { return compareNames(a.key(), b.key()) })
	var roots []root
	for _, r := range found {
		if n := len(roots); n > 0 && (r.rel == roots[n-1].rel || !roots[n-1].file && strings.HasPrefix(r.rel, roots[n-1].rel+"/")) {
			// covered by the one before, but a directory must be readable all the same
			if !r.file && !readable(w.path(r.rel)) {
				return nil, unreadable(w.path(r.rel), fs.ErrPermission)
			}
			continue
		}
		roots = append(roots, r)
	}
	return roots, nil
}

// absolute accounts for a pattern that starts with a slash. It never matches, as the names of a walk are relative, but
// Ant thinks it over.
func (w *walk) absolute(p *pattern) {
	w.tick()
	if !strings.HasPrefix(p.text, "//") && p.matchStart(splitPath(w.base), w.p.caseSensitive) {
		w.tick()
	}
}

// literalStart returns the elements before the first wildcard.
func literalStart(p *pattern) []string {
	var pieces []string
	for _, e := range p.elements {
		if e.wild {
			break
		}
		pieces = append(pieces, e.text)
	}
	return pieces
}

// locate looks for a root below the base: its real name (which may differ in case), and whether it is a directory or a
// regular file. Anything else, and what the walk may not enter, is not ok.
func (w *walk) locate(text string, pieces []string) (root, bool, error) {
	info, err := os.Stat(w.path(text))
	rel := strings.Join(pieces, "/")
	if err == nil && (slices.Contains(pieces, ".") || slices.Contains(pieces, "..")) {
		w.tick()
		// Ant looks such names up in the listings, where they are not
		return root{}, false, nil
	}
	if err != nil {
		w.tick()
		if w.p.caseSensitive {
			return root{}, false, nil
		}
		if pieces, err = w.lookup(pieces); pieces == nil {
			return root{}, false, err
		}
		rel = strings.Join(pieces, "/")
		if info, err = os.Stat(w.path(rel)); err != nil {
			return root{}, false, nil
		}
	}
	if !w.p.followLinks && w.throughLink(pieces) {
		w.link(rel, pieces, info.IsDir())
		return root{}, false, nil
	}
	return root{rel: rel, pieces: pieces, file: !info.IsDir(), info: info}, info.IsDir() || info.Mode().IsRegular(), nil
}

// throughLink reports whether a path has a link in it (TokenizedPath.isSymlink).
func (w *walk) throughLink(pieces []string) bool {
	for i := range pieces {
		info, err := os.Lstat(w.path(strings.Join(pieces[:i+1], "/")))
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return true
		}
	}
	return false
}

// lookup finds a path without regard to case, one element after the other, the exact name first (TokenizedPath.findFile).
// It returns nil if there is none, and a *BuildError if a directory on the way cannot be read.
func (w *walk) lookup(pieces []string) ([]string, error) {
	var real []string
	for _, piece := range pieces {
		path := w.path(strings.Join(real, "/"))
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			return nil, nil
		}
		children, err := readDir(path)
		if err != nil {
			return nil, &BuildError{"IO error scanning directory " + path}
		}
		i := slices.IndexFunc(children, func(c child) bool { return c.name == piece })
		if i < 0 {
			i = slices.IndexFunc(children, func(c child) bool { return equalFold(c.name, piece) })
		}
		if i < 0 {
			return nil, nil
		}
		real = append(real, children[i].name)
	}
	return real, nil
}

// equalFold is String.equalsIgnoreCase: character by character, equal in capitals or in the small letters of those.
func equalFold(a, b string) bool {
	ra, rb := []rune(a), []rune(b)
	return slices.EqualFunc(ra, rb, func(x, y rune) bool {
		if x == y {
			return true
		}
		x, y = unicode.ToUpper(x), unicode.ToUpper(y)
		return x == y || unicode.ToLower(x) == unicode.ToLower(y)
	})
}
