package hold

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/footman-ci/footman/exec"
)

// session serves one connection.
type session struct {
	h   *Hold
	c   *conn
	r   *bufio.Reader
	buf []byte

	outs   [streams]*outflow // streamOut, streamErr
	stdin  *inflow           // nil without an input
	detach bool
	over   atomic.Bool   // the exit is sent, or the caller has gone
	ready  chan struct{} // closed when output may be sent
}

func newSession(h *Hold, c net.Conn) *session {
	return &session{h: h, c: &conn{Conn: c}, r: bufio.NewReaderSize(c, 4<<10), ready: make(chan struct{})}
}

func (s *session) run(ctx context.Context) {
	_ = s.c.SetReadDeadline(time.Now().Add(handshakeTime))
	ok, err := s.authenticate()
	if err == nil && ok {
		err = s.serve(ctx)
	}
	var refused *Refused
	var forbidden *Forbidden
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	case errors.As(err, &refused):
		s.refuse("refused", refused.Code, refused.Text)
	case errors.As(err, &forbidden):
		s.h.Log.Warn("a caller was turned away", "reason", forbidden.text)
		s.refuse("forbidden", 0, forbidden.text)
	default:
		s.h.Log.Warn("a connection broke off", "err", err)
		s.refuse("protocol", 0, err.Error())
	}
}

// refuse is the last frame.
func (s *session) refuse(kind string, code int, text string) {
	rs := records{{"kind", kind}}
	rs.addInt("code", code)
	rs.add("text", strings.ReplaceAll(text, "\x00", ""))
	_ = s.c.sendRecords(frameError, rs) // the caller may be gone
}

// authenticate is false for a caller who only wanted to know that we answer.
func (s *session) authenticate() (bool, error) {
	ours := newNonce()
	err := s.c.sendRecords(frameHello, records{{"version", fmt.Sprint(Version)}, {"name", s.h.Name}, {"nonce", ours}})
	if err != nil {
		return false, nil
	}
	t, b, err := readFrame(s.r, &s.buf)
	if err != nil {
		if errors.Is(err, ErrProtocol) {
			return false, err
		}
		return false, nil
	}
	if t != frameAuth {
		return false, protocolf("frame %s before the proof", t)
	}
	rs, err := parseRecords(b)
	if err != nil {
		return false, err
	}
	if v := rs.get("version"); v != fmt.Sprint(Version) {
		return false, protocolf("version %q is not spoken here, %d is", v, Version)
	}
	token, err := s.h.Place.readToken()
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return false, &Forbidden{fmt.Sprintf("container %q can't read the token of the pod, %s: it runs as %s. %s", s.h.Name, s.h.Place.tokenFile(), identity(), forbiddenAdvice)}
		}
		return false, &Forbidden{fmt.Sprintf("container %q: %v", s.h.Name, err)}
	}
	theirs := rs.get("nonce")
	if !proven(token, roleCaller, ours, theirs, rs.get("proof")) {
		return false, &Forbidden{fmt.Sprintf("container %q: the caller does not know the token of the pod", s.h.Name)}
	}
	welcome := records{{"proof", proof(token, roleHold, ours, theirs)}}
	welcome.addInt("uid", os.Geteuid())
	welcome.addInt("gid", os.Getegid())
	return true, s.c.sendRecords(frameWelcome, welcome)
}

// serve runs what the first frame asks for.
func (s *session) serve(ctx context.Context) error {
	t, b, err := readFrame(s.r, &s.buf)
	if err != nil {
		return err
	}
	_ = s.c.SetReadDeadline(time.Time{})
	rs, err := parseRecords(b)
	if err != nil {
		return err
	}
	switch t {
	case frameStart:
		cmd, err := parseCommand(rs)
		if err != nil {
			return err
		}
		s.buf = nil // it may have been megabytes
		return s.command(ctx, cmd)
	case frameKillEnv:
		return s.killEnv(ctx, rs)
	}
	return protocolf("frame %s instead of a command", t)
}

func graceOf(rs records) (exec.KillOptions, error) {
	ms, err := rs.number("grace", 0, int(time.Hour/time.Millisecond))
	return exec.KillOptions{Grace: time.Duration(ms) * time.Millisecond, Force: rs.get("force") == "1"}, err
}

func (s *session) killEnv(ctx context.Context, rs records) error {
	model := map[string]string{}
	for _, kv := range rs.all("env") {
		name, value, _ := strings.Cut(kv, "=")
		model[name] = value
	}
	opts, err := graceOf(rs)
	if err != nil {
		return err
	}
	r, err := exec.KillByEnv(ctx, model, opts)
	if err != nil {
		return notAllowed("container %q: %v", s.h.Name, err)
	}
	if len(r.Found) > 0 {
		s.h.Log.Info("killed the processes of a step", "found", len(r.Found), "survivors", r.Survivors, "denied", r.Denied)
	}
	var out records
	out.addInt("found", len(r.Found))
	out.addInt("survivors", len(r.Survivors))
	out.addInt("denied", len(r.Denied))
	return s.c.sendRecords(frameKilled, out)
}

// runner is a started command, with pipes or with a terminal.
type runner interface {
	Pid() int
	Wait(ctx context.Context) (int, error)
	EndSignal() syscall.Signal
	Leaked() bool
	Signal(sig os.Signal) error
	Kill(ctx context.Context, opts exec.KillOptions) (exec.KillResult, error)
	StdinPipe() io.WriteCloser
	// hangUp tells the command that its terminal has gone.
	hangUp()
	resize(Size) error
	close()
}

