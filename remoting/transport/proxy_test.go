package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeProxy is an HTTP proxy that leads every request to one address, so that
// invented host names can be used: loopback names never go through a proxy.
type fakeProxy struct {
	net.Listener
	target string
	auth   string // wanted Proxy-Authorization, "" = none
	answer string // sent instead of a tunnel
	early  string // sent behind the 200, in the same packet

	mu    sync.Mutex
	lines []string // request lines
	busy  sync.WaitGroup
}

func newFakeProxy(t *testing.T, target string) *fakeProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &fakeProxy{Listener: l, target: target}
	p.start()
	t.Cleanup(func() { l.Close(); p.busy.Wait() })
	return p
}

func (p *fakeProxy) start() {
	p.busy.Go(func() {
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			p.busy.Go(func() {
				defer conn.Close()
				p.handle(conn)
			})
		}
	})
}

func (p *fakeProxy) handle(conn net.Conn) {
	br := bufio.NewReader(conn)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.lines = append(p.lines, req.Method+" "+req.RequestURI)
	p.mu.Unlock()
	if p.auth != "" && req.Header.Get("Proxy-Authorization") != p.auth {
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if p.answer != "" {
		_, _ = io.WriteString(conn, p.answer)
		_, _ = io.Copy(io.Discard, br)
		return
	}
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer up.Close()
	if req.Method == http.MethodConnect {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n"+p.early)
	} else {
		req.RequestURI = ""
		req.Header.Del("Proxy-Authorization")
		_ = req.Write(up)
	}
	p.busy.Go(func() { _, _ = io.Copy(conn, up); conn.Close() })
	_, _ = io.Copy(up, br)
}

func (p *fakeProxy) requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

func (p *fakeProxy) url() string { return "http://" + p.Addr().String() }

func hostPort(t *testing.T, rawURL string) string {
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	return u.Host
}

func caOf(c *wsController) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))
}

func TestWebSocketThroughProxy(t *testing.T) {
	const credentials = "user:pa:ss"
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			c := newWSController(t, secure)
			c.serve = drain
			p := newFakeProxy(t, hostPort(t, c.URL))
			p.auth = basicAuth(credentials)
			w := c.dialer()
			scheme := "http"
			w.Proxy = Proxy{HTTP: p.url(), Credentials: credentials}
			if secure {
				scheme = "https"
				w.Proxy = Proxy{HTTPS: "http://wrong:creds@" + p.Addr().String(), Credentials: credentials}
				cfg, err := TLSOptions{Certificates: []string{caOf(c)}}.Config()
				require.NoError(t, err)
				w.TLS = cfg
			}
			w.URL = scheme + "://example.com:8123/jenkins/" // httptest's certificate is for example.com
			conn, err := w.Dial(t.Context())
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			if secure {
				require.Equal(t, []string{"CONNECT example.com:8123", "CONNECT example.com:8123"}, p.requests())
			} else {
				require.Equal(t, []string{"GET http://example.com:8123/jenkins/login", "CONNECT example.com:8123"}, p.requests())
			}

			w.Proxy.Credentials = "user:wrong"
			_, err = w.Dial(t.Context())
			require.ErrorContains(t, err, "-proxyCredentials")
			require.True(t, IsPermanent(err))
			require.NotContains(t, err.Error(), "wrong")
			w.Proxy.NoProxy = ".example.com,example.com"
			w.URL = scheme + "://nowhere.example.com:1/"
			before := len(p.requests())
			_, err = w.Dial(t.Context())
			require.Error(t, err)
			require.Len(t, p.requests(), before, "NO_PROXY is honoured")
		})
	}
}

func TestTCPThroughProxy(t *testing.T) {
	c := newJNLPController(t)
	c.serve = echo
	p := newFakeProxy(t, c.Addr().String())
	d := c.direct()
	d.Direct = "agents.example.com:50000"
	d.Proxy = Proxy{HTTP: p.url()}
	conn, err := d.Dial(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.WriteCommand([]byte("x")))
	got, err := conn.ReadCommand()
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	require.NoError(t, conn.Close())
	require.Equal(t, []string{"CONNECT agents.example.com:50000"}, p.requests())
}

