package hudson

import (
	"context"
	"io"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/exec/container"
	"github.com/footman-ci/footman/remoting"
)

// contained is a process of another container of the pod.
type contained struct{ *container.Process }

// startContained runs spec there. Every error is an IOException, as one of a
// local start is.
func startContained(ctx context.Context, r *container.Router, name string, spec exec.Spec) (Process, error) {
	p, err := r.Start(ctx, name, spec)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, remoting.Errorf(remoting.IOExceptionClass, "%s", err)
	}
	return contained{p}, nil
}

func (c contained) Stdin() io.WriteCloser { return c.StdinPipe() }

func (c contained) Stdout() Output {
	if p := c.StdoutPipe(); p != nil {
		return p
	}
	return nil
}

// killContained kills in the other containers while the caller does so here; the
// function it returns waits for that.
func (a *Agent) killContained(ctx context.Context, model map[string]string) func() {
	if a.Containers == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, err := a.Containers.Kill(ctx, model); err != nil {
			a.logger().Warn("processes of a step in other containers can't be killed", "err", err)
		}
	}()
	return func() { <-done }
}
