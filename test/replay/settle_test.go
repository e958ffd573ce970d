package replay

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting/jser"
)

// settle waits for our answer to what the recorded Response r answers, and
// compares the two.
func (d *driver) settle(r *command) {
	if began := time.Now(); os.Getenv("REPLAY_TRACE") != "" {
		defer func() {
			if took := time.Since(began); took > 300*time.Millisecond {
				fmt.Fprintf(os.Stderr, "settling %d %s took %v\n", r.N, r.For, took)
			}
		}()
	}
	q := d.sent[*r.ID]
	if q == nil || q.skipped {
		return
	}
	key := q.cmd.key()
	got := d.answer(q)
	if got == nil {
		d.differ(r.N, key, "answer", r.For+" ⇒ "+r.Result, "none in "+patience.String())
		return
	}
	if class := notNativeAnswer(got); class != "" {
		d.failed[key] = true
		d.differ(r.N, key, "not native", "an answer", class)
		if v, _, err := result(r.obj); err == nil {
			for _, oid := range agentObjects(v) {
				d.dead[oid] = true
			}
		}
		return
	}
	if key == cStatusCheck {
		want, _, _ := result(r.obj)
		have := func() bool { v, t, err := result(got); return v != nil || t != nil || err != nil }
		for deadline := time.Now().Add(patience); want != nil && !have() && time.Now().Before(deadline); {
			if got = d.again(q); got == nil {
				d.differ(r.N, key, "answer", "a status", "none in "+patience.String())
				return
			}
		}
		if want == nil && have() {
			return // the script ended before the recorded one did
		}
	}
	c := comparison{n: r.N, class: key, names: d.names, pair: d.pair}
	c.responses(r.obj, got)
	d.learnTempNames(key, r.obj, got)
	d.diffs = append(d.diffs, c.found...)
	if q.log != "" {
		want := lines(d.rec.logs[q.log])
		enough := func() bool {
			d.p.mu.Lock()
			defer d.p.mu.Unlock()
			return lines(d.p.got.logs[q.log]) >= want
		}
		wait := patience
		if len(d.failed) > 0 || withoutFiles[d.s.name] {
			wait = time.Second // what is missing may be missing for good
		}
		for deadline := time.Now().Add(wait); !d.gaveUp[q.log] && !enough(); {
			if d.again(q) == nil || time.Now().After(deadline) {
				d.gaveUp[q.log] = true // compareStreams says what is missing
			}
		}
	}
}

func (d *driver) pair(recorded, ours int32, handler *jser.Object) {
	d.oids[recorded] = ours
	if handler != nil && !handler.Bool("userProxy") {
		d.bare[ours] = true
	}
}

// learnTempNames pairs names that an agent chose at random.
func (d *driver) learnTempNames(key string, want, got *jser.Object) {
	if !strings.HasPrefix(key, "hudson.FilePath$Create") {
		return
	}
	w, _, _ := result(want)
	g, _, _ := result(got)
	ws, ok1 := w.(string)
	gs, ok2 := g.(string)
	if ok1 && ok2 && ws != gs {
		d.names.add(ws, gs)
	}
}

// notNativeAnswer is the class that our agent says it does not execute, "" if
// the answer is another.
func notNativeAnswer(resp *jser.Object) string {
	_, t, err := result(resp)
	if err != nil || t == nil {
		return ""
	}
	class, rest, found := strings.Cut(strings.TrimPrefix(t.Str("detailMessage"), "footman: "), " is not implemented natively")
	if !found || rest == t.Str("detailMessage") {
		return ""
	}
	return class
}