type piped struct{ *exec.Process }

func (p piped) hangUp()           {}
func (p piped) resize(Size) error { return nil }
func (p piped) close()            { p.Close() }

// out is what a pump writes to.
type out struct {
	s *session
	o *outflow
}

func (w out) Write(b []byte) (int, error) {
	<-w.s.ready // a command may print before its start is told
	n, err := w.o.Write(b)
	if err != nil && w.s.detach && w.s.over.Load() {
		return len(b), nil // nobody listens any more, and the command is to run on
	}
	return n, err
}

// command runs one command to its end.
func (s *session) command(ctx context.Context, cmd Command) error {
	p, refused := s.h.prepare(cmd)
	if refused != nil {
		return refused
	}
	entry := &command{name: filepath.Base(p.argv[0])}
	if refused := s.h.enter(entry); refused != nil {
		return refused
	}
	defer s.h.leave(entry)
	s.detach = cmd.Detach
	for _, id := range []byte{streamOut, streamErr} {
		s.outs[id] = newOutflow(s.c, id)
	}
	run, err := s.start(ctx, cmd, p)
	var refusal *Refused
	switch {
	case errors.As(err, &refusal):
		return refusal
	case err != nil:
		return s.h.startRefusal(cmd.Argv[0], err)
	}
	s.h.mu.Lock()
	entry.pid = run.Pid()
	s.h.mu.Unlock()
	var rs records
	rs.addInt("pid", run.Pid())
	if err := s.c.sendRecords(frameStarted, rs); err != nil {
		s.gone(err)
	}
	close(s.ready)
	var wg sync.WaitGroup
	if in := run.StdinPipe(); in != nil {
		s.stdin = newInflow(s.c, streamIn)
		wg.Go(func() {
			_ = s.stdin.copyTo(in)
			in.Close()
		})
	}
	lost := make(chan error, 1)
	go func() { lost <- s.read(run) }()
	code, err := s.await(ctx, run, lost)
	if s.stdin != nil {
		s.stdin.finish(os.ErrClosed)
		if in := run.StdinPipe(); in != nil {
			in.Close()
		}
	}
	wg.Wait()
	if err == nil {
		err = s.sendExit(run, entry, code)
	}
	s.gone(io.ErrClosedPipe)
	if !run.Leaked() || !s.detach {
		run.close()
	}
	s.linger()
	<-lost // or the second value of await's
	return err
}

// lingerTime is how long the caller may take to hang up after the exit.
const lingerTime = 5 * time.Second

// linger lets the caller hang up: what it still sends would turn into an error
// there before it has read the exit.
func (s *session) linger() {
	_ = s.c.SetReadDeadline(time.Now().Add(lingerTime))
	if u, ok := s.c.Conn.(*net.UnixConn); ok {
		_ = u.CloseWrite()
	}
}

// gone ends all writing to the caller.
func (s *session) gone(err error) {
	s.over.Store(true)
	for _, o := range s.outs {
		if o != nil {
			o.fail(err)
		}
	}
}

func (s *session) start(ctx context.Context, cmd Command, p prepared) (runner, error) {
	if cmd.Terminal != nil {
		return startTerminal(p, *cmd.Terminal, cmd.Echo, out{s, s.outs[streamOut]})
	}
	spec := exec.Spec{Argv: p.argv, Env: p.env, Dir: p.dir, Stdout: out{s, s.outs[streamOut]}, StdinPipe: !cmd.NoStdin,
		Setsid: true, LeakWait: cmd.LeakWait}
	if !cmd.Merge {
		spec.Stderr = out{s, s.outs[streamErr]}
	}
	proc, err := exec.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return piped{proc}, nil
}

// await waits for the end of the command, or of the caller.
func (s *session) await(ctx context.Context, run runner, lost chan error) (int, error) {
	type result struct {
		code int
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		code, err := run.Wait(context.Background())
		ended <- result{code, err}
	}()
	select {
	case r := <-ended:
		return r.code, r.err
	case err := <-lost:
		lost <- err // for command
		s.gone(err)
		if s.stdin != nil {
			s.stdin.finish(io.EOF)
		}
		run.hangUp()
		if !s.detach {
			s.abandon(run)
		}
		<-ended
		return 0, net.ErrClosed
	}
}

// abandon ends a command whose caller has gone.
func (s *session) abandon(run runner) {
	ctx, cancel := context.WithTimeout(context.Background(), s.h.Grace+10*time.Second)
	defer cancel()
	if _, err := run.Kill(ctx, exec.KillOptions{Grace: s.h.Grace, Force: true}); err != nil {
		s.h.Log.Warn("a command whose caller has gone can't be ended", "err", err)
	}
}

func (s *session) sendExit(run runner, entry *command, code int) error {
	var rs records
	rs.addInt("code", code)
	if sig := run.EndSignal(); sig != 0 {
		rs.addInt("signal", int(sig))
	}
	if run.Leaked() {
		rs.add("leaked", "1")
	}
	if code == 128+int(syscall.SIGKILL) {
		if text := s.h.oomSince(fmt.Sprintf("%d (%s) or what it ran", entry.pid, entry.name)); text != "" {
			rs.add("oom", text)
		}
	}
	return s.c.sendRecords(frameExit, rs)
}
