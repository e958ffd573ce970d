package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/footman-ci/footman/test/agentproc"
	"github.com/footman-ci/footman/test/controller"
)

// results are figures by the name of their row; see rows.
type results map[string]float64

// bench measures one kind of agent.
type bench struct {
	c       *controller.Controller
	command []string
	root    string
	s       sizes
	r       results
	started int
}

// measure takes all figures of one kind of agent. What it has is returned with
// an error as well.
func measure(ctx context.Context, label string, command []string, classes controller.ClassSource, s sizes, fleet int) (results, error) {
	root, err := os.MkdirTemp("", "footman-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(root)
	b := &bench{command: command, root: root, s: s, r: results{}}
	b.c = controller.New(controller.Options{MonitorDelay: -1, Classes: classes, Log: slog.New(slog.DiscardHandler)})
	if err := b.c.Start(); err != nil {
		return nil, err
	}
	defer b.c.Close()
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"start", b.starts}, {"work", b.work}, {"fleet", func(ctx context.Context) error { return b.fleet(ctx, fleet) }},
	} {
		fmt.Printf("%s: %s …\n", label, part.name)
		if err := part.run(ctx); err != nil {
			return b.r, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return b.r, nil
}

// agent is a process and its node.
type agent struct {
	*agentproc.Process
	node *controller.Node
	log  bytes.Buffer
}

func (b *bench) start() (*agent, error) {
	b.started++
	name := fmt.Sprintf("agent-%d", b.started)
	dir := filepath.Join(b.root, name)
	a := &agent{node: b.c.Node(name, dir)}
	var err error
	a.Process, err = agentproc.Start(agentproc.Options{Command: b.command, URL: b.c.URL(), Name: name, Secret: a.node.Secret(), WorkDir: dir, Log: &a.log})
	return a, err
}

// online waits for the agent; when it fails, the error has its log.
func (a *agent) online(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-a.Done():
			cancel()
		case <-stop:
		}
	}()
	if err := a.node.WaitOnline(ctx); err != nil {
		_ = a.Stop()
		return fmt.Errorf("%w; its log ends with:\n%s", err, tail(a.log.Bytes(), 2000))
	}
	return nil
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// starts measures the way to online.
func (b *bench) starts(ctx context.Context) error {
	var wall, cpu []float64
	for n := range b.s.starts {
		a, err := b.start()
		if err != nil {
			return err
		}
		if err := a.online(ctx); err != nil {
			return err
		}
		used, err := a.CPU()
		if err != nil {
			return err
		}
		i := a.node.Info()
		wall = append(wall, i.Online.Sub(a.Started).Seconds()*1e3)
		cpu = append(cpu, used.Seconds()*1e3)
		b.r["commands"] = float64(i.UntilOnline.CommandsIn + i.UntilOnline.CommandsOut)
		b.r["bytes"] = float64(i.UntilOnline.BytesIn+i.UntilOnline.BytesOut) / 1e3
		if n == b.s.starts-1 {
			select {
			case <-time.After(b.s.idle):
			case <-ctx.Done():
				return ctx.Err()
			}
			mem, err := a.Memory()
			if err != nil {
				return err
			}
			b.r["idle"], b.r["idle anon"] = mib(mem.PSS), mib(mem.Anonymous)
		}
		if err := a.Stop(); err != nil {
			return err
		}
	}
	b.r["online"], b.r["cpu"] = median(wall), median(cpu)
	return nil
}

func (a *agent) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	a.Settle(ctx)
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}

// work measures one agent under load.
func (b *bench) work(ctx context.Context) (err error) {
	a, err := b.start()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Stop()) }()
	if err := a.online(ctx); err != nil {
		return err
	}
	ping := func(ctx context.Context) error { return a.node.Ping(ctx) }
	exists, err := a.node.RepeatExists(ctx, b.root)
	if err != nil {
		return err
	}
	for _, f := range []func() error{
		func() error { return b.calls(ctx, "warm-up", 1, exists) },
		func() error { return b.calls(ctx, "ping", 1, ping) },
		func() error {
			return b.cpu(a, "exists cpu", func() (float64, error) {
				err := b.calls(ctx, "exists", 1, exists)
				return b.r["exists"] * b.s.calls.Seconds() / 1000, err
			})
		},
		func() error { return b.calls(ctx, "parallel", b.s.workers, exists) },
		func() error { return b.pipes(ctx, a) },
		func() error { return b.stash(ctx, a) },
		func() error { return b.log(ctx, a) },
		func() error { return b.logs(ctx, a) },
	} {
		if err := f(); err != nil {
			return err
		}
	}
	a.settle(ctx)
	mem, err := a.Memory()
	b.r["after"], b.r["after anon"] = mib(mem.PSS), mib(mem.Anonymous)
	return err
}

