package hudson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/text/encoding"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

const (
	durableController = "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController"
	shellController   = "org.jenkinsci.plugins.durabletask.BourneShellScript$ShellController"
	stepHandler       = "org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep$HandlerImpl"
	stepExecution     = "org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep$ExecutionRemotable"

	// systemDefault is FileMonitoringTask.SYSTEM_DEFAULT_CHARSET.
	systemDefault = "SYSTEM_DEFAULT"

	// watchInterval is how often a watch looks at its files (Watcher.run).
	watchInterval = 100 * time.Millisecond
)

// logBuffers are for copying logs.
var logBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// registerWatching adds the push mode of durable-task
// (DurableTaskStep.USE_WATCHING), in which the agent itself tails the log.
func registerWatching(t *callable.Table, a *Agent) {
	t.Register(callable.Entry{Class: "org.jenkinsci.plugins.durabletask.FileMonitoringTask$StartWatching", Source: "durable-task 1.18",
		Fields: []string{"controller", "handler", "listener"}, Accepts: acceptsWatch, Run: a.startWatching})
}

// acceptsWatch refuses unknown controllers, which may find their files and exit
// codes elsewhere, and unknown listeners.
func acceptsWatch(c *callable.Call) error {
	ctl, h := c.Object.Obj("controller"), c.Object.Obj("handler")
	if ctl == nil || h == nil {
		return errors.New("no controller or handler")
	}
	switch n := ctl.Class.Name; n {
	case durableController, shellController, "org.jenkinsci.plugins.durabletask.WindowsBatchScript$BatchController",
		"org.jenkinsci.plugins.durabletask.PowershellScript$PowershellController":
	default:
		return fmt.Errorf("the controller %s", n)
	}
	if h.Class.Name != stepHandler {
		return fmt.Errorf("the handler %s", h.Class)
	}
	for _, f := range h.Class.Fields {
		if f.Name != "execution" && f.Name != "listener" {
			return fmt.Errorf("the field %s of %s", f.Name, h.Class)
		}
	}
	if ctl.Bool("isZos") || ctl.Str("controlDir") == "" {
		return errors.New("a controller of z/OS or of a durable-task before 1.8")
	}
	_, err := parseListener(h.Get("listener"))
	return err
}

// transcoding is the charset from which output must be converted to UTF-8, nil
// for none (FileMonitoringController.transcodingCharset).
func transcoding(charset string) (encoding.Encoding, error) {
	if charset == systemDefault {
		return nil, nil
	}
	return charsetByName(charset)
}

// watch tails the log of one step (FileMonitoringTask$Watcher). It has no
// goroutine of its own: a timer runs look, one at a time.
//
//	jenkins-log.txt ─ from location ─▶ listener ─▶ controller
//	jenkins-result.txt ─────────────▶ ExecutionRemotable.exited(code, output)
//	last-location.txt ◀─ what is certainly sent, for the next watch after a
//	                     lost connection: text may come twice, but never not
type watch struct {
	agent     *Agent
	ctx       context.Context // of the channel
	dir       string          // controlDir
	shell     bool            // has a heartbeat
	charset   string
	decode    encoding.Encoding // nil = UTF-8
	execution *remoting.RemoteObject
	out       *listenerWriter

	mu       sync.Mutex // guards the fields below; held while looking
	timer    *time.Timer
	unhook   func() bool // from the end of the channel
	ended    bool
	location int64 // -1: not known yet
	saved    int64 // what last-location.txt says
	next     mark  // what it says next
	failed   bool  // the controller's stream is dead

	lastCheck, checked time.Time // heartbeat
}

// watches knows the watches of an agent by control directory.
type watches struct {
	mu    sync.Mutex
	byDir map[string]*watch
}

// replace puts w in the place of an older watch of its directory, which is
// ended first: after a lost connection the controller watches again, and two
// would print everything twice.
func (ws *watches) replace(w *watch) {
	ws.mu.Lock()
	if ws.byDir == nil {
		ws.byDir = map[string]*watch{}
	}
	old := ws.byDir[w.dir]
	ws.byDir[w.dir] = w
	ws.mu.Unlock()
	if old != nil {
		old.stop()
	}
}

func (ws *watches) remove(w *watch) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.byDir[w.dir] == w {
		delete(ws.byDir, w.dir)
	}
}

func (a *Agent) startWatching(_ context.Context, c *callable.Call) (jser.Value, error) {
	ctl, h := c.Object.Obj("controller"), c.Object.Obj("handler")
	w := &watch{agent: a, ctx: c.Channel.Context(), dir: ctl.Str("controlDir"), shell: ctl.Class.Name == shellController,
		charset: ctl.Str("charset"), location: -1}
	var err error
	if w.decode, err = transcoding(w.charset); err != nil {
		return nil, err
	}
	l, err := parseListener(h.Get("listener"))
	if err != nil {
		return nil, err
	}
	if w.execution, err = c.RemoteObject(h.Get("execution"), true); err != nil {
		return nil, err
	}
	if w.out, err = newOpener(c.Call).listen(w.ctx, l, true); err != nil {
		w.execution.Release()
		return nil, err
	}
	w.mu.Lock() // a newer watch must not end this one before it has begun
	defer w.mu.Unlock()
	a.watches.replace(w)
	a.steps.ended(w.dir) // it is counted there
	w.timer = time.AfterFunc(0, w.look)
	w.unhook = context.AfterFunc(w.ctx, w.stop)
	return nil, nil
}