func TestConnectThrough(t *testing.T) {
	peer, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer peer.Close()
	tests := []struct {
		name, answer, early, text string
		permanent                 bool
	}{
		{"the peer speaks first", "", "hello", "", false},
		{"forbidden", "HTTP/1.1 403 Forbidden\r\n\r\n", "", "allow CONNECT", false},
		{"bad gateway", "HTTP/1.1 502 Bad Gateway\r\n\r\n", "", "cannot reach it now", false},
		{"authentication", "HTTP/1.1 407 No\r\n\r\n", "", "-proxyCredentials", true},
		{"not HTTP", "SSH-2.0\r\n", "", "answer of the proxy", false},
		{"silence", "HTTP/1.1 200", "", "no answer in time", false},
		{"endless", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Long: "+strings.Repeat("y", 1000)+"\r\n", 400), "", "answer of the proxy", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newFakeProxy(t, peer.Addr().String())
			p.answer, p.early = tt.answer, tt.early
			d := &netDialer{timeout: 200 * time.Millisecond, proxy: Proxy{HTTPS: p.url()}}
			via, err := d.proxy.forTCP("a.example.com:1")
			require.NoError(t, err)
			conn, err := d.dial(t.Context(), "a.example.com:1", via)
			if tt.text != "" {
				require.ErrorContains(t, err, tt.text)
				require.Equal(t, tt.permanent, IsPermanent(err))
				return
			}
			require.NoError(t, err)
			got := make([]byte, len(tt.early))
			_, err = io.ReadFull(conn, got)
			require.NoError(t, err)
			require.Equal(t, tt.early, string(got))
			conn.Close()
		})
	}
}

func TestHTTPSProxy(t *testing.T) {
	c := newJNLPController(t)
	c.serve = echo
	front := httptest.NewUnstartedServer(nil) // for its certificate
	front.StartTLS()
	defer front.Close()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	secured := &fakeProxy{
		Listener: tls.NewListener(raw, &tls.Config{Certificates: front.TLS.Certificates}),
		target:   c.Addr().String(),
	}
	secured.start()
	defer secured.busy.Wait()
	defer raw.Close()
	pool := x509.NewCertPool()
	pool.AddCert(front.Certificate())
	d := c.direct()
	d.Direct = "agents.example.com:50000"
	d.Proxy = Proxy{HTTPS: "https://" + raw.Addr().String()}
	d.TLS = &tls.Config{RootCAs: pool}
	conn, err := d.Dial(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

func TestProxySettings(t *testing.T) {
	for _, k := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "REQUEST_METHOD"} {
		t.Setenv(k, "")
		os.Unsetenv(k)
	}
	at := func(p Proxy, raw string) string {
		u, err := url.Parse(raw)
		require.NoError(t, err)
		got, err := p.forURL(u)
		require.NoError(t, err)
		if got == nil {
			return ""
		}
		return got.String()
	}
	require.Empty(t, at(ProxyFromEnvironment(""), "http://h/"))
	t.Setenv("http_proxy", "proxy:3128")
	t.Setenv("HTTPS_PROXY", "http://a:b@secure:3128")
	t.Setenv("no_proxy", "10.0.0.0/8,.corp,exact")
	p := ProxyFromEnvironment("u:p")
	require.Equal(t, "http://u:p@proxy:3128", at(p, "http://h/"))
	require.Equal(t, "http://u:p@secure:3128", at(p, "https://h/"))
	for _, direct := range []string{"http://10.1.2.3/", "http://x.corp/", "http://exact:8080/", "http://localhost/", "https://127.0.0.1/", "http://[::1]/"} {
		require.Empty(t, at(p, direct), direct)
	}
	via, err := Proxy{HTTP: "one:1"}.forTCP("h:50000")
	require.NoError(t, err)
	require.Equal(t, "http://one:1", via.String(), "HTTP_PROXY when there is no HTTPS_PROXY")
	for text, p := range map[string]Proxy{
		"not supported": {HTTP: "socks5://h:1"},
		"no colon":      {HTTP: "h:1", Credentials: "user"},
		"is not a URL":  {HTTP: "http://user:secret%zz@h"},
	} {
		_, err := p.forURL(&url.URL{Scheme: "http", Host: "h"})
		require.ErrorContains(t, err, text)
		require.NotContains(t, err.Error(), "secret")
		require.True(t, IsPermanent(err))
	}
}

func TestWebSocketTLS(t *testing.T) {
	c := newWSController(t, true)
	c.serve = drain
	dial := func(o TLSOptions) error {
		cfg, err := o.Config()
		require.NoError(t, err)
		w := c.dialer()
		w.TLS = cfg
		conn, err := w.Dial(t.Context())
		if err == nil {
			require.NoError(t, conn.Close())
		}
		return err
	}
	err := dial(TLSOptions{})
	require.ErrorContains(t, err, "give its CA with -cert")
	require.False(t, IsPermanent(err))
	require.NoError(t, dial(TLSOptions{NoCertificateCheck: true}))
	require.NoError(t, dial(TLSOptions{Certificates: []string{caOf(c)}}))
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, []byte("text before\n"+caOf(c)), 0o600))
	require.NoError(t, dial(TLSOptions{Certificates: []string{"@" + file}}))
}

