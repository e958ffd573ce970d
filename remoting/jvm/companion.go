package jvm

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// Config says how a companion is to be run.
type Config struct {
	Off         bool     // never start one
	Java        string   // program or home of the runtime; "" means to look for one
	JavaOptions []string // after ours, which keep it small; they win

	JarFile string       // an agent.jar at hand, else it is fetched from URLs
	URLs    []string     // roots of Jenkins, tried in turn
	HTTP    *http.Client // for fetching, with proxy and CA
	Header  http.Header  // to send along

	Dir      string   // for agent.jar, our class, and the marker (see Needed)
	JarCache string   // for the jars of plugins, over restarts; "" means in Dir
	WorkDir  string   // where the JVM runs
	Environ  []string // of the JVM, without our secrets

	// IdleStop ends a companion that ran nothing and of which the controller
	// knows nothing for so long; 0 means 30 minutes, negative never.
	IdleStop time.Duration
	// Patience is how long the JVM may take to read its input, to repeat an
	// initialisation, and to finish pipe operations that a native call comes
	// after; 0 means 2 minutes.
	Patience time.Duration
	Limits   jser.Limits
	Log      *slog.Logger
}

// Companion starts and feeds the JVM behind a channel. It is a remoting.Relay
// and a callable.Fallback, and outlives channels: see Attach. Safe for
// concurrent use.
type Companion struct {
	cfg Config
	log *slog.Logger
	jar *jarSource

	mu      sync.Mutex // guards the fields below
	episode *episode
}

// New makes a companion that is not running.
func New(cfg Config) *Companion {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	if cfg.IdleStop == 0 {
		cfg.IdleStop = 30 * time.Minute
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 2 * time.Minute
	}
	if cfg.JarCache == "" {
		cfg.JarCache = filepath.Join(cfg.Dir, "jarCache")
	}
	return &Companion{cfg: cfg, log: cfg.Log,
		jar: &jarSource{file: cfg.JarFile, urls: cfg.URLs, client: cfg.HTTP, header: cfg.Header, dir: cfg.Dir}}
}

// Attach makes ch the channel to serve. A JVM of an earlier channel is ended:
// its objects mean nothing to the new one. It must be called before the first
// command of ch is read.
func (c *Companion) Attach(ch *remoting.Channel) {
	e := &episode{c: c, ch: ch}
	c.mu.Lock()
	old := c.episode
	c.episode = e
	c.mu.Unlock()
	c.jar.stale() // the controller may have been updated
	if old != nil {
		old.end()
	}
	context.AfterFunc(ch.Context(), e.end)
}

func (c *Companion) current(ch *remoting.Channel) *episode {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.episode != nil && c.episode.ch == ch {
		return c.episode
	}
	return nil
}

// replayed are callables that set up state which plugins rely on. What they
// did is repeated in a fresh JVM.
var replayed = map[string]bool{
	"hudson.slaves.SlaveComputer$SlaveInitializer":                   true,
	"jenkins.util.SystemProperties$AgentCopier$CopySystemProperties": true,
	"hudson.logging.LogRecorder$SetLevel":                            true,
}

// maxReplay bounds what is kept of them, in commands.
const maxReplay = 64

// Observe notes a call that we are about to execute ourselves.
func (c *Companion) Observe(call *callable.Call) {
	if !replayed[call.Object.Class.Name] || len(call.Raw) == 0 {
		return
	}
	if e := c.current(call.Channel); e != nil {
		e.remember(call.Raw)
	}
}

// Handle implements callable.Fallback.
func (c *Companion) Handle(ctx context.Context, call *remoting.Call, why error) (jser.Value, error) {
	return c.Serve(ctx, call, why)
}

// Serve implements remoting.Relay.
func (c *Companion) Serve(ctx context.Context, call *remoting.Call, why error) (jser.Value, error) {
	e := c.current(call.Channel)
	if e == nil {
		return nil, context.Canceled
	}
	if call.RefersToUs() {
		return nil, remoting.Errorf(remoting.IOExceptionClass,
			"footman: %s refers to an object that the agent itself made, such as a running process, and can't be executed by the companion JVM", innermost(call))
	}
	if call.Callable.Class.Is(classRPC) {
		// An object of a JVM that has ended is not worth starting another one.
		if r := e.running(); r == nil || !r.owns(call.Callable.Int("oid")) {
			return nil, remoting.Errorf(remoting.IllegalStateClass,
				"Invalid object ID %d: it belonged to a companion JVM that has ended", call.Callable.Int("oid"))
		}
	}
	p, err := e.get(ctx, call, why)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx) // cancelled while it waited for the start
		}
		return nil, c.refusal(ctx, call, why, err)
	}
	return nil, e.execute(ctx, p, call)
}

