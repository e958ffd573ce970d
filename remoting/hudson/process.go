package hudson

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// remoteProcess is the hudson.Launcher$RemoteProcess that a launch exports. It
// lives until the controller releases it, which it does when its own proxy is
// garbage, or until the channel ends. The process itself outlives both, unless
// somebody waits in join.
//
//	process ─ stdout ─▶ pump ─▶ ProxyWriter or listener ─▶ controller
//	                    finished: all of it sent, writers flushed and released
type remoteProcess struct {
	agent   *Agent
	channel *remoting.Channel
	proc    Process

	reverseStdin, reverseStdout, reverseStderr bool

	writers []*remoting.ProxyWriter // retained
	listen  *listenerWriter         // of stdoutListener, or nil
	log     *listenerWriter         // listen, where it is the log of the build and not a result
	stdin   io.Closer               // of the controller, or nil

	finished chan struct{} // closed when code, err are set
	code     int
	err      error

	mu       sync.Mutex // guards the fields below
	exported bool       // getIOtriplet gave the output away
	released bool
}

var ioTripletDesc = jser.Serializable("hudson.Launcher$IOTriplet", 1, nil,
	jser.Ref("stderr", "java.io.InputStream"), jser.Ref("stdin", "java.io.OutputStream"), jser.Ref("stdout", "java.io.InputStream"))

// streams connects the process with the controller, as RemoteLaunchCallable
// does: a reversed stream goes before one that was given, the listener before
// out, and stderr that is neither given nor reversed is merged into stdout. So
// is, in LocalProc, a reversed stderr, whose own stream stays empty.
func (p *remoteProcess) streams(c *callable.Call, open *opener, spec *exec.Spec) error {
	o := c.Object
	p.channel = c.Channel
	life := c.Channel.Context()
	switch in := o.Get("in"); {
	case p.reverseStdin:
		spec.StdinPipe = true
	case in != nil:
		r, err := c.Reader(life, in)
		if err != nil {
			return err
		}
		c.Keep(in)
		p.stdin, spec.Stdin = r, r
	}
	switch l, out := o.Get("stdoutListener"), o.Get("out"); {
	case p.reverseStdout:
		spec.StdoutPipe = true
	case l != nil:
		parsed, err := parseListener(l)
		if err != nil {
			return err
		}
		if p.listen, err = open.listen(life, parsed, true); err != nil {
			return err
		}
		spec.Stdout = p.listen
		// What a caller collects is not what its launcher prints to.
		if own, err := parseListener(o.Get("listener")); err == nil && own.stream != nil && own.stream == parsed.stream {
			p.log = p.listen
		}
	case out != nil:
		w, err := p.writer(life, c, out)
		if err != nil {
			return err
		}
		spec.Stdout = w
	}
	if err := o.Get("err"); err != nil && !p.reverseStderr {
		w, werr := p.writer(life, c, err)
		if werr != nil {
			return werr
		}
		spec.Stderr = w
	}
	return nil
}

func (p *remoteProcess) writer(ctx context.Context, c *callable.Call, v jser.Value) (*remoting.ProxyWriter, error) {
	w, err := c.Writer(ctx, v)
	if err != nil {
		return nil, err
	}
	p.writers = append(p.writers, w.Retain())
	return w, nil
}

// await flushes and releases the streams once everything is written. When a
// grandchild holds the output open, join is answered all the same, and the
// streams stay until it has ended or the channel has, as with Java's pumps.
func (p *remoteProcess) await() {
	p.code, p.err = p.proc.Wait(context.Background())
	for _, w := range p.writers {
		_ = w.Flush()
	}
	switch {
	case !p.proc.Leaked():
		p.release()
	case p.listen != nil:
		_ = p.listen.Flush()
	}
	close(p.finished)
	p.agent.drain.leave(p.log)
	for p.proc.Leaked() {
		// Wait takes seconds while something is open.
		began := time.Now()
		_, err := p.proc.Wait(p.channel.Context())
		if err != nil || time.Since(began) < leakPoll {
			p.release()
			return
		}
	}
}

// leakPoll is well below exec.Spec's LeakWait.
const leakPoll = 3 * time.Second

