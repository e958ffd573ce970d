package controller

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// ShOptions tune one pipeline `sh` step.
type ShOptions struct {
	Job          string            // names the workspace; default "demo"
	Env          map[string]string // withEnv
	ReturnStdout bool              // the output goes to Result.Stdout, not to Log
	Log          io.Writer         // gets the log while the script runs; nil discards
}

// Result is how a script ended.
type Result struct {
	ExitCode int
	Stdout   string        // with ReturnStdout
	LogBytes int64         // bytes of log that came
	Polls    int           // status checks
	Took     time.Duration // from the first command to the last
}

// The polling of DurableTaskStep: a log that grows is looked at again soon.
const (
	minPoll     = 250 * time.Millisecond
	maxPoll     = 15 * time.Second
	pollBackoff = 1.2
	// stopGrace is how long a script may take to end after it was killed.
	stopGrace = 20 * time.Second
)

// ErrNotStopped means that a script went on after it was killed.
var ErrNotStopped = errors.New("controller: the script did not end after it was killed")

// durableTask is a script that runs on the agent.
type durableTask struct {
	n        *Node
	c        *conn
	b        build
	dir      string // its control directory
	cookie   string // JENKINS_SERVER_COOKIE of its processes
	location int64  // bytes of log that were written
	log      io.Writer
	proc     *process
}

// Sh runs a pipeline `sh` step as durable-task and workflow-durable-task-step
// do in polling mode. When ctx ends, the script is killed, and the result
// together with ctx's cause returned once it ended. A lost connection is waited
// for.
func (n *Node) Sh(ctx context.Context, script string, o ShOptions) (Result, error) {
	start := time.Now()
	c, err := n.channel(ctx)
	if err != nil {
		return Result{}, err
	}
	t := &durableTask{n: n, c: c, b: n.newBuild(o.Job), log: o.Log, cookie: "durable-" + randomHex(32)}
	t.dir = t.b.temp + "/durable-" + randomHex(4)
	if t.log == nil {
		t.log = io.Discard
	}
	if err := t.launch(ctx, script, o); err != nil {
		return Result{}, err
	}
	r, err := t.poll(ctx)
	if err == nil && o.ReturnStdout {
		err = t.again(ctx, func() (err error) { r.Stdout, err = t.output(ctx); return err })
	}
	r.LogBytes, r.Took = t.location, time.Since(start)
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if t.proc != nil && t.proc.c == t.c {
		t.proc.release()
	}
	derr := t.again(clean, func() error { _, err := t.call(clean, "DeleteRecursive", t.dir, nil); return err })
	if err == nil {
		err = derr
	}
	return r, err
}

// call runs a FilePath callable.
func (t *durableTask) call(ctx context.Context, name, path string, fill func(callable *jser.Object)) (jser.Value, error) {
	return t.c.file(ctx, name, path, fill)
}

func (t *durableTask) launch(ctx context.Context, script string, o ShOptions) error {
	agent, err := t.c.remoteEnv(ctx)
	if err != nil {
		return err
	}
	step := func(name, path string, fill func(*jser.Object)) {
		if err == nil {
			_, err = t.call(ctx, name, path, fill)
		}
	}
	step("GetAgentInfo", t.n.RemoteFS(), nil)
	step("Mkdirs", t.b.workspace, nil)
	step("Mkdirs", t.dir, nil)
	file := t.dir + "/script.sh"
	step("Write", file, func(c *jser.Object) { set(c, "content", script) })
	if strings.HasPrefix(script, "#!") {
		step("Chmod", file, func(c *jser.Object) { set(c, "mask", int32(0o755)) })
	}
	if err != nil {
		return err
	}
	env := t.n.env(t.b, agent, o.Env)
	env["JENKINS_SERVER_COOKIE"] = "please-do-not-kill-me"
	name := "LaunchDurable"
	if o.ReturnStdout {
		name = "LaunchDurableStdout"
	}
	listener := t.c.open(t.log)
	t.proc, err = t.c.launch(ctx, name, func(l *jser.Object) {
		setList(l.Obj("cmd"), t.commandLine(l, script))
		set(l, "env", envArray(l, env))
		set(l, "workDir", t.b.workspace)
		putListener(l.Obj("listener"), listener)
	})
	_, lerr := listener.close()
	return errors.Join(err, lerr)
}

// putListener makes every RemoteOutputStream of a CloseableTaskListener name
// the same stream.
func putListener(l *jser.Object, s *sink) {
	for _, f := range []string{"closeDelegate", "mainDelegate"} {
		if d := l.Obj(f); d != nil {
			s.put(d.Obj("ros"))
		}
	}
}

