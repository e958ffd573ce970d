package fault

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/hudson"
	"github.com/footman-ci/footman/remoting/transport"
	"github.com/footman-ci/footman/test/controller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// setting reads a size from the environment, for longer runs.
func setting(name string, normal int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return normal
}

// rig is a controller, a proxy in front of it, and an agent that only knows the
// proxy.
type rig struct {
	c     *controller.Controller
	node  *controller.Node
	proxy *Proxy
	conns atomic.Int32 // connections of the agent
	back  chan time.Time
}

// wires are the ways to connect.
var wires = map[string]func(r *rig, ping, silence time.Duration) func(context.Context) (*transport.Conn, error){
	"WebSocket": func(r *rig, ping, silence time.Duration) func(context.Context) (*transport.Conn, error) {
		w := &transport.WebSocket{URL: "http://" + r.proxy.Addr() + "/", Name: r.node.Name(), Secret: r.node.Secret(),
			PingInterval: ping, ReadTimeout: silence, Cookies: &transport.Cookies{}, OwnCookie: true}
		return w.Dial
	},
	"TCP": func(r *rig, _, silence time.Duration) func(context.Context) (*transport.Conn, error) {
		t := &transport.TCP{Direct: r.proxy.Addr(), InstanceIdentity: r.c.InstanceIdentity(), Name: r.node.Name(), Secret: r.node.Secret(),
			ReadTimeout: silence, Cookies: &transport.Cookies{}}
		return t.Dial
	},
}

