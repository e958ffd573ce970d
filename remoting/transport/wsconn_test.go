package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/wire"
)

func TestWebSocketCommands(t *testing.T) {
	c := newWSController(t, false)
	var sizes []int // of the messages that arrive
	c.serve = func(ws *websocket.Conn) {
		// Echo the byte stream in messages whose borders mean nothing.
		in := wire.NewReader(&messages{ws: ws, sizes: &sizes}, 0)
		for {
			cmd, err := in.ReadCommand()
			if err != nil {
				return
			}
			out := wire.AppendFrames(nil, cmd)
			for step := 1; len(out) > 0; step = step*3 + 1 {
				n := min(step, len(out), 60000)
				if ws.WriteMessage(websocket.BinaryMessage, out[:n]) != nil {
					return
				}
				out = out[n:]
			}
			_ = ws.WriteMessage(websocket.BinaryMessage, nil)
		}
	}
	conn := dialWS(t, c.dialer())
	for _, n := range []int{1, 2, 8191, 8192, 8193, 8398, 300000} {
		cmd := bytes.Repeat([]byte{byte(n)}, n)
		written := make(chan error, 1)
		go func() { written <- conn.WriteCommand(cmd) }()
		got, err := conn.ReadCommand()
		require.NoError(t, err)
		require.NoError(t, <-written)
		require.True(t, bytes.Equal(cmd, got), "%d bytes", n)
	}
	conn.Close()
	c.busy.Wait()
	for _, n := range sizes {
		require.LessOrEqual(t, n, 8194)
	}
	require.Subset(t, sizes, []int{8194, 208}, "8398 bytes are two messages")
}

type messages struct {
	ws    *websocket.Conn
	rest  []byte
	sizes *[]int
}

func (m *messages) Read(p []byte) (int, error) {
	for len(m.rest) == 0 {
		_, b, err := m.ws.ReadMessage()
		if err != nil {
			return 0, err
		}
		*m.sizes = append(*m.sizes, len(b))
		m.rest = b
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func TestWebSocketEnds(t *testing.T) {
	whole := wire.AppendFrames(nil, []byte("hello"))
	tests := []struct {
		name  string
		serve func(ws *websocket.Conn)
		want  error
		text  string
	}{
		{"close 1000", closeWith(websocket.CloseNormalClosure), io.EOF, ""},
		{"close 1001", closeWith(websocket.CloseGoingAway), io.EOF, ""},
		{"close without code", closeWith(websocket.CloseNoStatusReceived), io.EOF, ""},
		{"close 1011", closeWith(websocket.CloseInternalServerErr), nil, "1011"},
		{"FIN", func(ws *websocket.Conn) { ws.NetConn().Close() }, io.ErrUnexpectedEOF, "without a close frame"},
		{"close inside a command", func(ws *websocket.Conn) {
			_ = ws.WriteMessage(websocket.BinaryMessage, whole[:3])
			closeWith(websocket.CloseNormalClosure)(ws)
		}, io.ErrUnexpectedEOF, ""},
		{"text", func(ws *websocket.Conn) { _ = ws.WriteMessage(websocket.TextMessage, []byte("hi")); drain(ws) }, nil, "text message"},
		{"garbage", func(ws *websocket.Conn) { _, _ = ws.NetConn().Write([]byte("HTTP/1.1 500\r\n\r\n")); drain(ws) }, nil, "read"},
		{"huge message", func(ws *websocket.Conn) {
			_ = ws.WriteMessage(websocket.BinaryMessage, make([]byte, maxMessage+1))
			drain(ws)
		}, websocket.ErrReadLimit, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newWSController(t, false)
			c.serve = tt.serve
			conn := dialWS(t, c.dialer())
			_, err := conn.ReadCommand()
			require.Error(t, err)
			if tt.want == io.EOF {
				require.Equal(t, io.EOF, err)
			} else if tt.want != nil {
				require.ErrorIs(t, err, tt.want)
			}
			require.ErrorContains(t, err, tt.text)
			_, again := conn.ReadCommand()
			require.Equal(t, err, again, "an error is final")
		})
	}
}

func closeWith(code int) func(ws *websocket.Conn) {
	return func(ws *websocket.Conn) {
		_ = ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
		drain(ws)
	}
}

func TestWebSocketCloseUnblocks(t *testing.T) {
	c := newWSController(t, false)
	release := make(chan struct{})
	c.serve = func(ws *websocket.Conn) { <-release } // reads nothing: our writes block
	defer close(release)
	conn := dialWS(t, c.dialer())
	require.NoError(t, closeUnblocks(t, conn))
}

func TestWebSocketPoliteClose(t *testing.T) {
	c := newWSController(t, false)
	code := make(chan int, 1)
	c.serve = func(ws *websocket.Conn) {
		_, _, err := ws.ReadMessage()
		var ce *websocket.CloseError
		if errors.As(err, &ce) {
			code <- ce.Code
		}
		close(code)
	}
	conn := dialWS(t, c.dialer())
	ended := make(chan error, 1)
	go func() { _, err := conn.ReadCommand(); ended <- err }()
	require.NoError(t, conn.Close())
	require.Equal(t, websocket.CloseNormalClosure, <-code)
	require.Error(t, <-ended)
}

func TestWebSocketPings(t *testing.T) {
	c := newWSController(t, false)
	pings := make(chan struct{}, 100)
	c.serve = func(ws *websocket.Conn) {
		ws.SetPingHandler(func(d string) error {
			pings <- struct{}{}
			return ws.WriteControl(websocket.PongMessage, []byte(d), time.Now().Add(time.Second))
		})
		drain(ws)
	}
	w := c.dialer()
	w.PingInterval, w.ReadTimeout = 10*time.Millisecond, 300*time.Millisecond
	conn := dialWS(t, w)
	ended := make(chan error, 1)
	go func() { _, err := conn.ReadCommand(); ended <- err }()
	// Twice the read timeout of nothing but pongs.
	for deadline := time.Now().Add(600 * time.Millisecond); time.Now().Before(deadline); {
		<-pings
	}
	select {
	case err := <-ended:
		t.Fatalf("the connection ended although pongs came: %v", err)
	default:
	}
	conn.Close()
	<-ended
}

// Each pong is measured against its own ping: one that comes late, twice or
// unasked says nothing.
func TestWebSocketRoundTrip(t *testing.T) {
	c := newWSController(t, false)
	const slow = 30 * time.Millisecond
	c.serve = func(ws *websocket.Conn) {
		before := ""
		ws.SetPingHandler(func(d string) error {
			time.Sleep(slow) // the network
			for _, data := range []string{"unasked", before, d, d} {
				if err := ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second)); err != nil {
					return err
				}
			}
			before = d
			return nil
		})
		drain(ws)
	}
	w := c.dialer()
	w.PingInterval, w.ReadTimeout = 10*slow, -1
	rtts := make(chan time.Duration, 100)
	w.OnPong = func(d time.Duration) { rtts <- d }
	conn := dialWS(t, w)
	ended := make(chan error, 1)
	go func() { _, err := conn.ReadCommand(); ended <- err }()
	for range 3 {
		d := <-rtts
		require.GreaterOrEqual(t, d, slow)
		require.Less(t, d, 10*slow, "the pong of another ping")
	}
	conn.Close()
	<-ended
	require.Empty(t, rtts, "a pong was counted twice")
}

