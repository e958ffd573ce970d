package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/transport"
)

func TestFrontsAreKnown(t *testing.T) {
	h := func(kv ...string) http.Header {
		h := http.Header{}
		for i := 0; i+1 < len(kv); i += 2 {
			h.Set(kv[i], kv[i+1])
		}
		return h
	}
	known := map[string]bool{}
	for _, c := range []struct {
		name string
		a    answer
	}{
		{"oauth2-proxy", answer{302, h("Location", "/oauth2/sign_in?rd=/", "Server", "nginx"), ""}},
		{"Cloudflare Access", answer{302, h("Location", "https://x.cloudflareaccess.com/cdn-cgi/access/login/ci", "Server", "cloudflare"), ""}},
		{"Amazon Cognito", answer{302, h("Location", "https://x.auth.eu-west-1.amazoncognito.com/login", "Server", "awselb/2.0"), ""}},
		{"Google sign-in", answer{302, h("Location", "https://accounts.google.com/o/oauth2/v2/auth"), ""}},
		{"Microsoft sign-in", answer{302, h("Location", "https://login.microsoftonline.com/t/oauth2"), ""}},
		{"Okta", answer{302, h("Location", "https://x.okta.com/app"), ""}},
		{"Auth0", answer{302, h("Location", "https://x.eu.auth0.com/authorize"), ""}},
		{"Keycloak", answer{302, h("Location", "https://sso/realms/ci/protocol/openid-connect/auth"), ""}},
		{"Authelia", answer{401, h("Set-Cookie", "authelia_session=x"), ""}},
		{"authentik", answer{302, h("Location", "/outpost.goauthentik.io/start"), ""}},
		{"Pomerium", answer{302, h("Location", "https://x/.pomerium/sign_in"), ""}},
		{"AWS ALB", answer{502, h("Server", "awselb/2.0"), ""}},
		{"Cloudflare", answer{403, h("Server", "cloudflare", "CF-RAY", "1"), ""}},
		{"CloudFront", answer{403, h("Server", "CloudFront", "X-Amz-Cf-Id", "1"), ""}},
		{"Google load balancer", answer{502, h("Via", "1.1 google"), ""}},
		{"Azure Application Gateway", answer{502, h("Server", "Microsoft-Azure-Application-Gateway/v2"), ""}},
		{"Envoy or Istio", answer{403, h("Server", "istio-envoy"), ""}},
		{"nginx", answer{400, h(), "<center>nginx/1.24</center>"}},
		{"Apache", answer{400, h("Server", "Apache/2.4"), ""}},
		{"IIS", answer{502, h("Server", "Microsoft-IIS/10.0"), ""}},
		{"Squid", answer{503, h("X-Squid-Error", "ERR_DNS_FAIL 0"), ""}},
		{"HAProxy", answer{503, h(), "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n</body></html>"}},
		{"Traefik", answer{404, h(), "404 page not found\n"}},
	} {
		f := frontOf(&c.a)
		require.NotNil(t, f, c.name)
		require.Equal(t, c.name, f.name)
		require.Equal(t, f.signIn, whoSignsIn(&c.a, "ci") != "", c.name)
		known[f.name] = true
	}
	for _, f := range fronts {
		require.True(t, known[f.name], "%s has no example", f.name)
		require.True(t, f.signIn || f.webSocket != "" && f.idle != "", "%s has no remedy", f.name)
	}
	require.Nil(t, frontOf(&answer{200, h("Server", "Jetty(12.1.5)", "X-Jenkins", "2.541.2"), ""}))
}

