package transport

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"
)

const (
	// DefaultHandshakeTimeout bounds each single step of a connection attempt:
	// connect, TLS, the answer to one request.
	DefaultHandshakeTimeout = 20 * time.Second
	// maxConnect bounds name resolution and connect together; a host that does
	// not answer a SYN in ten seconds is not going to.
	maxConnect = 10 * time.Second

	tcpKeepAlive = 15 * time.Second
	// tcpUserTimeout: unacknowledged data for this long ends the connection
	// (Linux), the same bound as the silence that ends a WebSocket.
	tcpUserTimeout = 75 * time.Second

	// maxHandshake is how many bytes of handshake we read from anybody.
	maxHandshake = 256 << 10
)

// netDialer opens TCP connections, through a proxy where one is configured.
// Names are resolved on every call.
type netDialer struct {
	proxy       Proxy
	tls         *tls.Config // for https:// proxies
	timeout     time.Duration
	noKeepAlive bool
	userAgent   string
}

// direct connects without looking at the proxy.
func (d *netDialer) direct(ctx context.Context, addr string) (net.Conn, error) {
	nd := net.Dialer{
		Timeout: min(d.timeout, maxConnect),
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: !d.noKeepAlive, Idle: tcpKeepAlive, Interval: tcpKeepAlive, Count: 5,
		},
	}
	if d.noKeepAlive {
		nd.KeepAlive = -1
	}
	conn, err := nd.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, explain("connecting to", addr, err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		setUserTimeout(tcp, tcpUserTimeout) // a refinement; failing is harmless
	}
	return conn, nil
}

// dial connects to addr, by CONNECT when proxy is not nil.
func (d *netDialer) dial(ctx context.Context, addr string, proxy *url.URL) (net.Conn, error) {
	if proxy == nil {
		return d.direct(ctx, addr)
	}
	conn, err := d.direct(ctx, proxyAddr(proxy))
	if err != nil {
		return nil, err
	}
	return connectThrough(ctx, conn, proxy, addr, d.userAgent, d.timeout, d.tls)
}

func proxyAddr(proxy *url.URL) string {
	port := proxy.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	}
	return net.JoinHostPort(proxy.Hostname(), port)
}

// httpClient makes single requests: no connection is kept, nothing is left
// running. A redirect loses the headers named in private once it leaves the
// first host.
func (d *netDialer) httpClient(private http.Header) *http.Client {
	tr := &http.Transport{
		DialContext:            func(ctx context.Context, _, addr string) (net.Conn, error) { return d.direct(ctx, addr) },
		Proxy:                  func(r *http.Request) (*url.URL, error) { return d.proxy.forURL(r.URL) },
		TLSClientConfig:        d.tls.Clone(),
		TLSHandshakeTimeout:    d.timeout,
		ResponseHeaderTimeout:  d.timeout,
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		OnProxyConnectResponse: func(_ context.Context, proxy *url.URL, req *http.Request, resp *http.Response) error {
			if resp.StatusCode != http.StatusOK {
				return proxyRefusal(resp.StatusCode, proxy.Host, req.Host)
			}
			return nil
		},
	}
	return &http.Client{
		Transport: tr,
		Timeout:   4 * d.timeout, // redirects and CONNECT included
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Host != via[0].URL.Host {
				for k := range private {
					req.Header.Del(k)
				}
				// A login page at an identity provider: that Jenkins sends people
				// there shows that it is up.
				if req.Response != nil && req.Response.Header.Get("X-Jenkins") != "" {
					return http.ErrUseLastResponse
				}
			}
			if len(via) >= 10 {
				return http.ErrUseLastResponse
			}
			return nil
		},
	}
}

// clientTLS is cfg (or the default) for one server.
func clientTLS(cfg *tls.Config, host string) *tls.Config {
	if cfg == nil {
		cfg = &tls.Config{MinVersion: tls.VersionTLS12}
	} else {
		cfg = cfg.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	return cfg
}

// bound puts conn under the deadline of one step and under ctx; the returned
// function lifts both.
func bound(ctx context.Context, conn net.Conn, timeout time.Duration) (lift func()) {
	_ = conn.SetDeadline(time.Now().Add(timeout))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() {
		if stop() {
			_ = conn.SetDeadline(time.Time{})
		}
	}
}

// orContext prefers the reason why ctx ended over the timeout it caused.
func orContext(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func orDefault(d, def time.Duration) time.Duration {
	if d <= 0 {
		return def
	}
	return d
}

// secure puts TLS on conn within one step's deadline; on failure conn is
// closed.
func (d *netDialer) secure(ctx context.Context, conn net.Conn, host string) (net.Conn, error) {
	defer bound(ctx, conn, d.timeout)()
	secured := tls.Client(conn, clientTLS(d.tls, host))
	if err := secured.Handshake(); err != nil {
		conn.Close()
		return nil, explain("TLS with", host, orContext(ctx, err))
	}
	return secured, nil
}
