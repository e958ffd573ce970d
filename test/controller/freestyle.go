package controller

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// Freestyle runs one "Execute shell" of a freestyle job: hudson.tasks.Shell
// through Launcher.RemoteLauncher. log gets the output while it runs. When ctx
// ends, the build is aborted as the controller does it: Request$Cancel for the
// pending join.
func (n *Node) Freestyle(ctx context.Context, job, script string, env map[string]string, log io.Writer) (Result, error) {
	start := time.Now()
	c, err := n.channel(ctx)
	if err != nil {
		return Result{}, err
	}
	b := n.newBuild(job)
	if _, err := c.file(ctx, "Mkdirs", b.workspace, nil); err != nil {
		return Result{}, err
	}
	v, err := c.file(ctx, "CreateTextTempFile", b.workspace, func(o *jser.Object) { set(o, "contents", script) })
	if err != nil {
		return Result{}, err
	}
	file, _ := v.(string)
	r, err := n.runShell(ctx, c, b, file, env, log)
	r.Took = time.Since(start)

	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if _, derr := c.file(clean, "Delete", file, nil); err == nil {
		err = derr
	}
	if kerr := c.killTaskEnv(clean, map[string]string{
		"BUILD_ID": "1", "BUILD_NUMBER": "1", "BUILD_TAG": "jenkins-" + b.job + "-1", "HUDSON_SERVER_COOKIE": n.c.cookie,
		"JENKINS_SERVER_COOKIE": n.c.cookie, "JOB_BASE_NAME": b.job, "JOB_NAME": b.job,
	}); err == nil {
		err = kerr
	}
	return r, err
}

func (n *Node) runShell(ctx context.Context, c *conn, b build, file string, extra map[string]string, log io.Writer) (r Result, err error) {
	agent, err := c.remoteEnv(ctx)
	if err != nil {
		return r, err
	}
	v, err := c.call(ctx, "Shellinterpreter", nil)
	if err != nil {
		return r, err
	}
	shell, _ := v.(string)
	if log == nil {
		log = io.Discard
	}
	s := c.open(log)
	defer func() {
		var serr error
		if r.LogBytes, serr = s.close(); err == nil {
			err = serr
		}
	}()
	p, err := c.launch(ctx, "LaunchFreestyle", func(l *jser.Object) {
		setList(l.Obj("cmd"), []string{shell, "-xe", file})
		set(l, "env", envArray(l, n.env(b, agent, extra)))
		set(l, "workDir", b.workspace)
		for _, f := range []string{"listener", "stdoutListener"} {
			putStream(l.Obj(f), s)
		}
	})
	if err != nil {
		return r, err
	}
	defer p.release()
	code, err := p.invoke(ctx, "join")
	after := context.WithoutCancel(ctx)
	if _, aerr := p.invoke(after, "isAlive"); err == nil {
		err = aerr
	}
	n32, ok := jser.Unbox(code).(int32)
	if err == nil && !ok {
		err = errors.New("controller: join returned no exit code")
	}
	r.ExitCode = int(n32)
	return r, err
}

// putStream makes the stream of a StreamBuildListener name s: its first free
// object is a RemoteOutputStream.
func putStream(l *jser.Object, s *sink) {
	for i := range l.Data {
		for _, e := range l.Data[i].Extra {
			if o, ok := e.(*jser.Object); ok && o.Class.Name == "hudson.remoting.RemoteOutputStream" {
				s.put(o)
			}
		}
	}
}
