package controller_test

import (
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/transport"
	"github.com/footman-ci/footman/remoting/wire"
	"github.com/footman-ci/footman/test/controller"
)

func TestLogin(t *testing.T) {
	c := start(t, controller.Options{})
	r, err := http.Get(c.URL() + "login")
	require.NoError(t, err)
	defer r.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	require.Equal(t, 200, r.StatusCode)
}

func TestRefusals(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	url := strings.Replace(n.Controller().URL(), "http", "ws", 1) + "wsagents/"
	for name, tc := range map[string]struct {
		name, secret, capability, cookie string
		code                             int
		text                             string
	}{
		"nothing":           {code: 400, text: "This endpoint is only for use from agent.jar in WebSocket mode"},
		"no capability":     {name: n.Name(), secret: n.Secret(), code: 400, text: "only for use from agent.jar"},
		"unknown":           {name: "nobody", secret: n.Secret(), capability: wire.CapDefault.Base64(), code: 400, text: "no such agent"},
		"wrong secret":      {name: n.Name(), secret: strings.Repeat("0", 64), capability: wire.CapDefault.Base64(), code: 403},
		"already connected": {name: n.Name(), secret: n.Secret(), capability: wire.CapDefault.Base64(), code: 400, text: "agent-1 is already connected to this controller. Rejecting this connection."},
		"another cookie":    {name: n.Name(), secret: n.Secret(), capability: wire.CapDefault.Base64(), cookie: "00ff", code: 400, text: "already connected"},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			for k, v := range map[string]string{"Node-Name": tc.name, "Secret-Key": tc.secret, wire.CapabilityHeader: tc.capability, "Connection-Cookie": tc.cookie} {
				if v != "" {
					h.Set(k, v)
				}
			}
			_, r, err := websocket.DefaultDialer.Dial(url, h)
			require.ErrorIs(t, err, websocket.ErrBadHandshake)
			require.Equal(t, tc.code, r.StatusCode)
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			require.Contains(t, string(body), tc.text)
		})
	}
	require.NoError(t, n.Ping(deadline(t)), "the agent that is connected was not disturbed")
}

func TestCookieReplacesStaleConnection(t *testing.T) {
	c := start(t, controller.Options{})
	n := c.Node("agent-1", t.TempDir())
	h := http.Header{"Node-Name": {n.Name()}, "Secret-Key": {n.Secret()}, wire.CapabilityHeader: {wire.CapDefault.Base64()}}
	url := strings.Replace(c.URL(), "http", "ws", 1) + "wsagents/"
	first, r, err := websocket.DefaultDialer.Dial(url, h)
	require.NoError(t, err)
	defer first.Close()
	cookie := r.Header.Get("Connection-Cookie")
	raw, err := hex.DecodeString(cookie)
	require.NoError(t, err)
	require.Len(t, raw, 32)
	require.NotEmpty(t, r.Header.Get("X-Remoting-Minimum-Version"))

	h.Set("Connection-Cookie", cookie)
	second, r, err := websocket.DefaultDialer.Dial(url, h)
	require.NoError(t, err)
	defer second.Close()
	require.Equal(t, cookie, r.Header.Get("Connection-Cookie"))
	for err = nil; err == nil; {
		_, _, err = first.ReadMessage() // the stale connection is ended
	}
}

func TestPings(t *testing.T) {
	c := start(t, controller.Options{PingInterval: 20 * time.Millisecond})
	n := c.Node("agent-1", t.TempDir())
	h := http.Header{"Node-Name": {n.Name()}, "Secret-Key": {n.Secret()}, wire.CapabilityHeader: {wire.CapDefault.Base64()}}
	ws, _, err := websocket.DefaultDialer.Dial(strings.Replace(c.URL(), "http", "ws", 1)+"wsagents/", h)
	require.NoError(t, err)
	defer ws.Close()
	pings := 0
	ws.SetPingHandler(func(data string) error {
		require.Empty(t, data)
		if pings++; pings == 3 {
			return io.EOF
		}
		return nil
	})
	require.NoError(t, ws.SetReadDeadline(time.Now().Add(20*time.Second)))
	for err == nil {
		_, _, err = ws.ReadMessage()
	}
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, 3, pings)
}

func TestTCPListenerPage(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	off := start(t, controller.Options{})
	r, err := http.Get(off.URL() + "tcpSlaveAgentListener/")
	require.NoError(t, err)
	r.Body.Close()
	require.Equal(t, 404, r.StatusCode)

	on := start(t, controller.Options{TCP: true})
	r, err = http.Get(on.URL() + "tcpSlaveAgentListener/")
	require.NoError(t, err)
	r.Body.Close()
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, on.InstanceIdentity(), r.Header.Get("X-Instance-Identity"))
	require.Contains(t, on.TCPAddr(), ":"+r.Header.Get("X-Jenkins-JNLP-Port"))
	require.Contains(t, r.Header.Get("X-Jenkins-Agent-Protocols"), "JNLP4-connect")
}

func TestTCPRefusals(t *testing.T) {
	c := start(t, controller.Options{TCP: true})
	n := c.Node("agent-1", t.TempDir())
	for name, tc := range map[string]struct{ name, secret, text string }{
		"unknown":      {"nobody", n.Secret(), "Unknown client name: nobody"},
		"wrong secret": {n.Name(), strings.Repeat("0", 64), "Authorization failure"},
	} {
		t.Run(name, func(t *testing.T) {
			d := &transport.TCP{URLs: []string{c.URL()}, Name: tc.name, Secret: tc.secret, Cookies: &transport.Cookies{}}
			_, err := d.Dial(deadline(t))
			require.ErrorContains(t, err, tc.text)
			require.True(t, transport.IsPermanent(err))
		})
	}
}

func TestInterceptAndRestart(t *testing.T) {
	refused := 0
	o := controller.Options{Key: "the same", Intercept: func(rw http.ResponseWriter, r *http.Request) bool {
		if refused == 3 {
			return false
		}
		refused++
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	}}
	n := wsAgent(t, o)
	require.Equal(t, 3, refused, "the agent tried again")
	require.Equal(t, controller.New(controller.Options{Key: "the same"}).Node(n.Name(), "").Secret(), n.Secret())
}
