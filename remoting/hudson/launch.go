package hudson

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// Process is a process that runs for a build. All methods are safe for
// concurrent use.
type Process interface {
	// Wait returns the exit code once the process has ended and all its output
	// is written. The end of ctx ends the waiting only.
	Wait(ctx context.Context) (int, error)
	// IsAlive tells whether the process itself still runs.
	IsAlive() bool
	// Kill ends the process and all that descends from it.
	Kill(ctx context.Context) error
	// Leaked tells whether Wait gave up on output that something else holds open.
	Leaked() bool
	// Stdin is nil unless Spec.StdinPipe, Stdout unless Spec.StdoutPipe.
	Stdin() io.WriteCloser
	Stdout() Output
}

// Output is the output of a process that the controller reads, late or never.
type Output interface {
	io.ReadCloser
	// Discard lets the process run on without a reader.
	Discard()
}

// local is a process of this machine.
type local struct{ *exec.Process }

func startLocal(ctx context.Context, spec exec.Spec) (Process, error) {
	p, err := exec.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	return local{p}, nil
}

func (l local) Kill(ctx context.Context) error {
	_, err := l.Process.Kill(ctx, exec.KillOptions{})
	return err
}

func (l local) Stdin() io.WriteCloser { return l.StdinPipe() }

func (l local) Stdout() Output {
	if p := l.StdoutPipe(); p != nil {
		return p
	}
	return nil
}

// start runs a process for a build.
func (a *Agent) start(ctx context.Context, spec exec.Spec) (Process, error) {
	if a.Start != nil {
		return a.Start(ctx, spec)
	}
	if a.Containers != nil {
		if name := a.Containers.Target(spec); name != "" {
			return startContained(ctx, a.Containers, name, spec)
		}
	}
	return startLocal(ctx, spec)
}

// registerLaunch adds what runs processes. hudson.Launcher$RemoteChannelLaunchCallable
// (a nested channel, for Maven jobs) is left out on purpose: at its other end
// is a JVM.
func registerLaunch(t *callable.Table, a *Agent) {
	t.Register(
		callable.Entry{Class: "hudson.Launcher$RemoteLaunchCallable", Source: "core",
			Fields: []string{"cmd", "masks", "env", "in", "reverseStdin", "out", "reverseStdout", "err", "reverseStderr",
				"quiet", "workDir", "listener", "stdoutListener", "envVarsFilterRuleWrapper"},
			Accepts: acceptsLaunch, Run: a.launch},
		callable.Entry{Class: "hudson.Launcher$RemoteLauncher$KillTask", Source: "core", Fields: []string{"modelEnvVars"}, Run: a.killTask},
		constant("hudson.tasks.Shell$DescriptorImpl$Shellinterpreter", "core", "/bin/sh"),
	)
}

// acceptsLaunch refuses what would print text in a way that we don't know, and
// rules that are classes of plugins.
func acceptsLaunch(c *callable.Call) error {
	o := c.Object
	if w := o.Obj("envVarsFilterRuleWrapper"); w != nil {
		rules, err := jser.List(w.Get("rules"))
		if err != nil || len(rules) > 0 {
			return errors.New("rules that filter the environment")
		}
	}
	if !o.Bool("quiet") {
		if _, err := parseListener(o.Get("listener")); err != nil {
			return err
		}
	}
	if !o.Bool("reverseStdout") {
		if _, err := parseListener(o.Get("stdoutListener")); err != nil {
			return err
		}
	}
	for _, f := range []string{"out", "err"} {
		if v := o.Get(f); v != nil && !remoting.IsStream(v) {
			return fmt.Errorf("the stream %s", jser.Name(v))
		}
	}
	if v := o.Get("in"); v != nil && jser.Name(v) != "hudson.remoting.RemoteInputStream" {
		return fmt.Errorf("the stream %s", jser.Name(v))
	}
	return nil
}

