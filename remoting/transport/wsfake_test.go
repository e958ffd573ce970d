package transport

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
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

func newWSController(t testing.TB, tls bool) *wsController {
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
