package controller

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting/wire"
)

// Options tune a Controller; the zero value is ready to use.
type Options struct {
	Listen string // host:port of HTTP; default 127.0.0.1:0
	TCP    bool   // open a TCP port for JNLP4-connect as well
	// TCPListen is host:port of that port; default 127.0.0.1:0.
	TCPListen string
	// PingInterval is the time between WebSocket pings; default 30 s, negative
	// for none.
	PingInterval time.Duration
	// RemotePing is what SetUpRemotePing tells the agent: the time between the
	// pings of the channel, and how long each may take. Default 300 s and 240 s.
	RemotePing, RemotePingTimeout time.Duration
	// MonitorDelay is the time from online to the node monitors; default 5 s,
	// negative for never.
	MonitorDelay time.Duration
	// MinimumVersion of Remoting that agents are told.
	MinimumVersion string
	// Intercept, if set, may answer an HTTP request itself (a proxy's error page,
	// a controller that starts): it reports whether it did.
	Intercept func(http.ResponseWriter, *http.Request) bool
	// Key makes the secrets of nodes: two controllers with the same key know the
	// same agents, as one that restarts does. Default: a random one.
	Key string
	// Classes serves agents that load classes; nil serves none.
	Classes ClassSource
	Log     *slog.Logger // nil discards
}

func (o Options) withDefaults() Options {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	if o.TCPListen == "" {
		o.TCPListen = "127.0.0.1:0"
	}
	if o.PingInterval == 0 {
		o.PingInterval = 30 * time.Second
	}
	if o.RemotePing == 0 {
		o.RemotePing = 300 * time.Second
	}
	if o.RemotePingTimeout == 0 {
		o.RemotePingTimeout = 240 * time.Second
	}
	if o.MonitorDelay == 0 {
		o.MonitorDelay = 5 * time.Second
	}
	if o.MinimumVersion == "" {
		o.MinimumVersion = "3107.v665000b_51092"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Controller is one controller. All methods are safe for concurrent use.
type Controller struct {
	opts     Options
	log      *slog.Logger
	identity *identity
	key      [32]byte // of secrets
	cookie   string   // JENKINS_SERVER_COOKIE

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	http    *http.Server
	web     net.Listener
	tcp     net.Listener
	workers sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	nodes   map[string]*Node
	sockets map[net.Conn]bool // TCP agents
	closed  bool
}

// New makes a controller; Start opens its ports.
func New(o Options) *Controller {
	c := &Controller{opts: o.withDefaults(), nodes: map[string]*Node{}, sockets: map[net.Conn]bool{}}
	c.log = c.opts.Log
	if c.key = sha256.Sum256([]byte(o.Key)); o.Key == "" {
		_, _ = rand.Read(c.key[:])
	}
	c.cookie = randomHex(8)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

// Start opens the ports and serves until Close.
func (c *Controller) Start() error {
	var err error
	if c.web, err = net.Listen("tcp", c.opts.Listen); err != nil {
		return fmt.Errorf("controller: %w", err)
	}
	if c.opts.TCP {
		if c.identity, err = newIdentity(); err == nil {
			c.tcp, err = net.Listen("tcp", c.opts.TCPListen)
		}
		if err != nil {
			_ = c.web.Close()
			return fmt.Errorf("controller: %w", err)
		}
		c.workers.Go(c.acceptTCP)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("X-Jenkins", "2.541.2")
		_, _ = rw.Write([]byte("<html><head><title>Sign in [Jenkins]</title></head></html>\n"))
	})
	mux.HandleFunc("/wsagents/", c.wsAgents)
	mux.HandleFunc("/tcpSlaveAgentListener/", c.tcpListenerPage)
	var h http.Handler = mux
	if in := c.opts.Intercept; in != nil {
		h = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !in(rw, r) {
				mux.ServeHTTP(rw, r)
			}
		})
	}
	c.http = &http.Server{Handler: h, ReadHeaderTimeout: 30 * time.Second, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug)}
	c.workers.Go(func() { _ = c.http.Serve(c.web) })
	return nil
}

// URL is the root URL, with a slash at the end.
func (c *Controller) URL() string { return "http://" + c.web.Addr().String() + "/" }

// TCPAddr is host:port of the agents' TCP port, "" without Options.TCP.
func (c *Controller) TCPAddr() string {
	if c.tcp == nil {
		return ""
	}
	return c.tcp.Addr().String()
}

// InstanceIdentity is the base64 key for -instanceIdentity, "" without
// Options.TCP.
func (c *Controller) InstanceIdentity() string {
	if c.identity == nil {
		return ""
	}
	return c.identity.key
}

// Close says goodbye to all agents and ends everything.
func (c *Controller) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	nodes := make([]*Node, 0, len(c.nodes))
	for _, n := range c.nodes {
		nodes = append(nodes, n)
	}
	c.mu.Unlock()
	c.cancel()
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(n.Disconnect)
	}
	wg.Wait()
	c.mu.Lock()
	for s := range c.sockets {
		_ = s.Close()
	}
	c.mu.Unlock()
	var err error
	if c.http != nil {
		err = c.http.Close()
	}
	if c.tcp != nil {
		err = errors.Join(err, c.tcp.Close())
	}
	c.workers.Wait()
	for _, n := range nodes {
		n.workers.Wait()
	}
	return err
}

func (c *Controller) track(s net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = s.Close()
		return false
	}
	c.sockets[s] = true
	return true
}

func (c *Controller) untrack(s net.Conn) {
	c.mu.Lock()
	delete(c.sockets, s)
	c.mu.Unlock()
	_ = s.Close()
}

// capability is what agents are told: without classes to serve it does not
// matter; with some, PREFETCH is left out, so that the agent asks for plain
// class files (IClassLoader.fetch).
func (c *Controller) capability() wire.Capability {
	if c.opts.Classes != nil {
		return wire.CapDefault &^ wire.CapPrefetch
	}
	return wire.CapDefault
}

// Node returns the node of that name, made on first use. remoteFS is the root
// directory that its configuration names (Slave.remoteFS), an absolute path on
// the agent's machine.
func (c *Controller) Node(name, remoteFS string) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.nodes[name]
	if n == nil {
		mac := hmac.New(sha256.New, c.key[:])
		mac.Write([]byte(name))
		n = &Node{c: c, name: name, secret: hex.EncodeToString(mac.Sum(nil)), changed: make(chan struct{})}
		c.nodes[name] = n
	}
	n.remoteFS = remoteFS
	return n
}

func (c *Controller) lookup(name string) *Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	return c.nodes[name]
}