// launch is Launcher$RemoteLaunchCallable.call with LocalLauncher.launch.
func (a *Agent) launch(ctx context.Context, c *callable.Call) (jser.Value, error) {
	o := c.Object
	argv, err := jser.Strings(o.Get("cmd"))
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: the command of a launch can't be read: %v", err)
	}
	env, err := a.launchEnv(o)
	if err != nil {
		return nil, err
	}
	p := &remoteProcess{agent: a, reverseStdin: o.Bool("reverseStdin"), reverseStdout: o.Bool("reverseStdout"),
		reverseStderr: o.Bool("reverseStderr"), finished: make(chan struct{})}
	open := newOpener(c.Call)
	if !o.Bool("quiet") {
		if err := echo(ctx, open, o, argv); err != nil {
			return nil, err
		}
	}
	spec := exec.Spec{Env: env.Environ(), Dir: o.Str("workDir")}
	for _, arg := range argv {
		spec.Argv = append(spec.Argv, env.Expand(arg))
	}
	if err := p.streams(c, open, &spec); err != nil {
		p.release()
		return nil, err
	}
	if err := a.drain.enter(p.log); err != nil {
		p.release()
		return nil, err
	}
	if p.proc, err = a.start(ctx, spec); err != nil {
		a.drain.leave(p.log)
		p.release()
		return nil, startError(err)
	}
	a.steps.launched(argv)
	go p.await()
	if _, now := o.Field("reverseStdout"); !now {
		// In Hudson 1.395 the callable itself waits and returns the exit code.
		return p.join(ctx, c.Call)
	}
	return remoting.Proxy(c.Channel.Export(p), "hudson.Launcher$RemoteProcess"), nil
}

// launchEnv is the environment of a launch: the agent's, overridden.
func (a *Agent) launchEnv(o *jser.Object) (*exec.EnvVars, error) {
	list, err := jser.Strings(o.Get("env"))
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: the environment of a launch can't be read: %v", err)
	}
	return exec.Inherit(exec.FromEnviron(a.Environ), list)
}

// echo prints the command line, with the arguments as they came.
func echo(ctx context.Context, open *opener, o *jser.Object, argv []string) error {
	l, err := parseListener(o.Get("listener"))
	if err != nil {
		return err
	}
	w, err := open.listen(ctx, l, false)
	if err != nil {
		return err
	}
	var masks []bool
	if m, ok := o.Get("masks").(*jser.Array); ok && m != nil {
		masks, _ = m.Elems.([]bool)
	}
	// A PrintStream swallows errors: a dead log does not stop a build.
	if err = w.println(exec.EchoLine(o.Str("workDir"), argv, masks)); err == nil && !w.flush {
		err = w.Flush()
	}
	if err != nil && ctx.Err() != nil {
		return err
	}
	return nil
}

// startError is the exception for a process that did not start. Java's has the
// system's error as its cause.
func startError(err error) error {
	var se *exec.StartError
	if !errors.As(err, &se) {
		return err
	}
	e := remoting.Errorf(remoting.IOExceptionClass, "%s", se.Error())
	if cause := se.Cause(); cause != "" {
		e.Cause = remoting.Errorf(remoting.IOExceptionClass, "%s", cause)
	}
	return e
}

// killTask is Launcher$RemoteLauncher$KillTask: it ends the processes whose
// environment contains all the given variables.
func (a *Agent) killTask(ctx context.Context, c *callable.Call) (jser.Value, error) {
	vars, err := jser.StringMap(c.Object.Get("modelEnvVars"))
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: the variables of a kill can't be read: %v", err)
	}
	model := make(map[string]string, len(vars))
	for k, v := range vars {
		if v != nil {
			model[k] = *v
		}
	}
	if len(model) < len(vars) {
		return nil, nil // a variable without a value is in no environment
	}
	elsewhere := a.killContained(ctx, model)
	defer elsewhere()
	r, err := exec.KillByEnv(ctx, model, exec.KillOptions{})
	if len(r.Found) > 0 {
		a.logger().Info("killed the processes of a step", "found", len(r.Found), "survivors", r.Survivors, "denied", r.Denied)
	}
	if errors.Is(err, exec.ErrNoProcessTree) {
		a.logger().Warn("processes can't be killed by their environment", "err", err)
		return nil, nil
	}
	return nil, err
}
