package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// internalDirName is what a name of the internal directory may be
// (WorkDirManager.SUPPORTED_INTERNAL_DIR_NAME_MASK).
const internalDirName = "[a-zA-Z0-9._-]*"

var internalDirRule = regexp.MustCompile("^" + internalDirName + "$")

// openWorkDir makes and checks the directories of the agent, in the layout and
// with the texts of org.jenkinsci.remoting.engine.WorkDirManager:
//
//	workDir/remoting/logs/remoting.log.0…
//	workDir/remoting/jarCache             unless -jar-cache names another one
//
// It returns the internal directory, "" when there is no work directory.
func (o *options) openWorkDir() (string, error) {
	if o.workDir == "" {
		return "", nil
	}
	if !internalDirRule.MatchString(o.internalDir) {
		return "", fmt.Errorf("Name of remoting internal directory ('%s') is not compliant with the required format: %s", //nolint:staticcheck // official text
			o.internalDir, internalDirName)
	}
	shareWithGroup(o.workDir)
	internal := filepath.Join(o.workDir, o.internalDir)
	dirs := []struct {
		what, path string
		mayMiss    bool
	}{
		{"working directory", o.workDir, !o.failIfWorkDirMissing},
		{"remoting internal directory", internal, !o.failIfWorkDirMissing},
	}
	if o.jarCache == "" {
		dirs = append(dirs, struct {
			what, path string
			mayMiss    bool
		}{"JAR Cache directory", filepath.Join(internal, "jarCache"), true})
	}
	if o.agentLog == "" {
		dirs = append(dirs, struct {
			what, path string
			mayMiss    bool
		}{"Log directory", filepath.Join(internal, "logs"), true})
	}
	for _, d := range dirs {
		fi, err := os.Stat(d.path)
		switch {
		case err == nil && !fi.IsDir():
			return "", fmt.Errorf("The specified %s path points to a non-directory file: %s", d.what, d.path) //nolint:staticcheck // official text
		case err != nil && !d.mayMiss:
			return "", fmt.Errorf("The %s is missing, but it is expected to exist: %s", d.what, d.path) //nolint:staticcheck // official text
		case err != nil:
			if err := os.MkdirAll(d.path, 0o777); err != nil {
				return "", fmt.Errorf("the %s can't be made: %w", d.what, err)
			}
		}
		if err := unix.Access(d.path, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
			return "", fmt.Errorf("The specified %s should be fully accessible to the remoting executable (RWX): %s (uid %d)", //nolint:staticcheck // official text
				d.what, d.path, os.Getuid())
		}
	}
	return internal, nil
}

// shareWithGroup lets the group write what the agent and its builds make, when
// a supplementary group owns the work directory. That is what fsGroup does to
// the volumes of a pod: the containers beside the agent's run as other users
// and share only that group.
func shareWithGroup(dir string) {
	fi, err := os.Stat(dir)
	if err != nil || fi.Mode()&0o020 == 0 {
		return
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Gid) == os.Getegid() {
		return
	}
	groups, err := os.Getgroups()
	if err != nil || !slices.Contains(groups, int(st.Gid)) {
		return
	}
	old := syscall.Umask(0o077)
	syscall.Umask(old &^ 0o070)
}

// openLog opens the file that the log goes to besides stderr: -agentLog, or
// remoting/logs/remoting.log in the work directory.
func (o *options) openLog(internal string) (io.WriteCloser, error) {
	if o.agentLog != "" {
		return newRotatingFile(o.agentLog, "")
	}
	if internal == "" {
		return nopCloser{io.Discard}, nil
	}
	return newRotatingFile(filepath.Join(internal, "logs", "remoting.log"), ".0")
}

func (o *options) logHandler(w io.Writer) slog.Handler {
	opt := &slog.HandlerOptions{}
	if o.debug {
		opt.Level = slog.LevelDebug
	}
	if o.logJSON {
		return slog.NewJSONHandler(w, opt)
	}
	return newTextHandler(w, opt)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// The official agent keeps five files of 10 MiB.
const (
	logFileSize  = 10 << 20
	logFileCount = 5
)

// rotatingFile is a log file NAME, or NAME.0, that becomes NAME.1 when it is
// full, and so on. Safe for concurrent use.
type rotatingFile struct {
	name  string
	first string     // suffix of the current file
	limit int64      // bytes
	mu    sync.Mutex // guards the fields below
	f     *os.File
	size  int64
}

func newRotatingFile(name, first string) (*rotatingFile, error) {
	r := &rotatingFile{name: name, first: first, limit: logFileSize}
	return r, r.open()
}

func (r *rotatingFile) file(n int) string {
	if n == 0 {
		return r.name + r.first
	}
	return fmt.Sprintf("%s.%d", r.name, n)
}

func (r *rotatingFile) open() error {
	f, err := os.OpenFile(r.file(0), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return fmt.Errorf("the log can't be written: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	r.f, r.size = f, fi.Size()
	return nil
}

// Write never fails: a full disk must not stop the agent.
func (r *rotatingFile) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.size > 0 && r.size+int64(len(p)) > r.limit {
		r.rotate()
	}
	if r.f != nil {
		n, _ := r.f.Write(p)
		r.size += int64(n)
	}
	return len(p), nil
}

func (r *rotatingFile) rotate() {
	if r.f != nil {
		r.f.Close()
	}
	for n := logFileCount - 1; n > 0; n-- {
		_ = os.Rename(r.file(n-1), r.file(n)) // the oldest is replaced, missing ones don't matter
	}
	r.f, r.size = nil, 0
	_ = r.open() // without a file the log still goes to stderr
}

// Close closes the file.
func (r *rotatingFile) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f = nil
	return err
}
