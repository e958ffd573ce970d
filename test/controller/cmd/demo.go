package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/footman-ci/footman/test/agentproc"
	"github.com/footman-ci/footman/test/controller"
)

// demo is one run of the demo: what it found goes into tables at the end.
type demo struct {
	node  *controller.Node
	proc  *agentproc.Process
	out   *console
	steps [][]string
	idle  agentproc.Memory
}

func runDemo(ctx context.Context, o controller.Options, agent string) error {
	begin := time.Now()
	if _, err := os.Stat(agent); err != nil {
		return fmt.Errorf("no agent at %s: build it with `make build`, or name one with -agent (%w)", agent, err)
	}
	root, err := os.MkdirTemp("", "footman-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	c := controller.New(o)
	if err := c.Start(); err != nil {
		return err
	}
	defer c.Close()
	d := &demo{node: c.Node("demo-1", root), out: newConsole(os.Stdout)}
	d.out.title("A controller and an agent, two processes")
	d.out.fact("controller", "%s  pid %d", c.URL(), os.Getpid())
	logFile, err := os.Create(filepath.Join(root, "agent.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	d.proc, err = agentproc.Start(agentproc.Options{Command: []string{agent}, URL: c.URL(), Name: d.node.Name(), Secret: d.node.Secret(),
		WorkDir: root, Log: logFile})
	if err != nil {
		return err
	}
	defer func() { _ = d.proc.Stop() }()
	d.out.fact("agent", "%s  pid %d", d.proc.CommandLine(), d.proc.PID())
	if err := d.online(ctx); err != nil {
		log, _ := os.ReadFile(logFile.Name())
		return fmt.Errorf("%w\nthe agent's log:\n%s", err, log)
	}
	if err := d.pipeline(ctx); err != nil {
		return err
	}
	return d.summary(ctx, begin)
}

func (d *demo) online(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	go func() {
		select {
		case <-d.proc.Done():
			cancel() // it gave up: don't wait
		case <-ctx.Done():
		}
	}()
	if err := d.node.WaitOnline(ctx); err != nil {
		return fmt.Errorf("the agent did not come online: %w", err)
	}
	if err := d.node.RunMonitors(ctx); err != nil {
		return err
	}
	i := d.node.Info()
	d.out.fact("online", "after %s: %s, Remoting %s, %s", ms(i.Online.Sub(d.proc.Started)), i.Protocol, i.Version, i.Monitors["GetArchTask"])
	d.proc.Settle(ctx)
	var err error
	d.idle, err = d.proc.Memory()
	return err
}

// step runs one step and notes how it went.
func (d *demo) step(name string, f func(w io.Writer) (note string, err error)) error {
	d.out.step(name)
	start := time.Now()
	w := d.out.prefixed("")
	note, err := f(w)
	_ = w.Close()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	took := time.Since(start)
	d.out.result("%s (%s)", note, ms(took))
	d.steps = append(d.steps, []string{name, note, ms(took)})
	return nil
}

func (d *demo) sh(ctx context.Context, script string, o controller.ShOptions, want int) (controller.Result, error) {
	o.Job = "hello"
	r, err := d.node.Sh(ctx, script, o)
	if err == nil && r.ExitCode != want {
		err = fmt.Errorf("exit code %d, want %d", r.ExitCode, want)
	}
	return r, err
}

// pipeline is the build that the demo shows; it ends with the first step that
// does not do what it should.
func (d *demo) pipeline(ctx context.Context) error {
	type action = func(w io.Writer) (note string, err error)
	for _, s := range []struct {
		name string
		run  action
	}{
		{"sh, live output", func(w io.Writer) (string, error) {
			_, err := d.sh(ctx, "echo building $JOB_NAME on $NODE_NAME\nfor part in core web docs; do sleep 0.3; echo compiled $part; done", controller.ShOptions{Log: w}, 0)
			return "exit code 0", err
		}},
		{"sh, returnStdout", func(w io.Writer) (string, error) {
			r, err := d.sh(ctx, "uname -sm", controller.ShOptions{Log: w, ReturnStdout: true}, 0)
			return fmt.Sprintf("returned %q", r.Stdout), err
		}},
		{"parallel, 4 × sh", d.parallel(ctx)},
		{"writeFile, readFile", d.files(ctx)},
		{"stash, unstash", d.stash(ctx)},
		{"sh, 100 000 lines", func(io.Writer) (string, error) {
			count := &lineCounter{}
			r, err := d.sh(ctx, "#!/bin/sh\nseq -f 'line %06g of a long log' 100000", controller.ShOptions{Log: count}, 0)
			if err == nil && count.lines != 100_000 {
				err = fmt.Errorf("%d lines arrived", count.lines)
			}
			return fmt.Sprintf("%d lines, %.1f MB", count.lines, float64(r.LogBytes)/1e6), err
		}},
		{"sh that fails", func(w io.Writer) (string, error) {
			r, err := d.sh(ctx, "ls /no/such/file || exit 7", controller.ShOptions{Log: w}, 7)
			return fmt.Sprintf("exit code %d", r.ExitCode), err
		}},
		{"timeout of 1 s", func(w io.Writer) (string, error) {
			limited, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			r, err := d.node.Sh(limited, "sleep 60", controller.ShOptions{Job: "hello", Log: w})
			if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
				err = nil
			}
			return fmt.Sprintf("killed, exit code %d", r.ExitCode), err
		}},
		{"freestyle shell", func(w io.Writer) (string, error) {
			r, err := d.node.Freestyle(ctx, "free", "echo hello from a freestyle job", nil, w)
			return fmt.Sprintf("exit code %d", r.ExitCode), err
		}},
	} {
		if err := d.step(s.name, s.run); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) parallel(ctx context.Context) func(io.Writer) (string, error) {
	return func(io.Writer) (string, error) {
		names := []string{"unit", "lint", "docs", "e2e"}
		errs := make([]error, len(names))
		var wg sync.WaitGroup
		for i, name := range names {
			wg.Go(func() {
				w := d.out.prefixed("[" + name + "] ")
				defer w.Close()
				_, errs[i] = d.sh(ctx, fmt.Sprintf("#!/bin/sh\nfor n in 1 2; do sleep 0.%d; echo %s $n of 2; done", i+1, name), controller.ShOptions{Log: w}, 0)
			})
		}
		wg.Wait()
		return fmt.Sprintf("%d branches", len(names)), errors.Join(errs...)
	}
}

func (d *demo) files(ctx context.Context) func(io.Writer) (string, error) {
	return func(io.Writer) (string, error) {
		path := d.node.RemoteFS() + "/workspace/hello/notes.txt"
		text := "grüße from the controller\n" + strings.Repeat("0123456789abcde\n", 1<<16)
		if err := d.node.WriteFile(ctx, path, text); err != nil {
			return "", err
		}
		var got bytes.Buffer
		if _, err := d.node.ReadFile(ctx, path, &got); err != nil {
			return "", err
		}
		if got.String() != text {
			return "", errors.New("what came back differs")
		}
		return fmt.Sprintf("%.1f MB there and back, the same", float64(got.Len())/1e6), nil
	}
}

func (d *demo) stash(ctx context.Context) func(io.Writer) (string, error) {
	return func(io.Writer) (string, error) {
		dir := d.node.RemoteFS() + "/workspace/hello"
		var tar, got, want bytes.Buffer
		n, err := d.node.Stash(ctx, dir, "notes.txt", &tar)
		var remote *controller.RemoteError
		if errors.As(err, &remote) && strings.Contains(remote.Message, "not implemented natively") {
			return "left out: this agent has no archives yet", nil
		}
		size := tar.Len()
		if err == nil {
			err = d.node.Unstash(ctx, dir+"/copy", &tar)
		}
		if err == nil {
			_, err = d.node.ReadFile(ctx, dir+"/copy/notes.txt", &got)
		}
		if err == nil {
			_, err = d.node.ReadFile(ctx, dir+"/notes.txt", &want)
		}
		if err == nil && sha256.Sum256(got.Bytes()) != sha256.Sum256(want.Bytes()) {
			err = errors.New("what came back differs")
		}
		return fmt.Sprintf("%d file, %d bytes of tar.gz", n, size), err
	}
}

func (d *demo) summary(ctx context.Context, begin time.Time) error {
	d.proc.Settle(ctx)
	after, err := d.proc.Memory()
	if err != nil {
		return err
	}
	cpu, err := d.proc.CPU()
	if err != nil {
		return err
	}
	i, total := d.node.Info(), d.node.Stats()
	u := i.UntilOnline
	d.out.title("Steps")
	d.out.table(append([][]string{{"step", "outcome", "time"}}, d.steps...))
	d.out.title("The agent")
	d.out.table([][]string{
		{"exec to online", ms(i.Online.Sub(d.proc.Started)), ""},
		{"on the wire until online", fmt.Sprintf("%d commands", u.CommandsIn+u.CommandsOut), fmt.Sprintf("%.1f kB", float64(u.BytesIn+u.BytesOut)/1e3)},
		{"on the wire in all", fmt.Sprintf("%d commands", total.CommandsIn+total.CommandsOut), fmt.Sprintf("%.1f MB", float64(total.BytesIn+total.BytesOut)/1e6)},
		{"memory (PSS) idle", mib(d.idle.PSS), mib(d.idle.Anonymous) + " of it heap and stacks"},
		{"memory (PSS) after work", mib(after.PSS), mib(after.Anonymous) + " of it heap and stacks"},
		{"CPU in all", ms(cpu), ""},
		{"the whole demo", ms(time.Since(begin)), ""},
	})
	return nil
}

func ms(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

type lineCounter struct{ lines int }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}