// stop ends the watch once it does not look. Safe to call twice.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end()
}

// end releases what the watch holds; mu is held.
func (w *watch) end() {
	if w.ended {
		return
	}
	w.ended = true
	w.timer.Stop()
	w.unhook()
	w.out.release()
	w.execution.Release()
	w.agent.watches.remove(w)
}

// look does one round: Watcher.run.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	again, err := w.round()
	if err != nil {
		log := w.agent.logger().Warn
		if w.ctx.Err() != nil {
			log = w.agent.logger().Info // the controller watches again when we are back
		}
		log("giving up on watching a step", "directory", w.dir, "err", err)
	}
	if err != nil || !again {
		w.end()
		return
	}
	w.timer.Reset(watchInterval)
}

func (w *watch) round() (again bool, err error) {
	// Before the log, so that what a process writes last is not missed.
	code, done, err := w.exitStatus()
	if err != nil {
		return false, err
	}
	if err := w.copyLog(); err != nil {
		return false, err
	}
	if done {
		return false, w.exited(code)
	}
	if fi, err := os.Stat(w.dir); err != nil || !fi.IsDir() {
		return false, errors.New("the control directory is gone")
	}
	return true, nil
}

// copyLog sends what the log has beyond location.
func (w *watch) copyLog() error {
	if w.location < 0 {
		from, err := w.savedLocation()
		if err != nil {
			return err
		}
		w.location, w.saved = from, from
	}
	path := filepath.Join(w.dir, "jenkins-log.txt")
	if fi, err := os.Stat(path); err == nil && fi.Size() > w.location {
		f, err := os.Open(path)
		if err != nil {
			return fileNotFound(path, err)
		}
		defer f.Close()
		var in io.Reader = io.NewSectionReader(f, w.location, fi.Size()-w.location)
		if w.decode != nil {
			in = w.decode.NewDecoder().Reader(in)
		}
		_, err = copyLog(w.out, in)
		w.location = fi.Size()
		if err != nil {
			return w.problem(err)
		}
	}
	if err := w.save(); err != nil {
		// A full disk; the step may go on, its text is not lost.
		w.agent.logger().Debug("the position in the log of a step is not noted", "directory", w.dir, "err", err)
	}
	return nil
}

// savedLocation is where an earlier watch of the step left off.
func (w *watch) savedLocation() (int64, error) {
	b, err := os.ReadFile(filepath.Join(w.dir, "last-location.txt"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("hudson: last-location.txt of %s has no offset", w.dir)
	}
	return n, nil
}

// save notes how far the log is sent. What waits in a buffer is not: it is
// noted in the round after it went out.
func (w *watch) save() error {
	held, taken, sent := w.out.progress()
	if w.next.at > w.saved && sent >= w.next.taken {
		if err := w.write(w.next.at); err != nil {
			return err
		}
	}
	if w.next.at > w.saved || held > 0 && w.decode != nil {
		return nil // offsets of decoded text are not known
	}
	w.next = mark{w.location - int64(held), taken}
	if w.next.at > w.saved && sent >= taken {
		return w.write(w.next.at)
	}
	return nil
}

// mark says that the log up to at is sent when the buffer has sent taken bytes.
type mark struct{ at, taken int64 }

// write replaces last-location.txt: nobody must ever see half a number.
func (w *watch) write(at int64) error {
	w.saved = at
	name := filepath.Join(w.dir, "last-location.txt")
	if err := os.WriteFile(name+".tmp", strconv.AppendInt(nil, at, 10), 0o666); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

// problem tells the step that its text can't be printed; it goes on without
// (HandlerImpl.output). Without a channel nothing goes on.
func (w *watch) problem(cause error) error {
	if w.ctx.Err() != nil {
		return cause
	}
	if w.failed {
		return nil
	}
	w.failed = true
	_, err := w.execution.Invoke(w.ctx, stepExecution, "problem", []string{"java.lang.Exception"},
		[]jser.Value{remoting.Throwable(cause)}, w.out.lastIO())
	return err
}

// exited reports the end of the step and removes its files.
func (w *watch) exited(code int32) error {
	var output jser.Value
	path := filepath.Join(w.dir, "output.txt")
	if _, err := os.Stat(path); err == nil {
		b, err := stepOutput(path, w.charset)
		if err != nil {
			return err
		}
		output = jser.ByteArray(b)
	}
	if err := w.out.finish(); err != nil && w.ctx.Err() != nil {
		return err // the next watch prints it again
	}
	_, err := w.execution.Invoke(w.ctx, stepExecution, "exited", []string{"int", "[B"},
		[]jser.Value{jser.Integer(code), output}, w.out.lastIO())
	if err != nil {
		return err
	}
	if errs := removeTree(w.dir); len(errs) > 0 {
		return errors.Join(errs...)
	}
	return nil
}
