package remoting_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/remotingtest"
)

// old is what both ends do when one of them is from 2011.
func old(window, buffer int) remoting.Config {
	return remoting.Config{UserResponses: true, NoThrottling: true, PipeWindow: window, PipeBuffer: buffer}
}

// Nobody acknowledges: a writer must not wait for it, and the reader holds the
// channel back instead.
func TestStreamsWithoutAcknowledgements(t *testing.T) {
	const size = 1 << 20
	agent := old(1000, 1000)
	agent.Handler = remotingtest.HandlerFunc(func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
		w, err := call.Writer(ctx, call.Callable.Get("out"))
		if err != nil {
			return nil, err
		}
		_, err = w.Write(make([]byte, size))
		return nil, errors.Join(err, w.Close())
	})
	c, a := remotingtest.Pair(t, old(1000, 1000), agent)
	slow := writerFunc(func(p []byte) (int, error) {
		time.Sleep(time.Millisecond)
		return len(p), nil
	})
	n := 0
	counted := writerFunc(func(p []byte) (int, error) { n += len(p); return slow(p) })
	_, err := c.UserCall(t.Context(), echo(remoting.OutputStream(c.ExportWriter(counted)), ""), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, size, n, "all of it is written when the call returns")
	require.Zero(t, a.Stats().Stalls.Load())
	require.Less(t, a.Stats().CommandsIn.Load(), int64(3), "no acknowledgement came")
}

// A stream that fails must not bring a command that the old peer can't read.
func TestADeadStreamWithoutAcknowledgements(t *testing.T) {
	agent := old(0, 0)
	agent.Handler = remotingtest.HandlerFunc(func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
		w, err := call.Writer(ctx, call.Callable.Get("out"))
		if err != nil {
			return nil, err
		}
		_, err = w.Write([]byte("lost"))
		return nil, errors.Join(err, w.Close())
	})
	c, a := remotingtest.Pair(t, old(0, 0), agent)
	broken := writerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe })
	_, err := c.UserCall(t.Context(), echo(remoting.OutputStream(c.ExportWriter(broken)), ""), "", 0, 0)
	require.NoError(t, err)
	require.Less(t, a.Stats().CommandsIn.Load(), int64(3))
}

func TestUserResponses(t *testing.T) {
	agent := old(0, 0)
	agent.Handler = remotingtest.HandlerFunc(func(_ context.Context, call *remoting.Call) (jser.Value, error) {
		switch call.Callable.Str("text") {
		case "null":
			return nil, nil
		case "late":
			return nil, remoting.Errorf(jser.Serializable("jenkins.util.io.CompositeIOException", 1, jser.IOExceptionClass), "of a class that came later")
		case "unwritable":
			return struct{}{}, nil
		case "panic":
			panic("oops")
		}
		return "value", nil
	})
	c, _ := remotingtest.Pair(t, remoting.Config{}, agent)
	call := func(text string) (jser.Value, error) { return c.UserCall(t.Context(), echo(nil, text), "", 0, 0) }
	v, err := call("")
	require.NoError(t, err)
	require.Equal(t, "value", v)
	v, err = call("null")
	require.NoError(t, err)
	require.Nil(t, v)
	_, err = call("late")
	require.ErrorContains(t, err, "of a class that came later")
	var e *remoting.RemoteError
	require.ErrorAs(t, err, &e)
	require.Equal(t, "java.io.IOException", e.Class)
	_, err = call("unwritable")
	require.ErrorContains(t, err, "can't be written")
	_, err = call("panic")
	require.ErrorContains(t, err, "oops")
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