// start brings an agent online through the proxy.
func start(t *testing.T, wire string, o controller.Options, ping, silence time.Duration) *rig {
	o.TCP, o.MonitorDelay = true, -1
	r := &rig{c: controller.New(o), back: make(chan time.Time, 1024)}
	require.NoError(t, r.c.Start())
	t.Cleanup(func() { _ = r.c.Close() })
	target := r.c.TCPAddr()
	if wire == "WebSocket" {
		u, err := url.Parse(r.c.URL())
		require.NoError(t, err)
		target = u.Host
	}
	var err error
	r.proxy, err = NewProxy(target)
	require.NoError(t, err)
	t.Cleanup(r.proxy.Close)
	root := t.TempDir()
	r.node = r.c.Node("agent", root)
	dial := wires[wire](r, ping, silence)
	engine := &remoting.Engine{
		Dial: func(ctx context.Context) (remoting.Connection, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Permanent: transport.IsPermanent,
		Channel:   remoting.Config{Handler: hudson.NewTable(&hudson.Agent{Version: "3352.v17a_fb_4b_2773f", WorkDir: root, Environ: os.Environ()})},
		Online: func(*remoting.Channel, remoting.Connection) {
			r.conns.Add(1)
			r.back <- time.Now()
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = engine.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	wait, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	require.NoError(t, r.node.WaitOnline(wait))
	<-r.back
	return r
}

// counter counts the lines that pass to a checker and tells of progress.
type counter struct {
	next  *controller.LineCheck
	mu    sync.Mutex // guards the fields below
	lines int
	wake  chan struct{}
}

func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range p {
		if b == '\n' {
			c.lines++
		}
	}
	close(c.wake)
	c.wake = make(chan struct{})
	return c.next.Write(p)
}

// reach waits for that many lines.
func (c *counter) reach(n int, done <-chan struct{}) bool {
	for {
		c.mu.Lock()
		lines, wake := c.lines, c.wake
		c.mu.Unlock()
		if lines >= n {
			return true
		}
		select {
		case <-wake:
		case <-done:
			return false
		}
	}
}

// Cuts of every kind, at any byte, while a durable sh streams its log: each
// line arrives once and in order. FAULT_LINES=1000000 FAULT_CUTS=100 is the
// long run.
func TestCutsLoseNothing(t *testing.T) {
	lines, cuts := setting("FAULT_LINES", 100_000), setting("FAULT_CUTS", 25)
	for wire := range wires {
		t.Run(wire, func(t *testing.T) {
			t.Parallel()
			r := start(t, wire, controller.Options{}, 200*time.Millisecond, 1500*time.Millisecond)
			check := controller.NewLineCheck("line", lines)
			log := &counter{next: check, wake: make(chan struct{})}
			done := make(chan struct{})
			var result controller.Result
			var shErr error
			go func() {
				defer close(done)
				// In pieces, so that it lasts while the connection is cut.
				script := fmt.Sprintf("#!/bin/sh\nawk 'BEGIN { for (i = 1; i <= %d; i++) { printf \"line%%06d\\n\", i; if (i %% %d == 0) { fflush(); system(\"sleep 0.2\") } } }'",
					lines, max(1, lines/(2*cuts)))
				result, shErr = r.node.Sh(context.Background(), script, controller.ShOptions{Log: log})
			}()
			rnd := rand.New(rand.NewPCG(1, uint64(len(wire))))
			var times []time.Duration
		cutting:
			for i := range cuts {
				if !log.reach((i+1)*lines/(cuts+2), done) {
					break
				}
				kind := Kind(rnd.IntN(int(kinds)))
				at := rnd.Int64N(20_000)
				r.proxy.CutAfter(kind, at)
				began := time.Now()
				select {
				case back := <-r.back:
					if kind != BlackHole { // that one is noticed by silence
						times = append(times, back.Sub(began))
					}
				case <-done: // fewer bytes were left than the cut waited for
					break cutting
				case <-time.After(60 * time.Second):
					t.Fatalf("cut %d (%s after %d bytes): the agent did not come back", i, kind, at)
				}
			}
			<-done
			require.NoError(t, shErr)
			require.Zero(t, result.ExitCode)
			require.NoError(t, check.Done())
			slices.Sort(times)
			require.NotEmpty(t, times)
			t.Logf("%s: %d lines, %d connections, back after %v (median of %d, from arming the cut), slowest %v",
				wire, lines, r.conns.Load(), times[len(times)/2].Round(time.Millisecond), len(times), times[len(times)-1].Round(time.Millisecond))
		})
	}
}

// A black hole is noticed by silence, and the agent is back when the network is.
func TestBlackHole(t *testing.T) {
	for wire := range wires {
		t.Run(wire, func(t *testing.T) {
			t.Parallel()
			r := start(t, wire, controller.Options{PingInterval: 100 * time.Millisecond, RemotePing: 100 * time.Millisecond}, 100*time.Millisecond, 400*time.Millisecond)
			r.proxy.Hole(true)
			wait, stop := context.WithTimeout(t.Context(), 30*time.Second)
			defer stop()
			before := r.proxy.Accepted()
			for r.proxy.Accepted() == before { // it tries again, into the hole
				require.NoError(t, wait.Err())
				time.Sleep(5 * time.Millisecond)
			}
			r.proxy.Hole(false)
			r.proxy.Cut(RST) // the attempt in the hole
			began := time.Now()
			select {
			case back := <-r.back:
				t.Logf("%s: back %v after the network", wire, back.Sub(began).Round(time.Millisecond))
			case <-wait.Done():
				t.Fatal("the agent did not come back")
			}
		})
	}
}

// The agent's own pings keep a flow alive that a load balancer would kill after
// 60 s, at 1/20 of the time: for 5 minutes, or FAULT_IDLE seconds.
func TestIdleFlowsAreKeptAlive(t *testing.T) {
	t.Parallel()
	const scale = 20
	idle := time.Duration(setting("FAULT_IDLE", 300)) * time.Second
	r := start(t, "WebSocket", controller.Options{PingInterval: -1}, 20*time.Second/scale, -1)
	r.proxy.KillIdle(60 * time.Second / scale)
	time.Sleep(idle / scale) // nothing happens: that is the test
	require.EqualValues(t, 1, r.conns.Load())
	require.NoError(t, r.node.Ping(t.Context()))
}

// Attempts that are refused or cut inside their handshake are repeated.
func TestBrokenHandshakes(t *testing.T) {
	for wire := range wires {
		t.Run(wire, func(t *testing.T) {
			t.Parallel()
			r := start(t, wire, controller.Options{}, 0, 0)
			rnd := rand.New(rand.NewPCG(2, uint64(len(wire))))
			for range 5 {
				r.proxy.Cut(RST)
				r.proxy.CutAfter(Kind(rnd.IntN(2)), rnd.Int64N(600))
				select {
				case <-r.back:
				case <-time.After(60 * time.Second):
					t.Fatal("the agent did not come back")
				}
			}
			wait, stop := context.WithTimeout(t.Context(), 30*time.Second)
			defer stop()
			require.NoError(t, r.node.WaitOnline(wait))
		})
	}
}

// The proxy itself is transparent while nothing is broken.
func TestProxyIsTransparent(t *testing.T) {
	r := start(t, "WebSocket", controller.Options{}, 0, 0)
	r.proxy.Slow(time.Millisecond, 1<<20)
	var got countWriter
	path := r.node.RemoteFS() + "/file"
	require.NoError(t, r.node.WriteFile(t.Context(), path, "0123456789"))
	_, err := r.node.ReadFile(t.Context(), path, &got)
	require.NoError(t, err)
	require.EqualValues(t, 10, got)
}

type countWriter int

func (c *countWriter) Write(p []byte) (int, error) { *c += countWriter(len(p)); return len(p), nil }

var _ io.Writer = (*countWriter)(nil)
