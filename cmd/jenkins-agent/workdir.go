package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// openWorkDir makes and checks the directories of the agent, in the layout of
// org.jenkinsci.remoting.engine.WorkDirManager: workDir/remoting/logs. It
// returns the internal directory, "" when there is no work directory.
func (o *options) openWorkDir() (string, error) {
	if o.workDir == "" {
		return "", nil
	}
	internal := filepath.Join(o.workDir, o.internalDir)
	for _, d := range []struct{ what, path string }{{"working directory", o.workDir}, {"internal directory", internal}} {
		fi, err := os.Stat(d.path)
		switch {
		case err == nil && !fi.IsDir():
			return "", fmt.Errorf("the specified %s path points to a non-directory file: %s", d.what, d.path)
		case err != nil && o.failIfWorkDirMissing:
			return "", fmt.Errorf("the %s is missing, and it is expected to exist: %s", d.what, d.path)
		case err != nil:
			if err := os.MkdirAll(d.path, 0o777); err != nil {
				return "", fmt.Errorf("the %s can't be made: %w", d.what, err)
			}
		}
		if err := unix.Access(d.path, unix.R_OK|unix.W_OK|unix.X_OK); err != nil {
			return "", fmt.Errorf("the %s should be fully accessible to the agent (read, write and execute), and %s is not for uid %d: %w",
				d.what, d.path, os.Getuid(), err)
		}
	}
	return internal, nil
}

// openLog opens the file that the log goes to besides stderr: -agentLog, or
// remoting/logs/remoting.log in the work directory.
func (o *options) openLog(internal string) (io.WriteCloser, error) {
	if o.agentLog != "" {
		return newRotatingFile(o.agentLog)
	}
	if internal == "" {
		return nopCloser{io.Discard}, nil
	}
	logs := filepath.Join(internal, "logs")
	if err := os.MkdirAll(logs, 0o777); err != nil {
		return nil, err
	}
	return newRotatingFile(filepath.Join(logs, "remoting.log"))
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

// rotatingFile is a log file NAME.0 that becomes NAME.1 when it is full, and so
// on. Safe for concurrent use.
type rotatingFile struct {
	name string
	mu   sync.Mutex // guards the fields below
	f    *os.File
	size int64
}

func newRotatingFile(name string) (*rotatingFile, error) {
	r := &rotatingFile{name: name}
	return r, r.open()
}

func (r *rotatingFile) file(n int) string { return fmt.Sprintf("%s.%d", r.name, n) }

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
	if r.size > 0 && r.size+int64(len(p)) > logFileSize {
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
