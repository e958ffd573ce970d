package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/net/http/httpguts"

	"github.com/footman-ci/footman/remoting/wire"
)

// Header names of the WebSocket upgrade (jenkins.agents.WebSocketAgents,
// hudson.remoting.Engine, org.jenkinsci.remoting.engine.JnlpConnectionState).
const (
	headerNodeName   = "Node-Name"
	headerSecretKey  = "Secret-Key"
	headerCookie     = "Connection-Cookie"
	headerMinVersion = "X-Remoting-Minimum-Version"
)

const (
	// DefaultPingInterval keeps flows alive through proxies that cut at 30 s.
	DefaultPingInterval = 20 * time.Second
	// PingOff switches our own pings off.
	PingOff time.Duration = -1
)

// WebSocket dials a controller at <URL>wsagents/. Set the fields, then Dial as
// often as needed; Dial may not run twice at the same time.
type WebSocket struct {
	URL    string // Jenkins root, http:// or https://, with or without the slash at the end
	Name   string // agent name, sent verbatim
	Secret string

	Headers   http.Header // -webSocketHeader; added last, may override ours; sent with the readiness probe too
	Proxy     Proxy
	TLS       *tls.Config // from TLSOptions.Config; nil = the system's authorities
	UserAgent string      // "" sends none, as the official agent does

	// PingInterval is the time between our pings; 0 = DefaultPingInterval,
	// PingOff (any negative value) = none.
	PingInterval time.Duration
	// ReadTimeout is the silence after which the connection counts as dead. Any
	// message, ping or pong is a sign of life. 0 = 3.75 ping intervals (75 s with
	// the defaults), or none when pings are off; < 0 = none.
	ReadTimeout time.Duration
	// WriteTimeout bounds one write; 0 = wire.DefaultWriteTimeout.
	WriteTimeout time.Duration
	// HandshakeTimeout bounds each step of an attempt; 0 = DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	MaxCommand int         // bytes of one incoming command; 0 = wire.DefaultMaxCommand
	Version    string      // the remoting version we report; compared with the controller's minimum, "" = not compared
	Cookies    CookieStore // nil = no cookie is kept
	// OwnCookie presents a cookie of our making where the store is empty, which
	// controllers accept as they do one of theirs. Then a 101 that is lost on its
	// way back does not lead to "already connected" at the next attempt. The
	// official agent sends none the first time.
	OwnCookie bool
	// OnPong is told the time from each of our pings to its pong, through every
	// proxy on the way; nil for nobody. It runs in the reader: it must not block.
	OnPong func(rtt time.Duration)
	Log    *slog.Logger
}

// Dial makes one attempt: readiness probe, upgrade, checks. Refusals are
// *RefusedError. ctx bounds the attempt, not the connection.
func (w *WebSocket) Dial(ctx context.Context) (*Conn, error) {
	root, err := parseRoot(w.URL)
	if err != nil {
		return nil, err
	}
	d := &netDialer{
		proxy: w.Proxy, tls: w.TLS, userAgent: w.UserAgent,
		timeout: orDefault(w.HandshakeTimeout, DefaultHandshakeTimeout),
	}
	header, err := w.header(root)
	if err != nil {
		return nil, err
	}
	if err := w.probe(ctx, d, root); err != nil {
		return nil, err
	}
	return w.upgrade(ctx, d, root, header)
}

// parseRoot checks -url and makes its path end in a slash.
func parseRoot(raw string) (*url.URL, error) {
	bad := func(what string) error {
		return &RefusedError{Reason: fmt.Sprintf("-url %q %s", clip(raw, 200), what), Advice: "give the root of Jenkins, such as https://jenkins.example.org/", Permanent: true}
	}
	u, err := url.Parse(strings.TrimSpace(raw))
	switch {
	case err != nil:
		return nil, bad("is not a URL")
	case u.User != nil:
		raw = u.Redacted()
		return nil, bad("holds a user name: the agent is known by its secret alone (for a proxy in front use -webSocketHeader or -credentials)")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, bad("does not start with http:// or https://")
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, bad("is not the root of a Jenkins")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
		u.RawPath = ""
	}
	return u, nil
}

// header builds the upgrade headers, in the names of the official agent.
func (w *WebSocket) header(root *url.URL) (http.Header, error) {
	h := http.Header{}
	h.Set(headerNodeName, w.Name)
	h.Set(headerSecretKey, w.Secret)
	h.Set(wire.CapabilityHeader, wire.CapDefault.Base64())
	h.Set("Origin", root.Scheme+"://"+root.Host)
	h.Set("User-Agent", w.UserAgent) // an empty value keeps net/http from adding its own
	if w.OwnCookie && w.Cookies != nil && usableCookie(w.Cookies) == "" {
		w.Cookies.SetCookie(newCookie())
	}
	if c := usableCookie(w.Cookies); c != "" {
		h.Set(headerCookie, c)
	}
	for name, values := range w.Headers {
		h[http.CanonicalHeaderKey(name)] = values
	}
	for name, values := range h {
		for _, v := range values {
			if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(v) {
				return nil, &RefusedError{
					Reason:    fmt.Sprintf("the value for the HTTP header %q cannot be sent", clip(name, 60)),
					Advice:    "check -name, -secret and -webSocketHeader for line breaks",
					Permanent: true,
				}
			}
		}
	}
	return h, nil
}

