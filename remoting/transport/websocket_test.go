package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/remoting/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testSecret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	testCookie = "d2d6b5db71169a154f3b3f98d241a5e4de6c1909b1f8782aa1a574da987fd41e"
)

// wsController answers /login and /wsagents/ as a controller does; serve gets
// the server's end of each WebSocket.
type wsController struct {
	*httptest.Server
	mu       sync.Mutex
	login    http.HandlerFunc // nil = 200
	refuse   http.HandlerFunc // instead of the upgrade
	answer   http.Header      // added to the 101
	requests []*http.Request  // every upgrade request
	probes   []*http.Request
	serve    func(ws *websocket.Conn)
	busy     sync.WaitGroup
}

func newWSController(t *testing.T, tls bool) *wsController {
	c := &wsController{answer: http.Header{
		"X-Remoting-Capability":      {wire.CapDefault.Base64()},
		"X-Remoting-Minimum-Version": {"3107.v665000b_51092"},
		"Connection-Cookie":          {testCookie},
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("/jenkins/login", func(rw http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.probes = append(c.probes, r)
		login := c.login
		c.mu.Unlock()
		if login != nil {
			login(rw, r)
		}
	})
	mux.HandleFunc("/jenkins/wsagents/", func(rw http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.requests = append(c.requests, r)
		c.busy.Add(1)
		defer c.busy.Done()
		refuse, answer, serve := c.refuse, c.answer, c.serve
		c.mu.Unlock()
		if refuse != nil {
			refuse(rw, r)
			return
		}
		up := websocket.Upgrader{ReadBufferSize: 1024, WriteBufferSize: 1024, CheckOrigin: func(*http.Request) bool { return true }}
		ws, err := up.Upgrade(rw, r, answer)
		if err != nil {
			return
		}
		defer ws.Close()
		if serve != nil {
			serve(ws)
		}
	})
	c.Server = httptest.NewUnstartedServer(mux)
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	if tls {
		c.StartTLS()
	} else {
		c.Start()
	}
	t.Cleanup(func() { c.Close(); c.busy.Wait() })
	return c
}

func (c *wsController) dialer() *WebSocket {
	return &WebSocket{URL: c.URL + "/jenkins", Name: "agent-1", Secret: testSecret, Cookies: &Cookies{}, HandshakeTimeout: 5 * time.Second}
}

func dialWS(t *testing.T, w *WebSocket) *Conn {
	conn, err := w.Dial(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

func drain(ws *websocket.Conn) {
	for {
		if _, _, err := ws.NextReader(); err != nil {
			return
		}
	}
}

func TestWebSocketUpgrade(t *testing.T) {
	c := newWSController(t, false)
	c.serve = drain
	w := c.dialer()
	w.Headers = http.Header{"x-extra": {"one"}, "Origin": {"http://other"}}
	w.Version = "3352.v17a_fb_4b_2773f"
	conn := dialWS(t, w)
	require.Equal(t, "WebSocket", conn.Protocol())
	require.Equal(t, wire.CapDefault, conn.RemoteCapability())
	require.Equal(t, "3107.v665000b_51092", conn.MinimumVersion())
	require.Equal(t, testCookie, conn.Cookie())
	require.NoError(t, conn.Close())
	require.NoError(t, conn.Close(), "idempotent")

	require.Len(t, c.probes, 1)
	require.Equal(t, "/jenkins/login", c.probes[0].URL.Path)
	require.Empty(t, c.probes[0].Header.Get("Secret-Key"))
	require.Equal(t, "one", c.probes[0].Header.Get("X-Extra"))

	r := c.requests[0]
	require.Equal(t, "/jenkins/wsagents/", r.URL.Path)
	got := map[string]string{}
	for k := range r.Header {
		got[k] = r.Header.Get(k)
	}
	delete(got, "Sec-Websocket-Key")
	require.Equal(t, map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13",
		"Node-Name": "agent-1", "Secret-Key": testSecret, "X-Remoting-Capability": wire.CapDefault.Base64(),
		"X-Extra": "one", "Origin": "http://other",
	}, got)
}

func TestWebSocketOrigin(t *testing.T) {
	c := newWSController(t, false)
	dialWS(t, c.dialer())
	require.Equal(t, c.URL, c.requests[0].Header.Get("Origin"))
	require.NotContains(t, c.requests[0].Header, "Connection-Cookie")
}

func TestWebSocketCookie(t *testing.T) {
	c := newWSController(t, false)
	w := c.dialer()
	sent := func() string {
		dialWS(t, w).Close()
		return c.requests[len(c.requests)-1].Header.Get("Connection-Cookie")
	}
	require.Empty(t, sent())
	require.Equal(t, testCookie, sent(), "echoed")
	c.answer.Del("Connection-Cookie")
	require.Equal(t, testCookie, sent())
	require.Empty(t, w.Cookies.Cookie(), "an answer without one forgets it")
	require.Empty(t, sent())
	c.answer.Set("Connection-Cookie", "not hex")
	require.Empty(t, sent())
	require.Empty(t, w.Cookies.Cookie())
	w.Cookies.SetCookie("also\nnot hex")
	require.Empty(t, sent(), "what would make the controller answer 500 is not sent")
	w.Cookies = nil
	require.Empty(t, sent())
}

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

// messages is the server's view of our messages as bytes.
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
	require.NoError(t, conn.Close())
	require.Less(t, time.Since(start), time.Second)
	require.ErrorIs(t, <-errs, net.ErrClosed)
	require.ErrorIs(t, <-errs, net.ErrClosed)
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

func TestWebSocketVersion(t *testing.T) {
	c := newWSController(t, false)
	w := c.dialer()
	w.Version = "3044.vb_940a_a_e4f72e"
	_, err := w.Dial(t.Context())
	var refused *RefusedError
	require.ErrorAs(t, err, &refused)
	require.True(t, refused.Permanent)
	require.ErrorContains(t, err, "3107.v665000b_51092 or newer")
	require.Empty(t, w.Cookies.Cookie())
}

func TestWebSocketNoCapability(t *testing.T) {
	c := newWSController(t, false)
	c.answer.Del("X-Remoting-Capability")
	require.Equal(t, wire.CapDefault, dialWS(t, c.dialer()).RemoteCapability())
	c.answer.Set("X-Remoting-Capability", "AAAA")
	_, err := c.dialer().Dial(t.Context())
	require.ErrorContains(t, err, "not a capability")
}

func jettyPage(status int, text string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html;charset=iso-8859-1")
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, "<html>\n<head>\n<title>Error "+http.StatusText(status)+"</title></head><body><h2>HTTP ERROR "+text+"</h2></body></html>")
	}
}

func TestWebSocketRefusals(t *testing.T) {
	titled := func(status, text string) func(http.ResponseWriter, *http.Request) {
		return func(rw http.ResponseWriter, _ *http.Request) {
			code := map[string]int{"400": 400, "403": 403, "404": 404, "500": 500, "503": 503, "401": 401, "426": 426}[status]
			rw.WriteHeader(code)
			_, _ = io.WriteString(rw, "<html>\n<head>\n<title>Error "+status+" "+text+"</title>\n</head>\n<body>&hellip;</body></html>")
		}
	}
	tests := []struct {
		name      string
		refuse    http.HandlerFunc
		permanent bool
		text      string
	}{
		{"no such agent", titled("400", "no such agent"), true, "no such agent; no node of that name"},
		{"connected", titled("400", "agent-1 is already connected to this controller. Rejecting this connection."), false, "older connection"},
		{"not inbound", titled("400", "agent-1 is not an inbound agent"), true, "launch method"},
		{"headers lost", titled("400", "This endpoint is only for use from agent.jar in WebSocket mode"), true, "drops the agent&#39;s headers"},
		{"some other 400", titled("400", "Bad Request"), false, "refused the WebSocket: 400 Bad Request"},
		{"wrong secret", titled("403", "Forbidden"), true, "the secret is wrong"},
		{"404", titled("404", "Not Found"), true, "without -webSocket"},
		{"401", titled("401", "Unauthorized"), true, "-webSocketHeader"},
		{"500", titled("500", "Server Error"), false, "in trouble"},
		{"503", titled("503", "Service Unavailable"), false, "it is starting"},
		{"no upgrade", func(http.ResponseWriter, *http.Request) {}, false, "200 OK"},
		{"redirect", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "https://real.example.org/", http.StatusFound)
		}, true, `points to "https://real.example.org/"`},
		{"426", titled("426", "Upgrade Required"), false, "does not pass WebSockets"},
		{"101 but wrong", func(rw http.ResponseWriter, r *http.Request) {
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: no\r\n\r\n")
				conn.Close()
			}
		}, false, "not a valid one"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newWSController(t, false)
			c.refuse = tt.refuse
			w := c.dialer()
			w.Cookies.SetCookie(testCookie)
			_, err := w.Dial(t.Context())
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, tt.permanent, IsPermanent(err), "%v", err)
			require.ErrorContains(t, err, strings.ReplaceAll(tt.text, "&#39;", "'"))
			require.NotContains(t, err.Error(), testSecret)
			require.NotContains(t, err.Error(), "\n")
			require.Equal(t, testCookie, w.Cookies.Cookie(), "a refusal is no reason to forget the cookie")
		})
	}
}