// What comes back instead of 101, by what it is that stands in between.
func TestDoctorOnTheUpgrade(t *testing.T) {
	plain := func(w http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Upgrade") // and go on
		w.Header().Set("Server", "nginx/1.24")
		return false
	}
	hang := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/wsagents/" {
			return false
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			c.Close()
		}
		return true
	}
	endless := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/wsagents/" {
			return false
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, err = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n")
		}
		for err == nil {
			_, err = io.WriteString(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n")
		}
		return true
	}
	stranger := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/wsagents/" {
			return false
		}
		if ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil); err == nil {
			ws.Close()
		}
		return true
	}
	ws := func(status int, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
		return only("/wsagents/", status, body, header...)
	}
	for name, c := range map[string]struct {
		over func(http.ResponseWriter, *http.Request) bool
		wants
	}{
		"passes":         {nil, wants{"websocket", levelOK, "upgrades pass", ""}},
		"nginx drops it": {plain, wants{"websocket", levelFail, "nginx drops the header Upgrade", "proxy_set_header Upgrade"}},
		"another Host":   {only("/cli/ws", 403, "", "X-CLI-Error", "Unexpected request origin (check your reverse proxy settings)"), wants{"websocket", levelWarn, "another host", "proxy_set_header Host"}},
		"no CLI":         {only("/cli/ws", 404, ""), wants{"websocket", levelOK, "--connect will tell", ""}},
		"ALB, HTTP/2":    {ws(464, "", "Server", "awselb/2.0"), wants{"websocket", levelFail, "(464) of AWS ALB", "HTTP1"}},
		"nginx says 400": {ws(400, "<title>400 Bad Request</title><center>nginx</center>"), wants{"websocket", levelFail, "of nginx: 400 Bad Request", "proxy_http_version 1.1"}},
		"Cloudflare":     {ws(400, "", "Server", "cloudflare"), wants{"websocket", levelFail, "Bad Request (400) of Cloudflare", "switch WebSockets on"}},
		"oauth2-proxy":   {ws(403, "<title>Sign In</title><form action=\"/oauth2/start\">oauth2-proxy</form>"), wants{"websocket", levelFail, "Forbidden (403) of oauth2-proxy", "without signing in"}},
		"to a login":     {ws(302, "", "Location", "https://login.microsoftonline.com/x?state=s"), wants{"websocket", levelFail, "Found (302) of Microsoft sign-in", "/wsagents/"}},
		"a login page":   {ws(200, `<input type="password">`), wants{"websocket", levelFail, "OK (200) of a sign-in page", "/wsagents/"}},
		"some HTML":      {ws(200, "<title>Welcome</title>"), wants{"websocket", levelFail, "OK (200) of what stands in between: Welcome", "let it pass WebSockets"}},
		"redirect":       {ws(301, "", "Location", "/ci/wsagents/?x=1"), wants{"websocket", levelFail, "points to /ci/wsagents/", "-url"}},
		"WAF":            {ws(403, "", "Server", "awselb/2.0"), wants{"websocket", levelFail, "403 of AWS ALB", "firewall"}},
		"credentials":    {ws(401, "", "Server", "Apache"), wants{"websocket", levelFail, "401 of Apache", "-webSocketHeader"}},
		"no target":      {ws(503, "", "Server", "istio-envoy"), wants{"websocket", levelFail, "though /login works", "upgrade_configs"}},
		"426":            {ws(426, ""), wants{"websocket", levelFail, "Upgrade Required (426)", "HTTP/1.1"}},
		"old Jenkins":    {ws(404, "", "Server", "Jetty(9.4)"), wants{"websocket", levelFail, "404", "connect by TCP"}},
		"cut":            {hang, wants{"websocket", levelFail, "cut", "does not know WebSockets"}},
		"endless":        {endless, wants{"websocket", levelFail, "more than 262144 bytes", "WebSockets"}},
		"a stranger":     {stranger, wants{"websocket", levelFail, "not Jenkins", "root of Jenkins"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{o: options{urls: []string{serve(t, fakeJenkins(c.over))}, webSocket: true}}
			c.verify(t, visit(t, d, d.network))
		})
	}
	t.Run("seen when connecting", func(t *testing.T) {
		d := &doctor{}
		err := &transport.RefusedError{Status: 400, Reason: "the controller refused the WebSocket: 400 Bad Request: only WS connections accepted here"}
		wants{"connect", levelFail, "nginx drops the header Upgrade", "proxy_set_header Upgrade"}.verify(t, visit(t, d, func(context.Context) { d.refused(err, "nginx") }))
	})
	t.Run("only one of two ways", func(t *testing.T) {
		d := &doctor{o: options{urls: []string{serve(t, fakeJenkins(ws(404, "", "Server", "Jetty")))}}}
		wants{"websocket", levelWarn, "404", "TCP"}.verify(t, visit(t, d, d.network))
	})
	t.Run("too old for it", func(t *testing.T) {
		d := &doctor{o: options{webSocket: true, urls: []string{serve(t, fakeJenkins(only("/login", 200, "", "X-Jenkins", "2.204.1")))}}}
		wants{"jenkins", levelFail, "2.204.1", "TCP"}.verify(t, visit(t, d, d.network))
	})
}

// Whatever answers, the doctor says something that fits on a line.
func FuzzAnswer(f *testing.F) {
	f.Add(302, "Location", "https://accounts.google.com/x?y", "")
	f.Add(400, "Server", "nginx", "<title>400 Bad Request</title>")
	f.Add(200, "Set-Cookie", "_oauth2_proxy=1", "<input type=\"password\">")
	f.Fuzz(func(t *testing.T, status int, name, value, body string) {
		a := &answer{status, http.Header{http.CanonicalHeaderKey(name): {value}}, body}
		d := &doctor{o: options{webSocket: true, urls: []string{"http://ci/"}}}
		w := d.wayTo("http://ci/")
		if text, remedy := d.insteadOf101(w, a); text != "" {
			d.fail("websocket", remedy, "%s", text)
		}
		d.notJenkins(w, a)
		for _, f := range d.findings {
			require.NotEmpty(t, f.Text)
			require.NotContains(t, f.Text, "\n")
			require.True(t, f.Level == levelOK || f.Remedy != "", "%+v", f)
		}
	})
}
