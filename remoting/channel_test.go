package remoting_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/remotingtest"
	"github.com/footman-ci/footman/test/output"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echoDesc stands for a callable of the controller in these tests.
var echoDesc = jser.Serializable("test.Echo", 1, nil, jser.Ref("out", "java.io.OutputStream"), jser.Ref("text", "java.lang.String"))

func echo(out jser.Value, text string) *jser.Object { return jser.New(echoDesc, out, text) }

type handler = remotingtest.HandlerFunc

func pair(t *testing.T, h handler) (controller, agent *remoting.Channel) {
	return remotingtest.Pair(t, remoting.Config{}, remoting.Config{Handler: h})
}

func TestCallAndResult(t *testing.T) {
	c, _ := pair(t, func(_ context.Context, call *remoting.Call) (jser.Value, error) {
		return "you said " + call.Callable.Str("text"), nil
	})
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			v, err := c.UserCall(t.Context(), echo(nil, fmt.Sprint(i)), "echo", 0, 0)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("you said %d", i), v)
		})
	}
	wg.Wait()
}

func TestNullResult(t *testing.T) {
	c, _ := pair(t, func(context.Context, *remoting.Call) (jser.Value, error) { return nil, nil })
	v, err := c.UserCall(t.Context(), echo(nil, ""), "", 0, 0)
	require.NoError(t, err)
	require.Nil(t, v)
}

func TestErrorsBecomeJavaExceptions(t *testing.T) {
	for _, tc := range []struct {
		err         error
		class, text string
	}{
		{errors.New("boom"), "java.io.IOException", "boom"},
		{remoting.Errorf(remoting.IllegalStateClass, "no %d", 7), "java.lang.IllegalStateException", "no 7"},
		{fmt.Errorf("wrapped: %w", remoting.Errorf(remoting.SecurityClass, "never")), "java.lang.SecurityException", "never"},
		{context.Canceled, "java.lang.InterruptedException", ""},
		{remoting.FileError("/x", io.ErrUnexpectedEOF), "java.nio.file.FileSystemException", "unexpected EOF"},
	} {
		c, _ := pair(t, func(context.Context, *remoting.Call) (jser.Value, error) { return nil, tc.err })
		_, err := c.UserCall(t.Context(), echo(nil, ""), "", 0, 0)
		var remote *remoting.RemoteError
		require.ErrorAs(t, err, &remote)
		require.Equal(t, tc.class, remote.Class)
		require.Equal(t, tc.text, remote.Message)
	}
}

func TestPanicFailsOneCall(t *testing.T) {
	c, _ := pair(t, func(_ context.Context, call *remoting.Call) (jser.Value, error) {
		if call.Callable.Str("text") == "panic" {
			panic("oh")
		}
		return "fine", nil
	})
	_, err := c.UserCall(t.Context(), echo(nil, "panic"), "", 0, 0)
	require.ErrorContains(t, err, "internal error")
	v, err := c.UserCall(t.Context(), echo(nil, ""), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, "fine", v)
}

func TestUnwritableAnswerFailsOneCall(t *testing.T) {
	c, _ := pair(t, func(context.Context, *remoting.Call) (jser.Value, error) { return struct{}{}, nil })
	_, err := c.UserCall(t.Context(), echo(nil, ""), "", 0, 0)
	require.ErrorContains(t, err, "can't be written")
}

