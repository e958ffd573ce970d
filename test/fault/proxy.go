// Package fault breaks connections on purpose. Its Proxy stands between an
// agent and a controller:
//
//	agent ── Proxy ── controller
//	           │  RST, FIN, half-close, black hole
//	           │  after n more bytes: inside a frame, inside a handshake
//	           └  delay, throttle, kill flows that are idle
package fault

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is a way in which a connection breaks.
type Kind int

// The ways. A half-close ends one direction only, and a black hole forwards
// nothing any more and says nothing.
const (
	RST Kind = iota
	FIN
	HalfClose
	BlackHole
	kinds
)

func (k Kind) String() string { return [...]string{"RST", "FIN", "half-close", "black hole"}[k] }

// Proxy forwards TCP connections and breaks them when told. All methods are
// safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	flows map[*flow]bool
	mode  mode
	plan  *plan // of the next connections
	done  bool

	accepted atomic.Int64
}

// mode is how connections are treated.
type mode struct {
	hole     bool          // nothing is forwarded
	idle     time.Duration // flows without traffic for so long are reset; 0 never
	delay    time.Duration // before each piece of data is forwarded
	throttle int           // bytes a second in each direction; 0 no limit
}

// plan breaks a connection after so many bytes in either direction.
type plan struct {
	kind  Kind
	bytes int64
}

// NewProxy forwards to target, a host:port, from a port of its own.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l, flows: map[*flow]bool{}}
	p.wg.Add(1)
	go p.accept()
	return p, nil
}

// Addr is where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Accepted is the number of connections so far.
func (p *Proxy) Accepted() int64 { return p.accepted.Load() }

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.done = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut(RST)
	p.wg.Wait()
}

func (p *Proxy) change(f func(*mode)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.mode)
}

// Hole swallows everything, on old and new connections.
func (p *Proxy) Hole(on bool) { p.change(func(m *mode) { m.hole = on }) }

// KillIdle resets flows that were silent for d, as load balancers do.
func (p *Proxy) KillIdle(d time.Duration) { p.change(func(m *mode) { m.idle = d }) }

// Slow delays each piece of data by d and limits the rate; 0 means neither.
func (p *Proxy) Slow(d time.Duration, bytesPerSecond int) {
	p.change(func(m *mode) { m.delay, m.throttle = d, bytesPerSecond })
}

// CutAfter breaks the live connections once so many more bytes have passed, in
// the middle of whatever they carry; without one, the next connection.
func (p *Proxy) CutAfter(kind Kind, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.flows) == 0 {
		p.plan = &plan{kind, bytes}
		return
	}
	for f := range p.flows {
		f.plan.Store(&plan{kind, f.passed.Load() + bytes})
	}
}

// Cut breaks the live connections now and reports how many there were.
func (p *Proxy) Cut(kind Kind) int {
	p.mu.Lock()
	flows := make([]*flow, 0, len(p.flows))
	for f := range p.flows {
		flows = append(flows, f)
	}
	p.mu.Unlock()
	for _, f := range flows {
		f.cut(kind)
	}
	return len(flows)
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.accepted.Add(1)
		p.mu.Lock()
		done := p.done
		next := p.plan
		p.plan = nil
		p.mu.Unlock()
		if done {
			reset(c)
			continue
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil {
			reset(c)
			continue
		}
		f := &flow{p: p, client: c.(*net.TCPConn), server: s.(*net.TCPConn), silent: make(chan struct{})}
		if next != nil {
			f.plan.Store(next)
		}
		p.mu.Lock()
		p.flows[f] = true
		p.mu.Unlock()
		p.wg.Add(1)
		go f.run()
	}
}

// flow is one forwarded connection.
type flow struct {
	p              *Proxy
	client, server *net.TCPConn
	passed         atomic.Int64 // bytes, both directions
	plan           atomic.Pointer[plan]
	once           sync.Once
	silent         chan struct{} // closed by a black hole
}

func (f *flow) run() {
	defer f.p.wg.Done()
	var wg sync.WaitGroup
	wg.Go(func() { f.pump(f.server, f.client) })
	wg.Go(func() { f.pump(f.client, f.server) })
	wg.Wait()
	f.client.Close()
	f.server.Close()
	f.p.mu.Lock()
	delete(f.p.flows, f)
	f.p.mu.Unlock()
}

// pump forwards one direction until it ends.
func (f *flow) pump(dst, src *net.TCPConn) {
	buf := make([]byte, 16<<10)
	for {
		m := f.mode()
		if m.idle > 0 {
			_ = src.SetReadDeadline(time.Now().Add(m.idle))
		}
		before := f.passed.Load()
		n, err := src.Read(buf)
		if ne, ok := err.(net.Error); ok && ne.Timeout() {
			if f.passed.Load() == before { // the other direction was silent as well
				f.cut(RST)
				return
			}
			continue
		}
		if n > 0 && !f.forward(dst, buf[:n]) {
			return
		}
		if err == io.EOF {
			_ = dst.CloseWrite()
		}
		if err != nil {
			return
		}
	}
}

func (f *flow) mode() mode {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return f.p.mode
}

// forward passes data on, up to where the plan breaks the connection.
func (f *flow) forward(dst *net.TCPConn, data []byte) bool {
	m := f.mode()
	wait := m.delay
	if m.throttle > 0 {
		wait += time.Duration(len(data)) * time.Second / time.Duration(m.throttle)
	}
	if wait > 0 {
		time.Sleep(wait) // this is the fault
	}
	if m.hole {
		return true
	}
	select {
	case <-f.silent:
		return true
	default:
	}
	if pl := f.plan.Load(); pl != nil {
		if left := pl.bytes - f.passed.Load(); left < int64(len(data)) {
			if left > 0 {
				_, _ = dst.Write(data[:left])
			}
			f.cut(pl.kind)
			return pl.kind == BlackHole
		}
	}
	f.passed.Add(int64(len(data)))
	_, err := dst.Write(data)
	return err == nil
}

// cut breaks the connection; only the first one counts.
func (f *flow) cut(kind Kind) {
	f.once.Do(func() {
		switch kind {
		case RST:
			reset(f.client)
			reset(f.server)
		case FIN:
			f.client.Close()
			f.server.Close()
		case HalfClose:
			_ = f.client.CloseWrite()
		case BlackHole:
			close(f.silent)
		}
	})
	if kind == RST { // Close wants even a silent one ended
		reset(f.client)
		reset(f.server)
	}
}

// reset closes a connection so that the other end gets a RST.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	c.Close()
}
