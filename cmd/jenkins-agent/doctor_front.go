package main

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// answer is what came by HTTP.
type answer struct {
	status int
	header http.Header
	body   string // at most maxAnswer bytes
}

const (
	maxAnswer   = 8 << 10
	maxResponse = 256 << 10 // bytes read for one answer, its headers included
)

var (
	pageTitle = regexp.MustCompile(`(?is)<title>(.*?)</title>`)
	jettyPage = regexp.MustCompile(`(?i)^(?:HTTP )?Error \d{3}:? ?`)
)

// said is the title of an HTML page, without what Jetty puts before it.
func (a *answer) said() string {
	if m := pageTitle.FindStringSubmatch(a.body); m != nil {
		return jettyPage.ReplaceAllString(oneLine(html.UnescapeString(m[1])), "")
	}
	return ""
}

// fromJenkins reports whether Jenkins itself wrote it: its pages have X-Jenkins,
// its error pages what its servlets say or Jetty's signature.
func (a *answer) fromJenkins() bool {
	return a.header.Get("X-Jenkins") != "" || a.header.Get("X-Remoting-Minimum-Version") != "" ||
		strings.Contains(a.body, "agent.jar") || strings.Contains(a.body, "<th>SERVLET:</th><td>Stapler</td>")
}

// front is something that stands between agents and Jenkins.
type front struct {
	name      string
	is        func(*answer) bool
	signIn    bool   // it wants people to sign in
	webSocket string // what makes it pass WebSockets on
	idle      string // what sets the time after which it cuts idle connections
}

func header(name, part string) func(*answer) bool {
	return func(a *answer) bool {
		for _, v := range a.header.Values(name) {
			if strings.Contains(strings.ToLower(v), part) {
				return true
			}
		}
		return false
	}
}

func redirects(parts ...string) func(*answer) bool {
	return func(a *answer) bool {
		to := strings.ToLower(a.header.Get("Location"))
		for _, p := range parts {
			if a.status/100 == 3 && strings.Contains(to, p) {
				return true
			}
		}
		return false
	}
}

func either(tests ...func(*answer) bool) func(*answer) bool {
	return func(a *answer) bool {
		for _, t := range tests {
			if t(a) {
				return true
			}
		}
		return false
	}
}

func page(parts ...string) func(*answer) bool {
	return func(a *answer) bool {
		body := strings.ToLower(a.body)
		for _, p := range parts {
			if strings.Contains(body, p) {
				return true
			}
		}
		return false
	}
}

