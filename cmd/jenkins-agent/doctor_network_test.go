package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answering is a server that gives every request the same answer.
func answering(t *testing.T, status int, body string, header ...string) string {
	return serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answerWith(w, status, body, header...) }))
}

func answerWith(w http.ResponseWriter, status int, body string, header ...string) {
	for i := 0; i+1 < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// accepting is a port whose connections are given to f.
func accepting(t *testing.T, f func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); f(c) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return l.Addr().String()
}

func TestDoctorOnTheWayToJenkins(t *testing.T) {
	long := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	short := time.Now().Add(30 * time.Second).UTC().Format(http.TimeFormat)
	closing := accepting(t, func(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) })
	endless := accepting(t, func(c net.Conn) {
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n")
		for err == nil {
			_, err = io.WriteString(c, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n")
		}
	})
	noise := accepting(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 mail.test ESMTP\r\n"); _, _ = io.Copy(io.Discard, c) })
	for name, c := range map[string]struct {
		url string
		wants
	}{
		"no such name":    {"http://nowhere.invalid/", wants{"dns", levelFail, "nowhere.invalid", "name right"}},
		"not a URL":       {"jenkins:8080", wants{"url", levelFail, "not the URL", "https://"}},
		"a page":          {"http://jenkins/?x=1", wants{"url", levelFail, "a page", "root"}},
		"closed port":     {"http://" + freePort(t) + "/", wants{"tcp", levelFail, "refused", "this machine or container itself"}},
		"all is well":     {serve(t, fakeJenkins(nil)), wants{"jenkins", levelOK, "2.541.2", ""}},
		"with a path":     {serve(t, fakeJenkins(nil)) + "jenkins", wants{"websocket", levelOK, "upgrades pass", ""}},
		"wrong path":      {answering(t, 404, ""), wants{"jenkins", levelFail, "404", "path"}},
		"starting":        {answering(t, 503, ""), wants{"jenkins", levelFail, "503", "starting"}},
		"no target":       {answering(t, 502, "", "Server", "awselb/2.0"), wants{"jenkins", levelFail, "AWS ALB", "health checks"}},
		"not Jenkins":     {answering(t, 200, "It works!"), wants{"jenkins", levelWarn, "does not say", "root of Jenkins"}},
		"forbidden":       {answering(t, 403, "", "Server", "cloudflare"), wants{"jenkins", levelFail, "Cloudflare", "firewall"}},
		"credentials":     {answering(t, 401, ""), wants{"jenkins", levelFail, "401", "-webSocketHeader"}},
		"proxy in wait":   {answering(t, 407, ""), wants{"jenkins", levelFail, "407", "-proxyCredentials"}},
		"teapot":          {answering(t, 418, ""), wants{"jenkins", levelFail, "418", "log"}},
		"SSO of Jenkins":  {answering(t, 302, "", "X-Jenkins", "2.541.2", "Location", "/sso"), wants{"jenkins", levelOK, "2.541.2", ""}},
		"sign-in":         {answering(t, 302, "", "Location", "https://accounts.google.com/o/oauth2/auth?state=abc"), wants{"jenkins", levelFail, "Google sign-in", "/wsagents/"}},
		"sign-in page":    {answering(t, 200, `<input type="password">`), wants{"jenkins", levelWarn, "a sign-in page", "/wsagents/"}},
		"moved":           {answering(t, 301, "", "Location", "/ci/x?secret=1"), wants{"jenkins", levelFail, `"/ci/x"`, "-url"}},
		"to https":        {answering(t, 301, "", "Location", "https://127.0.0.1/login"), wants{"jenkins", levelFail, "sends to https://127.0.0.1", "-url"}},
		"old":             {answering(t, 200, "", "X-Jenkins", "2.204.1"), wants{"jenkins", levelWarn, "older than 2.289", "update"}},
		"Hudson":          {answering(t, 200, "", "X-Hudson", "1.395"), wants{"jenkins", levelWarn, "Hudson 1.395", "by a command"}},
		"endless":         {"http://" + endless, wants{"jenkins", levelFail, "more than 262144 bytes", "another tool"}},
		"clock":           {answering(t, 200, "", "X-Jenkins", "2.541.2", "Date", long), wants{"clock", levelFail, "behind the controller", "NTP"}},
		"clock a little":  {answering(t, 200, "", "X-Jenkins", "2.541.2", "Date", short), wants{"clock", levelWarn, "behind the controller", "NTP"}},
		"closes":          {"http://" + closing, wants{"jenkins", levelFail, "no answer", "https:// rather than http://"}},
		"no HTTP":         {"http://" + noise, wants{"jenkins", levelFail, "malformed", "does not speak HTTP"}},
		"no TCP port":     {serve(t, fakeJenkins(nil)), wants{"port", levelWarn, "no TCP port", "-webSocket"}},
		"listener signed": {serve(t, fakeJenkins(only("/tcpSlaveAgentListener/", 302, "", "Location", "https://x.okta.com/"))), wants{"port", levelWarn, "302", "signing in"}},
		"no port named":   {serve(t, fakeJenkins(only("/tcpSlaveAgentListener/", 200, ""))), wants{"port", levelWarn, "names no port", "X-Jenkins"}},
		"old protocols":   {serve(t, fakeJenkins(only("/tcpSlaveAgentListener/", 200, "", "X-Hudson-JNLP-Port", "1", "X-Jenkins-Agent-Protocols", "JNLP3-connect"))), wants{"port", levelWarn, "JNLP3", "allow"}},
		"too new":         {serve(t, fakeJenkins(only("/tcpSlaveAgentListener/", 200, "", "X-Hudson-JNLP-Port", "1", "X-Remoting-Minimum-Version", "9999.1"))), wants{"port", levelFail, "9999.1", "update the agent"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{o: options{urls: []string{c.url}}}
			c.verify(t, visit(t, d, d.network))
		})
	}
}

// only answers one path; the rest is left to a fakeJenkins.
func only(path string, status int, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		answerWith(w, status, body, header...)
		return true
	}
}

