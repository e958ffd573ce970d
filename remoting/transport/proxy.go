package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// Proxy says how to get out of this network. The zero value is a direct
// connection; ProxyFromEnvironment is what users expect.
type Proxy struct {
	// HTTP and HTTPS are proxy URLs ("http://host:port", "https://…", a bare
	// host:port) for http and https controllers; the TCP transport asks for HTTPS
	// first, then HTTP. User and password may stand in the URL.
	HTTP, HTTPS string
	// NoProxy lists exceptions: hosts, domains, IPs, CIDRs, comma separated.
	// localhost and loopback addresses are always direct.
	NoProxy string
	// Credentials is -proxyCredentials, USER:PASSWORD; it wins over the URL's.
	Credentials string
}

// ProxyFromEnvironment reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY in either
// case.
func ProxyFromEnvironment(credentials string) Proxy {
	env := httpproxy.FromEnvironment()
	return Proxy{HTTP: env.HTTPProxy, HTTPS: env.HTTPSProxy, NoProxy: env.NoProxy, Credentials: credentials}
}

// forURL returns the proxy for a request to u, nil for none. The URL carries
// the credentials.
func (p Proxy) forURL(u *url.URL) (*url.URL, error) {
	if !parsable(p.HTTP) || !parsable(p.HTTPS) {
		// The setting may hold a password, so it is not quoted.
		return nil, &RefusedError{Reason: "the proxy setting is not a URL", Advice: "check HTTP_PROXY and HTTPS_PROXY", Permanent: true}
	}
	cfg := httpproxy.Config{HTTPProxy: p.HTTP, HTTPSProxy: p.HTTPS, NoProxy: p.NoProxy}
	proxy, err := cfg.ProxyFunc()(u)
	if err != nil {
		return nil, &RefusedError{Reason: "the proxy setting cannot be used", Advice: "check HTTP_PROXY and HTTPS_PROXY", Permanent: true}
	}
	if proxy == nil {
		return nil, nil
	}
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, &RefusedError{
			Reason:    fmt.Sprintf("proxies of kind %q are not supported", clip(proxy.Scheme, 20)),
			Advice:    "use an HTTP proxy, or exclude the controller with NO_PROXY",
			Permanent: true,
		}
	}
	out := *proxy
	if p.Credentials != "" {
		user, password, ok := strings.Cut(p.Credentials, ":")
		if !ok {
			return nil, &RefusedError{Reason: "-proxyCredentials has no colon", Advice: "give USER:PASSWORD", Permanent: true}
		}
		out.User = url.UserPassword(user, password)
	}
	return &out, nil
}

// parsable: package httpproxy takes a setting that is no URL for none at all,
// and the agent would go out directly without a word.
func parsable(setting string) bool {
	if _, err := url.Parse(setting); err == nil {
		return true
	}
	_, err := url.Parse("http://" + setting)
	return err == nil
}

// forTCP returns the proxy through which a raw connection to addr goes.
func (p Proxy) forTCP(addr string) (*url.URL, error) {
	for _, scheme := range []string{"https", "http"} {
		if proxy, err := p.forURL(&url.URL{Scheme: scheme, Host: addr}); proxy != nil || err != nil {
			return proxy, err
		}
	}
	return nil, nil
}

// connectThrough asks an HTTP proxy on conn for a tunnel to addr. On success
// the returned connection is the tunnel; on failure conn is closed.
func connectThrough(ctx context.Context, conn net.Conn, proxy *url.URL, addr, userAgent string, timeout time.Duration, tlsCfg *tls.Config) (tunnel net.Conn, err error) {
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	defer bound(ctx, conn, timeout)()
	if proxy.Scheme == "https" {
		cfg := clientTLS(tlsCfg, proxy.Hostname())
		secured := tls.Client(conn, cfg)
		if err := secured.Handshake(); err != nil {
			return nil, explain("TLS with the proxy", proxy.Host, orContext(ctx, err))
		}
		conn = secured
	}
	var req strings.Builder
	fmt.Fprintf(&req, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", addr, addr)
	if userAgent != "" {
		fmt.Fprintf(&req, "User-Agent: %s\r\n", clip(userAgent, 200))
	}
	if auth := proxyAuthorization(proxy); auth != "" {
		fmt.Fprintf(&req, "Proxy-Authorization: %s\r\n", auth)
	}
	req.WriteString("\r\n")
	if _, err := io.WriteString(conn, req.String()); err != nil {
		return nil, explain("asking the proxy at", proxy.Host, orContext(ctx, err))
	}
	limited := &io.LimitedReader{R: conn, N: maxHandshake}
	br := bufio.NewReader(limited)
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, explain("answer of the proxy at", proxy.Host, orContext(ctx, err))
	}
	if resp.StatusCode != http.StatusOK {
		return nil, proxyRefusal(resp.StatusCode, proxy.Host, addr)
	}
	if n := br.Buffered(); n > 0 { // a peer that speaks first
		head, _ := br.Peek(n)
		return &prefixedConn{Conn: conn, prefix: head}, nil
	}
	return conn, nil
}

func proxyRefusal(status int, proxy, addr string) error {
	e := &RefusedError{
		Status: status,
		Reason: fmt.Sprintf("the proxy %s refuses a tunnel to %s: %d %s", proxy, addr, status, http.StatusText(status)),
	}
	switch status {
	case http.StatusProxyAuthRequired:
		e.Advice, e.Permanent = "give -proxyCredentials USER:PASSWORD", true
	case http.StatusForbidden, http.StatusMethodNotAllowed:
		e.Advice = "allow CONNECT to that port in the proxy, or exclude the controller with NO_PROXY"
	default:
		e.Advice = "the proxy cannot reach it now"
	}
	return e
}

func proxyAuthorization(proxy *url.URL) string {
	if proxy.User == nil {
		return ""
	}
	password, _ := proxy.User.Password()
	return basicAuth(proxy.User.Username() + ":" + password)
}

func basicAuth(userPassword string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userPassword))
}

// prefixedConn gives back bytes that were read too early.
type prefixedConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixedConn) Read(p []byte) (int, error) {
	if len(c.prefix) > 0 {
		n := copy(p, c.prefix)
		c.prefix = c.prefix[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

func (c *prefixedConn) NetConn() net.Conn { return c.Conn }