func TestCancelInterruptsTheHandler(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	c, _ := pair(t, func(ctx context.Context, _ *remoting.Call) (jser.Value, error) {
		close(started)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, context.Cause(ctx)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	_, err := c.UserCall(ctx, echo(nil, ""), "", 0, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, <-ended, context.Canceled)
}

func TestEndOfChannelInterruptsEverything(t *testing.T) {
	started := make(chan struct{})
	ended := make(chan error, 1)
	c, a := pair(t, func(ctx context.Context, _ *remoting.Call) (jser.Value, error) {
		close(started)
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return nil, nil
	})
	failed := make(chan error, 1)
	go func() {
		_, err := c.UserCall(context.Background(), echo(nil, ""), "", 0, 0)
		failed <- err
	}()
	<-started
	require.NoError(t, c.Close(t.Context()))
	require.ErrorIs(t, <-failed, remoting.ErrClosed)
	require.ErrorIs(t, <-ended, remoting.ErrPeerClosed)
	<-a.Done()
	require.ErrorIs(t, a.Err(), remoting.ErrPeerClosed)
	_, err := a.UserCall(context.Background(), echo(nil, ""), "", 0, 0)
	require.ErrorIs(t, err, remoting.ErrClosed)
}

// slowWriter takes data only while its gate is open.
type slowWriter struct {
	gate chan struct{}
	buf  bytes.Buffer
	mu   sync.Mutex
}

func (w *slowWriter) Write(p []byte) (int, error) {
	<-w.gate
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(p)
}

func TestWindowBoundsAWriterAndOthersGoOn(t *testing.T) {
	const window = 64 << 10
	slow := &slowWriter{gate: make(chan struct{})}
	var stalled atomic.Bool
	c, a := remotingtest.Pair(t, remoting.Config{}, remoting.Config{PipeWindow: window,
		Handler: handler(func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
			if call.Callable.Get("out") == nil {
				return "alive", nil
			}
			w, err := call.Writer(ctx, call.Callable.Get("out"))
			if err != nil {
				return nil, err
			}
			stalled.Store(true)
			_, err = w.Write(make([]byte, 10*window))
			return nil, errors.Join(err, w.Close())
		})})
	done := make(chan error, 1)
	go func() {
		_, err := c.UserCall(context.Background(), echo(remoting.OutputStream(c.ExportWriter(slow)), ""), "", 0, 0)
		done <- err
	}()
	require.Eventually(t, func() bool { return a.Stats().Stalls.Load() > 0 }, 10*time.Second, time.Millisecond)
	sent := a.Stats().BytesOut.Load()
	require.Less(t, sent, int64(2*window), "a writer sent more than its window")
	v, err := c.UserCall(t.Context(), echo(nil, ""), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, "alive", v)
	close(slow.gate)
	require.NoError(t, <-done)
	slow.mu.Lock()
	defer slow.mu.Unlock()
	require.Equal(t, 10*window, slow.buf.Len())
}

// When a call returns, all that it wrote has been written at the other end.
func TestAnswerComesAfterTheData(t *testing.T) {
	c, _ := pair(t, func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
		w, err := call.Writer(ctx, call.Callable.Get("out"))
		if err != nil {
			return nil, err
		}
		for i := range 100 {
			if _, err := fmt.Fprintf(w, "line %d\n", i); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	for range 20 {
		var got output.Buffer
		_, err := c.UserCall(t.Context(), echo(remoting.OutputStream(c.ExportWriter(&got)), ""), "", 0, 0)
		require.NoError(t, err)
		require.Equal(t, 100, strings.Count(got.String(), "\n"))
	}
	// A stream that was not closed is given back all the same.
	require.Eventually(t, func() bool { return c.Exports() == 0 }, 5*time.Second, time.Millisecond)
}

func TestExportedStreams(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 200_000) // 3.2 MB, over the window
	var got output.Buffer
	c, _ := pair(t, func(_ context.Context, call *remoting.Call) (jser.Value, error) {
		if call.Callable.Str("text") == "write to me" {
			return remoting.OutputStream(call.Channel.ExportWriter(&got)), nil
		}
		return remoting.InputStream(call.Channel.ExportReader(bytes.NewReader(data))), nil
	})
	v, err := c.UserCall(t.Context(), echo(nil, "read from me"), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, "hudson.remoting.RemoteInputStream", jser.Name(v))
	v, err = c.UserCall(t.Context(), echo(nil, "write to me"), "", 0, 0)
	require.NoError(t, err)
	require.True(t, remoting.IsStream(v))
}

// Streams that come with a call are read to the end, pushed and pulled.
func TestReadingStreamsOfTheController(t *testing.T) {
	data := bytes.Repeat([]byte("stream me "), 300_000)
	want := sha256.Sum256(data)
	c, _ := pair(t, func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
		r, err := call.Reader(ctx, call.Callable.Get("out"))
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		if _, err := io.Copy(h, r); err != nil {
			return nil, err
		}
		return fmt.Sprintf("%x", h.Sum(nil)), r.Close()
	})
	v, err := c.UserCall(t.Context(), echo(remoting.InputStream(c.ExportReader(bytes.NewReader(data))), ""), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%x", want), v)
}

type counter struct {
	n        atomic.Int32
	released chan struct{}
}

func (o *counter) Invoke(_ context.Context, m *remoting.Invocation) (jser.Value, error) {
	if m.Method != "add" {
		return nil, remoting.Errorf(remoting.UnsupportedOperationClass, "no method %s", m.Method)
	}
	n, _ := jser.Unbox(m.Args[0]).(int32)
	return jser.Integer(o.n.Add(n)), nil
}

func (o *counter) Release() { close(o.released) }

// An object that the controller gives away is called back, and released when
// the call is over.
func TestRemoteObjects(t *testing.T) {
	obj := &counter{released: make(chan struct{})}
	c, _ := pair(t, func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
		o, err := call.RemoteObject(call.Callable.Get("out"), false)
		if err != nil {
			return nil, err
		}
		if _, err := o.Invoke(ctx, "test.Counter", "add", []string{"int"}, []jser.Value{jser.Integer(40)}, 0); err != nil {
			return nil, err
		}
		if _, err := o.Invoke(ctx, "test.Counter", "nonsense", nil, nil, 0); err == nil {
			return nil, errors.New("an unknown method was called")
		}
		return o.Invoke(ctx, "test.Counter", "add", []string{"int"}, []jser.Value{jser.Integer(2)}, 0)
	})
	v, err := c.UserCall(t.Context(), echo(remoting.Proxy(c.Export(obj), "test.Counter"), ""), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, int32(42), jser.Unbox(v))
	<-obj.released
	require.Zero(t, c.Exports())
}

func TestTooManyRequestsAreRefused(t *testing.T) {
	gate := make(chan struct{})
	running := make(chan struct{}, 4)
	c, _ := remotingtest.Pair(t, remoting.Config{}, remoting.Config{MaxRequests: 2,
		Handler: handler(func(context.Context, *remoting.Call) (jser.Value, error) {
			running <- struct{}{}
			<-gate
			return nil, nil
		})})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			_, err := c.UserCall(context.Background(), echo(nil, ""), "", 0, 0)
			require.NoError(t, err)
		})
	}
	<-running
	<-running
	_, err := c.UserCall(t.Context(), echo(nil, ""), "", 0, 0)
	require.ErrorContains(t, err, "refused")
	close(gate)
	wg.Wait()
}

