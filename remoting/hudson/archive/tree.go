package archive

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// tree is the directory that an archive is unpacked into. Names given to it are relative, clean and local; they are
// resolved by os.Root, so nothing outside can be touched whatever links there are.
type tree struct {
	dir   string // absolute
	root  *os.Root
	log   *slog.Logger
	meter meter
	buf   []byte

	at     string   // the directory that parent is
	parent *os.Root // nil: none; root if at is "."
}

func newTree(dir string, log *slog.Logger, limits Limits) (*tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &tree{dir: abs, log: log, meter: meter{limits: limits.withDefaults()}, buf: make([]byte, bufferSize)}, nil
}

// open makes and opens the directory: at the first entry, as an empty archive leaves nothing behind.
func (t *tree) open() error {
	if t.root != nil {
		return nil
	}
	if err := os.MkdirAll(t.dir, 0o777); err != nil {
		return err
	}
	root, err := os.OpenRoot(t.dir)
	if err != nil {
		return err
	}
	t.root = root
	return nil
}

func (t *tree) close() {
	t.leave()
	if t.root != nil {
		t.root.Close()
	}
}

// leave forgets the directory of the last file.
func (t *tree) leave() {
	if t.parent != nil && t.parent != t.root {
		t.parent.Close()
	}
	t.parent = nil
}

// full is the name of an entry for messages.
func (t *tree) full(rel string) string { return filepath.Join(t.dir, rel) }

// where puts the whole path into an error of os.Root.
func (t *tree) where(rel string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: pe.Op, Path: t.full(rel), Err: pe.Err}
	}
	var le *os.LinkError
	if errors.As(err, &le) {
		return &fs.PathError{Op: le.Op, Path: t.full(rel), Err: le.Err}
	}
	return err
}

// enter opens the directory of a file, made if missing.
func (t *tree) enter(dir string) (*os.Root, error) {
	if t.parent != nil && t.at == dir {
		return t.parent, nil
	}
	if err := t.open(); err != nil {
		return nil, err
	}
	t.leave()
	if dir == "." {
		t.at, t.parent = dir, t.root
		return t.root, nil
	}
	sub, err := t.root.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		if err = t.root.MkdirAll(dir, 0o777); err == nil {
			sub, err = t.root.OpenRoot(dir)
		}
	}
	if err != nil {
		return nil, t.where(dir, err)
	}
	t.at, t.parent = dir, sub
	return sub, nil
}

// mkdir makes a directory and those above it; something that is there already is left alone, whatever it is.
func (t *tree) mkdir(rel string) error {
	if err := t.open(); err != nil {
		return err
	}
	if rel == "." {
		return nil
	}
	if _, err := os.Stat(t.full(rel)); err == nil {
		return nil
	}
	return t.where(rel, t.root.MkdirAll(rel, 0o777))
}

// file writes a file, in place of what is there. mode 0 leaves the permissions as they come.
func (t *tree) file(rel string, data io.Reader, mode fs.FileMode, mtime time.Time) (int64, error) {
	dir, base := path.Split(rel)
	parent, err := t.enter(path.Clean(dir))
	if err != nil {
		return 0, t.where(rel, err)
	}
	f, err := parent.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|nonblock, 0o666)
	if err != nil {
		return 0, t.where(rel, err)
	}
	n, err := t.copy(f, data)
	if err == nil && mode != 0 {
		err = t.where(rel, f.Chmod(mode))
	}
	if closed := f.Close(); err == nil {
		err = t.where(rel, closed)
	}
	if err == nil {
		err = t.where(rel, parent.Chtimes(base, time.Time{}, mtime))
	}
	return n, err
}

func (t *tree) copy(w io.Writer, r io.Reader) (n int64, err error) {
	for {
		k, err := r.Read(t.buf)
		if k > 0 {
			if err := t.meter.data(k); err != nil {
				return n, err
			}
			if _, err := w.Write(t.buf[:k]); err != nil {
				return n, err
			}
			n += int64(k)
		}
		if err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
}

// symlink makes a link, in place of a file, a link or an empty directory. Like Java it goes on if that fails.
func (t *tree) symlink(rel, target string) error {
	dir, base := path.Split(rel)
	parent, err := t.enter(path.Clean(dir))
	if err != nil {
		return err
	}
	_ = parent.Remove(base)
	if err := parent.Symlink(target, base); err != nil {
		t.log.Warn("archive: link not made", "path", t.full(rel), "target", target, "err", err)
	}
	t.leave() // a directory may have been replaced
	return nil
}

// link makes a hard link to another entry; false if that is not possible.
func (t *tree) link(rel, old string) bool {
	if t.open() != nil || rel == "." || old == rel {
		return false
	}
	if info, err := t.root.Lstat(old); err != nil || !info.Mode().IsRegular() {
		return false
	}
	if _, err := t.enter(path.Dir(rel)); err != nil {
		return false
	}
	_ = t.root.Remove(rel)
	if err := t.root.Link(old, rel); err != nil {
		t.log.Warn("archive: hard link not made", "path", t.full(rel), "target", old, "err", err)
		return false
	}
	return true
}

// isLink reports whether there is a link of that name.
func (t *tree) isLink(rel string) bool {
	if t.root == nil {
		if t.open() != nil {
			return false
		}
	}
	if t.parent != nil && path.Dir(rel) == t.at {
		info, err := t.parent.Lstat(path.Base(rel))
		return err == nil && info.Mode()&fs.ModeSymlink != 0
	}
	info, err := t.root.Lstat(rel)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// outside reports whether a name, links followed, leads out of the target, or nowhere at all.
func (t *tree) outside(rel string) bool {
	if t.open() != nil {
		return true
	}
	_, err := t.root.Stat(rel)
	return err != nil && !errors.Is(err, fs.ErrNotExist)
}

// throughLink reports whether a directory above the entry is a link. name is as in the archive.
func (t *tree) throughLink(name string) bool {
	if path.Dir(path.Clean(name)) == t.at && t.parent != nil && !strings.Contains(name, "..") {
		return false // looked at already, and held open since
	}
	at := "."
	pieces := strings.Split(name, "/")
	for _, piece := range pieces[:len(pieces)-1] {
		at = path.Join(at, piece)
		if at != "." && filepath.IsLocal(at) && t.isLink(at) {
			return true
		}
	}
	return false
}
