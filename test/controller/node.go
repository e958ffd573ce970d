package controller

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Node is one agent as the controller knows it. All methods are safe for
// concurrent use.
type Node struct {
	c      *Controller
	name   string
	secret string

	workers sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	remoteFS string
	pending  bool  // somebody is connecting
	conn     *conn // nil while offline
	online   bool
	info     Info
	changed  chan struct{} // closed and replaced at each change
}

// Info is what the controller learned from an agent.
type Info struct {
	Version, Protocol, Charset string
	Unix                       bool
	Connected, Online          time.Time // of this connection: upgrade, and end of the init sequence
	UntilOnline                Stats     // what went over the wire in between
	Monitors                   map[string]string
	Connections                int // so far, of this node
}

// Name is the name of the node.
func (n *Node) Name() string { return n.name }

// Controller is the node's controller.
func (n *Node) Controller() *Controller { return n.c }

// Secret is what the agent has to present, 64 hex digits.
func (n *Node) Secret() string { return n.secret }

// RemoteFS is the root directory of the node.
func (n *Node) RemoteFS() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.remoteFS
}

// Info returns what is known of the agent's last connection.
func (n *Node) Info() Info {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := n.info
	i.Monitors = map[string]string{}
	for k, v := range n.info.Monitors {
		i.Monitors[k] = v
	}
	return i
}

// Stats counts the traffic of the present connection.
func (n *Node) Stats() Stats {
	if c := n.current(); c != nil {
		return c.counters.snapshot()
	}
	return Stats{}
}

// staleWait is how long an old connection may take to end when its agent comes
// back with the same cookie.
const staleWait = 15 * time.Second

// admit decides about a new connection, as DefaultJnlpSlaveReceiver does, and
// returns its cookie. When it did not fail, connected or admitted must follow.
func (n *Node) admit(ctx context.Context, cookie string) (string, error) {
	if cookie != "" {
		if _, err := hex.DecodeString(cookie); err != nil {
			return "", fmt.Errorf("malformed cookie: %w", err)
		}
	}
	refused := fmt.Errorf(textConnected, n.name)
	wait, cancel := context.WithTimeout(ctx, staleWait)
	defer cancel()
	var old *conn
	taken := false
	// Another one may be between its admission and its first command.
	if err := n.await(wait, func() bool {
		if n.pending {
			return false
		}
		old = n.conn
		taken = old != nil && (cookie == "" || cookie != old.cookie)
		n.pending = !taken
		return true
	}); err != nil || taken {
		return "", refused
	}
	if old != nil {
		n.c.log.Info("the agent is back; ending its old connection", "node", n.name)
		old.link.drop()
		if err := n.await(wait, func() bool { return n.conn != old }); err != nil {
			n.admitted()
			return "", refused
		}
	}
	if cookie == "" {
		cookie = randomHex(32)
	}
	return cookie, nil
}

// admitted ends an admission that came to nothing.
func (n *Node) admitted() { n.change(func() { n.pending = false }) }

// connected serves a connection until it ends.
func (n *Node) connected(l link, traffic *counters, protocol, cookie string) {
	c := newConn(l, traffic, n.c.log.With("node", n.name), n.c.opts.Classes)
	c.protocol, c.cookie = protocol, cookie
	n.c.mu.Lock()
	if n.c.closed {
		n.c.mu.Unlock()
		n.admitted()
		c.end(errors.New("the controller is closed"))
		return
	}
	n.workers.Add(2)
	n.c.mu.Unlock()
	defer n.workers.Done()
	n.change(func() {
		n.pending, n.conn, n.online = false, c, false
		n.info = Info{Connected: time.Now(), Protocol: protocol, Monitors: map[string]string{}, Connections: n.info.Connections + 1}
	})
	go func() {
		defer n.workers.Done()
		n.goOnline(c)
	}()
	c.serve()
	n.c.log.Info("offline", "node", n.name, "cause", c.err())
	n.change(func() {
		if n.conn == c {
			n.conn, n.online = nil, false
		}
	})
}

// change changes the state and wakes who waits for it.
func (n *Node) change(f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	f()
	close(n.changed)
	n.changed = make(chan struct{})
}

// await waits until ok, which is called with mu held.
func (n *Node) await(ctx context.Context, ok func() bool) error {
	for {
		n.mu.Lock()
		done, changed := ok(), n.changed
		n.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("controller: node %s: %w", n.name, context.Cause(ctx))
		case <-n.c.ctx.Done():
			return errors.New("controller: closed")
		}
	}
}

// WaitOnline waits until the agent has gone through the init sequence.
func (n *Node) WaitOnline(ctx context.Context) error {
	return n.await(ctx, func() bool { return n.online })
}

// WaitOffline waits until the agent has no connection.
func (n *Node) WaitOffline(ctx context.Context) error {
	return n.await(ctx, func() bool { return n.conn == nil })
}

// WaitOnline waits until the node of that name is online.
func (c *Controller) WaitOnline(ctx context.Context, name string) error {
	n := c.lookup(name)
	if n == nil {
		return fmt.Errorf("controller: no node %q", name)
	}
	return n.WaitOnline(ctx)
}

func (n *Node) current() *conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.conn
}

// channel waits for an agent that is online.
func (n *Node) channel(ctx context.Context) (*conn, error) {
	var c *conn
	err := n.await(ctx, func() bool { c = n.conn; return n.online })
	return c, err
}

// Disconnect ends the connection in order: CloseCommand both ways, then the
// socket, as "Disconnect" on the node's page does.
func (n *Node) Disconnect() {
	c := n.current()
	if c == nil {
		return
	}
	if c.writePlain("Close") == nil {
		select {
		case <-c.ctx.Done():
		case <-time.After(2 * time.Second):
		}
	}
	c.end(errors.New("disconnected by the controller"))
	wait, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = n.await(wait, func() bool { return n.conn != c })
}

// Drop ends the connection as a broken network does: no CloseCommand, no
// WebSocket close.
func (n *Node) Drop() {
	if c := n.current(); c != nil {
		c.link.drop()
	}
}
