package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson"
)

// Watching the agent (-http, off unless asked for):
//
//	/livez    200 while the process answers
//	/readyz   200 while a controller is connected and work is taken, else 503
//	/metrics  Prometheus text, see metrics.go
//	/debug/pprof/{heap,goroutine,profile}   with -pprof
//
// It binds to loopback unless the address says otherwise: containers of a pod
// share that, the network does not. `jenkins-agent health` asks it, for images
// and probes that can only run a command.

// httpEnv holds the address for -http and for health.
const httpEnv = "JENKINS_AGENT_HTTP"

// watchAddress is where -http binds. A port alone, or :PORT, means loopback;
// *:PORT and an address mean what they say.
func watchAddress(s string) (string, error) {
	if _, err := strconv.Atoi(s); err == nil {
		s = ":" + s
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", usagef("-http %q: write :8080 for loopback or *:8080 for every interface", s)
	}
	switch host {
	case "":
		host = "127.0.0.1"
	case "*":
		host = ""
	}
	return net.JoinHostPort(host, port), nil
}

// watch knows what /metrics tells. Safe for concurrent use.
type watch struct {
	calls   *callable.Table
	builds  *hudson.Agent
	relays  bool // what is not native goes to the companion
	pprof   bool
	started time.Time

	mu        sync.Mutex // guards the fields below
	current   *remoting.Channel
	online    bool
	leaving   bool
	episodes  int64
	since     time.Time // of the newest change of online
	past      traffic   // of the channels before current
	extra     []func(io.Writer) error
	protocols map[string]int64
	rtt       histogram
}

// newWatch is nil unless somebody wants to watch.
func (a *agent) newWatch() *watch {
	if a.o.http == "" {
		return nil
	}
	return &watch{calls: a.calls, builds: a.builds, relays: a.o.companion != "off", pprof: a.o.pprof, started: time.Now()}
}

// observe starts what -http and -spot ask for; both end with ctx.
func (a *agent) observe(ctx context.Context) error {
	if a.watch != nil {
		if err := a.watch.serve(ctx, a.o.http, a.log); err != nil {
			return err
		}
	}
	go a.sayWhere(ctx, os.Getenv) // a slow endpoint delays nothing
	return a.watchSpot(ctx)
}

// traffic is remoting.Stats summed up over channels.
type traffic struct{ commandsIn, commandsOut, bytesIn, bytesOut, stalls int64 }

func (t traffic) plus(s *remoting.Stats) traffic {
	return traffic{t.commandsIn + s.CommandsIn.Load(), t.commandsOut + s.CommandsOut.Load(),
		t.bytesIn + s.BytesIn.Load(), t.bytesOut + s.BytesOut.Load(), t.stalls + s.Stalls.Load()}
}

// connected is for Engine.Online.
func (w *watch) connected(ch *remoting.Channel, protocol string) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil {
		w.past = w.past.plus(w.current.Stats())
	}
	if w.protocols == nil {
		w.protocols = map[string]int64{}
	}
	w.protocols[protocol]++
	w.current, w.online, w.since = ch, true, time.Now()
	w.episodes++
}

// pong is for WebSocket.OnPong.
func (w *watch) pong(rtt time.Duration) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rtt.add(rtt)
}

// disconnected is for Engine.Offline.
func (w *watch) disconnected() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.online, w.since = false, time.Now()
}

// leave is for the beginning of the end: no new work is taken.
func (w *watch) leave() {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.leaving = true
}

// ready is nil while the agent takes work.
func (w *watch) ready() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.leaving:
		return errors.New("stopping: no new work is taken")
	case w.online:
		return nil
	case w.since.IsZero():
		return errors.New("not connected yet")
	}
	return fmt.Errorf("not connected since %s", w.since.Format(time.RFC3339))
}

// listenAgain is how long a port that is taken is left alone: a build may have it,
// which shares the network of a pod, or the agent before this one.
var listenAgain = 5 * time.Second