// calls counts how many calls a second n callers get done.
func (b *bench) calls(ctx context.Context, row string, n int, call func(context.Context) error) error {
	var count atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, n)
	start := time.Now()
	for i := range n {
		wg.Go(func() {
			for time.Since(start) < b.s.calls && errs[i] == nil {
				errs[i] = call(ctx)
				count.Add(1)
			}
		})
	}
	wg.Wait()
	b.r[row] = float64(count.Load()) / time.Since(start).Seconds()
	return errors.Join(errs...)
}

// pipes measures both directions, three times each: the median counts. The file
// stays in the page cache.
func (b *bench) pipes(ctx context.Context, a *agent) error {
	size := int64(b.s.megabytes) * 1e6
	path := a.node.RemoteFS() + "/big.bin"
	for _, p := range []struct {
		row  string
		copy func() (int64, error)
	}{
		{"to agent", func() (int64, error) { return a.node.WritePipe(ctx, path, io.LimitReader(pattern{}, size)) }},
		{"from agent", func() (int64, error) { return a.node.ReadFile(ctx, path, io.Discard) }},
	} {
		var rates, cpus []float64
		for range 3 {
			if err := b.cpu(a, p.row+" cpu", func() (float64, error) {
				start := time.Now()
				n, err := p.copy()
				if err == nil && n != size {
					err = fmt.Errorf("%s: %d of %d bytes came through", p.row, n, size)
				}
				rates = append(rates, float64(size)/1e6/time.Since(start).Seconds())
				return float64(size) / 1e8, err
			}); err != nil {
				return err
			}
			cpus = append(cpus, b.r[p.row+" cpu"])
		}
		b.r[p.row], b.r[p.row+" cpu"] = median(rates), median(cpus)
	}
	return a.node.Delete(ctx, path)
}

// cpu notes how many milliseconds of CPU the agent took for each unit of what f
// did.
func (b *bench) cpu(a *agent, row string, f func() (units float64, err error)) error {
	before, err := a.CPU()
	if err != nil {
		return err
	}
	units, err := f()
	if err != nil {
		return err
	}
	after, err := a.CPU()
	b.r[row] = (after - before).Seconds() * 1e3 / units
	return err
}

type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i * 7)
	}
	return len(p), nil
}

// log measures one durable step with a big log.
func (b *bench) log(ctx context.Context, a *agent) error {
	return b.cpu(a, "log cpu", func() (float64, error) { return 1, step(ctx, a.node, 0, b.s.lines) })
}

// logs runs many of them at the same time and watches the memory.
func (b *bench) logs(ctx context.Context, a *agent) error {
	before, err := a.CPU()
	if err != nil {
		return err
	}
	errs := make([]error, b.s.parallel)
	var wg sync.WaitGroup
	start := time.Now()
	for i := range errs {
		wg.Go(func() { errs[i] = step(ctx, a.node, i, b.s.lines) })
	}
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		var most int64
		for {
			if m, err := a.Memory(); err == nil {
				most = max(most, m.PSS)
			}
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	wg.Wait()
	close(stop)
	b.r["logs"], b.r["peak"] = time.Since(start).Seconds(), mib(<-peak)
	after, err := a.CPU()
	b.r["logs cpu"] = (after - before).Seconds() * 1e3
	return errors.Join(append(errs, err)...)
}

// step runs a script with a numbered log and checks each line.
func step(ctx context.Context, n *controller.Node, id, lines int) error {
	check := controller.NewLineCheck(fmt.Sprintf("step %02d line ", id), lines)
	r, err := n.Sh(ctx, fmt.Sprintf("#!/bin/sh\nseq -f 'step %02d line %%06.0f' 1 %d", id, lines), controller.ShOptions{Job: fmt.Sprintf("log-%d", id), Log: check})
	if err == nil && r.ExitCode != 0 {
		err = fmt.Errorf("exit code %d", r.ExitCode)
	}
	return errors.Join(err, check.Done())
}

// fleet starts many agents at once.
func (b *bench) fleet(ctx context.Context, n int) error {
	if n == 0 {
		return nil
	}
	start := time.Now()
	var agents []*agent
	var err error
	defer func() {
		var wg sync.WaitGroup
		for _, a := range agents {
			wg.Go(func() { _ = a.Stop() })
		}
		wg.Wait()
	}()
	for range n {
		a, err := b.start()
		if err != nil {
			return err
		}
		agents = append(agents, a)
	}
	for _, a := range agents {
		if err := a.online(ctx); err != nil {
			return err
		}
	}
	b.r["fleet size"], b.r["fleet"] = float64(n), time.Since(start).Seconds()
	agents[n-1].settle(ctx)
	var total int64
	for _, a := range agents {
		mem, err := a.Memory()
		if err != nil {
			return err
		}
		total += mem.PSS
	}
	b.r["fleet memory"] = mib(total)
	return err
}
