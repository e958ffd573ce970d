package replay

import (
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// request sends a request for the first time.
func (d *driver) request(c *command) {
	q := &query{cmd: c, id: *c.ID}
	d.sent[*c.ID] = q
	if c.Class == cUserRequest && c.key() == cWriteLog {
		v, _ := decodePayload(mustBytes(c.obj.Get("request")))
		q.log = logFile(v)
		d.rec.logOf[*c.ID] = q.log
	}
	d.ask(q)
}

func mustBytes(v jser.Value) []byte {
	b, _ := jser.Bytes(v)
	return b
}

// ask sends a request under q.id.
func (d *driver) ask(q *query) {
	o, err := decodeCommand(q.cmd.raw)
	if err != nil {
		d.t.Fatal(err)
	}
	setField(o, "id", q.id)
	if q.cmd.Class != cUserRequest {
		ours, ok := d.object(o.Int("oid"))
		if q.skipped = !ok; ok {
			setField(o, "oid", ours)
			d.p.send(encodeCommand(o))
		}
		return
	}
	v, err := decodePayload(mustBytes(o.Get("request")))
	if err != nil {
		d.t.Fatal(err)
	}
	d.p.mu.Lock()
	for oid, b := range d.rec.data {
		d.names.learnAgents(b, d.p.got.data[oid])
	}
	d.p.mu.Unlock()
	d.names.rewrite(v)
	d.checkHarmless(q.cmd, v)
	inner, _ := v.(*jser.Object)
	if inner.Class.Is(cRPCRequest) {
		ours, ok := d.object(inner.Int("oid"))
		if q.skipped = !ok; !ok {
			return
		}
		q.oid = ours
		setField(inner, "oid", ours)
		if d.bare[ours] { // as a controller does when the proxy has no userProxy flag
			setField(inner, "id", q.id)
			setField(inner, "lastIoId", o.Int("lastIoId"))
			d.p.send(encodeCommand(inner))
			return
		}
	}
	walk(v, func(h *jser.Object) {
		if h.Class.Name == "org.jenkinsci.plugins.gitclient.Git" && d.names.git != "" {
			setField(h, "exe", d.names.git)
		}
		if h.Class.Name == cHandler && h.Bool("goingHome") {
			if ours, ok := d.object(h.Int("oid")); ok {
				setField(h, "oid", ours)
			}
		}
		if h.Class.Name == cWriteLog {
			d.p.mu.Lock()
			setField(h, "lastLocation", int64(len(d.p.got.logs[q.log])))
			d.p.mu.Unlock()
		}
	})
	payload, err := jser.Encode(v)
	if err != nil {
		d.t.Fatalf("command %d: %v", q.cmd.N, err)
	}
	setField(o, "request", jser.ByteArray(payload))
	d.p.mu.Lock()
	if q.log != "" {
		d.p.got.logOf[q.id] = q.log
	}
	d.p.hold(v, q.cmd.key())
	d.p.mu.Unlock()
	d.p.send(encodeCommand(o))
}

// checkHarmless stops what would end processes of others: recorded scripts that
// do so by name, and recorded process ids of ssh-agents.
func (d *driver) checkHarmless(c *command, v jser.Value) {
	learned := map[string]bool{}
	d.names.mu.Lock()
	for _, p := range d.names.pairs {
		learned[p[1]] = true
	}
	d.names.mu.Unlock()
	check := func(v jser.Value) {
		s, _ := v.(string)
		if strings.HasPrefix(s, "SSH_AGENT_PID=") && !learned[s] {
			d.t.Fatalf("command %d: the recorded process id %s would be used on this machine", c.N, s)
		}
		s = strings.ReplaceAll(s, disarmed, "")
		if strings.Contains(s, "pkill") || strings.Contains(s, "killall") {
			d.t.Fatalf("command %d ends processes by name: %q", c.N, s)
		}
	}
	list := func(vs []jser.Value) {
		for _, f := range vs {
			check(f)
			if a, ok := f.(*jser.Array); ok {
				if es, ok := a.Elems.([]jser.Value); ok {
					for _, e := range es {
						check(e)
					}
				}
			}
		}
	}
	walk(v, func(o *jser.Object) {
		for i := range o.Data {
			list(o.Data[i].Values)
			list(o.Data[i].Extra)
		}
	})
}

// again repeats a request with a fresh id.
func (d *driver) again(q *query) *jser.Object {
	time.Sleep(20 * time.Millisecond)
	q.id = d.nextID
	d.nextID++
	d.ask(q)
	return d.answer(q)
}

func (d *driver) answer(q *query) *jser.Object {
	var a *jser.Object
	if !d.p.await(patience, func() bool { a = d.p.answers[q.id]; return a != nil }) {
		return nil
	}
	return a
}