func TestWebSocketProbe(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Token") != "" {
			rw.WriteHeader(http.StatusTeapot)
		}
	}))
	defer other.Close()
	tests := []struct {
		name  string
		login http.HandlerFunc
		text  string // "" = ready
	}{
		{"200", nil, ""},
		{"starting", jettyPage(503, "503"), "login is not ready: 503 Service Unavailable; it is starting"},
		{"bad gateway", jettyPage(502, "502"), "not ready: 502"},
		{"forbidden while starting", jettyPage(403, "403"), "not ready: 403"},
		{"wrong path", jettyPage(404, "404"), "root of Jenkins"},
		{"redirect on the host", func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery == "" {
				http.Redirect(rw, r, "/jenkins/login?from=x", http.StatusFound)
			}
		}, ""},
		{"redirect to another host loses our headers", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, other.URL, http.StatusFound)
		}, ""},
		{"Jenkins with an identity provider out of reach", func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("X-Jenkins", "2.541.2")
			http.Redirect(rw, r, "http://192.0.2.1/idp", http.StatusFound)
		}, ""},
		{"redirect loop", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "/jenkins/login", http.StatusFound)
		}, "not ready: 302"},
		{"endless headers", func(rw http.ResponseWriter, r *http.Request) {
			for range 100 {
				rw.Header().Add("X-Long", strings.Repeat("x", 1000))
			}
		}, "exceeded"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newWSController(t, false)
			c.login = tt.login
			w := c.dialer()
			w.Headers = http.Header{"X-Token": {"t"}}
			conn, err := w.Dial(t.Context())
			if tt.text == "" {
				require.NoError(t, err)
				require.NoError(t, conn.Close())
				return
			}
			require.ErrorContains(t, err, tt.text)
			require.False(t, IsPermanent(err))
			require.Empty(t, c.requests, "no secret before the controller is up")
		})
	}
}

