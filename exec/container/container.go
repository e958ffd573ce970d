// Package container runs the launches of a build in other containers of the pod.
//
//	withEnv(['FOOTMAN_CONTAINER=maven']) { sh … }
//
//	launch ─ Target ─▶ "maven" ─ Start ─▶ hold.Dial(.footman/maven.sock)
//	KillTask ────────── Kill ──────────▶ every hold there is
//
// A launch keeps its argv, so the wrapper of a durable step works unchanged: its
// files are in the volume that both containers mount. Of its environment only
// what differs from the agent's own goes along: JAVA_HOME and PATH of the agent's
// image mean nothing elsewhere.
package container

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/exec/hold"
)

// Variable names the container that a launch is for.
const Variable = "FOOTMAN_CONTAINER"

// Router sends launches to holds. Set the fields before use. All methods are
// safe for concurrent use.
type Router struct {
	Place hold.Place
	// Self is our own container: launches for it stay here.
	Self string
	// Environ is what builds inherit from the agent.
	Environ []string
	// Wait is how long a container may take to show up, 10 s; <0 is not at all.
	// Containers of a pod start in no order.
	Wait time.Duration
	Log  *slog.Logger

	lock *os.File // for as long as the process lives
}

// New makes the router of an agent with that work directory: the volume is what
// hold.FindPlace says, so FOOTMAN_WORK overrides it. The token is made at once
// where there are holds, so that those that run as root know whom to let in.
func New(workDir string, environ []string, log *slog.Logger) (*Router, error) {
	p := hold.Place{Root: workDir}
	if r := os.Getenv("FOOTMAN_WORK"); r != "" || workDir == "" {
		var err error
		if p, err = hold.FindPlace(os.Getenv, workDir); err != nil {
			return nil, err
		}
	}
	r := &Router{Place: p, Self: hold.FindName(os.Getenv), Environ: environ, Log: log}
	if r.Self == "" {
		r.Self = "jnlp" // what the kubernetes plugin calls the agent's container
	}
	if r.Log == nil {
		r.Log = slog.New(slog.DiscardHandler)
	}
	if st, err := os.Stat(p.Dir()); err == nil && st.IsDir() {
		return r, p.EnsureToken()
	}
	return r, nil // a machine without pods gets no directory; Start makes it
}

// Stay keeps the tools of the pod alive while this agent is: they get TERM at the
// same time as we do, and builds may run on for drain. It looks for them for a
// minute, as containers start in no order.
func (r *Router) Stay(drain time.Duration) { r.stay(drain, 60) }

func (r *Router) stay(drain time.Duration, tries int) {
	lock, err := r.Place.LockAgent(drain)
	switch {
	case err == nil:
		r.lock = lock
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EWOULDBLOCK):
		r.Log.Warn("tools in other containers will not wait for us when the pod ends", "err", err)
	case tries > 1:
		time.AfterFunc(time.Second, func() { r.stay(drain, tries-1) })
	}
}

// Target is the container that spec names, "" for our own.
func (r *Router) Target(spec exec.Spec) string {
	for _, kv := range spec.Env {
		if name, value, _ := strings.Cut(kv, "="); name == Variable && value != r.Self {
			return value
		}
	}
	return ""
}

// Start runs spec in the container. The error of a container that is not there
// lists those that are; that of a command that can't run is a *hold.Refused.
func (r *Router) Start(ctx context.Context, name string, spec exec.Spec) (*Process, error) {
	cl, err := r.dial(ctx, name)
	if err != nil {
		return nil, err
	}
	cmd := hold.Command{Argv: spec.Argv, Dir: spec.Dir, Root: r.Place.Root, Detach: true, LeakWait: spec.LeakWait,
		NoStdin: spec.Stdin == nil && !spec.StdinPipe,
		Merge:   !spec.StderrPipe && (spec.Stderr == nil || same(spec.Stdout, spec.Stderr))}
	cmd.Env, cmd.Prepend = Difference(r.Environ, spec.Env)
	cmd.Env = append(cmd.Env, Variable+"="+name) // for Kill, where it does not differ
	if spec.Dir != "" {
		// Where the controller puts the files of a durable step.
		cmd.Writable = []string{filepath.Clean(spec.Dir) + "@tmp"}
	}
	p := &Process{}
	stdout, stderr := spec.Stdout, spec.Stderr
	var pipes []*os.File
	open := func(want bool, limits exec.BufferLimits, w *io.Writer) (*os.File, error) {
		if !want {
			return nil, nil
		}
		rd, wr, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		pipes = append(pipes, wr)
		*w = wr
		return rd, nil
	}
	outR, err := open(spec.StdoutPipe, spec.Buffer, &stdout)
	errR, err2 := open(spec.StderrPipe, spec.Buffer, &stderr)
	if err = errors.Join(err, err2); err == nil {
		p.remote, err = cl.Start(ctx, cmd, stdout, stderr)
	} else {
		cl.Close()
	}
	if err != nil {
		for _, f := range append(pipes, outR, errR) {
			if f != nil {
				f.Close()
			}
		}
		return nil, err
	}
	if outR != nil {
		p.stdout = exec.NewPipeReader(outR, spec.Buffer, p.remote.Ended())
	}
	if errR != nil {
		p.stderr = exec.NewPipeReader(errR, spec.Buffer, p.remote.Ended())
	}
	p.out = spec.Stdout
	p.finished = make(chan struct{})
	if spec.StdinPipe {
		p.stdin = p.remote.Stdin()
	} else if spec.Stdin != nil {
		go p.feed(spec.Stdin)
	}
	go p.finish(pipes)
	return p, nil
}

