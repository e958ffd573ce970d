package replay

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// patience is how long one answer may take: scripts really run and sleep.
var patience = 20 * time.Second

// driver plays one session.
type driver struct {
	t     *testing.T
	s     *session
	p     *peer
	agent *remoting.Channel
	names *names

	rec      *flow            // what the recorded agent has written so far
	recCalls map[string]int   // calls of the recorded agent so far, by callKey
	recAcked map[int32]int    // bytes it acknowledged, by its oid
	connects map[int32]int32  // its oidPos → oidRos
	oids     map[int32]int32  // its oids → ours
	bare     map[int32]bool   // our proxies that are called without a UserRequest
	dead     map[int32]bool   // its oids that ours never made
	released map[int32]int    // what we gave back, by our oid
	sent     map[int32]*query // by recorded id
	pending  []*command       // recorded Responses that are still to be compared
	nextID   int32

	filled bool            // leftOut was sent
	gaveUp map[string]bool // logs and calls that were waited for in vain once

	diffs  []difference
	failed map[string]bool // calls of classes that are not native, by key
}

// query is a request that went out.
type query struct {
	cmd     *command
	id      int32 // of its last repetition
	oid     int32 // our object that it calls, 0 for callables
	log     string
	skipped bool
}

func newDriver(t *testing.T, s *session, p *peer, agent *remoting.Channel, n *names) *driver {
	d := &driver{t: t, s: s, p: p, agent: agent, names: n, rec: newFlow(), recCalls: map[string]int{}, recAcked: map[int32]int{},
		connects: map[int32]int32{}, oids: map[int32]int32{}, bare: map[int32]bool{}, dead: map[int32]bool{}, released: map[int32]int{},
		sent: map[int32]*query{}, nextID: 0x20000000,
		failed: map[string]bool{}, gaveUp: map[string]bool{}}
	for _, c := range s.commands {
		if c.Dir == "a2c" && c.Class == cConnect {
			d.connects[c.obj.Int("oidPos")] = c.obj.Int("oidRos")
		}
	}
	return d
}

// follow takes over what outlives a connection: how far each log has been read.
func (d *driver) follow(before *driver) {
	if before == nil {
		return
	}
	d.rec.logs, d.p.got.logs = before.rec.logs, before.p.got.logs
}

// play goes through the recording once.
func (d *driver) play() {
	for _, c := range d.s.commands {
		if c.Dir == "a2c" {
			d.recorded(c)
			continue
		}
		switch {
		case c.Class == cResponse, strings.HasSuffix(c.Class, "$Ack"), strings.HasSuffix(c.Class, "$NotifyDeadWriter"), c.Class == cClose:
			continue // the driver's own answers and acknowledgements take their place
		}
		for _, r := range d.pending {
			d.settle(r)
		}
		d.pending = d.pending[:0]
		if c.isRequest() {
			d.awaitCalls(c)
			d.request(c)
			continue
		}
		d.forward(c)
	}
	for _, r := range d.pending {
		d.settle(r)
	}
	d.pending = nil
}

// recorded notes what the recorded agent sent.
func (d *driver) recorded(c *command) {
	switch {
	case c.Class == cResponse:
		d.pending = append(d.pending, c)
	case c.isRequest():
		d.recCalls[callKey(c.key(), calledOID(c))]++
	case strings.HasSuffix(c.Class, "$Ack"):
		d.recAcked[c.obj.Int("oid")] += int(c.obj.Int("size"))
	case strings.HasPrefix(c.Class, outStream), strings.HasPrefix(c.Class, writerStream):
		d.rec.take(c.obj)
	}
}

func callKey(key string, oid int32) string { return fmt.Sprintf("%s#%d", key, oid) }

// calledOID is the object that a recorded request of the agent calls, 0 for
// callables.
func calledOID(c *command) int32 {
	o := c.obj
	if c.Class == cUserRequest {
		b, _ := jser.Bytes(o.Get("request"))
		v, err := decodePayload(b)
		inner, _ := v.(*jser.Object)
		if err != nil || inner == nil || !inner.Class.Is(cRPCRequest) {
			return 0
		}
		o = inner
	}
	return o.Int("oid")
}