// refusal explains why a call can't be executed here, and what can be done.
func (c *Companion) refusal(ctx context.Context, call *remoting.Call, why, err error) error {
	var unsupported *callable.Unsupported
	what := innermost(call)
	if errors.As(why, &unsupported) {
		what = unsupported.Class
	}
	var gone *GoneError
	if errors.As(err, &gone) {
		return remoting.Errorf(remoting.IOExceptionClass, "footman: %s: %v", what, gone)
	}
	from := ""
	nameCtx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if name, nameErr := call.Channel.LoaderName(nameCtx, call.Loader); nameErr == nil && name != "" {
		from = " (from " + name + ")"
	}
	text := strings.TrimPrefix(err.Error(), "jvm: ")
	return remoting.Errorf(remoting.IOExceptionClass,
		"footman: %s%s is not implemented natively and needs a Java runtime, but %s. Use an agent image with Java, or a step that is native ('jenkins-agent callables' lists them), or turn off what sends this class",
		what, from, text)
}

// GoneError is a JVM that ended while it ran something.
type GoneError struct{ err error }

func (g *GoneError) Error() string { return g.err.Error() }

// Unwrap gives what the process said.
func (g *GoneError) Unwrap() error { return g.err }

var errOff = errors.New("jvm: the companion is switched off (-companion off)")

// Forward implements remoting.Relay.
func (c *Companion) Forward(class string, o *jser.Object, raw []byte) bool {
	c.mu.Lock()
	e := c.episode
	c.mu.Unlock()
	return e != nil && e.forward(class, o, raw)
}

// Barrier implements remoting.Relay.
func (c *Companion) Barrier(ctx context.Context, ioID int32) error {
	c.mu.Lock()
	e := c.episode
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	return e.barrier(ctx, ioID)
}

// Running reports whether a JVM is up.
func (c *Companion) Running() bool {
	c.mu.Lock()
	e := c.episode
	c.mu.Unlock()
	return e != nil && e.running() != nil
}

// Close ends the companion for good.
func (c *Companion) Close() {
	c.mu.Lock()
	e := c.episode
	c.episode = nil
	c.mu.Unlock()
	if e != nil {
		e.end()
	}
}

// Prefetch fetches agent.jar and starts the JVM before it is needed.
func (c *Companion) Prefetch(ctx context.Context, ch *remoting.Channel) error {
	e := c.current(ch)
	if e == nil {
		return errors.New("jvm: no channel")
	}
	_, err := e.get(ctx, nil, errors.New("asked to be ready"))
	return err
}

// FetchJar brings agent.jar up to date, so that the first call does not wait for
// it. It starts nothing.
func (c *Companion) FetchJar(ctx context.Context) error {
	if c.cfg.Off {
		return errOff
	}
	_, err := c.jar.get(ctx)
	return err
}

// Needed reports whether this controller needed a companion before. A file in
// Config.Dir remembers that, by the controller's URL.
func (c *Companion) Needed() bool {
	b, err := os.ReadFile(c.marker())
	url, _, _ := strings.Cut(string(b), "\n")
	return err == nil && url == c.controller()
}

// StateDir is where facts about this controller may be kept, "" if this agent
// has no work directory.
func (c *Companion) StateDir() string {
	if c.cfg.WorkDir == "" {
		return ""
	}
	return c.cfg.Dir
}

func (c *Companion) marker() string { return filepath.Join(c.cfg.Dir, "needed") }

func (c *Companion) controller() string {
	if len(c.cfg.URLs) == 0 {
		return ""
	}
	return c.cfg.URLs[0]
}

func (c *Companion) markNeeded(class string) {
	if c.Needed() {
		return
	}
	err := os.MkdirAll(c.cfg.Dir, 0o777)
	if err == nil {
		err = os.WriteFile(c.marker(), []byte(c.controller()+"\n"+class+"\n"), 0o666)
	}
	if err != nil {
		c.log.Debug("that the companion is needed can't be noted", "err", err)
	}
}
