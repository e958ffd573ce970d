package replay

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// peer is the controller's end of the connection: it acknowledges, answers the
// agent's own requests as the recorded controller did, and keeps what came.
type peer struct {
	t remoting.Transport
	s *session

	outMu  sync.Mutex
	queue  [][]byte
	queued chan struct{}

	mu        sync.Mutex // guards all below
	changed   chan struct{}
	answers   map[int32]*jser.Object // of the agent, by request id
	got       *flow
	connects  map[int32]int32 // oid of our Pipe → where the agent wants its data
	acked     map[int32]int   // bytes that the agent acknowledged, by its oid
	calls     []call
	refs      map[int32]int // what the agent still has to give back
	usedBy    map[int32]string
	lastIO    map[int32]int32 // request id → last pipe operation for it
	protocol  []string        // violations
	closed    bool
	agentLive map[int32]*live // the agent's objects that we hold

	once   sync.Once
	over   chan struct{} // closed when nothing more is to be sent
	served chan struct{} // closed when serve has returned
}

// call is a request that the agent made.
type call struct {
	key  string
	args jser.Value // the callable, or the arguments of the method
	oid  int32
}

// live is an object of the agent and how many times it was given to us.
type live struct {
	count int
	class string
}

func newPeer(t remoting.Transport, s *session) *peer {
	p := &peer{t: t, s: s, queued: make(chan struct{}, 1), changed: make(chan struct{}), answers: map[int32]*jser.Object{}, got: newFlow(),
		connects: map[int32]int32{}, acked: map[int32]int{}, refs: map[int32]int{}, usedBy: map[int32]string{}, lastIO: map[int32]int32{},
		agentLive: map[int32]*live{}, over: make(chan struct{}), served: make(chan struct{})}
	return p
}

// serve runs until the connection ends.
func (p *peer) serve() {
	defer close(p.served)
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-p.queued:
			case <-p.over:
				return
			}
			for {
				p.outMu.Lock()
				q := p.queue
				p.queue = nil
				p.outMu.Unlock()
				if len(q) == 0 {
					break
				}
				for _, b := range q {
					if p.t.WriteCommand(b) != nil {
						return
					}
				}
			}
		}
	})
	for {
		b, err := p.t.ReadCommand()
		if err != nil {
			break
		}
		o, err := decodeCommand(b)
		p.mu.Lock()
		if err != nil {
			p.protocol = append(p.protocol, fmt.Sprintf("an unreadable command of %d bytes: %v", len(b), err))
		} else {
			p.take(o)
		}
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
	}
	writer.Wait()
}

// send queues a command: the reader must never wait for the agent to read.
func (p *peer) send(b []byte) {
	p.outMu.Lock()
	p.queue = append(p.queue, b)
	p.outMu.Unlock()
	select {
	case p.queued <- struct{}{}:
	default:
	}
}

// await blocks until ok, which is called with p.mu held, or reports false.
func (p *peer) await(timeout time.Duration, ok func() bool) bool {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	if os.Getenv("REPLAY_TRACE") != "" {
		_, file, line, _ := runtime.Caller(1)
		_, _, line2, _ := runtime.Caller(2)
		began := time.Now()
		defer func() {
			if took := time.Since(began); took > 500*time.Millisecond {
				fmt.Fprintf(os.Stderr, "%s:%d<%d waited %v\n", filepath.Base(file), line, line2, took)
			}
		}()
	}
	for {
		p.mu.Lock()
		done, changed := ok(), p.changed
		p.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-changed:
		case <-deadline.C:
			return false
		}
	}
}

func (p *peer) violation(format string, args ...any) {
	p.protocol = append(p.protocol, fmt.Sprintf(format, args...))
}