// authority is a CA for tests.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T, name string) *authority {
	a := &authority{}
	tmpl := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true}
	a.key, a.cert = (*authority)(nil).sign(t, tmpl)
	return a
}

// sign makes a certificate; without an authority it signs itself.
func (a *authority) sign(t *testing.T, tmpl *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl.SerialNumber = big.NewInt(time.Now().UnixNano())
	if tmpl.NotBefore.IsZero() {
		tmpl.NotBefore = time.Now().Add(-time.Hour)
	}
	if tmpl.NotAfter.IsZero() {
		tmpl.NotAfter = time.Now().Add(90 * 24 * time.Hour)
	}
	parent, signer := tmpl, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return key, cert
}

func pemOf(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

var loopback = []net.IP{net.IPv4(127, 0, 0, 1)}

func TestDoctorOnTLS(t *testing.T) {
	company, other := newAuthority(t, "Example Corp Root"), newAuthority(t, "Other Root")
	middleKey, middle := company.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Example Corp Sub"}, IsCA: true, BasicConstraintsValid: true})
	sub := &authority{middleKey, middle}
	zscaler := newAuthority(t, "Zscaler Root CA")
	leaf := func(a *authority, tmpl x509.Certificate, more ...*x509.Certificate) *tls.Config {
		tmpl.Subject = pkix.Name{CommonName: "jenkins"}
		if tmpl.DNSNames == nil {
			tmpl.IPAddresses = loopback
		}
		key, cert := a.sign(t, &tmpl)
		chain := tls.Certificate{PrivateKey: key, Certificate: [][]byte{cert.Raw}}
		for _, c := range more {
			chain.Certificate = append(chain.Certificate, c.Raw)
		}
		return &tls.Config{Certificates: []tls.Certificate{chain}}
	}
	with := func(c *tls.Config, f func(*tls.Config)) *tls.Config { f(c); return c }
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		server *tls.Config
		o      options
		wants
	}{
		"own CA":         {leaf(company, x509.Certificate{}), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelOK, `TLS 1.3, certificate by "Example Corp Root"`, ""}},
		"chain":          {leaf(sub, x509.Certificate{}, middle), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelOK, `by "Example Corp Sub"`, ""}},
		"no middle":      {leaf(sub, x509.Certificate{}), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelFail, "Example Corp Sub", "another CA"}},
		"company's CA":   {leaf(company, x509.Certificate{}), options{}, wants{"tls", levelFail, "Example Corp Root", "-cert @FILE"}},
		"with middle":    {leaf(sub, x509.Certificate{}, middle), options{}, wants{"tls", levelFail, "Example Corp Root", "-cert @FILE"}},
		"inspected":      {leaf(zscaler, x509.Certificate{}), options{}, wants{"tls", levelFail, "Zscaler opens TLS", "-cert @FILE"}},
		"wrong -cert":    {leaf(company, x509.Certificate{}), options{certs: []string{pemOf(other.cert)}}, wants{"tls", levelFail, "Example Corp Root", "another CA"}},
		"signs itself":   {leaf(nil, x509.Certificate{}), options{}, wants{"tls", levelFail, "jenkins", "that certificate with -cert"}},
		"another name":   {leaf(company, x509.Certificate{DNSNames: []string{"ci.example.com"}}), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelFail, "for ci.example.com, not for 127.0.0.1", "a name that is in"}},
		"ended":          {leaf(company, x509.Certificate{NotBefore: time.Now().Add(-2 * day), NotAfter: time.Now().Add(-day)}), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelFail, `"jenkins" ended at`, "renew"}},
		"not yet":        {leaf(company, x509.Certificate{NotBefore: time.Now().Add(day)}), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelFail, "not valid before", "clock"}},
		"ends soon":      {leaf(company, x509.Certificate{NotAfter: time.Now().Add(3 * day)}), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelWarn, "ends in 72h", "renew"}},
		"not checked":    {leaf(company, x509.Certificate{}), options{noCertCheck: true}, wants{"tls", levelWarn, "-noCertificateCheck", "-cert"}},
		"bad -cert":      {leaf(company, x509.Certificate{}), options{certs: []string{"nonsense"}}, wants{"tls", levelFail, "no PEM", "PEM"}},
		"old TLS":        {with(leaf(company, x509.Certificate{}), func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelFail, "protocol version", "TLS 1.2 or 1.3"}},
		"client's, 1.2":  {with(leaf(company, x509.Certificate{}), func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 }), options{certs: []string{pemOf(company.cert)}}, wants{"tls", levelFail, "remote error", "client certificate"}},
		"client's, 1.3":  {with(leaf(company, x509.Certificate{}), func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }), options{certs: []string{pemOf(company.cert)}}, wants{"jenkins", levelFail, "certificate", "client certificate"}},
		"Jenkins behind": {leaf(company, x509.Certificate{}), options{certs: []string{pemOf(company.cert)}, webSocket: true}, wants{"websocket", levelOK, "upgrades pass", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(fakeJenkins(nil))
			s.TLS = c.server
			s.Config.ErrorLog = log.New(io.Discard, "", 0) // it tells of every handshake that fails
			s.StartTLS()
			defer s.Close()
			c.o.urls = []string{s.URL}
			d := &doctor{o: c.o}
			c.verify(t, visit(t, d, d.network))
		})
	}
	for name, c := range map[string]struct {
		f func(net.Conn)
		wants
	}{
		"closes":     {func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, wants{"tls", levelFail, "", "filters by name"}},
		"plain HTTP": {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") }, wants{"tls", levelFail, "", "http:// rather"}},
		"silent":     {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, wants{"tls", levelFail, "", "nothing answers"}},
	} {
		t.Run(name, func(t *testing.T) {
			times := hurried
			times.step = 200 * time.Millisecond
			d := &doctor{o: options{urls: []string{"https://" + accepting(t, c.f)}}, times: times}
			c.verify(t, visit(t, d, d.network))
		})
	}
	t.Run("SSL_CERT_FILE", func(t *testing.T) {
		t.Setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
		d := &doctor{o: options{urls: []string{"https://" + accepting(t, func(net.Conn) {})}}}
		all := visit(t, d, d.network)
		require.Contains(t, all[2].Text, "/nowhere/ca.pem")
	})
}

