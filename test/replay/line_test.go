package replay

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jvm"
	"github.com/footman-ci/footman/remoting/remotingtest"
	"github.com/footman-ci/footman/remoting/transport"
)

// line is what lies between the agent and the controller. The agent's Engine
// dials it, and gets one connection of the recording after the other; what it
// executes and the processes of builds outlive each of them.
type line struct {
	t      *testing.T
	conns  chan remoting.Connection
	online chan *remoting.Channel
	gone   chan struct{} // closed when nobody answers any more but refuse
	refuse func(context.Context) error
	ended  chan struct{} // Engine.Run has returned
	err    error         // what it returned; read after ended
}

// newLine starts an agent.
func newLine(t *testing.T, cfg remoting.Config, companion *jvm.Companion) *line {
	l := &line{t: t, conns: make(chan remoting.Connection), online: make(chan *remoting.Channel, 1), gone: make(chan struct{}), ended: make(chan struct{})}
	var channels []*remoting.Channel // of the Engine's goroutine, until it ended
	engine := &remoting.Engine{Dial: l.dial, Channel: cfg, Log: cfg.Log, Permanent: transport.IsPermanent, PermanentGrace: time.Nanosecond,
		Backoff: remoting.Backoff{Min: time.Millisecond, Max: time.Millisecond},
		Online: func(ch *remoting.Channel, _ remoting.Connection) {
			companion.Attach(ch)
			channels = append(channels, ch)
			l.online <- ch
		}}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(l.ended)
		l.err = engine.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-l.ended
		for _, ch := range channels {
			ch.Wait()
		}
	})
	return l
}

func (l *line) dial(ctx context.Context) (remoting.Connection, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.gone:
		return nil, l.refuse(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// wired is an end of an in-memory connection.
type wired struct {
	remoting.Transport
	protocol string
}

func (w wired) Protocol() string   { return w.protocol }
func (w wired) RemoteAddr() string { return "the recording" }

// connect waits until the agent dials, and gives it the connection of s.
func (l *line) connect(s *session) (*peer, *remoting.Channel) {
	ct, at := remotingtest.Transports()
	p := newPeer(ct, s)
	select {
	case l.conns <- wired{at, s.protocol}:
	case <-l.ended:
		require.Fail(l.t, "the agent has given up", "%v", l.err)
	case <-time.After(patience):
		require.Fail(l.t, "the agent does not connect again")
	}
	ch := <-l.online
	go p.serve()
	l.t.Cleanup(func() { l.disconnected(p) })
	return p, ch
}

// disconnected ends a connection for good.
func (l *line) disconnected(p *peer) {
	_ = p.t.Close()
	p.once.Do(func() { close(p.over) })
	<-p.served
}

// deleted is the end of a node: each upgrade is answered as in the recording.
func (l *line) deleted(name string) {
	all := handshakes(l.t, name)
	last := all[len(all)-1]
	require.Equal(l.t, http.StatusBadRequest, last.status)
	server := httptest.NewServer(&recordedController{t: l.t, answers: []handshake{last}})
	l.t.Cleanup(server.Close)
	ws := last.agent(server.URL)
	l.refuse = func(ctx context.Context) error {
		c, err := ws.Dial(ctx)
		if err == nil {
			_ = c.Close()
			return io.ErrUnexpectedEOF
		}
		return err
	}
	close(l.gone)
	select {
	case <-l.ended:
	case <-time.After(patience):
		require.Fail(l.t, "the agent of a deleted node does not give up")
	}
	var gaveUp *remoting.GaveUpError
	require.True(l.t, errors.As(l.err, &gaveUp), "%v", l.err)
	require.True(l.t, transport.IsPermanent(gaveUp.Last), "%v", gaveUp.Last)
	require.ErrorContains(l.t, gaveUp.Last, "no such agent")
}
