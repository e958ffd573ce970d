package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

func TestWatchAddress(t *testing.T) {
	for given, want := range map[string]string{
		":8080": "127.0.0.1:8080", "8080": "127.0.0.1:8080", "*:8080": ":8080", "0.0.0.0:81": "0.0.0.0:81", "[::1]:80": "[::1]:80",
	} {
		got, err := watchAddress(given)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := watchAddress("somewhere")
	require.ErrorContains(t, err, "loopback")
}

// freePort is a port of loopback that was free a moment ago.
func freePort(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestATakenPortIsTriedAgain(t *testing.T) {
	defer func(d time.Duration) { listenAgain = d }(listenAgain)
	listenAgain = time.Millisecond
	build, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := build.Addr().String()
	log := &output.Buffer{}
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, (&watch{}).serve(ctx, addr, slog.New(slog.NewTextHandler(log, nil))))
	require.Contains(t, log.String(), "is the port taken by another agent or a build?")
	require.NoError(t, build.Close())
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "Answering") }, 20*time.Second, time.Millisecond)
	code, _ := get(t, "http://"+addr+"/livez")
	require.Equal(t, http.StatusOK, code)
	cancel()
	require.Eventually(t, func() bool {
		l, err := net.Listen("tcp", addr)
		return err == nil && l.Close() == nil
	}, 20*time.Second, time.Millisecond)
	require.ErrorContains(t, (&watch{}).serve(t.Context(), "203.0.113.1:1", slog.New(slog.DiscardHandler)), "-http: listen")
}

func get(t *testing.T, url string) (int, string) {
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

func TestWatchARealAgent(t *testing.T) {
	addr := freePort(t)
	x := connect(t, "-http", addr, "-pprof", "-pingInterval", "50ms")
	_, err := x.n.Sh(within(t, 30*time.Second), "true", controller.ShOptions{})
	require.NoError(t, err)

	code, said := get(t, "http://"+addr+"/livez")
	require.Equal(t, 200, code, said)
	code, said = get(t, "http://"+addr+"/readyz")
	require.Equal(t, 200, code, said)
	code, heap := get(t, "http://"+addr+"/debug/pprof/heap")
	require.Equal(t, 200, code)
	require.NotEmpty(t, heap)
	code, _ = get(t, "http://"+addr+"/etc/passwd")
	require.Equal(t, 404, code)

	code, text := get(t, "http://"+addr+"/metrics")
	require.Equal(t, 200, code)
	require.Contains(t, text, "jenkins_agent_up 1\n")
	require.Contains(t, text, `jenkins_agent_connections_total{protocol="WebSocket"} 1`)
	require.Regexp(t, `jenkins_agent_bytes_total\{direction="in"\} [1-9]`, text)
	require.Regexp(t, `jenkins_agent_calls_total\{class="[^"]+",route="native"\} [1-9]`, text)
	require.Regexp(t, `process_resident_memory_bytes [1-9]`, text)
	checkExposition(t, text)
	require.Eventually(t, func() bool {
		_, text := get(t, "http://"+addr+"/metrics")
		return regexp.MustCompile(`jenkins_agent_rtt_seconds_count [1-9]`).MatchString(text)
	}, 20*time.Second, 50*time.Millisecond, "pings are measured")

	x.n.Drop()
	require.Eventually(t, func() bool {
		_, text := get(t, "http://"+addr+"/metrics")
		return strings.Contains(text, "jenkins_agent_reconnects_total 1\n") && strings.Contains(text, "jenkins_agent_up 1\n")
	}, 20*time.Second, 50*time.Millisecond)

	p := program(t, "jenkins-agent", nil, "health", "-http", addr, "-ready")
	out, err := p.CombinedOutput()
	require.NoError(t, err, string(out))
	p = program(t, "jenkins-agent", nil, "health", "-http", freePort(t))
	require.Error(t, p.Run(), "health of an agent that is not there")
}

func TestHealthWithoutAnAddressSaysSo(t *testing.T) {
	out, err := program(t, "jenkins-agent", nil, "health").CombinedOutput()
	require.NoError(t, err)
	require.Contains(t, string(out), "nothing to ask")
}

// checkExposition holds text against the format of Prometheus: by its own
// promtool where that is installed, and by a pattern everywhere.
func checkExposition(t *testing.T, text string) {
	sample := regexp.MustCompile(`^[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?[0-9.]+$`)
	typed := map[string]bool{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if f := strings.Fields(line); strings.HasPrefix(line, "# TYPE ") {
			require.False(t, typed[f[2]], "%s is declared twice", f[2])
			typed[f[2]] = true
		} else if !strings.HasPrefix(line, "# HELP ") {
			require.Regexp(t, sample, line)
			name, _, _ := strings.Cut(f[0], "{")
			for _, part := range []string{"_bucket", "_sum", "_count"} { // of a histogram
				if base := strings.TrimSuffix(name, part); typed[base] {
					name = base
				}
			}
			require.True(t, typed[name], "%s has no TYPE", name)
		}
	}
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("PROMTOOL IS MISSING (Debian's package prometheus): the metrics were checked by a pattern only")
		return
	}
	p := exec.Command(promtool, "check", "metrics")
	p.Stdin = strings.NewReader(text)
	out, err := p.CombinedOutput()
	require.NoError(t, err, string(out))
}