// proxy is an HTTP proxy that gets everybody to one server, or refuses.
func proxy(t *testing.T, to string, status int) string {
	return accepting(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if status != http.StatusOK {
			_, _ = io.WriteString(c, "HTTP/1.1 "+itoa(status)+" No\r\nContent-Length: 0\r\n\r\n")
			return
		}
		up, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(to, "http://"), "/"))
		if err != nil {
			return
		}
		defer up.Close()
		if req.Method == http.MethodConnect {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		} else if err := req.Write(up); err != nil {
			return
		}
		go func() { _, _ = io.Copy(up, br); _ = up.(*net.TCPConn).CloseWrite() }()
		_, _ = io.Copy(c, up)
	})
}

func TestDoctorBehindAProxy(t *testing.T) {
	server := serve(t, fakeJenkins(nil))
	const name = "http://jenkins.test/"
	for title, c := range map[string]struct {
		url, proxy, no string
		wants
	}{
		"tunnel":          {name, "http://" + proxy(t, server, 200), "", wants{"proxy", levelOK, "opens a tunnel to jenkins.test:80", ""}},
		"Jenkins":         {name, proxy(t, server, 200), "", wants{"jenkins", levelOK, "2.541.2", ""}},
		"WebSocket":       {name, proxy(t, server, 200), "", wants{"websocket", levelOK, "upgrades pass through the proxy", ""}},
		"wants a login":   {name, proxy(t, server, 407), "", wants{"proxy", levelFail, "407", "-proxyCredentials"}},
		"forbids":         {name, proxy(t, server, 403), "", wants{"proxy", levelFail, "403", "allow CONNECT to jenkins.test:80"}},
		"can't either":    {name, proxy(t, server, 502), "", wants{"proxy", levelFail, "502", "the proxy itself can't reach"}},
		"is not one":      {name, accepting(t, func(c net.Conn) { _, _ = io.WriteString(c, "hello\r\n") }), "", wants{"proxy", levelFail, "malformed", "is that an HTTP proxy"}},
		"is down":         {name, freePort(t), "", wants{"proxy", levelFail, "can't be reached", "NO_PROXY"}},
		"exempt":          {server, "proxy.test:1", "127.0.0.1", wants{"proxy", levelOK, "exempts it", ""}},
		"inside":          {"http://jenkins.ci.svc/", proxy(t, server, 200), "", wants{"proxy", levelWarn, "address of this network", "add jenkins.ci.svc to NO_PROXY"}},
		"other scheme":    {"https://127.0.0.1:1/", proxy(t, server, 200), "", wants{"proxy", levelOK, "other scheme only", ""}},
		"not to be used":  {name, "ftp://proxy.test", "", wants{"proxy", levelFail, "can't be used", "http://proxy:3128"}},
		"not a URL":       {name, "http://[::1", "", wants{"proxy", levelFail, "can't be used", "http://proxy:3128"}},
		"with a password": {name, "http://u:p4ssw0rd@" + proxy(t, server, 403), "", wants{"proxy", levelFail, "403", "CONNECT"}},
	} {
		t.Run(title, func(t *testing.T) {
			for _, v := range []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "REQUEST_METHOD"} {
				t.Setenv(v, "")
			}
			t.Setenv("http_proxy", c.proxy)
			t.Setenv("no_proxy", c.no)
			d := &doctor{o: options{urls: []string{c.url}, webSocket: true}}
			all := visit(t, d, d.network)
			c.verify(t, all)
			for _, f := range all {
				require.NotContains(t, f.Text+f.Remedy, "p4ssw0rd")
			}
		})
	}
}

func TestDoctorOnDialErrors(t *testing.T) {
	d := &doctor{}
	w := d.wayTo("http://jenkins.test/")
	w.times = hurried
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.False(t, d.reach(ctx, w))
	require.NotEmpty(t, worst(d.findings, "dns").Remedy)
}
