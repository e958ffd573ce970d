package hold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// server is listener B: one connection a command.
type server struct {
	h        *Hold
	ln       *net.UnixListener
	sessions sync.WaitGroup
	slots    chan struct{}

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// listen makes the socket, in place of one that a hold before us has left.
func (h *Hold) listen() (*server, error) {
	if err := h.Place.MakeDir(); err != nil {
		return nil, err
	}
	path := h.Place.socket(h.Name)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := Check(ctx, h.Place, h.Name); err == nil {
		return nil, fmt.Errorf("hold: another container answers as %q in %s; give each its own name", h.Name, h.Place.Dir())
	}
	// Bound under another name and renamed, so that a socket that is there answers.
	next := h.Place.socket(fmt.Sprintf("%s.%d.next", h.Name, os.Getpid()))
	_ = os.Remove(next) // left by a hold that died here
	short, done, err := shortPath(next)
	if err != nil {
		return nil, fmt.Errorf("hold: socket: %w", err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	done()
	if err != nil {
		return nil, fmt.Errorf("hold: socket: %w", err)
	}
	ln.SetUnlinkOnClose(false)
	err = os.Chmod(next, 0o660)
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		ln.Close()
		_ = os.Remove(next)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w (another user's socket is there; we are %s)", err, identity())
		}
		return nil, fmt.Errorf("hold: socket: %w", err)
	}
	h.writeInfo()
	return &server{h: h, ln: ln, slots: make(chan struct{}, h.MaxCommands+16), conns: map[net.Conn]struct{}{}}, nil
}

// writeInfo tells who we are; without the file messages are less precise.
func (h *Hold) writeInfo() {
	groups, _ := os.Getgroups()
	b, err := json.Marshal(Info{Name: h.Name, Uid: os.Geteuid(), Gid: os.Getegid(), Groups: groups, Version: Version})
	if err == nil {
		err = replaceFile(h.Place.info(h.Name), append(b, '\n'), 0o644)
	}
	if err != nil {
		h.Log.Warn("what this container is can't be written down", "err", err)
	}
}

// replaceFile writes a file that is never seen half.
func replaceFile(path string, b []byte, mode fs.FileMode) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	_ = os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// serve accepts until close; the ends of ctx and of serve end all sessions.
func (s *server) serve(ctx context.Context) {
	go s.admit(ctx)
	stop := context.AfterFunc(ctx, s.close)
	defer stop()
	for {
		c, err := s.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil { // out of descriptors, for a while
			s.h.Log.Warn("a connection can't be accepted", "err", err)
			time.Sleep(50 * time.Millisecond)
			continue
		}
		select {
		case s.slots <- struct{}{}:
		default:
			c.Close() // far more than we would run
			continue
		}
		if !s.add(c) {
			c.Close()
			<-s.slots
			continue
		}
		s.sessions.Go(func() {
			defer func() { <-s.slots }()
			defer s.remove(c)
			newSession(s.h, c).run(ctx)
		})
	}
	s.sessions.Wait()
}

func (s *server) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *server) remove(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// close ends all connections and takes the socket away.
func (s *server) close() {
	s.mu.Lock()
	conns := s.conns
	s.conns = nil
	s.mu.Unlock()
	if conns == nil {
		return
	}
	s.ln.Close()
	for c := range conns {
		c.Close()
	}
	_ = os.Remove(s.h.Place.socket(s.h.Name))
	_ = os.Remove(s.h.Place.info(s.h.Name))
}

// admit lets the agent's user in: a hold that runs as root gives its socket to
// the owner of the token, who else could not connect.
func (s *server) admit(ctx context.Context) {
	if os.Geteuid() != 0 {
		return
	}
	tick := time.NewTicker(s.h.Poll / 4)
	defer tick.Stop()
	for {
		if st, err := os.Lstat(s.h.Place.tokenFile()); err == nil {
			if sys, ok := st.Sys().(*syscall.Stat_t); ok && (sys.Uid != 0 || sys.Gid != 0) {
				if err := os.Lchown(s.h.Place.socket(s.h.Name), int(sys.Uid), int(sys.Gid)); err != nil {
					s.h.Log.Warn("the socket can't be given to the agent's user", "uid", sys.Uid, "err", err)
				}
			}
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
