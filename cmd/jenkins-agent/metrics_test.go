package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/awsauth"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson"
)

// listedMetrics is what dashboards and alerts may use: name, type and help of
// each family, sorted. Their test (test/recipes) reads the same file.
const listedMetrics = "../../images/monitoring/metrics.txt"

func TestMetricsAreListed(t *testing.T) {
	w := &watch{calls: &callable.Table{}, builds: &hudson.Agent{}, started: time.Now()}
	w.disconnected()
	var all bytes.Buffer
	require.NoError(t, w.writeMetrics(&all))

	group := t.TempDir() + "/"
	for file, content := range map[string]string{"memory.current": "1\n", "memory.max": "2\n", "pids.current": "3\n", "memory.events": "oom 9\noom_kill 4\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(group, file), []byte(content), 0o600))
	}
	m := &metrics{}
	m.cgroup(group)
	require.Contains(t, m.String(), "jenkins_agent_cgroup_oom_kills_total 4\n")
	all.Write(m.Bytes())

	ctx, cancel := context.WithCancel(t.Context())
	k, done, err := awsauth.Start(ctx, awsauth.Options{Env: func(string) string { return "" }, Dirs: []awsauth.Dir{{Path: t.TempDir()}}})
	require.NoError(t, err)
	require.NoError(t, k.WriteMetrics(&all))
	cancel()
	<-done

	help, families := map[string]string{}, map[string]bool{}
	for line := range strings.Lines(all.String()) {
		if f := strings.SplitN(strings.TrimSpace(line), " ", 4); len(f) == 4 && f[0] == "#" {
			if f[1] == "HELP" {
				help[f[2]] = f[3]
			} else {
				families[f[2]+" "+f[3]+" "+help[f[2]]] = true
			}
		}
	}
	var got []string
	for f := range families {
		got = append(got, f)
	}
	slices.Sort(got)
	want, err := os.ReadFile(listedMetrics)
	require.NoError(t, err)
	require.Equal(t, string(want), strings.Join(got, "\n")+"\n", "change %s, and see who uses the metric", listedMetrics)
}

func TestHistogram(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{0, time.Millisecond, 2 * time.Millisecond, time.Second, time.Minute} {
		h.add(d)
	}
	m := &metrics{}
	m.histogram("x_seconds", "Help.", h)
	for _, line := range []string{
		"# TYPE x_seconds histogram", `x_seconds_bucket{le="0.001"} 2`, `x_seconds_bucket{le="0.005"} 3`, `x_seconds_bucket{le="0.5"} 3`,
		`x_seconds_bucket{le="1"} 4`, `x_seconds_bucket{le="10"} 4`, `x_seconds_bucket{le="+Inf"} 5`, "x_seconds_sum 61.003", "x_seconds_count 5",
	} {
		require.Contains(t, m.String(), line+"\n")
	}
	checkExposition(t, m.String())
}

// Names of classes come from the controller.
func TestLabelsAreBounded(t *testing.T) {
	m := &metrics{}
	m.family("calls_total", "counter", "Help.")
	m.sample("calls_total", 1, "class", strings.Repeat("ä", 10_000)+"\n\"")
	m.sample("calls_total", 1, "class", "a\"b\\c\nd")
	require.Less(t, m.Len(), 500)
	require.Contains(t, m.String(), `calls_total{class="a\"b\\c\nd"} 1`)
	checkExposition(t, m.String())
}
