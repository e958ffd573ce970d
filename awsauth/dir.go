package awsauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Names below a Dir.
const (
	cacheDir     = "cli/cache"
	agentDir     = "agent"
	configName   = "agent/config"
	statusName   = "agent/status.json"
	userConfig   = "config"
	tempPrefix   = ".awsauth-"
	maxFileBytes = 8 << 20   // of a file of ours; the status of very many profiles is large
	maxForeign   = 256 << 10 // of a file of others to look into
)

// Dir is a directory to fill.
type Dir struct {
	// Path is where the agent sees it, usually HOME/.aws.
	Path string
	// Seen is the same directory as build containers see it, the base of the
	// credential_process paths; "" if the paths are equal.
	Seen string
}

// ParseDir reads "PATH" or "PATH=SEEN".
func ParseDir(s string) (Dir, error) {
	p, seen, _ := strings.Cut(s, "=")
	if p == "" {
		return Dir{}, fmt.Errorf("awsauth: directory %q: the path is empty", s)
	}
	abs, err := filepath.Abs(p)
	if err != nil {
		return Dir{}, fmt.Errorf("awsauth: directory %q: %w", s, err)
	}
	d := Dir{Path: abs, Seen: seen}
	if strings.ContainsAny(d.seen(), " \t\n'\"\\$`;&|<>()*?#~%") || !path.IsAbs(d.seen()) {
		return Dir{}, fmt.Errorf("awsauth: directory %q: build containers must see it at an absolute path without spaces or shell characters, or credential_process cannot name it", s)
	}
	return d, nil
}

func (d Dir) seen() string {
	if d.Seen != "" {
		return path.Clean(d.Seen)
	}
	return d.Path
}

// store writes into one Dir. Its methods are called from one goroutine at a
// time. All work is done below an os.Root, so that a link planted by another
// uid of the pod leads nowhere.
type store struct {
	dir   Dir
	want  Share
	gid   int
	env   Env
	log   *slog.Logger
	acc   access
	root  *os.Root
	wrote map[string]stamp
	sums  map[string][32]byte // of the content last written
	// adopted are a predecessor's files and their expiry; nil before the first
	// round of writing.
	adopted map[string]time.Time
	bad     map[string]stamp // suspicious foreign files, by the state first seen
	said    map[string]bool
}

// stamp is what a file looked like after we wrote it.
type stamp struct {
	ino   uint64
	size  int64
	mtime time.Time
	mode  fs.FileMode
}

func stampOf(st fs.FileInfo) stamp {
	s := stamp{size: st.Size(), mtime: st.ModTime(), mode: st.Mode()}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s.ino = sys.Ino
	}
	return s
}

func newStore(d Dir, want Share, gid int, env Env, log *slog.Logger) *store {
	return &store{dir: d, want: want, gid: gid, env: env, log: log.With("dir", d.Path), wrote: map[string]stamp{}, sums: map[string][32]byte{}, bad: map[string]stamp{}, said: map[string]bool{}}
}

// open makes the directories and works out the modes. It is called before each
// round of writing, so that a directory that was unmounted, removed or closed
// is found and, where possible, put right.
func (s *store) open() error {
	if s.root != nil {
		if a, err := s.root.Stat("."); err == nil {
			if b, err := os.Stat(s.dir.Path); err == nil && os.SameFile(a, b) {
				return s.makeDirs()
			}
		}
		s.close()
	}
	created := false
	if _, err := os.Stat(s.dir.Path); errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(s.dir.Path, 0o755); err != nil {
			return fmt.Errorf("awsauth: %s: cannot make it: %w", s.dir.Path, plainErr(err))
		}
		created = true
	}
	root, err := os.OpenRoot(s.dir.Path)
	if err != nil {
		return fmt.Errorf("awsauth: %s: cannot use it: %w", s.dir.Path, plainErr(err))
	}
	st, err := root.Stat(".")
	if err != nil {
		root.Close()
		return fmt.Errorf("awsauth: %s: %w", s.dir.Path, plainErr(err))
	}
	s.root, s.acc = root, decide(s.want, s.gid, st, s.env)
	// A directory made for us (new or empty) is opened to its readers; one with
	// files of a user keeps its own mode.
	if s.acc.share != ShareOwner && (created || empty(root)) {
		m := st.Mode().Perm() | 0o755
		if s.acc.share == ShareGroup {
			m = st.Mode().Perm() | 0o750
		}
		if m != st.Mode().Perm() {
			_ = root.Chmod(".", m|st.Mode()&(fs.ModeSetgid|fs.ModeSticky))
		}
		if s.acc.share == ShareGroup && s.acc.gid >= 0 && created {
			_ = root.Chown(".", -1, s.acc.gid)
		}
	}
	if st, err := root.Stat("."); err == nil && s.acc.share == ShareWorld && st.Mode().Perm()&0o005 != 0o005 {
		s.once("closed", slog.LevelWarn, "other users cannot enter the directory; build containers with another uid will not find the files", "mode", st.Mode().String())
	}
	s.log.Debug("directory opened", "share", s.acc.share, "why", s.acc.why, "gid", s.acc.gid)
	return s.makeDirs()
}

