package transport

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/wire"
)

// wsController answers /login and /wsagents/ as a controller does; serve gets
// the server's end of each WebSocket.
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

// messages is the server's view of our messages as bytes.
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

func TestWebSocketOwnCookie(t *testing.T) {
	c := newWSController(t, false)
	w := c.dialer()
	w.OwnCookie = true
	c.refuse = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) }
	for range 2 {
		_, err := w.Dial(t.Context())
		require.Error(t, err)
	}
	first := c.requests[0].Header.Get("Connection-Cookie")
	require.True(t, validCookie(first) && len(first) == 64)
	require.Equal(t, first, c.requests[1].Header.Get("Connection-Cookie"), "the same until the controller gives another")
	c.refuse = nil
	dialWS(t, w).Close()
	require.Equal(t, testCookie, w.Cookies.Cookie())
}