// release gives the streams back.
func (p *remoteProcess) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.released {
		return
	}
	p.released = true
	if p.listen != nil {
		_ = p.listen.finish()
		p.listen.release()
	}
	for _, w := range p.writers {
		_ = w.Release()
	}
	if p.stdin != nil {
		_ = p.stdin.Close()
	}
}

// Release implements remoting.Releaser: nobody will call again. The process
// runs on, and so do its pumps; output that nobody can ask for is dropped.
func (p *remoteProcess) Release() {
	p.mu.Lock()
	exported := p.exported
	p.mu.Unlock()
	if out := p.proc.Stdout(); out != nil && !exported {
		out.Discard()
	}
}

// Invoke implements remoting.Exported.
func (p *remoteProcess) Invoke(ctx context.Context, m *remoting.Invocation) (jser.Value, error) {
	switch m.Method {
	case "join":
		return p.join(ctx, m.Call)
	case "kill":
		if err := p.kill(); err != nil {
			return nil, err
		}
		_, err := p.join(ctx, m.Call) // LocalProc.kill joins
		return nil, err
	case "isAlive":
		return jser.Boolean(p.proc.IsAlive()), nil
	case "getIOtriplet":
		return p.ioTriplet(), nil
	}
	return nil, remoting.Errorf(remoting.UnsupportedOperationClass, "footman: hudson.Launcher$RemoteProcess.%s is not known", m.Method)
}

// join answers with the exit code when all output is with the controller. When
// the controller gives up waiting, or is gone, the process is killed: that is
// how a freestyle build is aborted.
func (p *remoteProcess) join(ctx context.Context, call *remoting.Call) (jser.Value, error) {
	select {
	case <-p.finished:
	case <-ctx.Done():
		if err := p.kill(); err != nil {
			p.agent.logger().Warn("an aborted process can't be killed", "err", err)
		}
		return nil, context.Canceled // java.lang.InterruptedException
	}
	for _, w := range p.writers {
		call.NoteIO(w.LastIO())
	}
	if p.listen != nil {
		call.NoteIO(p.listen.lastIO())
	}
	if p.err != nil {
		return nil, p.err
	}
	return jser.Integer(int32(p.code)), nil
}

// killTime bounds a kill; the processes get 5 s of it to end by themselves.
const killTime = 30 * time.Second

func (p *remoteProcess) kill() error {
	ctx, cancel := context.WithTimeout(context.Background(), killTime)
	defer cancel()
	return p.proc.Kill(ctx)
}

// ioTriplet offers the reversed streams.
func (p *remoteProcess) ioTriplet() *jser.Object {
	var stderr, stdin, stdout jser.Value
	if p.reverseStderr {
		stderr = remoting.InputStream(p.channel.ExportReader(strings.NewReader("")))
	}
	if p.reverseStdin && p.proc.Stdin() != nil {
		stdin = remoting.OutputStream(p.channel.ExportWriter(p.proc.Stdin()))
	}
	if p.reverseStdout {
		p.mu.Lock()
		p.exported = true
		p.mu.Unlock()
		stdout = remoting.InputStream(p.channel.ExportReader(&reversed{p.proc.Stdout(), p.channel}))
	}
	return jser.New(ioTripletDesc, stderr, stdin, stdout)
}

// reversed is the output of a process as the controller reads it. When the
// controller closes it, so is the pipe of the process; when the channel is
// lost, the process must not suffer.
type reversed struct {
	Output
	channel *remoting.Channel
}

// Read gives up with the channel: a process may be silent for days.
func (r *reversed) Read(p []byte) (int, error) {
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		b := make([]byte, len(p))
		n, err := r.Output.Read(b)
		done <- result{b[:n], err}
	}()
	select {
	case res := <-done:
		return copy(p, res.b), res.err
	case <-r.channel.Done():
		return 0, r.channel.Err()
	}
}

func (r *reversed) Close() error {
	if r.channel.Err() != nil {
		r.Discard()
		return nil
	}
	return r.Output.Close()
}

// logger is never nil.
func (a *Agent) logger() *slog.Logger {
	if a.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return a.Log
}