func empty(r *os.Root) bool {
	f, err := r.Open(".")
	if err != nil {
		return false
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	return errors.Is(err, io.EOF)
}

// makeDirs makes our directories and corrects their modes.
func (s *store) makeDirs() error {
	for _, d := range []string{"cli", cacheDir, agentDir} {
		st, err := s.root.Lstat(d)
		if errors.Is(err, fs.ErrNotExist) {
			if err = s.root.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("awsauth: %s: cannot make %s: %w%s", s.dir.Path, d, plainErr(err), writeHint(err))
			}
			st, err = s.root.Lstat(d)
		}
		if err != nil {
			return fmt.Errorf("awsauth: %s/%s: %w", s.dir.Path, d, plainErr(err))
		}
		if !st.IsDir() {
			return fmt.Errorf("awsauth: %s/%s is not a directory (%s); remove it", s.dir.Path, d, st.Mode().Type())
		}
		if s.acc.gid >= 0 {
			if sys, ok := st.Sys().(*syscall.Stat_t); ok && int(sys.Gid) != s.acc.gid {
				_ = s.root.Chown(d, -1, s.acc.gid)
			}
		}
		// Wider modes than ours may stay (kubelet's 02777), a sticky bit may not:
		// with it, no other uid can replace a file by rename.
		want := s.acc.dirMode()
		if st.Mode().Perm()&want.Perm() != want.Perm() || st.Mode()&fs.ModeSticky != 0 || want&fs.ModeSetgid&^st.Mode() != 0 || s.acc.share != ShareWorld && st.Mode().Perm() != want.Perm() {
			if err := s.root.Chmod(d, want); err != nil {
				s.once("chmod "+d, slog.LevelWarn, "cannot set the mode of a directory of another user", "name", d, "mode", st.Mode().String(), "want", want.String())
			}
		}
	}
	return nil
}

func (s *store) close() {
	if s.root != nil {
		s.root.Close()
		s.root = nil
	}
}

// put writes a file: temp file beside it, mode, group, rename. A reader sees
// the old content or the new, never a part. An equal file with the right mode
// is left alone.
func (s *store) put(name string, data []byte) error {
	if s.root == nil {
		return errors.New("awsauth: directory is not open")
	}
	sum := sha256.Sum256(data)
	if st, err := s.root.Lstat(name); err == nil && s.wrote[name] == stampOf(st) && s.sums[name] == sum {
		return nil
	}
	tmp := path.Join(path.Dir(name), tempPrefix+randomHex())
	f, err := s.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("awsauth: %s: cannot write: %w%s", s.dir.Path, plainErr(err), writeHint(err))
	}
	_, err = f.Write(data)
	if err == nil && s.acc.gid >= 0 {
		if cerr := f.Chown(-1, s.acc.gid); cerr != nil {
			s.once("chown", slog.LevelWarn, "cannot give files to the group; is it one of the agent's?", "gid", s.acc.gid, "err", cerr)
		}
	}
	if err == nil {
		err = f.Chmod(s.acc.fileMode())
	}
	st, serr := f.Stat()
	if cerr := f.Close(); err == nil {
		err = errors.Join(serr, cerr)
	}
	if err == nil {
		err = s.root.Rename(tmp, name)
	}
	if err != nil {
		_ = s.root.Remove(tmp)
		return fmt.Errorf("awsauth: %s/%s: cannot write: %w%s", s.dir.Path, name, plainErr(err), writeHint(err))
	}
	s.wrote[name], s.sums[name] = stampOf(st), sum
	return nil
}

// read returns a regular file's content. Special files are refused without
// waiting for a writer.
func (s *store) read(name string) ([]byte, error) {
	f, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("not a regular file"))
	}
	return io.ReadAll(io.LimitReader(f, maxFileBytes))
}

// remove deletes a file if it is there.
func (s *store) remove(name string) {
	if s.root == nil {
		return
	}
	delete(s.wrote, name)
	if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.once("remove "+name, slog.LevelWarn, "cannot delete a stale file", "name", name, "err", plainErr(err))
	}
}

// ours reports whether a config at name may be replaced: it is missing, empty
// (a subPath mount leaves an empty file) or carries our mark.
func (s *store) ours(name string) bool {
	data, err := s.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && (len(bytes.TrimSpace(data)) == 0 || bytes.HasPrefix(data, []byte(generatedMark)))
}

// once logs a message the first time its key comes up.
func (s *store) once(key string, level slog.Level, msg string, args ...any) {
	if !s.said[key] {
		s.said[key] = true
		s.log.Log(context.Background(), level, msg, args...)
	}
}

func randomHex() string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// plainErr drops the temp file's name from an error: it changes each time and
// would defeat "say it once".
func plainErr(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	if le, ok := errors.AsType[*os.LinkError](err); ok {
		return le.Err
	}
	return err
}

func writeHint(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return " (mount an emptyDir here, not the ConfigMap)"
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf(" (uid %d may not write here; set fsGroup in the pod's securityContext)", os.Getuid())
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return " (the volume is full)"
	}
	return ""
}
