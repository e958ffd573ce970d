package replay

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// finish compares what streams carried, gives back what the controller holds,
// and closes the channel.
func (d *driver) finish(root string) {
	d.awaitUnanswered()
	d.compareStreams()
	d.compareLogs()
	d.compareCalls()
	d.release()
	killLeftovers(root)
	d.goodbye()
}

// close ends a connection in order, with another one to come.
func (d *driver) close() {
	d.compareStreams()
	d.compareCalls()
	d.release()
	d.goodbye()
}

// cut ends a connection as the network does: what was under way is lost, and
// the agent forgets what belonged to it.
func (d *driver) cut() {
	d.compareStreams()
	d.compareCalls()
	_ = d.p.t.Close()
	for i := 0; i < 100 && d.agent.Exports() > 0; i++ {
		time.Sleep(20 * time.Millisecond)
	}
	if n := d.agent.Exports(); n > 0 {
		d.differ(0, "channel", "export table after the cut", "empty", n)
	}
}

func (d *driver) goodbye() {
	d.hygiene()
	d.p.send(encodeCommand(jser.New(closeDesc, nil)))
	if !d.p.await(5*time.Second, func() bool { return d.p.closed }) {
		d.differ(0, cClose, "answer", "CloseCommand", "none in 5s")
	}
}

// awaitUnanswered waits for requests that the recording ends without an answer
// to (a KillTask of a process that ignores SIGTERM takes 5 s).
func (d *driver) awaitUnanswered() {
	for _, q := range d.sent {
		if !q.skipped && d.answer(q) == nil {
			d.differ(q.cmd.N, q.cmd.key(), "answer", "any", "none in "+patience.String())
		}
	}
}