func TestPingIsAnsweredOrEndsTheChannel(t *testing.T) {
	answered := make(chan struct{}, 8)
	silent := make(chan struct{})
	c, a := remotingtest.Pair(t, remoting.Config{Handler: handler(func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
		select {
		case answered <- struct{}{}:
			return nil, nil
		default:
		}
		<-silent
		return nil, nil
	})}, remoting.Config{})
	t.Cleanup(func() { close(silent) })
	a.StartPinger(time.Millisecond, 50*time.Millisecond)
	a.StartPinger(time.Millisecond, time.Millisecond) // has no effect
	<-a.Done()
	require.ErrorIs(t, a.Err(), remoting.ErrPingTimeout)
	require.Len(t, answered, 8)
	<-c.Done()
}

// A reader that asks for no bytes gets none: its buffer is full.
func TestPullingNothing(t *testing.T) {
	c, _ := pair(t, func(ctx context.Context, call *remoting.Call) (jser.Value, error) {
		r, err := call.Reader(ctx, call.Callable.Get("out"))
		if err != nil {
			return nil, err
		}
		n, err := r.Read(nil)
		return jser.Integer(int32(n)), err
	})
	v, err := c.UserCall(t.Context(), echo(remoting.InputStream(c.ExportReader(strings.NewReader("x"))), ""), "", 0, 0)
	require.NoError(t, err)
	require.Equal(t, int32(0), jser.Unbox(v))
}
