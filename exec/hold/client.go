package hold

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// handshakeTime bounds everything before the first frame of a command.
const handshakeTime = 10 * time.Second

// admitTime is how long a hold may take to see a token.
const admitTime = 2 * time.Second

// Client is an authenticated connection to a hold, good for one command or one
// kill.
type Client struct {
	name string
	c    *conn
	r    *bufio.Reader
	buf  []byte
	// Uid and Gid are those of the hold.
	Uid, Gid int
}

// Dial connects to the container name. The error is a *NotFound, a *Forbidden,
// or one that wraps ErrProtocol or the system's.
func Dial(ctx context.Context, p Place, name string) (*Client, error) {
	fresh := p.prepareToken()
	cl, hello, err := connect(ctx, p, name)
	// A hold that runs as root lets the owner of the token in, shortly after that
	// is made.
	var closed *Forbidden
	for end := time.Now().Add(admitTime); fresh && errors.As(err, &closed) && p.admits(name) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		cl, hello, err = connect(ctx, p, name)
	}
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { cl.c.Close() })
	defer stop()
	if err := cl.authenticate(p, hello); err != nil {
		cl.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	_ = cl.c.SetReadDeadline(time.Time{})
	return cl, nil
}

// Check tells whether a hold answers at its socket; it needs no token.
func Check(ctx context.Context, p Place, name string) error {
	cl, _, err := connect(ctx, p, name)
	if err != nil {
		return err
	}
	return cl.Close()
}

func connect(ctx context.Context, p Place, name string) (*Client, records, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	nc, err := p.dial(name)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	_ = nc.SetReadDeadline(time.Now().Add(handshakeTime))
	cl := &Client{name: name, c: &conn{Conn: nc}, r: bufio.NewReaderSize(nc, 2*maxData)}
	hello, err := cl.expect(frameHello)
	if err != nil {
		nc.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, nil, err
	}
	if v := hello.get("version"); v != fmt.Sprint(Version) {
		nc.Close()
		return nil, nil, fmt.Errorf("hold: container %q speaks version %q of the protocol, we speak %d: run the same jenkins-agent in all containers of the pod", name, v, Version)
	}
	return cl, hello, nil
}

func (cl *Client) authenticate(p Place, hello records) error {
	if err := p.EnsureToken(); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return &Forbidden{fmt.Sprintf("the token of the pod, %s, is not readable to us (%s). %s", p.tokenFile(), identity(), forbiddenAdvice)}
		}
		return err
	}
	token, err := p.readToken()
	if err != nil {
		return err
	}
	theirs, ours := hello.get("nonce"), newNonce()
	auth := records{{"version", fmt.Sprint(Version)}, {"nonce", ours}, {"proof", proof(token, roleCaller, theirs, ours)}}
	if err := cl.c.sendRecords(frameAuth, auth); err != nil {
		return cl.lost(err)
	}
	welcome, err := cl.expect(frameWelcome)
	if err != nil {
		return err
	}
	if !proven(token, roleHold, theirs, ours, welcome.get("proof")) {
		return fmt.Errorf("hold: what listens as container %q does not know the token of the pod", cl.name)
	}
	if cl.Uid, err = welcome.number("uid", 0, 1<<32-1); err != nil {
		return err
	}
	cl.Gid, err = welcome.number("gid", 0, 1<<32-1)
	return err
}

// Close ends the connection.
func (cl *Client) Close() error { return cl.c.Close() }