func TestTLSOptions(t *testing.T) {
	big := filepath.Join(t.TempDir(), "big.pem")
	require.NoError(t, os.WriteFile(big, make([]byte, maxPEM+1), 0o600))
	for text, o := range map[string]TLSOptions{
		"contradict":         {NoCertificateCheck: true, Certificates: []string{"x"}},
		"no PEM certificate": {Certificates: []string{"-----BEGIN NOTHING-----"}},
		"no such file":       {Certificates: []string{"@/nonexistent/ca.pem"}},
		"is not a file":      {Certificates: []string{"@" + big}},
		"not a file of less": {Certificates: []string{"@" + filepath.Dir(big)}},
	} {
		_, err := o.Config()
		require.ErrorContains(t, err, text)
	}
}

func TestVersionAtLeast(t *testing.T) {
	// Each is newer than the one before.
	order := []string{
		"1.0-alpha-1", "1.0-beta", "1.0-rc1", "1.0", "1.0-sp", "1.1", "3.14", "4.2", "4.7", "4.13.3", "3044.vb_940a_a_e4f72e", "3107", "3107.v665000b_51092",
		"3107.3", "3176.v207ec082a_8c0", "3261.v9c670a_4748a_9", "3352.v17a_fb_4b_2773f", "3386.v1",
	}
	for i, older := range order {
		require.True(t, VersionAtLeast(older, older), older)
		for _, newer := range order[i+1:] {
			require.True(t, VersionAtLeast(newer, older), "%s >= %s", newer, older)
			require.False(t, VersionAtLeast(older, newer), "%s < %s", older, newer)
		}
	}
	for _, same := range [][2]string{{"1", "1.0"}, {"1.0.0", "1"}, {"1-ga", "1"}, {"1.FINAL", "1"}, {"", "0"}, {"1-cr", "1-rc"}, {"1.a1", "1.alpha1"}} {
		require.True(t, VersionAtLeast(same[0], same[1]) && VersionAtLeast(same[1], same[0]), "%v", same)
	}
	require.False(t, VersionAtLeast("1-1", "1.1"), "a hyphen opens a list, which is below a number")
	require.NoError(t, versionMismatch("", "99"))
	require.NoError(t, versionMismatch("1", ""))
}

func FuzzVersion(f *testing.F) {
	f.Add("3107.v665000b_51092", "1-2-*.x")
	f.Fuzz(func(t *testing.T, a, b string) {
		require.Equal(t, compareVersions(a, b), -compareVersions(b, a))
		require.True(t, VersionAtLeast(a, a))
	})
}

func TestClipAndPages(t *testing.T) {
	require.Equal(t, "a b ?", clip("a\n\tb\x1b \xff", 100))
	require.Equal(t, "é…", clip("éé", 3))
	require.Equal(t, "no such agent", pageText("<html><title>Error 400 no such agent</title><body>x"))
	require.Equal(t, "a & b", pageText("<script>var x</script><p>a &amp; b</p>"))
	require.Empty(t, pageText(""))
}

func TestDialErrors(t *testing.T) {
	d := &netDialer{timeout: time.Second}
	_, err := d.direct(t.Context(), "does-not-exist.invalid:1")
	require.ErrorContains(t, err, "does not resolve")
	require.False(t, IsPermanent(err))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = d.direct(ctx, "192.0.2.1:1")
	require.ErrorIs(t, err, context.Canceled)
}