// commandLine fills the recorded wrapper in (BourneShellScript.launchWithCookie):
// directory, cookie and, for a script with its own interpreter, no `sh -xe`.
func (t *durableTask) commandLine(l *jser.Object, script string) []string {
	cmd, err := jser.Strings(l.Get("cmd"))
	if err != nil || len(cmd) == 0 {
		panic(fmt.Sprintf("controller: the recorded launch has no command: %v", err))
	}
	line := cmd[len(cmd)-1]
	dir := between(line, "cp '", "/script.sh'")
	line = strings.ReplaceAll(line, dir, strings.ReplaceAll(t.dir, "'", `'\''`))
	line = strings.ReplaceAll(line, between(line, "jsc=", ";"), t.cookie)
	if strings.HasPrefix(script, "#!") {
		line = strings.Replace(line, "'sh' -xe ", "", 1)
	}
	return append(cmd[:len(cmd)-1:len(cmd)-1], line)
}

func between(s, from, to string) string {
	_, s, _ = strings.Cut(s, from)
	s, _, _ = strings.Cut(s, to)
	return s
}

// poll follows the script until its exit code is there.
func (t *durableTask) poll(ctx context.Context) (r Result, err error) {
	delay := minPoll
	var killed time.Time
	var cause error
	stopped := ctx.Done()
	work := context.WithoutCancel(ctx)
	for {
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-stopped:
			timer.Stop()
			killed, cause, stopped, delay = time.Now(), context.Cause(ctx), nil, minPoll
			if err := t.kill(work); err != nil && !errors.Is(err, ErrOffline) {
				return r, err
			}
			continue
		}
		r.Polls++
		grew, status, err := t.check(work)
		switch {
		case errors.Is(err, ErrOffline):
			if err := t.reconnect(ctx); err != nil {
				return r, err
			}
			continue
		case err != nil:
			return r, err
		case status != nil:
			r.ExitCode = int(*status)
			err := t.again(work, func() error { _, err := t.writeLog(work); return err })
			return r, errors.Join(cause, err)
		case cause != nil && time.Since(killed) > stopGrace:
			return r, errors.Join(cause, ErrNotStopped)
		}
		if grew {
			delay = minPoll
		} else {
			delay = min(time.Duration(float64(delay)*pollBackoff), maxPoll)
		}
	}
}

// again repeats a call whose connection is lost, on the next one.
func (t *durableTask) again(ctx context.Context, call func() error) error {
	for {
		err := call()
		if !errors.Is(err, ErrOffline) {
			return err
		}
		if err := t.reconnect(ctx); err != nil {
			return err
		}
	}
}

// reconnect waits for the node and goes on with its new connection.
func (t *durableTask) reconnect(ctx context.Context) error {
	c, err := t.n.channel(ctx)
	if err != nil {
		return err
	}
	t.c = c
	return nil
}

// check looks once: the workspace, the log, the exit code.
func (t *durableTask) check(ctx context.Context) (grew bool, status *int32, err error) {
	if v, err := t.call(ctx, "IsDirectory", t.b.workspace, nil); err != nil {
		return false, nil, err
	} else if there, _ := jser.Unbox(v).(bool); !there {
		return false, nil, fmt.Errorf("controller: the workspace %s is gone", t.b.workspace)
	}
	if grew, err = t.writeLog(ctx); err != nil {
		return grew, nil, err
	}
	v, err := t.call(ctx, "StatusCheck", t.dir+"/jenkins-result.txt", nil)
	if code, ok := jser.Unbox(v).(int32); ok {
		status = &code
	}
	return grew, status, err
}

// writeLog fetches what the log has beyond location.
func (t *durableTask) writeLog(ctx context.Context) (grew bool, err error) {
	if _, err := t.c.call(ctx, "TranscodingCharset", nil); err != nil {
		return false, err
	}
	s := t.c.open(t.log)
	_, err = t.call(ctx, "WriteLog", t.dir+"/jenkins-log.txt", func(c *jser.Object) {
		set(c, "lastLocation", t.location)
		s.put(c.Obj("sink"))
	})
	n, serr := s.close()
	t.location += n
	if err == nil && !errors.Is(serr, ErrOffline) {
		err = serr
	}
	return n > 0, err
}

// kill ends the processes of the script (FileMonitoringController.stop).
func (t *durableTask) kill(ctx context.Context) error {
	if _, err := t.call(ctx, "IsDirectory", t.b.workspace, nil); err != nil {
		return err
	}
	return t.c.killTask(ctx, "JENKINS_SERVER_COOKIE", t.cookie)
}

func (t *durableTask) output(ctx context.Context) (string, error) {
	v, err := t.call(ctx, "GetOutput", t.dir+"/output.txt", nil)
	if err != nil {
		return "", err
	}
	b, ok := jser.Bytes(v)
	if !ok && v != nil {
		return "", &jser.TypeError{Want: "the output", Got: v}
	}
	return string(b), nil
}