func TestWebSocketSilence(t *testing.T) {
	c := newWSController(t, false)
	release := make(chan struct{})
	c.serve = func(ws *websocket.Conn) { <-release }
	defer close(release)
	w := c.dialer()
	w.PingInterval = 20 * time.Millisecond
	conn := dialWS(t, w)
	_, err := conn.ReadCommand()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.ErrorContains(t, err, "no sign of life from the controller for 75ms")
}

func TestWebSocketAnswersPings(t *testing.T) {
	c := newWSController(t, false)
	pong := make(chan string, 10)
	c.serve = func(ws *websocket.Conn) {
		ws.SetPongHandler(func(d string) error { pong <- d; return nil })
		_ = ws.WriteControl(websocket.PingMessage, []byte("payload"), time.Now().Add(time.Second))
		drain(ws)
	}
	w := c.dialer()
	w.PingInterval = PingOff
	conn := dialWS(t, w)
	go func() { _, _ = conn.ReadCommand() }()
	require.Equal(t, "payload", <-pong)
}

// A machine that slept has a wall clock ahead of the monotonic one; time.Time
// cannot be made up that way, but the difference can be.
func TestSleptFor(t *testing.T) {
	now := time.Now()
	require.Zero(t, sleptFor(now, now.Add(time.Minute)))
	wallOnly := now.Add(time.Hour).Round(0)
	require.Equal(t, time.Hour, wallOnly.Sub(now.Round(0)))
	require.False(t, suspicious(time.Minute, time.Minute, 75*time.Second))
	require.True(t, suspicious(time.Minute, 20*time.Second, 75*time.Second))
	require.False(t, suspicious(time.Minute, 20*time.Second, 0), "no deadline, nothing to shorten")
}

// The keeper finds the socket broken: that must not look like our own Close.
func TestWebSocketBrokenWrite(t *testing.T) {
	c := newWSController(t, false)
	release := make(chan struct{})
	c.serve = func(ws *websocket.Conn) { <-release }
	defer close(release)
	w := c.dialer()
	w.PingInterval, w.ReadTimeout = 10*time.Millisecond, time.Minute
	conn := dialWS(t, w)
	require.NoError(t, conn.commands.(*wsConn).raw.(*net.TCPConn).CloseWrite())
	_, err := conn.ReadCommand()
	require.ErrorContains(t, err, "cannot be written any more")
	require.NotErrorIs(t, err, net.ErrClosed)
}

// closeUnblocks closes a connection whose reader waits and whose writer is
// stuck, sees both end, and returns what Close said.
func closeUnblocks(t *testing.T, conn *Conn) error {
	errs := make(chan error, 2)
	go func() { _, err := conn.ReadCommand(); errs <- err }()
	wrote := make(chan struct{}, 1)
	go func() {
		for {
			if err := conn.WriteCommand(make([]byte, 1<<20)); err != nil {
				errs <- err
				return
			}
			select {
			case wrote <- struct{}{}:
			default:
			}
		}
	}()
	<-wrote
	start := time.Now()
	err := conn.Close()
	require.Less(t, time.Since(start), time.Second)
	require.ErrorIs(t, <-errs, net.ErrClosed)
	require.ErrorIs(t, <-errs, net.ErrClosed)
	return err
}
