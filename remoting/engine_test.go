package remoting_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/remotingtest"
)

// link is an in-memory Connection.
type link struct{ remoting.Transport }

func (link) Protocol() string   { return "memory" }
func (link) RemoteAddr() string { return "nowhere" }

// dialled hands the controller's end of each new connection to a test.
type dialled struct {
	ends     chan remoting.Transport
	attempts atomic.Int32
	refuse   atomic.Pointer[error]
}

func newDialled() *dialled { return &dialled{ends: make(chan remoting.Transport, 8)} }

func (d *dialled) dial(context.Context) (remoting.Connection, error) {
	d.attempts.Add(1)
	if err := d.refuse.Load(); err != nil {
		return nil, *err
	}
	a, b := remotingtest.Transports()
	d.ends <- b
	return link{a}, nil
}

func (d *dialled) engine() *remoting.Engine {
	return &remoting.Engine{
		Dial:    d.dial,
		Backoff: remoting.Backoff{Min: time.Millisecond, Max: 2 * time.Millisecond},
		Channel: remoting.Config{Handler: remotingtest.HandlerFunc(func(context.Context, *remoting.Call) (jser.Value, error) { return "here", nil })},
	}
}

func (d *dialled) refuseWith(err error) { d.refuse.Store(&err) }

// start runs an engine and returns what it ends with.
func start(t *testing.T, e *remoting.Engine) (stop context.CancelCauseFunc, ended chan error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ended = make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		ended <- e.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel(nil)
		<-finished
	})
	return cancel, ended
}

// controller serves the other end of one episode.
func controller(t *testing.T, end remoting.Transport) *remoting.Channel {
	c := remoting.NewChannel(end, remoting.Config{Handler: remotingtest.HandlerFunc(func(context.Context, *remoting.Call) (jser.Value, error) { return nil, nil })})
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Serve(context.Background()) }()
	t.Cleanup(func() { _ = end.Close(); <-done; c.Wait() })
	return c
}

func TestEngineComesBack(t *testing.T) {
	d := newDialled()
	stop, ended := start(t, d.engine())
	for range 5 {
		end := <-d.ends
		c := controller(t, end)
		v, err := c.UserCall(t.Context(), echo(nil, ""), "", 0, 0)
		require.NoError(t, err)
		require.Equal(t, "here", v)
		require.NoError(t, end.Close())
	}
	c := controller(t, <-d.ends)
	cause := errors.New("that is enough")
	stop(cause)
	require.ErrorIs(t, <-ended, cause)
	<-c.Done()
	require.ErrorIs(t, c.Err(), remoting.ErrPeerClosed, "a stopped agent says so before it hangs up")
}

func TestEngineReconnectsAfterACloseCommand(t *testing.T) {
	d := newDialled()
	_, _ = start(t, d.engine())
	c := controller(t, <-d.ends)
	require.NoError(t, c.Close(t.Context()))
	controller(t, <-d.ends) // a restarting controller closes in order, too
}

func TestEngineLeavesWhenTold(t *testing.T) {
	for name, prepare := range map[string]func(*remoting.Engine){
		"no reconnect": func(e *remoting.Engine) { e.NoReconnect = true },
		"leave":        func(e *remoting.Engine) { e.Online = func(*remoting.Channel, remoting.Connection) { e.Leave() } },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDialled()
			e := d.engine()
			prepare(e)
			_, ended := start(t, e)
			require.NoError(t, (<-d.ends).Close())
			require.NoError(t, <-ended)
			require.Nil(t, e.Current())
		})
	}
}

func TestEngineGivesUp(t *testing.T) {
	away, wrong := errors.New("connection refused"), errors.New("wrong secret")
	permanent := func(err error) bool { return errors.Is(err, wrong) }
	for _, tc := range []struct {
		name    string
		refusal error
		prepare func(*remoting.Engine)
		atLeast int32 // attempts
	}{
		{"first attempt without reconnect", away, func(e *remoting.Engine) { e.NoReconnect = true }, 1},
		{"away too long", away, func(e *remoting.Engine) { e.NoReconnectAfter = 20 * time.Millisecond }, 3},
		{"refused for good", wrong, func(e *remoting.Engine) { e.Permanent, e.PermanentGrace = permanent, 10*time.Millisecond }, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := newDialled()
			d.refuseWith(tc.refusal)
			e := d.engine()
			tc.prepare(e)
			_, ended := start(t, e)
			err := <-ended
			var gaveUp *remoting.GaveUpError
			require.ErrorAs(t, err, &gaveUp)
			require.ErrorIs(t, err, tc.refusal)
			require.GreaterOrEqual(t, d.attempts.Load(), tc.atLeast)
		})
	}
}

// A refusal for good is tolerated while other errors come in between: the
// controller is starting.
func TestEngineIsPatientWithAStartingController(t *testing.T) {
	d := newDialled()
	wrong := errors.New("unknown name")
	e := d.engine()
	e.Permanent, e.PermanentGrace = func(error) bool { return true }, time.Hour
	d.refuseWith(wrong)
	_, ended := start(t, e)
	require.Eventually(t, func() bool { return d.attempts.Load() > 5 }, 5*time.Second, time.Millisecond)
	d.refuse.Store(nil)
	controller(t, <-d.ends)
	require.Empty(t, ended)
}