func (w *WebSocket) upgrade(ctx context.Context, d *netDialer, root *url.URL, header http.Header) (*Conn, error) {
	proxy, err := w.Proxy.forURL(root)
	if err != nil {
		return nil, err
	}
	target := *root.JoinPath("wsagents/")
	target.Scheme = "ws" + strings.TrimPrefix(root.Scheme, "http")

	var limited *handshakeConn
	lift := func() {}
	dial := func(_ context.Context, _, addr string) (net.Conn, error) {
		conn, err := d.dial(ctx, addr, proxy)
		if err != nil {
			return nil, err
		}
		raw := conn
		if root.Scheme == "https" {
			if conn, err = d.secure(ctx, conn, root.Hostname()); err != nil {
				return nil, err
			}
		}
		lift = bound(ctx, raw, d.timeout)
		limited = &handshakeConn{Conn: conn, raw: raw, left: maxHandshake}
		return limited, nil
	}
	wd := websocket.Dialer{
		NetDialContext: dial, NetDialTLSContext: dial,
		ReadBufferSize:  wire.FramePayload + 512,
		WriteBufferSize: wire.FramePayload + 512,
	}
	// The deadlines are those of bound; a deadline of ctx would make gorilla
	// replace them.
	ws, resp, err := wd.DialContext(context.WithoutCancel(ctx), target.String(), header)
	lift()
	if err != nil {
		if resp != nil && errors.Is(err, websocket.ErrBadHandshake) {
			return nil, upgradeRefusal(resp, root)
		}
		if limited != nil && limited.err != nil {
			err = limited.err // net/http calls a cut header a malformed one
		}
		return nil, explain("WebSocket upgrade at", target.Host, orContext(ctx, err))
	}
	if ctx.Err() != nil { // its deadline may already be on the socket
		ws.Close()
		return nil, explain("WebSocket upgrade at", target.Host, context.Cause(ctx))
	}
	limited.lift()
	conn, err := w.accept(ws, limited.raw, resp.Header, root)
	if err != nil {
		ws.Close()
		return nil, err
	}
	return conn, nil
}

// accept judges the headers of the 101 and makes a Conn of the socket.
func (w *WebSocket) accept(ws *websocket.Conn, raw net.Conn, h http.Header, root *url.URL) (*Conn, error) {
	log := logger(w.Log)
	answer, err := parseUpgrade(h)
	if err != nil {
		return nil, err
	}
	if !answer.announced {
		log.Warn("the controller announced no capability, assuming the usual one", "header", wire.CapabilityHeader)
	}
	if answer.oddCookie {
		log.Warn("the controller's connection cookie is not hexadecimal, it is not used")
	}
	if err := versionMismatch(w.Version, answer.minimum); err != nil {
		return nil, err
	}
	rememberCookie(w.Cookies, answer.cookie)

	ping := w.PingInterval
	if ping == 0 {
		ping = DefaultPingInterval
	}
	silence := w.ReadTimeout
	if silence == 0 && ping > 0 {
		silence = ping * 15 / 4
	}
	c := newWSConn(ws, raw, wsSettings{
		ping: max(ping, 0), silence: max(silence, 0), write: orDefault(w.WriteTimeout, wire.DefaultWriteTimeout),
		maxCommand: w.MaxCommand, log: log, onPong: w.OnPong,
	})
	return &Conn{
		commands: c, protocol: "WebSocket", remote: root.Host,
		capability: answer.capability, minimum: answer.minimum, cookie: answer.cookie,
	}, nil
}

// upgradeAnswer is what the headers of the 101 say.
type upgradeAnswer struct {
	capability wire.Capability
	announced  bool // the capability was in the headers
	minimum    string
	cookie     string // "" when absent or unusable
	oddCookie  bool   // there was one, but unusable
}

func parseUpgrade(h http.Header) (upgradeAnswer, error) {
	a := upgradeAnswer{capability: wire.CapDefault, minimum: clip(h.Get(headerMinVersion), maxVersion)}
	if ext := h.Get("Sec-Websocket-Extensions"); ext != "" {
		return a, fmt.Errorf("transport: the server insists on WebSocket extension %q, which was not offered", clip(ext, 60))
	}
	if text := h.Get(wire.CapabilityHeader); text != "" {
		c, err := wire.ParseCapability(text)
		if err != nil {
			return a, fmt.Errorf("transport: header %s: %w", wire.CapabilityHeader, err)
		}
		a.capability, a.announced = c, true
	}
	if c := h.Get(headerCookie); c != "" {
		if validCookie(c) {
			a.cookie = c
		} else {
			a.oddCookie = true
		}
	}
	return a, nil
}

// handshakeConn lets at most left bytes in until lift is called, so that
// endless headers cannot fill the memory.
type handshakeConn struct {
	net.Conn
	raw    net.Conn // below TLS
	left   int
	lifted bool
	err    error // what ended the reading
}

func (c *handshakeConn) lift() { c.lifted = true }

func (c *handshakeConn) Read(p []byte) (int, error) {
	if c.lifted {
		return c.Conn.Read(p)
	}
	if c.left <= 0 {
		c.err = fmt.Errorf("handshake of more than %d bytes", maxHandshake)
		return 0, c.err
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	c.err = err
	return n, err
}
