package controller

import (
	"bufio"
	"crypto/hmac"
	"fmt"
	"html"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/footman-ci/footman/remoting/wire"
)

// Answers of jenkins.agents.WebSocketAgents.
const (
	textOnlyAgents = "This endpoint is only for use from agent.jar in WebSocket mode"
	textNoAgent    = "no such agent"
	textConnected  = "%s is already connected to this controller. Rejecting this connection."
)

// wsAgents serves /wsagents/.
func (c *Controller) wsAgents(rw http.ResponseWriter, r *http.Request) {
	name, secret, capability := r.Header.Get("Node-Name"), r.Header.Get("Secret-Key"), r.Header.Get(wire.CapabilityHeader)
	if name == "" || secret == "" || capability == "" {
		errorPage(rw, http.StatusBadRequest, textOnlyAgents)
		return
	}
	n := c.lookup(name)
	if n == nil {
		errorPage(rw, http.StatusBadRequest, textNoAgent)
		return
	}
	if !hmac.Equal([]byte(n.Secret()), []byte(secret)) {
		rw.WriteHeader(http.StatusForbidden)
		return
	}
	if _, err := wire.ParseCapability(capability); err != nil {
		errorPage(rw, http.StatusBadRequest, "malformed capability")
		return
	}
	cookie, err := n.admit(r.Context(), r.Header.Get("Connection-Cookie"))
	if err != nil {
		errorPage(rw, http.StatusBadRequest, err.Error())
		return
	}
	up := websocket.Upgrader{ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10, CheckOrigin: func(*http.Request) bool { return true }}
	ws, err := up.Upgrade(rw, r, http.Header{
		wire.CapabilityHeader:        {c.capability().Base64()},
		"X-Remoting-Minimum-Version": {c.opts.MinimumVersion},
		"Connection-Cookie":          {cookie},
	})
	if err != nil {
		n.admitted()
		return // Upgrade has answered
	}
	traffic := &counters{}
	n.connected(newWSLink(ws, c.opts.PingInterval, traffic), traffic, "WebSocket", cookie)
}

// errorPage answers as Jetty does for HttpResponses.errorWithoutStack.
func errorPage(rw http.ResponseWriter, code int, text string) {
	rw.Header().Set("Content-Type", "text/html;charset=utf-8")
	rw.WriteHeader(code)
	fmt.Fprintf(rw, "<html>\n<head>\n<title>Error %d %s</title>\n</head>\n<body><h2>HTTP ERROR %d %[2]s</h2></body>\n</html>\n", code, html.EscapeString(text), code)
}

// wsLink carries commands over a WebSocket: one binary message a chunk.
type wsLink struct {
	ws      *websocket.Conn
	in      *wire.Reader
	traffic *counters
	frame   []byte // reused by WriteCommand
	stop    chan struct{}
	once    sync.Once
	pings   sync.WaitGroup
}

func newWSLink(ws *websocket.Conn, ping time.Duration, traffic *counters) *wsLink {
	l := &wsLink{ws: ws, traffic: traffic, stop: make(chan struct{})}
	l.in = wire.NewReader(bufio.NewReaderSize(&messages{ws: ws, traffic: traffic}, 32<<10), 0)
	if ping > 0 {
		l.pings.Go(func() { l.ping(ping) })
	}
	return l
}

// ping sends a ping after half the interval and then at each interval
// (jenkins.websocket.pingInterval).
func (l *wsLink) ping(every time.Duration) {
	t := time.NewTimer(every / 2)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if l.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(10*time.Second)) != nil {
				return
			}
			t.Reset(every)
		case <-l.stop:
			return
		}
	}
}

func (l *wsLink) ReadCommand() ([]byte, error) { return l.in.ReadCommand() }

func (l *wsLink) WriteCommand(cmd []byte) error {
	_ = l.ws.SetWriteDeadline(time.Now().Add(wire.DefaultWriteTimeout))
	for first := true; first || len(cmd) > 0; first = false {
		n := min(len(cmd), wire.FramePayload)
		l.frame = wire.MakeHeader(n, n < len(cmd)).Append(l.frame[:0])
		l.frame = append(l.frame, cmd[:n]...)
		l.traffic.bytesOut.Add(int64(len(l.frame)))
		if err := l.ws.WriteMessage(websocket.BinaryMessage, l.frame); err != nil {
			return err
		}
		cmd = cmd[n:]
	}
	return nil
}

func (l *wsLink) Close() error {
	var err error
	l.once.Do(func() {
		close(l.stop)
		_ = l.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
		err = l.ws.Close()
	})
	return err
}

// drop ends the TCP connection without a word.
func (l *wsLink) drop() {
	l.once.Do(func() { close(l.stop); _ = l.ws.Close() })
}

// messages makes the byte stream of the binary messages.
type messages struct {
	ws      *websocket.Conn
	r       io.Reader
	traffic *counters
}

func (m *messages) Read(p []byte) (int, error) {
	for {
		if m.r == nil {
			kind, r, err := m.ws.NextReader()
			if err != nil {
				if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
					return 0, io.EOF
				}
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, fmt.Errorf("controller: a WebSocket message of type %d", kind)
			}
			m.r = r
		}
		n, err := m.r.Read(p)
		m.traffic.bytesIn.Add(int64(n))
		if err == io.EOF {
			m.r = nil
			if n == 0 {
				continue
			}
			err = nil
		}
		return n, err
	}
}
