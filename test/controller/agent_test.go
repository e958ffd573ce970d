package controller_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/hudson"
	"github.com/footman-ci/footman/remoting/transport"
	"github.com/footman-ci/footman/test/controller"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a controller for the test.
func start(t testing.TB, o controller.Options) *controller.Controller {
	t.Helper()
	if o.MonitorDelay == 0 {
		o.MonitorDelay = -1
	}
	c := controller.New(o)
	require.NoError(t, c.Start())
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// runAgent runs the real agent in this process until the test ends.
func runAgent(t testing.TB, dial func(context.Context) (*transport.Conn, error)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	protocol := "?"
	e := &remoting.Engine{
		Dial: func(ctx context.Context) (remoting.Connection, error) {
			c, err := dial(ctx)
			if err != nil {
				return nil, err
			}
			return c, nil
		},
		Log: log, Backoff: remoting.Backoff{Min: 5 * time.Millisecond, Max: 50 * time.Millisecond},
		Online: func(_ *remoting.Channel, c remoting.Connection) { protocol = c.Protocol() },
	}
	e.Channel.Log = log
	e.Channel.Handler = hudson.NewTable(&hudson.Agent{Log: log, Version: "3352.v17a_fb_4b_2773f", WorkDir: t.TempDir(),
		Environ: os.Environ(), NoReconnect: e.Leave, Protocol: func() string { return protocol }})
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("agent: %v", err)
		}
	})
}

// wsAgent starts a controller with one agent that is online over WebSocket.
func wsAgent(t testing.TB, o controller.Options) *controller.Node {
	t.Helper()
	c := start(t, o)
	n := c.Node("agent-1", t.TempDir())
	w := &transport.WebSocket{URL: c.URL(), Name: n.Name(), Secret: n.Secret(), Cookies: &transport.Cookies{}, OwnCookie: true}
	runAgent(t, w.Dial)
	require.NoError(t, c.WaitOnline(deadline(t), n.Name()))
	return n
}

func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}