func TestWebSocketBadSettings(t *testing.T) {
	for _, tt := range []struct {
		change func(w *WebSocket)
		text   string
	}{
		{func(w *WebSocket) { w.URL = "jenkins.example.org" }, "does not start with http"},
		{func(w *WebSocket) { w.URL = "https://" }, "root of a Jenkins"},
		{func(w *WebSocket) { w.URL = "https://u:pass%20word@h/" }, "holds a user name"},
		{func(w *WebSocket) { w.URL = "http://h/%zz" }, "is not a URL"},
		{func(w *WebSocket) { w.Name = "a\nb" }, `"Node-Name" cannot be sent`},
		{func(w *WebSocket) { w.Secret += "\n" }, `"Secret-Key" cannot be sent`},
		{func(w *WebSocket) { w.Headers = http.Header{"a b": {"c"}} }, "cannot be sent"},
	} {
		w := &WebSocket{URL: "http://localhost:1/", Name: "n", Secret: testSecret}
		tt.change(w)
		_, err := w.Dial(t.Context())
		require.ErrorContains(t, err, tt.text)
		require.True(t, IsPermanent(err))
		require.NotContains(t, err.Error(), "pass")
		require.NotContains(t, err.Error(), testSecret)
	}
}

// Servers that accept and then say nothing, at each step.
func TestWebSocketDeadlines(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	addr := silent.Addr().String()
	t.Run("no answer to the probe", func(t *testing.T) {
		testDeadline(t, &WebSocket{URL: "http://" + addr + "/"})
	})
	t.Run("no TLS", func(t *testing.T) {
		testDeadline(t, &WebSocket{URL: "https://" + addr + "/"})
	})
	t.Run("no answer to the upgrade", func(t *testing.T) {
		c := newWSController(t, false)
		stuck := make(chan struct{})
		c.refuse = func(http.ResponseWriter, *http.Request) { <-stuck }
		defer close(stuck)
		testDeadline(t, c.dialer())
	})
	t.Run("half an answer to the upgrade", func(t *testing.T) {
		c := newWSController(t, false)
		stuck := make(chan struct{})
		c.refuse = func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgr")
				<-stuck
				conn.Close()
			}
		}
		defer close(stuck)
		testDeadline(t, c.dialer())
	})
	t.Run("endless answer to the upgrade", func(t *testing.T) {
		c := newWSController(t, false)
		c.refuse = func(rw http.ResponseWriter, _ *http.Request) {
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n")
			for err == nil {
				_, err = io.WriteString(conn, "X-Long: "+strings.Repeat("x", 1000)+"\r\n")
			}
		}
		_, err := c.dialer().Dial(t.Context())
		require.ErrorContains(t, err, "handshake of more than")
	})
	t.Run("nobody there", func(t *testing.T) {
		closed, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		closed.Close()
		_, err = (&WebSocket{URL: "http://" + closed.Addr().String()}).Dial(t.Context())
		require.ErrorContains(t, err, "nothing listens there")
		require.False(t, IsPermanent(err))
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := (&WebSocket{URL: "https://" + addr + "/"}).Dial(ctx)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func testDeadline(t *testing.T, w *WebSocket) {
	w.HandshakeTimeout = 50 * time.Millisecond
	start := time.Now()
	_, err := w.Dial(t.Context())
	require.Error(t, err)
	require.ErrorContains(t, err, "no answer in time")
	require.False(t, IsPermanent(err))
	require.Less(t, time.Since(start), 3*time.Second)
}

func FuzzUpgradeHeaders(f *testing.F) {
	f.Add(wire.CapDefault.Base64(), "3107.v665000b_51092", testCookie, "")
	f.Add("rO0ABXNy", "", "zz", "permessage-deflate")
	f.Fuzz(func(t *testing.T, capability, minimum, cookie, ext string) {
		a, err := parseUpgrade(http.Header{
			"X-Remoting-Capability": {capability}, "X-Remoting-Minimum-Version": {minimum},
			"Connection-Cookie": {cookie}, "Sec-Websocket-Extensions": {ext},
		})
		if err != nil {
			require.Less(t, len(err.Error()), 1000)
			return
		}
		require.True(t, a.cookie == "" || validCookie(a.cookie))
		_ = versionMismatch("3352", a.minimum)
	})
}

func FuzzUpgradeRefusal(f *testing.F) {
	f.Add(400, "<html><title>Error 400 no such agent</title>", "x")
	f.Add(302, "", "http://elsewhere/")
	f.Fuzz(func(t *testing.T, status int, body, location string) {
		root, err := parseRoot("http://h/")
		require.NoError(t, err)
		e := upgradeRefusal(&http.Response{
			StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{"Location": {location}},
		}, root)
		require.Less(t, len(e.Error()), 2000)
		require.NotContains(t, e.Error(), "\n")
	})
}