// awaitCalls waits for the calls of controller objects that the recorded agent
// had made before c, and before an abort for the output it had shown.
func (d *driver) awaitCalls(c *command) {
	for k, n := range d.recCalls {
		key, _, _ := strings.Cut(k, "#")
		if strings.HasSuffix(k, "#0") || strings.HasSuffix(key, ".getName") || d.gaveUp[k] {
			continue
		}
		if !d.p.await(patience, func() bool { return d.countCalls(k) >= n }) {
			d.differ(c.N, key, "calls to the controller", n, d.countCalls(k))
			d.gaveUp[k] = true
		}
	}
	if c.key() == "hudson.Launcher$RemoteLauncher$KillTask" {
		d.awaitOutput(c)
	}
}

func (d *driver) countCalls(k string) int {
	n := 0
	for _, c := range d.p.calls {
		if callKey(c.key, c.oid) == k {
			n++
		}
	}
	return n
}

// awaitOutput waits until our agent has written as many lines as the recorded
// one to each stream that is no durable log.
func (d *driver) awaitOutput(c *command) {
	for oid, want := range d.rec.data {
		if d.failed[d.p.usedBy[oid]] || d.rec.logOids[oid] {
			continue
		}
		if !d.p.await(10*time.Second, func() bool { return lines(d.p.got.data[oid]) >= lines(want) }) {
			d.differ(c.N, d.p.usedBy[oid], fmt.Sprintf("output to stream %d before %s", oid, c.key()), lines(want), lines(d.p.got.data[oid]))
		}
	}
}

func (d *driver) differ(n int, class, path string, want, got any) {
	d.diffs = append(d.diffs, difference{n, class, path, fmt.Sprint(want), fmt.Sprint(got)})
}

// object finds our oid for a recorded one. It waits for a pipe that our agent
// is about to connect.
func (d *driver) object(recorded int32) (int32, bool) {
	if ours, ok := d.oids[recorded]; ok {
		return ours, true
	}
	ros, isPipe := d.connects[recorded]
	if !isPipe || d.dead[recorded] {
		return 0, false
	}
	var ours int32
	ok := d.p.await(patience/4, func() bool {
		var ok bool
		ours, ok = d.p.connects[ros]
		return ok
	})
	if ok {
		d.oids[recorded] = ours
	} else {
		d.dead[recorded] = true
		d.differ(0, d.p.usedBy[ros], "pipe", "connected", "never connected")
	}
	return ours, ok
}

// forward sends a command that is no request.
func (d *driver) forward(c *command) {
	o, err := decodeCommand(c.raw)
	if err != nil {
		d.t.Fatal(err)
	}
	switch c.Class {
	case cCancel:
		d.awaitOutput(c)
		q := d.sent[o.Int("id")]
		if q == nil || q.skipped {
			return
		}
		setField(o, "id", q.id)
	default: // Chunk, Flush, EOF, Unexport, UnexportCommand, ProxyInputStream$EOF
		recorded := o.Int("oid")
		ours, ok := d.object(recorded)
		if !ok {
			if c.Class != cUnexport && !d.dead[recorded] {
				d.differ(c.N, c.Class, "oid", recorded, "unknown here")
			}
			return
		}
		if strings.HasSuffix(c.Class, "$Chunk") || strings.HasSuffix(c.Class, "$EOF") {
			if want := d.recAcked[recorded]; !d.p.await(patience, func() bool { return d.p.acked[ours] >= want }) {
				d.differ(c.N, c.Class, "acknowledged bytes", want, d.p.acked[ours])
			}
		}
		if c.Class == outStream+"EOF" {
			d.sendLeftOut(ours)
		}
		if strings.HasSuffix(c.Class, "$EOF") || strings.Contains(c.Class, "Unexport") {
			d.released[ours]++
		}
		setField(o, "oid", ours)
	}
	d.p.send(encodeCommand(o))
}

// sortedKeys makes maps print in a stable order.
func sortedKeys[V any](m map[int32]V) []int32 {
	var ks []int32
	for k := range m {
		ks = append(ks, k)
	}
	sort.Slice(ks, func(i, j int) bool { return ks[i] < ks[j] })
	return ks
}