// take handles one command of the agent; p.mu is held.
func (p *peer) take(o *jser.Object) {
	switch name := o.Class.Name; {
	case name == cResponse:
		id := o.Int("id")
		if _, twice := p.answers[id]; twice {
			p.violation("request %d is answered twice", id)
		}
		if last, io := o.Int("lastIoId"), p.lastIO[id]; io != 0 && last < io {
			p.violation("the answer to %d has lastIoId %d, but %d was written for it", id, last, io)
		}
		p.answers[id] = o
	case name == cUserRequest, name == cRPCRequest, name == cUserRPCRequest:
		p.answer(o)
	case name == cConnect:
		p.connects[o.Int("oidRos")] = o.Int("oidPos")
		p.giveBack(o.Int("oidRos"), name)
	case name == cUnexport:
		p.giveBack(o.Int("oid"), name)
	case name == outStream+"Ack", name == writerStream+"Ack":
		p.acked[o.Int("oid")] += int(o.Int("size"))
	case name == cClose:
		p.closed = true
	case strings.HasPrefix(name, outStream), strings.HasPrefix(name, writerStream):
		p.stream(o)
	case name == cCancel, name == cInEOF:
	default:
		p.violation("an unexpected command %s", name)
	}
}

func (p *peer) stream(o *jser.Object) {
	oid, size, kind := p.got.take(o)
	if kind == "NotifyDeadWriter" { // about a stream of the agent
		return
	}
	if _, known := p.refs[oid]; !known {
		p.violation("%s for the unknown stream %d", kind, oid)
	} else if p.refs[oid] <= 0 {
		p.violation("%s for the stream %d (of %s), which was given back before", kind, oid, p.usedBy[oid])
	}
	if id := o.Int("requestId"); id != 0 {
		p.lastIO[id] = max(p.lastIO[id], o.Int("ioId"))
	}
	switch {
	case kind == "Chunk" && strings.HasPrefix(o.Class.Name, writerStream):
		p.send(encodeCommand(jser.New(writerAckDesc, nil, oid, int32(size))))
	case kind == "Chunk":
		p.send(encodeCommand(jser.New(outAckDesc, nil, oid, int32(size))))
	case kind == "EOF", kind == "Unexport":
		p.giveBack(oid, kind)
	}
}

// giveBack counts one reference down. Class loaders are not counted: an agent
// that never gives them back is allowed, and ours does not.
func (p *peer) giveBack(oid int32, how string) {
	if n, known := p.refs[oid]; !known || n <= 0 {
		p.violation("%s for oid %d (of %q), of which the agent holds no reference", how, oid, p.usedBy[oid])
		return
	}
	p.refs[oid]--
}

// answer replies to a request of the agent with what the recorded controller
// said to one of that class, or null.
func (p *peer) answer(o *jser.Object) {
	c := call{}
	user := o.Class.Name == cUserRequest
	rpc := o
	if user {
		b, _ := jser.Bytes(o.Get("request"))
		v, err := decodePayload(b)
		if err != nil {
			p.violation("a request that can't be read: %v", err)
		}
		inner, _ := v.(*jser.Object)
		if inner == nil {
			p.violation("a request without a callable")
			return
		}
		rpc = nil
		c.key, c.args = inner.Class.Name, inner
		if inner.Class.Is(cRPCRequest) {
			rpc = inner
		}
	}
	if rpc != nil {
		c.key, c.args, c.oid = rpc.Str("declaringClassName")+"."+rpc.Str("methodName"), rpc.Get("arguments"), rpc.Int("oid")
	}
	p.calls = append(p.calls, c)
	reply := nullAnswer(o.Int("id"), user)
	for _, r := range p.s.commands {
		if method, _, _ := strings.Cut(r.For, "("); r.Dir == "c2a" && r.Class == cResponse && method == c.key {
			if again, err := decodeCommand(r.raw); err == nil {
				setField(again, "id", o.Int("id"))
				setField(again, "lastIoId", int32(0))
				reply = again
			}
			break
		}
	}
	p.send(encodeCommand(reply))
}

// hold notes what a request gives to the agent.
func (p *peer) hold(payload jser.Value, key string) {
	for oid, n := range references(payload) {
		p.refs[oid] += n
		if p.usedBy[oid] == "" {
			p.usedBy[oid] = key
		}
	}
}