func (d *driver) compareStreams() {
	p := d.p
	for _, oid := range sortedKeys(d.rec.data) {
		want := d.rec.data[oid]
		if d.failed[p.usedBy[oid]] {
			continue
		}
		p.await(15*time.Second, func() bool {
			return lines(p.got.data[oid]) >= lines(want) && (!d.rec.eof[oid] || p.got.eof[oid] || p.refs[oid] == 0)
		})
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	oids := map[int32]bool{}
	for _, f := range []*flow{d.rec, p.got} {
		for oid := range f.data {
			oids[oid] = true
		}
		for oid := range f.eof {
			oids[oid] = true
		}
	}
	for _, oid := range sortedKeys(oids) {
		class := p.usedBy[oid]
		if d.failed[class] || d.rec.logOids[oid] || p.got.logOids[oid] {
			continue
		}
		c := comparison{class: class, names: d.names, pair: d.pair}
		path := fmt.Sprintf("stream %d", oid)
		compareContent(&c, path, d.rec.data[oid], p.got.data[oid])
		if w, g := d.rec.eof[oid], p.got.eof[oid]; w != g {
			c.differ(path+" EOF", w, g)
		}
		switch w, g := d.rec.errors[oid], p.got.errors[oid]; {
		case w == nil && g == nil:
		case w == nil || g == nil:
			c.differ(path+" error", show(orNil(w)), show(orNil(g)))
		default:
			c.throwables(path+" error", w, g)
		}
		d.diffs = append(d.diffs, c.found...)
	}
}

// compareLogs compares what durable steps printed, over all connections.
func (d *driver) compareLogs() {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	for log, want := range d.rec.logs {
		c := comparison{class: cWriteLog, names: d.names}
		c.texts("log "+filepath.Base(log), string(want), string(d.p.got.logs[log]))
		d.diffs = append(d.diffs, c.found...)
	}
}

func orNil(o *jser.Object) jser.Value {
	if o == nil {
		return nil
	}
	return o
}

// compareCalls compares what the two agents asked of objects of the
// controller, in order for each object.
func (d *driver) compareCalls() {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	want, got := map[string][]jser.Value{}, map[string][]jser.Value{}
	for _, c := range d.s.commands {
		if c.Dir != "a2c" || !c.isRequest() {
			continue
		}
		o := c.obj
		if c.Class == cUserRequest {
			v, err := decodePayload(mustBytes(o.Get("request")))
			inner, _ := v.(*jser.Object)
			if err != nil || inner == nil {
				continue
			}
			o = inner
		}
		k := callKey(c.key(), calledOID(c))
		if o.Class.Is(cRPCRequest) {
			want[k] = append(want[k], o.Get("arguments"))
		} else {
			want[k] = append(want[k], nil)
		}
	}
	for _, c := range d.p.calls {
		k := callKey(c.key, c.oid)
		args := c.args
		if c.oid == 0 {
			args = nil
		}
		got[k] = append(got[k], args)
	}
	keys := map[string]bool{}
	for k := range want {
		keys[k] = true
	}
	for k := range got {
		keys[k] = true
	}
	for k := range keys {
		name, oid, _ := strings.Cut(k, "#")
		c := comparison{class: name, names: d.names, pair: d.pair}
		if oid == "0" { // callables: how often depends on timing, whether at all does not
			if (len(want[k]) > 0) != (len(got[k]) > 0) {
				c.differ("calls to the controller", len(want[k]), len(got[k]))
			}
		} else if len(want[k]) != len(got[k]) {
			c.differ("calls to the controller", len(want[k]), len(got[k]))
		} else {
			for i := range want[k] {
				c.values("arguments", want[k][i], got[k][i])
			}
		}
		d.diffs = append(d.diffs, c.found...)
	}
}

// release gives back the agent's objects that the recording did not.
func (d *driver) release() {
	type held struct {
		n    int
		give func(oid int32) *jser.Object
	}
	objects := map[int32]*held{}
	hold := func(oid int32, give func(int32) *jser.Object) {
		if objects[oid] == nil {
			objects[oid] = &held{give: give}
		}
		objects[oid].n++
	}
	d.p.mu.Lock()
	for _, a := range d.p.answers {
		v, _, err := result(a)
		if err != nil {
			continue
		}
		walk(v, func(o *jser.Object) {
			for _, oid := range agentObjects(jser.Value(o)) {
				switch o.Class.Name {
				case cHandler:
					hold(oid, func(oid int32) *jser.Object { return jser.New(unexportDesc, nil, oid) })
				case cRemoteIn:
					hold(oid, func(oid int32) *jser.Object { return jser.New(inEOFDesc, nil, oid) })
				case cRemoteOut:
					hold(oid, func(oid int32) *jser.Object { return jser.New(outUnexport, nil, int32(0), oid) })
				}
			}
		})
	}
	for _, oid := range d.p.connects {
		hold(oid, func(oid int32) *jser.Object { return jser.New(outUnexport, nil, int32(0), oid) })
	}
	d.p.mu.Unlock()
	for oid, h := range objects {
		if d.released[oid] == 0 {
			for range h.n {
				d.p.send(encodeCommand(h.give(oid)))
			}
		}
	}
}

// hygiene checks that nothing is left over at either end.
func (d *driver) hygiene() {
	if !d.p.await(5*time.Second, func() bool {
		for _, n := range d.p.refs {
			if n != 0 {
				return false
			}
		}
		return true
	}) {
		for _, oid := range sortedKeys(d.p.refs) {
			if n := d.p.refs[oid]; n != 0 {
				d.differ(0, d.p.usedBy[oid], fmt.Sprintf("references to oid %d", oid), "all given back", fmt.Sprintf("%d left", n))
			}
		}
	}
	for i := 0; i < 100 && d.agent.Exports() > 0; i++ {
		time.Sleep(20 * time.Millisecond)
	}
	if n := d.agent.Exports(); n > 0 {
		d.differ(0, "channel", "export table", "empty", n)
	}
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	for _, v := range d.p.protocol {
		d.differ(0, "channel", "protocol", "kept", v)
	}
}

// killLeftovers ends processes that a session leaves behind: those whose
// environment names the root directory of this very run.
func killLeftovers(root string) {
	dirs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range dirs {
		b, err := os.ReadFile(f)
		if err != nil || !strings.Contains(string(b), root) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}