// dial waits for a container that is on its way.
func (r *Router) dial(ctx context.Context, name string) (*hold.Client, error) {
	wait := r.Wait
	if wait == 0 {
		wait = 10 * time.Second
	}
	for end := time.Now().Add(wait); ; {
		cl, err := hold.Dial(ctx, r.Place, name)
		var missing *hold.NotFound
		if err == nil || !errors.As(err, &missing) || missing.Gone || !time.Now().Before(end) {
			return cl, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// urlVariable is in the environment of an agent that was configured by it, and of
// every build: it is the build's here, as JOB_URL is.
const urlVariable = "JENKINS_URL"

// Difference is what of env is not in base. Where a value ends with ":" and the
// one of base, only what comes before goes along, to be put before what the other
// side has: that is PATH after a PATH+MAVEN.
func Difference(base, env []string) (changed, prepend []string) {
	have := make(map[string]string, len(base))
	for _, kv := range base {
		name, value, _ := strings.Cut(kv, "=")
		have[name] = value
	}
	for _, kv := range env {
		name, value, ok := strings.Cut(kv, "=")
		old, known := have[name]
		switch {
		case !ok || name == "" || known && old == value && name != urlVariable || name == exec.CookieName:
		case known && old != "" && strings.HasSuffix(value, ":"+old):
			prepend = append(prepend, name+"="+strings.TrimSuffix(value, ":"+old))
		default:
			changed = append(changed, kv)
		}
	}
	return changed, prepend
}

// same compares without panicking on writers that do not compare.
func same(a, b io.Writer) (is bool) {
	defer func() { _ = recover() }()
	return a == b
}

// killBound is for a container that hangs; the processes get 5 s of it.
const killBound = 30 * time.Second

// nodeCookie is of all steps of a pipeline's node block, and sent when that ends
// (workflow-durable-task-step's ExecutorStepExecution.COOKIE_VAR).
const nodeCookie = "JENKINS_NODE_COOKIE"

// Kill ends the processes of all containers that have the variables of model in
// their environment, as exec.KillByEnv does here. It returns how many there were.
//
// All durable steps of a workspace have the same cookie (durable-task's
// FileMonitoringTask.cookieFor), whatever container they run in. Those that the
// kubernetes plugin's own container() has started elsewhere are ended by that,
// and an abort of their neighbour must leave them alone: only what we have
// brought there has our variable, too.
func (r *Router) Kill(ctx context.Context, model map[string]string) (found int, err error) {
	ctx, cancel := context.WithTimeout(ctx, killBound)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for _, name := range r.Place.Names() {
		if name == r.Self {
			continue
		}
		wg.Go(func() {
			model := maps.Clone(model)
			if model[nodeCookie] == "" {
				model[Variable] = name
			}
			n, kerr := hold.KillByEnv(ctx, r.Place, name, model, 0, false)
			mu.Lock()
			defer mu.Unlock()
			found += n.Found
			var missing *hold.NotFound
			if kerr != nil && !errors.As(kerr, &missing) {
				errs = append(errs, kerr)
			}
			if n.Found > 0 {
				r.Log.Info("killed the processes of a step", "container", name, "found", n.Found, "survivors", n.Survivors, "denied", n.Denied)
			}
		})
	}
	wg.Wait()
	return found, errors.Join(errs...)
}
