package main

import (
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// unit is systemd's side of a unit with Type=notify.
type unit struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newUnit(t *testing.T, path string) *unit {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return &unit{t, conn, path}
}

// await returns all that was said until one message has a line like text.
func (u *unit) await(text string) (all []string) {
	u.t.Helper()
	require.NoError(u.t, u.conn.SetReadDeadline(time.Now().Add(30*time.Second)))
	b := make([]byte, 4096)
	for {
		n, err := u.conn.Read(b)
		require.NoError(u.t, err, "waiting for %s after %q", text, all)
		lines := strings.Split(string(b[:n]), "\n")
		all = append(all, lines...)
		for _, l := range lines {
			if strings.HasPrefix(l, text) {
				return all
			}
		}
	}
}

func TestSystemdIsTold(t *testing.T) {
	for name, path := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@footman-test-" + filepath.Base(t.TempDir()) + time.Now().Format("150405.000000"),
	} {
		t.Run(name, func(t *testing.T) {
			u := newUnit(t, path)
			x := connectWith(t, func(secret string) ([]string, string) {
				return []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=100000"}, secret
			})
			said := u.await("READY=1")
			require.Equal(t, []string{"EXTEND_TIMEOUT_USEC=30000000", "STATUS=Connecting"}, said[:2])
			require.Contains(t, said, "STATUS=Connected by WebSocket")
			require.NotContains(t, said, "WATCHDOG=1")
			u.await("WATCHDOG=1")
			u.await("WATCHDOG=1")

			log := &output.Buffer{}
			_, err := x.n.Sh(within(t, 20*time.Second), "env", controller.ShOptions{Log: log})
			require.NoError(t, err)
			for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC"} {
				require.NotContains(t, log.String(), name, "what builds start is not to speak for the unit")
			}

			x.n.Disconnect()
			u.await("STATUS=Not connected")
			u.await("STATUS=Connected")
			x.signal(syscall.SIGTERM)
			u.await("STOPPING=1")
			require.Equal(t, exitOK, x.exit(10*time.Second))
		})
	}
}

// A controller that is away is no failed start.
func TestSystemdWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	u := newUnit(t, path)
	p := program(t, "jenkins-agent", []string{"NOTIFY_SOCKET=" + path, "WATCHDOG_USEC=1000", "WATCHDOG_PID=1"},
		"-url", "http://127.0.0.1:1/", "-webSocket", "-name", "n1", "-secret", "ab")
	x := &connected{t: t, log: &output.Buffer{}, exited: make(chan struct{}), p: p}
	x.start()
	u.await("EXTEND_TIMEOUT_USEC=")
	x.await("127.0.0.1:1")
	x.signal(syscall.SIGTERM)
	said := u.await("STOPPING=1")
	require.NotContains(t, said, "READY=1")
	require.NotContains(t, said, "WATCHDOG=1", "it is another process that is watched")
	require.Equal(t, exitOK, x.exit(10*time.Second))
}
