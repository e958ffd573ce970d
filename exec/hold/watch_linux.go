package hold

import (
	"bytes"
	"encoding/binary"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// event is a change in a watched directory.
type event struct {
	dir, name string
	mask      uint32
}

// watcher reports changes in directories through inotify.
type watcher struct {
	f      *os.File
	fd     int
	events chan event

	mu   sync.Mutex
	dirs map[int32]string // by watch descriptor
	wds  map[string]int32
}

const watched = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_CREATE | unix.IN_ONLYDIR

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w := &watcher{f: os.NewFile(uintptr(fd), "inotify"), fd: fd, events: make(chan event, 64),
		dirs: map[int32]string{}, wds: map[string]int32{}}
	go w.run()
	return w, nil
}

// add watches dir; it is false when dir was watched already.
func (w *watcher) add(dir string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, have := w.wds[dir]; have {
		return false, nil
	}
	wd, err := unix.InotifyAddWatch(w.fd, dir, watched)
	if err != nil {
		return false, os.NewSyscallError("inotify_add_watch", err)
	}
	w.dirs[int32(wd)], w.wds[dir] = dir, int32(wd)
	return true, nil
}

func (w *watcher) remove(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wd, have := w.wds[dir]; have {
		delete(w.wds, dir)
		delete(w.dirs, wd)
		_, _ = unix.InotifyRmWatch(w.fd, uint32(wd)) // the directory may be gone
	}
}

func (w *watcher) close() {
	w.f.Close()
	for range w.events { // until run has seen it
	}
}

func (w *watcher) run() {
	defer close(w.events)
	b := make([]byte, 16<<10)
	for {
		n, err := w.f.Read(b)
		if err != nil {
			return
		}
		for _, e := range parseEvents(b[:n]) {
			w.mu.Lock()
			dir, known := w.dirs[e.wd]
			if e.mask&unix.IN_IGNORED != 0 && known {
				delete(w.dirs, e.wd)
				delete(w.wds, dir)
			}
			w.mu.Unlock()
			if known || e.mask&unix.IN_Q_OVERFLOW != 0 {
				w.events <- event{dir, e.name, e.mask}
			}
		}
	}
}

type rawEvent struct {
	wd   int32
	mask uint32
	name string
}

// parseEvents reads struct inotify_event: wd, mask, cookie, len, then len bytes
// of name, padded with NULs.
func parseEvents(b []byte) (out []rawEvent) {
	for len(b) >= unix.SizeofInotifyEvent {
		e := rawEvent{wd: int32(binary.NativeEndian.Uint32(b)), mask: binary.NativeEndian.Uint32(b[4:])}
		n := binary.NativeEndian.Uint32(b[12:])
		b = b[unix.SizeofInotifyEvent:]
		if uint64(n) > uint64(len(b)) {
			return out
		}
		name, _, _ := bytes.Cut(b[:n], []byte{0})
		e.name = string(name)
		b = b[n:]
		out = append(out, e)
	}
	return out
}
