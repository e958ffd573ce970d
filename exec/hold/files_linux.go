package hold

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// files is listener A, of the plugin's active containers. For each launch the
// controller makes, through the agent, a directory
//
//	container-work/NAME/16 hex digits/
//	    shell.txt   the words before the script: sh, /bin/bash -l; written first
//	    script.sh   cd, exports, the command; written in place, without a #!
//	    seen        ours: taken
//	    out.txt     ours
//	    err.txt     ours
//	    status.txt  ours, by rename: the exit code; then the controller reads
//	                the others and deletes the directory
//
// Upstream's listener is a shell loop: one launch at a time, once a second, and
// it ends with the first exit code that is not 0. None of that is kept.
type files struct {
	h     *Hold
	dir   string // container-work/NAME
	watch *watcher

	jobs   map[string]*job
	first  bool // nothing was looked at yet
	events bool // events arrive here
	failed string
	wg     sync.WaitGroup
}

// job is a directory that is not done with.
type job struct {
	dir     string
	closed  bool // the writer has closed script.sh, by event
	early   bool // watched since before script.sh was there, so an event will come
	size    int64
	mtime   time.Time
	since   time.Time // size and mtime have been the same since
	started bool
	warned  bool
}

const (
	fileScript = "script.sh"
	fileShell  = "shell.txt"
	fileSeen   = "seen"
	fileStatus = "status.txt"
	fileOut    = "out.txt"
	fileErr    = "err.txt"
)

func newFiles(h *Hold) *files {
	return &files{h: h, dir: filepath.Join(h.ContainerWork, h.Name), jobs: map[string]*job{}, first: true}
}

// run serves until ctx ends and all that it started has.
func (f *files) run(ctx context.Context) {
	defer f.wg.Wait()
	var events <-chan event
	if !f.h.NoEvents {
		w, err := newWatcher()
		if err != nil {
			f.h.Log.Warn("changes of files can't be watched, looking once in a while instead", "err", err)
		} else {
			f.watch, events = w, w.events
			defer w.close()
		}
	}
	f.scan()
	for {
		pause := f.h.Poll
		if f.waiting() {
			pause /= 4
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case e := <-events:
			f.event(e)
		case <-t.C:
			f.scan()
		}
		t.Stop()
	}
}

// waiting tells whether a script is there that may still grow.
func (f *files) waiting() bool {
	for _, j := range f.jobs {
		if !j.started && j.size > 0 {
			return true
		}
	}
	return false
}

func (f *files) event(e event) {
	switch {
	case e.mask&unix.IN_Q_OVERFLOW != 0:
		f.scan()
	case e.dir == f.dir && e.name != "":
		f.visit(filepath.Join(f.dir, e.name))
	case e.mask&(unix.IN_CLOSE_WRITE|unix.IN_MOVED_TO) != 0 && e.name == fileScript:
		f.events = true
		if j := f.jobs[e.dir]; j != nil {
			j.closed = true
			f.consider(j)
		}
	}
}

// scan looks at everything. It makes the directory when it is not there, for
// all users: the agent's has to make directories in it.
func (f *files) scan() {
	err := f.prepare()
	var entries []fs.DirEntry
	if err == nil {
		entries, err = os.ReadDir(f.dir)
	}
	f.report(err)
	there := make(map[string]bool, len(entries))
	for _, e := range entries {
		if e.IsDir() {
			dir := filepath.Join(f.dir, e.Name())
			there[dir] = true
			f.visit(dir)
		}
	}
	for dir, j := range f.jobs {
		if !there[dir] && err == nil {
			delete(f.jobs, j.dir)
			if f.watch != nil {
				f.watch.remove(dir)
			}
		}
	}
	f.first = f.first && err != nil
}

func (f *files) prepare() error {
	if _, err := os.Stat(f.dir); err != nil {
		if err := openDir(f.h.ContainerWork); err != nil {
			return err
		}
		if err := openDir(f.dir); err != nil {
			return err
		}
	}
	if f.watch != nil {
		if _, err := f.watch.add(f.dir); err != nil {
			return err
		}
	}
	return nil
}