// fronts are asked in order: those that sign people in come first, since they
// often sit in one of the others.
var fronts = []front{
	{name: "oauth2-proxy", is: either(header("Set-Cookie", "_oauth2_proxy"), redirects("/oauth2/start", "/oauth2/sign_in"), page("oauth2-proxy", "/oauth2/start")), signIn: true},
	{name: "Cloudflare Access", is: redirects("cloudflareaccess.com", "/cdn-cgi/access/"), signIn: true},
	{name: "Amazon Cognito", is: redirects("amazoncognito.com"), signIn: true},
	{name: "Google sign-in", is: either(redirects("accounts.google.com"), header("X-Goog-Iap-Generated-Response", "true")), signIn: true},
	{name: "Microsoft sign-in", is: redirects("login.microsoftonline.com"), signIn: true},
	{name: "Okta", is: redirects(".okta.com", ".oktapreview.com"), signIn: true},
	{name: "Auth0", is: redirects(".auth0.com"), signIn: true},
	{name: "Keycloak", is: redirects("/realms/", "/protocol/openid-connect/"), signIn: true},
	{name: "Authelia", is: either(header("Set-Cookie", "authelia_session"), page("authelia")), signIn: true},
	{name: "authentik", is: either(redirects("/outpost.goauthentik.io/"), header("Set-Cookie", "authentik")), signIn: true},
	{name: "Pomerium", is: either(redirects("/.pomerium/"), header("Set-Cookie", "_pomerium")), signIn: true},
	{name: "AWS ALB", is: either(header("Server", "awselb"), header("Set-Cookie", "awselbauth")),
		webSocket: "give its target group the protocol version HTTP1, not HTTP2 or gRPC", idle: "the attribute idle_timeout.timeout_seconds of the load balancer (60 s unless set)"},
	{name: "Cloudflare", is: either(header("Server", "cloudflare"), header("Cf-Ray", "")),
		webSocket: "switch WebSockets on under Network, or take the name off its proxy (DNS only)", idle: "nothing can be set there (100 s): keep -pingInterval below it"},
	{name: "CloudFront", is: either(header("X-Amz-Cf-Id", ""), header("Via", "cloudfront")),
		webSocket: "forward the headers Sec-WebSocket-* and Upgrade (origin request policy AllViewer)", idle: "nothing can be set there (10 min): keep -pingInterval below it"},
	{name: "Google load balancer", is: either(header("Via", "1.1 google"), header("Server", "google frontend")),
		webSocket: "use a backend over HTTP/1.1", idle: "timeoutSec of the backend service (30 s unless set): it ends WebSockets even when they are busy"},
	{name: "Azure Application Gateway", is: header("Server", "microsoft-azure-application-gateway"),
		webSocket: "it passes WebSockets; look at the rule and health probe of this path", idle: "requestTimeout of the backend settings"},
	{name: "Envoy or Istio", is: either(header("Server", "envoy"), header("X-Envoy-Upstream-Service-Time", "")),
		webSocket: "add upgrade_configs with upgrade_type: websocket (Istio: allow it in the gateway's EnvoyFilter; no HTTP/2 to the backend)", idle: "stream_idle_timeout of the listener (5 min) and the route's timeout"},
	{name: "nginx", is: either(header("Server", "nginx"), header("Server", "openresty"), page("<center>nginx", "<center>openresty")),
		webSocket: "set proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade and proxy_set_header Connection \"upgrade\" for this location", idle: "proxy_read_timeout and proxy_send_timeout (60 s unless set); as an ingress the annotations proxy-read-timeout and proxy-send-timeout"},
	{name: "Apache", is: header("Server", "apache"),
		webSocket: "load mod_proxy_wstunnel, or write ProxyPass … upgrade=websocket", idle: "ProxyTimeout, or timeout= of ProxyPass"},
	{name: "IIS", is: header("Server", "microsoft-iis"),
		webSocket: "install the WebSocket feature, and let Application Request Routing pass it", idle: "the time-out of Application Request Routing"},
	{name: "Squid", is: either(header("X-Squid-Error", ""), header("Server", "squid"), header("Via", "squid")),
		webSocket: "let the agent use it by CONNECT (https://), or exempt the controller with NO_PROXY", idle: "read_timeout of Squid (15 min)"},
	{name: "HAProxy", is: page("no server is available to handle this request", "<h1>408 request time-out</h1>"),
		webSocket: "leave option httpclose and http-server-close off for this backend", idle: "timeout tunnel, or timeout client and timeout server without one"},
	{name: "Traefik", is: func(a *answer) bool {
		return a.header.Get("Server") == "" && a.status == http.StatusNotFound && strings.TrimSpace(a.body) == "404 page not found"
	},
		webSocket: "it passes WebSockets; look at the router of this path", idle: "respondingTimeouts of the entry point"},
}

// frontOf names who wrote an answer; nil when it is nobody known.
func frontOf(a *answer) *front {
	for i := range fronts {
		if fronts[i].is(a) {
			return &fronts[i]
		}
	}
	return nil
}

func frontNamed(name string) *front {
	for i := range fronts {
		if fronts[i].name == name {
			return &fronts[i]
		}
	}
	return &front{name: "what stands in between", webSocket: "let it pass WebSockets (HTTP/1.1 with Upgrade) on", idle: "its idle timeout"}
}

// agentPaths are what agents ask for; all of them know agents by themselves.
const agentPaths = "/login, /wsagents/, /tcpSlaveAgentListener/ and /jnlpJars/"

const openAgentPaths = "let " + agentPaths + " through without signing in, or send what it wants with -webSocketHeader"

// whoSignsIn tells of an answer that wants people to sign in: who, and "" if it
// is none. host is the one that was asked.
func whoSignsIn(a *answer, host string) string {
	if f := frontOf(a); f != nil && f.signIn {
		return f.name
	}
	if a.status/100 == 3 && a.header.Get("X-Jenkins") == "" {
		if to, err := url.Parse(a.header.Get("Location")); err == nil {
			path := strings.ToLower(to.Path)
			if to.Host != "" && to.Hostname() != host || strings.Contains(path, "sign") || strings.Contains(path, "auth") {
				return "a sign-in page"
			}
		}
	}
	if a.status/100 == 2 && !a.fromJenkins() && strings.Contains(strings.ToLower(a.body), `type="password"`) {
		return "a sign-in page"
	}
	return ""
}

// destination is where a redirect points to, without the query that sign-in
// pages fill.
func destination(a *answer) string {
	to, _, _ := strings.Cut(a.header.Get("Location"), "?")
	return to
}
