package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"

	"github.com/gorilla/websocket"
)

// What Jenkins says where an upgrade is not one. An /wsagents/ without the
// agent's headers is refused before that is looked at, so the upgrade is tried
// at the CLI's endpoint, which needs no account
// (jenkins.agents.WebSocketAgents, hudson.cli.CLIAction.doWs,
// jenkins.websocket.WebSockets).
const (
	saysOnlyAgents = "only for use from agent.jar"
	saysNoUpgrade  = "only WS connections accepted here"
)

// webSocketAt asks for an upgrade of a page below the root. It returns either
// the socket or the answer that came instead of 101.
func (w *way) webSocketAt(ctx context.Context, page string, header http.Header) (*websocket.Conn, *answer, error) {
	var capped *cappedConn
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := w.dialSecure(ctx)
		if err != nil {
			return nil, err
		}
		capped = &cappedConn{Conn: conn, left: maxResponse}
		return capped, nil
	}
	target := *w.root.JoinPath(page)
	target.Scheme = "ws" + strings.TrimPrefix(w.root.Scheme, "http")
	h := http.Header{"User-Agent": {""}, "Origin": {w.root.Scheme + "://" + w.root.Host}}
	for name, values := range header {
		h[http.CanonicalHeaderKey(name)] = values
	}
	dialer := websocket.Dialer{NetDialContext: dial, NetDialTLSContext: dial, HandshakeTimeout: 2 * w.times.step}
	ws, resp, err := dialer.DialContext(ctx, target.String(), h)
	if err == nil {
		capped.lifted = true
		return ws, nil, nil
	}
	if resp == nil || !errors.Is(err, websocket.ErrBadHandshake) {
		return nil, nil, capped.why(err)
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return nil, &answer{resp.StatusCode, resp.Header, string(body)}, nil
}

// cappedConn lets only so many bytes of a handshake in, since headers may have
// no end. It is lifted before anybody else reads.
type cappedConn struct {
	net.Conn
	left   int
	lifted bool
}

func (c *cappedConn) Read(p []byte) (int, error) {
	if c.lifted {
		return c.Conn.Read(p)
	}
	if c.left <= 0 {
		return 0, errEndless
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// why puts the end of the allowance in the place of what it caused.
func (c *cappedConn) why(err error) error {
	if c != nil && c.left <= 0 {
		return errEndless
	}
	return err
}

var errEndless = fmt.Errorf("an answer of more than %d bytes", maxResponse)

// upgrade tries whether WebSockets reach Jenkins, without secret and name.
func (d *doctor) upgrade(ctx context.Context, w *way) {
	say := d.fail
	if !d.o.webSocket {
		say = d.warn // it is only one of two ways
	}
	ws, a, err := w.webSocketAt(ctx, "wsagents/", d.o.headers)
	if ws != nil {
		ws.Close()
		say("websocket", "is -url the root of Jenkins?", "something that is not Jenkins takes a WebSocket at /wsagents/")
		return
	}
	if err != nil {
		say("websocket", upgradeErrorRemedy(err, w), "the request for a WebSocket is cut: %v", err)
		return
	}
	if text, remedy := d.insteadOf101(w, a); text != "" {
		say("websocket", remedy, "%s", text)
		return
	}
	ws, a, err = w.webSocketAt(ctx, "cli/ws", d.o.headers)
	switch {
	case ws != nil:
		ws.Close()
		d.ok("websocket", "upgrades pass%s", through(w))
	case err != nil:
		say("websocket", upgradeErrorRemedy(err, w), "the request for a WebSocket is cut: %v", err)
	case strings.Contains(a.body, saysNoUpgrade):
		f := frontNamed(w.front)
		say("websocket", f.webSocket, "%s drops the header Upgrade: Jenkins gets a plain request", f.name)
	case strings.Contains(a.header.Get("X-CLI-Error"), "origin"):
		d.warn("websocket", "pass Host and X-Forwarded-Proto on (nginx: proxy_set_header Host $http_host), as Jenkins wants it anyhow", "/wsagents/ reaches Jenkins%s, but Jenkins sees another host or scheme than agents ask for; whether upgrades pass, --connect will tell", through(w))
	default:
		d.ok("websocket", "/wsagents/ reaches Jenkins%s; whether upgrades pass, --connect will tell", through(w))
	}
}

func through(w *way) string {
	switch {
	case w.front != "" && w.proxy != nil:
		return " through the proxy and " + w.front
	case w.front != "":
		return " through " + w.front
	case w.proxy != nil:
		return " through the proxy"
	}
	return ""
}

func upgradeErrorRemedy(err error, w *way) string {
	f := frontNamed(w.front)
	switch {
	case timedOut(err):
		return "the request got lost: " + f.webSocket
	case errorIs(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return "a firewall or proxy that does not know WebSockets closes the connection: " + f.webSocket
	}
	return f.webSocket
}

// insteadOf101 judges an answer to the upgrade; "" means that Jenkins itself
// asked for the headers of an agent, which is as it should be.
func (d *doctor) insteadOf101(w *way, a *answer) (text, remedy string) {
	f := frontOf(a)
	if f == nil {
		f = frontNamed(w.front)
	}
	if who := whoSignsIn(a, w.root.Hostname()); who != "" {
		return "instead of 101 came " + statusText(a) + " of " + who, openAgentPaths
	}
	switch said := a.said(); {
	case a.status == http.StatusBadRequest && strings.Contains(a.body, saysOnlyAgents):
		return "", ""
	case a.status == http.StatusNotFound && (a.fromJenkins() || strings.Contains(a.header.Get("Server"), "Jetty")):
		return "/wsagents/ is not found in Jenkins: 404", "this Jenkins has no WebSockets (" + oldestWebSocket + " and later do); connect by TCP"
	case a.status/100 == 3:
		return "instead of 101 came " + statusText(a) + ", which points to " + destination(a), "give the root that it points to as -url"
	case a.status == http.StatusUnauthorized:
		return "instead of 101 came 401 of " + f.name, "give the credentials with -webSocketHeader Authorization=…; or " + openAgentPaths
	case a.status == http.StatusForbidden:
		return "instead of 101 came 403 of " + f.name, "a firewall for web applications, or a rule for this path: let /wsagents/ through"
	case a.status == http.StatusServiceUnavailable, a.status == http.StatusBadGateway, a.status == http.StatusGatewayTimeout:
		return "instead of 101 came " + statusText(a) + " of " + f.name + ", though /login works", f.webSocket
	case said != "":
		return "instead of 101 came " + statusText(a) + " of " + f.name + ": " + said, f.webSocket
	}
	return "instead of 101 came " + statusText(a) + " of " + f.name, f.webSocket
}

func statusText(a *answer) string {
	return strings.TrimSpace(http.StatusText(a.status) + " (" + strconv.Itoa(a.status) + ")")
}