// report says what keeps us from looking, once.
func (f *files) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != f.failed {
		f.h.Log.Warn("active containers: the directory can't be used, trying again", "dir", f.dir, "user", identity(), "err", err)
	}
	f.failed = text
}

// visit looks at one directory of a launch.
func (f *files) visit(dir string) {
	j := f.jobs[dir]
	if j == nil {
		if st, err := os.Lstat(dir); err != nil || !st.IsDir() {
			return
		}
		j = &job{dir: dir, since: time.Now()}
		f.jobs[dir] = j
		if f.watch != nil {
			if _, err := f.watch.add(dir); err == nil {
				_, err := os.Lstat(filepath.Join(dir, fileScript))
				j.early = errors.Is(err, fs.ErrNotExist)
			}
		}
		if f.first && exists(dir, fileSeen) {
			j.started = true
			if !exists(dir, fileStatus) {
				f.wg.Go(func() { f.h.abandoned(dir) })
			}
		}
	}
	f.consider(j)
}

func exists(dir, name string) bool {
	_, err := os.Lstat(filepath.Join(dir, name))
	return err == nil
}

// consider starts a job whose script is complete.
func (f *files) consider(j *job) {
	if j.started {
		return
	}
	st, err := os.Lstat(filepath.Join(j.dir, fileScript))
	if err != nil {
		return
	}
	if exists(j.dir, fileSeen) { // another listener's
		j.started = true
		return
	}
	if st.Size() != j.size || !st.ModTime().Equal(j.mtime) {
		j.size, j.mtime, j.since = st.Size(), st.ModTime(), time.Now()
	}
	if !f.complete(j) {
		return
	}
	// Taken before anything else, so that no second listener runs it as well.
	seen, err := os.OpenFile(filepath.Join(j.dir, fileSeen), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		if !j.warned && !errors.Is(err, fs.ErrNotExist) {
			j.warned = true
			text := ""
			if st, err := os.Stat(j.dir); err == nil {
				text = owners(j.dir, st)
			}
			f.h.Log.Error("active containers: a launch can't be answered, its directory may not be written to: "+text+". "+forbiddenAdvice, "dir", j.dir, "err", err)
		}
		return
	}
	seen.Close()
	j.started = true
	if f.watch != nil {
		f.watch.remove(j.dir)
	}
	f.wg.Go(func() { f.h.runFiles(j.dir) })
}

// complete tells whether nobody is writing script.sh any more. shell.txt and
// script.sh are written in place one after the other, so a listener that is
// faster than a second sees halves.
func (f *files) complete(j *job) bool {
	still := time.Since(j.since)
	switch {
	case j.closed && j.size > 0:
		return true
	case j.early && f.events:
		// An event will come, or has come for an empty file.
		return j.closed && still >= f.h.Poll
	}
	switch beingWritten(filepath.Join(j.dir, fileScript)) {
	case isWritten:
		return false
	case notWritten: // it is written by one open, write and close
		return j.size > 0 || still >= 2*f.h.Poll
	}
	b, err := readScript(filepath.Join(j.dir, fileScript))
	return err == nil && still >= f.h.Poll && (len(b) > 0 && quotesEnd(b) || still >= 5*f.h.Poll)
}

type writeState int

const (
	unknownWriters writeState = iota
	isWritten
	notWritten
)

// beingWritten asks the kernel whether somebody has the file open for writing: a
// read lease is refused then. It needs the owner or root, and a local filesystem.
func beingWritten(path string) writeState {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return unknownWriters
	}
	defer unix.Close(fd) // gives the lease back as well
	_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_RDLCK)
	switch {
	case err == nil:
		return notWritten
	case errors.Is(err, unix.EAGAIN):
		return isWritten
	}
	return unknownWriters
}

// quotesEnd tells whether a script ends outside of quotes. The plugin writes
// single quotes, and double quotes around a single one.
func quotesEnd(b []byte) bool {
	var quote byte
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			i++
		}
	}
	return quote == 0
}