// serve listens at addr, which watchAddress made, until ctx ends. A port that is
// taken is no reason not to build: serve tries again.
func (w *watch) serve(ctx context.Context, addr string, log *slog.Logger) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		log.Warn("-http: is the port taken by another agent or a build? Trying again", "every", listenAgain, "err", err)
		go func() {
			if l := listenLater(ctx, addr); l != nil {
				w.answer(ctx, l, log)
			}
		}()
		return nil
	}
	if err != nil {
		return fmt.Errorf("-http: %w", err)
	}
	w.answer(ctx, l, log)
	return nil
}

// listenLater returns nil when ctx ends first.
func listenLater(ctx context.Context, addr string) net.Listener {
	t := time.NewTicker(listenAgain)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		if l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr); err == nil {
			return l
		}
	}
}

// answer serves in the background until ctx ends.
func (w *watch) answer(ctx context.Context, l net.Listener, log *slog.Logger) {
	srv := &http.Server{Handler: w, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 90 * time.Second, MaxHeaderBytes: 16 << 10}
	log.Info("Answering /livez, /readyz and /metrics", "at", l.Addr().String())
	go func() {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are no longer served", "err", err)
		}
	}()
	context.AfterFunc(ctx, func() { srv.Close() })
}

// ServeHTTP implements http.Handler.
func (w *watch) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.Error(rw, "only GET", http.StatusMethodNotAllowed)
		return
	}
	profile, isProfile := strings.CutPrefix(r.URL.Path, "/debug/pprof/")
	switch {
	case r.URL.Path == "/livez":
		fmt.Fprintln(rw, "ok")
	case r.URL.Path == "/readyz":
		if err := w.ready(); err != nil {
			http.Error(rw, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(rw, "ok")
	case r.URL.Path == "/metrics":
		rw.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = w.writeMetrics(rw) // the client went away
	case isProfile && w.pprof:
		w.profile(rw, r, profile)
	default:
		http.NotFound(rw, r)
	}
}

// maxProfile bounds /debug/pprof/profile?seconds=N.
const maxProfile = time.Minute

func (w *watch) profile(rw http.ResponseWriter, r *http.Request, name string) {
	rw.Header().Set("Content-Type", "application/octet-stream")
	if name == "profile" {
		d := 10 * time.Second
		if n, err := strconv.Atoi(r.FormValue("seconds")); err == nil && n > 0 {
			d = min(time.Duration(n)*time.Second, maxProfile)
		}
		if err := pprof.StartCPUProfile(rw); err != nil {
			http.Error(rw, err.Error(), http.StatusConflict)
			return
		}
		defer pprof.StopCPUProfile()
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		return
	}
	p := pprof.Lookup(name)
	if p == nil {
		http.NotFound(rw, r)
		return
	}
	debug, _ := strconv.Atoi(r.FormValue("debug"))
	_ = p.WriteTo(rw, debug) // the client went away
}

// healthCommand is for HEALTHCHECK and exec probes.
func healthCommand() *cli.Command {
	return &cli.Command{
		Name:  "health",
		Usage: "ask the agent at -http, for HEALTHCHECK and probes that run a command",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "http", Usage: "`ADDRESS` given to the agent's -http", EnvVars: []string{httpEnv}},
			&cli.BoolFlag{Name: "ready", Usage: "ask whether a controller is connected, too"},
		},
		Action: func(c *cli.Context) error {
			if c.String("http") == "" {
				// An image can't know whether its agent is watched.
				_, err := fmt.Fprintln(c.App.Writer, "nothing to ask: "+httpEnv+" is not set")
				return err
			}
			addr, err := watchAddress(c.String("http"))
			if err != nil {
				return err
			}
			if strings.HasPrefix(addr, ":") {
				addr = "127.0.0.1" + addr
			}
			path := "/livez"
			if c.Bool("ready") {
				path = "/readyz"
			}
			client := &http.Client{Timeout: 4 * time.Second, Transport: &http.Transport{}} // no proxy
			resp, err := client.Get("http://" + addr + path)
			if err != nil {
				return fmt.Errorf("health: %w", err)
			}
			defer resp.Body.Close()
			said, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("health: %s", strings.TrimSpace(string(said)))
			}
			_, err = c.App.Writer.Write(said)
			return err
		},
	}
}
