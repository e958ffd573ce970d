package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/remoting/transport"
)

const (
	// clockWarn and clockFail: clocks that differ by more make tokens of AWS and
	// OIDC invalid, and confuse what compares times of files.
	clockWarn = 5 * time.Second
	clockFail = 5 * time.Minute

	// oldestWebSocket is the first Jenkins with WebSocket agents.
	oldestWebSocket = "2.217"
	// oldestChecked is the oldest whose behaviour this agent was written after.
	oldestChecked = "2.289"
)

// get asks for a page below the root; redirects are not followed. It speaks
// HTTP by itself: net/http guesses about servers that speak first, and logs.
func (d *doctor) get(ctx context.Context, w *way, page string, header http.Header) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.root.JoinPath(page).String(), nil)
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	req.Header.Set("User-Agent", "")
	req.Close = true
	conn, err := w.dialSecure(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	_ = conn.SetDeadline(time.Now().Add(2 * d.times.step))
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	capped := &cappedConn{Conn: conn, left: maxResponse}
	br := bufio.NewReader(capped)
	for {
		resp, err := http.ReadResponse(br, req)
		if err != nil {
			return nil, capped.why(err)
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols {
			continue // early hints
		}
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		return &answer{resp.StatusCode, resp.Header, string(body)}, nil
	}
}

// login asks for the page that every Jenkins shows to everybody.
func (d *doctor) login(ctx context.Context, w *way) bool {
	begin := time.Now()
	a, err := d.get(ctx, w, "login", d.o.headers)
	if err != nil {
		d.fail("jenkins", answerRemedy(err), "no answer from /login: %v", err)
		return false
	}
	if f := frontOf(a); f != nil && !f.signIn {
		w.front = f.name
	}
	d.clock(a.header.Get("Date"))
	version := a.header.Get("X-Jenkins")
	if version != "" && (a.status == http.StatusOK || a.status/100 == 3) {
		d.version = version
		d.controllerVersion(version, since(begin), w.front)
		return true
	}
	return d.notJenkins(w, a)
}

func answerRemedy(err error) string {
	switch {
	case timedOut(err):
		return "the port is open, but nothing answers: is the controller overloaded, or the load balancer without a healthy target?"
	case strings.Contains(err.Error(), tlsAlert) && strings.Contains(err.Error(), "certificate"):
		return "the server wants a client certificate, which agents of Jenkins do not have: exempt " + agentPaths
	case errorIs(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return "is it https:// rather than http://, or does a firewall cut the request?"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "that port does not speak HTTP: give the URL that a browser takes"
	}
	return "open the URL from this machine with another tool, too"
}

func (d *doctor) controllerVersion(version string, took time.Duration, front string) {
	behind := ""
	if front != "" {
		behind = " behind " + front
	}
	switch {
	case d.o.webSocket && !transport.VersionAtLeast(version, oldestWebSocket):
		d.fail("jenkins", "connect by TCP (without -webSocket), or update Jenkins", "version %s%s has no WebSocket agents: they came with %s", version, behind, oldestWebSocket)
	case !transport.VersionAtLeast(version, oldestChecked):
		d.warn("jenkins", "update Jenkins; what fails natively then needs the companion (-companion)", "version %s%s is older than %s, from which on this agent is tried", version, behind, oldestChecked)
	default:
		d.ok("jenkins", "version %s%s answers in %s", version, behind, took)
	}
}

// notJenkins explains an answer to /login that is not Jenkins' own. It reports
// whether looking further makes sense.
func (d *doctor) notJenkins(w *way, a *answer) bool {
	by := ""
	if w.front != "" {
		by = " (" + w.front + ")"
	}
	if who := whoSignsIn(a, w.root.Hostname()); who != "" {
		if a.status/100 == 2 {
			d.warn("jenkins", openAgentPaths, "%s answers instead of Jenkins", who)
			return true
		}
		d.fail("jenkins", openAgentPaths, "%s answers instead of Jenkins: %d", who, a.status)
		return true
	}
	status := http.StatusText(a.status)
	switch code := a.status; {
	case code/100 == 3:
		to, err := url.Parse(a.header.Get("Location"))
		if err == nil && w.root.Scheme == "http" && to.Scheme == "https" && to.Hostname() == w.root.Hostname() {
			d.fail("jenkins", "give that root as -url", "%s sends to https://%s", w.root.Redacted(), to.Host)
		} else {
			d.fail("jenkins", "give the root that it points to as -url", "/login answers %d and points to %q", code, destination(a))
		}
	case code == http.StatusOK && a.header.Get("X-Hudson") != "":
		d.warn("jenkins", "it knows neither WebSocket nor JNLP4-connect: start this agent by a command or by SSH there", "this is Hudson %s, older than any Jenkins", a.header.Get("X-Hudson"))
		return true
	case code == http.StatusOK:
		d.warn("jenkins", "is -url the root of Jenkins, with its path? does something drop the header X-Jenkins?", "/login answers%s, but does not say that it is Jenkins", by)
		return true
	case code == http.StatusServiceUnavailable:
		d.fail("jenkins", "wait: it is starting, or it has no pod that is ready", "/login answers 503%s", by)
	case code == http.StatusNotFound:
		d.fail("jenkins", "is -url the root of Jenkins, with its path (such as /jenkins/)?", "/login answers 404%s", by)
	case code == http.StatusBadGateway, code == http.StatusGatewayTimeout:
		d.fail("jenkins", "it can't reach Jenkins: look at its targets and their health checks", "/login answers %d %s%s", code, status, by)
	case code == http.StatusUnauthorized:
		d.fail("jenkins", "give the credentials with -webSocketHeader Authorization=… or -credentials; or "+openAgentPaths, "something in front%s wants credentials: 401", by)
	case code == http.StatusProxyAuthRequired:
		d.fail("jenkins", "give -proxyCredentials USER:PASSWORD", "/login answers 407: a proxy wants credentials")
	case code == http.StatusForbidden:
		d.fail("jenkins", "a firewall for web applications, or a list of addresses: let this machine's address through", "/login answers 403%s", by)
	default:
		d.fail("jenkins", "look at the log of what stands in front of Jenkins", "/login answers %d %s%s", code, status, by)
	}
	return false
}

func (d *doctor) clock(date string) {
	at, err := http.ParseTime(date)
	if err != nil {
		return // nobody must send one
	}
	off := time.Since(at).Truncate(time.Second)
	text := "behind"
	if off > 0 {
		text = "ahead of"
	}
	remedy := "run an NTP client on this machine (chrony, systemd-timesyncd); on a pod's node, not in the pod"
	switch {
	case off.Abs() > clockFail:
		d.fail("clock", remedy, "this clock is %s %s the controller's: tokens of AWS and OIDC are invalid here", off.Abs(), text)
	case off.Abs() > clockWarn:
		d.warn("clock", remedy, "this clock is %s %s the controller's", off.Abs(), text)
	default:
		d.ok("clock", "agrees with the controller's")
	}
}
