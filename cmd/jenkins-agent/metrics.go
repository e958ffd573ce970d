package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// metrics writes the text format of Prometheus, version 0.0.4. It is a dozen
// lines by hand where the client library is a megabyte.
type metrics struct{ bytes.Buffer }

// family begins a metric: kind is counter, gauge or histogram.
func (m *metrics) family(name, kind, help string) {
	fmt.Fprintf(m, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// sample writes a value; labels are names and values in turn.
func (m *metrics) sample(name string, value float64, labels ...string) {
	m.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		sep := byte(',')
		if i == 0 {
			sep = '{'
		}
		m.WriteByte(sep)
		fmt.Fprintf(m, "%s=\"%s\"", labels[i], labelText.Replace(cut(labels[i+1])))
	}
	if len(labels) > 1 {
		m.WriteByte('}')
	}
	m.WriteByte(' ')
	m.WriteString(strconv.FormatFloat(value, 'f', -1, 64))
	m.WriteByte('\n')
}

func (m *metrics) one(name, kind, help string, value float64) {
	m.family(name, kind, help)
	m.sample(name, value)
}

// maxLabel bounds a label's value in bytes: names of classes come from outside.
const maxLabel = 300

func cut(s string) string {
	if len(s) > maxLabel {
		s = s[:maxLabel]
	}
	return strings.ToValidUTF8(s, "")
}

// rttBounds are the upper bounds of the round trip's buckets, in seconds: a
// neighbour, a region, a continent, trouble.
var rttBounds = [...]float64{0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10}

// histogram counts durations by rttBounds. The zero value is empty.
type histogram struct {
	buckets [len(rttBounds) + 1]int64 // not cumulative; the last is beyond all bounds
	sum     float64                   // seconds
}

func (h *histogram) add(d time.Duration) {
	v := d.Seconds()
	i, _ := slices.BinarySearch(rttBounds[:], v)
	h.buckets[i]++
	h.sum += v
}

// histogram writes a family of its own.
func (m *metrics) histogram(name, help string, h histogram) {
	m.family(name, "histogram", help)
	n := int64(0)
	for i, count := range h.buckets {
		n += count
		le := "+Inf"
		if i < len(rttBounds) {
			le = strconv.FormatFloat(rttBounds[i], 'f', -1, 64)
		}
		m.sample(name+"_bucket", float64(n), "le", le)
	}
	m.sample(name+"_sum", h.sum)
	m.sample(name+"_count", float64(n))
}

var labelText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func (w *watch) writeMetrics(out io.Writer) error {
	w.mu.Lock()
	total := w.past
	if w.current != nil {
		total = total.plus(w.current.Stats())
	}
	online, episodes, since, extra := w.online, w.episodes, w.since, w.extra
	protocols, rtt, leaving := maps.Clone(w.protocols), w.rtt, w.leaving
	w.mu.Unlock()

	m := &metrics{}
	m.one("jenkins_agent_up", "gauge", "Whether a controller is connected.", truth(online))
	m.one("jenkins_agent_stopping", "gauge", "Whether the agent takes no new work because it is about to end.", truth(leaving))
	m.family("jenkins_agent_connections_total", "counter", "Connections made so far; all but the first are reconnects.")
	for _, p := range slices.Sorted(maps.Keys(protocols)) {
		m.sample("jenkins_agent_connections_total", float64(protocols[p]), "protocol", p)
	}
	m.one("jenkins_agent_reconnects_total", "counter", "Connections made after the first.", float64(max(0, episodes-1)))
	if !since.IsZero() {
		m.one("jenkins_agent_state_seconds", "gauge", "Time since the agent got or lost its connection.", time.Since(since).Seconds())
	}
	m.histogram("jenkins_agent_rtt_seconds", "From a WebSocket ping of ours to its pong, through every proxy on the way.", rtt)
	m.family("jenkins_agent_commands_total", "counter", "Commands of Remoting.")
	m.sample("jenkins_agent_commands_total", float64(total.commandsIn), "direction", "in")
	m.sample("jenkins_agent_commands_total", float64(total.commandsOut), "direction", "out")
	m.family("jenkins_agent_bytes_total", "counter", "Bytes of those commands, without framing.")
	m.sample("jenkins_agent_bytes_total", float64(total.bytesIn), "direction", "in")
	m.sample("jenkins_agent_bytes_total", float64(total.bytesOut), "direction", "out")
	m.one("jenkins_agent_pipe_stalls_total", "counter", "Writes that waited for the controller to take what was sent before.", float64(total.stalls))
	m.one("jenkins_agent_processes", "gauge", "Processes of builds that the controller waits for.", float64(w.builds.Running()))
	m.one("jenkins_agent_steps", "gauge", "Durable steps (sh of pipelines) that the controller looks after.", float64(w.builds.Steps()))
	m.family("jenkins_agent_calls_total", "counter", "Calls of the controller by class and by who executes it.")
	for _, c := range w.calls.Counts() {
		m.sample("jenkins_agent_calls_total", float64(c.Calls), "class", c.Class, "route", c.Route)
	}
	m.process(w.started)
	m.cgroup("/sys/fs/cgroup/")
	for _, f := range extra {
		if err := f(m); err != nil {
			return err
		}
	}
	_, err := out.Write(m.Bytes())
	return err
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// process writes the metrics that every exporter has, by their usual names.
func (m *metrics) process(started time.Time) {
	m.one("process_start_time_seconds", "gauge", "When the agent started, in Unix time.", float64(started.UnixMilli())/1000)
	// resident is the second field, in pages.
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 1 {
			if pages, err := strconv.ParseFloat(f[1], 64); err == nil {
				m.one("process_resident_memory_bytes", "gauge", "Memory of the agent itself.", pages*float64(os.Getpagesize()))
			}
		}
	}
	if fds, err := os.ReadDir("/proc/self/fd"); err == nil {
		m.one("process_open_fds", "gauge", "Open files of the agent itself.", float64(len(fds)))
	}
	m.one("go_goroutines", "gauge", "Goroutines.", float64(runtime.NumGoroutine()))
}

// cgroup writes what limits the container, where cgroup v2 shows it.
func (m *metrics) cgroup(dir string) {
	number := func(file string) (float64, bool) {
		b, err := os.ReadFile(dir + file)
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(string(b)), 64)
		return n, err == nil // "max" is no number: no limit, no line
	}
	for _, g := range []struct{ file, name, help string }{
		{"memory.current", "jenkins_agent_cgroup_memory_bytes", "Memory of the container, builds included."},
		{"memory.max", "jenkins_agent_cgroup_memory_limit_bytes", "Limit of that memory."},
		{"pids.current", "jenkins_agent_cgroup_pids", "Processes and threads of the container."},
	} {
		if n, ok := number(g.file); ok {
			m.one(g.name, "gauge", g.help, n)
		}
	}
	b, err := os.ReadFile(dir + "memory.events")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			if v, err := strconv.ParseFloat(n, 64); err == nil {
				m.one("jenkins_agent_cgroup_oom_kills_total", "counter", "Processes of the container that the kernel killed for memory.", v)
			}
		}
	}
}