func (cl *Client) lost(err error) error {
	if errors.Is(err, ErrProtocol) {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("container %q ended before it answered (out of memory, or deleted?): %w", cl.name, io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("hold: container %q: %w", cl.name, err)
}

// expect reads one frame of records of type t.
func (cl *Client) expect(t frameType) (records, error) {
	got, b, err := readFrame(cl.r, &cl.buf)
	if err != nil {
		return nil, cl.lost(err)
	}
	if got != t && got != frameError {
		return nil, protocolf("frame %s instead of %s", got, t)
	}
	rs, err := parseRecords(b)
	if err != nil {
		return nil, err
	}
	if got == frameError {
		return nil, cl.refusal(rs)
	}
	return rs, nil
}

func (cl *Client) refusal(rs records) error {
	code, err := rs.number("code", 0, 255)
	if err != nil {
		return err
	}
	if rs.get("kind") == "forbidden" {
		return &Forbidden{rs.get("text")}
	}
	return &Refused{Code: code, Text: rs.get("text")}
}

// KillCounts says what a kill across containers found and left.
type KillCounts struct{ Found, Survivors, Denied int }

// KillByEnv does exec.KillByEnv in the container, with its own connection.
func KillByEnv(ctx context.Context, p Place, name string, model map[string]string, grace time.Duration, force bool) (KillCounts, error) {
	cl, err := Dial(ctx, p, name)
	if err != nil {
		return KillCounts{}, err
	}
	defer cl.Close()
	stop := context.AfterFunc(ctx, func() { cl.c.Close() })
	defer stop()
	var rs records
	for k, v := range model {
		rs.add("env", k+"="+v)
	}
	rs.addInt("grace", int(grace/time.Millisecond))
	if force {
		rs.add("force", "1")
	}
	if err := cl.c.sendRecords(frameKillEnv, rs); err != nil {
		return KillCounts{}, cl.lost(err)
	}
	answer, err := cl.expect(frameKilled)
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return KillCounts{}, err
	}
	var n [3]int
	for i, f := range []string{"found", "survivors", "denied"} {
		if n[i], err = answer.number(f, 0, 1<<31-1); err != nil {
			return KillCounts{}, err
		}
	}
	return KillCounts{n[0], n[1], n[2]}, nil
}

// Exit is how a command ended.
type Exit struct {
	Code   int            // 128+N for signal N
	Signal syscall.Signal // 0 unless a signal ended it
	Leaked bool           // a grandchild still holds the output open
	OOM    string         // what the kernel killed for lack of memory meanwhile, a sentence, or ""
}

// Remote is a command that runs in another container. All methods are safe for
// concurrent use.
type Remote struct {
	cl    *Client
	Pid   int // in the container
	stdin *outflow
	outs  [streams]*inflow

	copies sync.WaitGroup
	ended  chan struct{} // closed when exit, err are set: the command has ended
	exit   Exit
	err    error
	done   chan struct{} // all output is written too
}

// Start runs a command. Outputs are written from goroutines of their own, as fast
// as they take it; a writer that fails closes the pipe of the command. stderr is
// not used for a terminal and with Merge. The error of a command that did not
// start is a *Refused. The connection belongs to the command then.
func (cl *Client) Start(ctx context.Context, cmd Command, stdout, stderr io.Writer) (*Remote, error) {
	stop := context.AfterFunc(ctx, func() { cl.c.Close() })
	defer stop()
	fail := func(err error) (*Remote, error) {
		cl.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	if err := cl.c.sendRecords(frameStart, cmd.records()); err != nil {
		return fail(cl.lost(err))
	}
	started, err := cl.expect(frameStarted)
	if err != nil {
		return fail(err)
	}
	if !stop() {
		return fail(ctx.Err())
	}
	r := &Remote{cl: cl, stdin: newOutflow(cl.c, streamIn), ended: make(chan struct{}), done: make(chan struct{})}
	if r.Pid, err = started.number("pid", 0, 1<<30); err != nil {
		return fail(err)
	}
	outs := map[byte]io.Writer{streamOut: stdout}
	if cmd.Terminal == nil && !cmd.Merge {
		outs[streamErr] = stderr
	}
	for id, w := range outs {
		if w == nil {
			w = io.Discard
		}
		in := newInflow(cl.c, id)
		r.outs[id] = in
		r.copies.Go(func() { _ = in.copyTo(w) })
	}
	go r.read()
	return r, nil
}

// Stdin is the input of the command; Close ends it. It fails with EPIPE when the
// command does not read it any more.
func (r *Remote) Stdin() io.WriteCloser { return r.stdin }

// Ended is closed when the command has ended; output may still be on its way.
func (r *Remote) Ended() <-chan struct{} { return r.ended }

// Wait returns when the command has ended and its output is written. When ctx
// ends first it returns its error and leaves the command alone.
func (r *Remote) Wait(ctx context.Context) (Exit, error) {
	select {
	case <-r.done:
		return r.exit, r.err
	default:
	}
	select {
	case <-r.done:
		return r.exit, r.err
	case <-ctx.Done():
		return Exit{}, ctx.Err()
	}
}

// Signal sends sig to the command, or to its whole process group.
func (r *Remote) Signal(sig syscall.Signal, group bool) error {
	rs := records{}
	rs.addInt("signal", int(sig))
	if group {
		rs.add("group", "1")
	}
	return r.cl.c.sendRecords(frameSignal, rs)
}

// Resize changes the size of the terminal.
func (r *Remote) Resize(s Size) error { return r.cl.c.sendRecords(frameResize, s.records()) }

// End asks for the end of the command and of all that descends from it: TERM,
// grace, and KILL if force is set. It does not wait.
func (r *Remote) End(grace time.Duration, force bool) error {
	rs := records{}
	rs.addInt("grace", int(grace/time.Millisecond))
	if force {
		rs.add("force", "1")
	}
	return r.cl.c.sendRecords(frameEnd, rs)
}

// Close hangs up.
func (r *Remote) Close() error { return r.cl.Close() }

// read is the reader of the connection.
func (r *Remote) read() {
	err := r.serve()
	r.cl.Close()
	if err != nil {
		r.err = r.cl.lost(err)
	}
	close(r.ended)
	r.stdin.fail(errBroken)
	for _, in := range r.outs {
		if in != nil {
			in.finish(io.EOF)
		}
	}
	r.copies.Wait()
	close(r.done)
}

// serve handles frames until the exit, which is the last.
func (r *Remote) serve() error {
	for {
		t, b, err := readFrame(r.cl.r, &r.cl.buf)
		if err != nil {
			return err
		}
		switch t {
		case frameData, frameWindow, frameBroken:
			err = r.stream(t, b)
		case frameExit:
			return r.parseExit(b)
		default:
			err = protocolf("frame %s while a command runs", t)
		}
		if err != nil {
			return err
		}
	}
}

func (r *Remote) stream(t frameType, b []byte) error {
	id, b, err := parseStream(b)
	if err != nil {
		return err
	}
	switch {
	case t == frameData && id != streamIn && r.outs[id] != nil:
		return r.outs[id].push(b)
	case t == frameWindow && id == streamIn:
		n, err := parseWindow(b)
		if err != nil {
			return err
		}
		return r.stdin.grant(n)
	case t == frameBroken && id == streamIn:
		r.stdin.fail(errBroken)
		return nil
	}
	return protocolf("frame %s of stream %d", t, id)
}

func (r *Remote) parseExit(b []byte) error {
	rs, err := parseRecords(b)
	if err != nil {
		return err
	}
	if r.exit.Code, err = rs.number("code", -1, 255); err != nil {
		return err
	}
	sig, err := rs.number("signal", 0, 127)
	r.exit.Signal, r.exit.Leaked, r.exit.OOM = syscall.Signal(sig), rs.get("leaked") == "1", rs.get("oom")
	return err
}
