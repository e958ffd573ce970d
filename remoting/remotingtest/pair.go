// Package remotingtest connects two channels in memory, for tests.
//
//	controller *remoting.Channel ⇄ agent *remoting.Channel
//
// A Channel is symmetric, so the controller's end can call a callable
// (UserCall) and offer streams (ExportWriter with remoting.OutputStream).
package remotingtest

import (
	"context"
	"io"
	"sync"
	"testing"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// transport is one end of an in-memory connection.
type transport struct {
	in     <-chan []byte
	out    chan<- []byte
	done   chan struct{} // closed by either end
	closed *sync.Once
}

// Transports makes the two ends of an in-memory connection. A command is held
// until the other end reads it, apart from a few.
func Transports() (a, b remoting.Transport) {
	x, y := make(chan []byte, 16), make(chan []byte, 16)
	done, once := make(chan struct{}), new(sync.Once)
	return &transport{x, y, done, once}, &transport{y, x, done, once}
}

func (t *transport) ReadCommand() ([]byte, error) {
	select {
	case b := <-t.in:
		return b, nil
	default:
	}
	select {
	case b := <-t.in:
		return b, nil
	case <-t.done:
		return nil, io.EOF
	}
}

func (t *transport) WriteCommand(b []byte) error {
	select {
	case <-t.done:
		return io.ErrClosedPipe
	default:
	}
	select {
	case t.out <- append([]byte(nil), b...):
		return nil
	case <-t.done:
		return io.ErrClosedPipe
	}
}

func (t *transport) Close() error {
	t.closed.Do(func() { close(t.done) })
	return nil
}

// HandlerFunc is a remoting.Handler.
type HandlerFunc func(ctx context.Context, call *remoting.Call) (jser.Value, error)

// Handle implements remoting.Handler.
func (f HandlerFunc) Handle(ctx context.Context, call *remoting.Call) (jser.Value, error) {
	return f(ctx, call)
}

// refuse is the handler of an end that is never called.
func refuse(context.Context, *remoting.Call) (jser.Value, error) {
	return nil, remoting.Errorf(remoting.UnsupportedOperationClass, "nothing is served at this end")
}

// Pair serves two connected channels until the test ends. The configurations'
// handlers may be nil.
func Pair(t testing.TB, controller, agent remoting.Config) (c, a *remoting.Channel) {
	t.Helper()
	ct, at := Transports()
	for _, cfg := range []*remoting.Config{&controller, &agent} {
		if cfg.Handler == nil {
			cfg.Handler = HandlerFunc(refuse)
		}
	}
	c, a = remoting.NewChannel(ct, controller), remoting.NewChannel(at, agent)
	var wg sync.WaitGroup
	for _, ch := range []*remoting.Channel{c, a} {
		wg.Go(func() { _ = ch.Serve(context.Background()) })
	}
	t.Cleanup(func() {
		_ = ct.Close()
		wg.Wait()
		c.Wait()
		a.Wait()
	})
	return c, a
}
