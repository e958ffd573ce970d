package transport

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// probe asks <URL>login whether the controller is up, as the official agent
// does (Engine.pingSuccessful): /tcpSlaveAgentListener/ would be 404 where the
// TCP port is disabled. While Jenkins starts, this page is 503.
func (w *WebSocket) probe(ctx context.Context, d *netDialer, root *url.URL) error {
	login := root.JoinPath("login").String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, login, nil)
	if err != nil {
		return explain("asking", login, err)
	}
	req.Header.Set("User-Agent", w.UserAgent)
	for name, values := range w.Headers {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	resp, err := d.httpClient(w.Headers).Do(req)
	if err != nil {
		return explain("asking", login, orContext(ctx, unwrapURL(err)))
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK || isForeignLogin(resp) {
		return nil
	}
	return &RefusedError{
		Status:    resp.StatusCode,
		Reason:    fmt.Sprintf("%s is not ready: %d %s", login, resp.StatusCode, http.StatusText(resp.StatusCode)),
		Advice:    probeAdvice(resp.StatusCode),
		Permanent: resp.StatusCode == http.StatusProxyAuthRequired,
	}
}

// isForeignLogin: Jenkins itself sends people to an identity provider.
func isForeignLogin(resp *http.Response) bool {
	return resp.StatusCode/100 == 3 && resp.Header.Get("X-Jenkins") != ""
}

func probeAdvice(status int) string {
	switch {
	case status == http.StatusNotFound:
		return "is -url the root of Jenkins, with its path?"
	case status == http.StatusProxyAuthRequired:
		return "give -proxyCredentials USER:PASSWORD"
	case status == http.StatusUnauthorized:
		return "a proxy in front wants credentials: give them with -webSocketHeader Authorization=…"
	case status == http.StatusForbidden:
		return "it is starting, or something in front of it forbids the way"
	case status == http.StatusServiceUnavailable:
		return "it is starting"
	case status/100 == 5:
		return "the controller, or the proxy in front of it, is in trouble"
	}
	return ""
}

// upgradeRefusal explains an answer other than 101. The probe has just said
// that the controller is up, so what it says now is meant.
func upgradeRefusal(resp *http.Response, root *url.URL) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	said := pageText(string(body))
	e := &RefusedError{Status: resp.StatusCode}
	e.Reason = fmt.Sprintf("the controller refused the WebSocket: %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	if said != "" && !strings.EqualFold(said, http.StatusText(resp.StatusCode)) {
		e.Reason += ": " + said
	}
	switch code := resp.StatusCode; {
	case code == http.StatusSwitchingProtocols:
		e.Reason = "the answer to the WebSocket upgrade is not a valid one"
		e.Advice = "a proxy in between seems to change it"
	case code/100 == 3:
		e.Advice, e.Permanent = fmt.Sprintf("it points to %q: give that root as -url", clip(resp.Header.Get("Location"), 200)), true
	case code == http.StatusBadRequest:
		e.Advice, e.Permanent = judgeRefusal(said)
	case code == http.StatusUnauthorized:
		e.Advice, e.Permanent = "a proxy in front wants credentials: give them with -webSocketHeader Authorization=…", true
	case code == http.StatusProxyAuthRequired:
		e.Advice, e.Permanent = "give -proxyCredentials USER:PASSWORD", true
	case code == http.StatusForbidden:
		e.Advice, e.Permanent = "the secret is wrong for this agent name: copy it anew from the node's page", true
	case code == http.StatusNotFound:
		e.Advice, e.Permanent = "no WebSocket agents at "+root.Redacted()+": check -url, or connect without -webSocket", true
	case code == http.StatusUpgradeRequired, code == http.StatusNotImplemented:
		e.Advice = "a proxy in between does not pass WebSockets on"
	case code/100 == 5:
		e.Advice = probeAdvice(code)
	}
	return e
}

// judgeRefusal knows the sentences of a controller, over WebSocket (HTTP 400)
// as inside JNLP4-connect: WebSocketAgents.doIndex, DefaultJnlpSlaveReceiver,
// JnlpProtocol4Handler.
func judgeRefusal(said string) (advice string, permanent bool) {
	has := func(s string) bool { return strings.Contains(strings.ToLower(said), s) }
	switch {
	case has("already connected"):
		return "the controller still holds an older connection of this agent, or another machine uses the same name", false
	case has("failed to disconnect the current client"):
		return "the controller is letting go of the older connection", false
	case has("no such agent"), has("unknown client name"):
		return "no node of that name: check -name, was the node deleted?", true
	case has("authorization failure"), has("authentication failure"):
		return "the secret is wrong for this agent name: copy it anew from the node's page", true
	case has("is not an inbound agent"):
		return "set the node's launch method to \"Launch agent by connecting it to the controller\"", true
	case has("only for use from agent.jar"):
		return "a proxy in between drops the agent's headers", true
	}
	return "", false
}

// unwrapURL takes the *url.Error off, whose text repeats method and URL.
func unwrapURL(err error) error {
	if u, ok := err.(*url.Error); ok { // outermost, never wrapped
		return u.Err
	}
	return err
}
