package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/wire"
)

// testIdentity is an instance identity: a self-signed certificate over an RSA
// key, as the instance-identity plugin makes it.
type testIdentity struct {
	cert   tls.Certificate
	base64 string
}

var newIdentity = sync.OnceValue(func() [2]testIdentity {
	var ids [2]testIdentity
	for i := range ids {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "instance"},
			NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour), // expired: dates mean nothing here
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
		if err != nil {
			panic(err)
		}
		spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			panic(err)
		}
		ids[i] = testIdentity{
			cert:   tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
			base64: base64.StdEncoding.EncodeToString(spki),
		}
	}
	return ids
})

// jnlpController is the controller's side of JNLP4-connect.
type jnlpController struct {
	net.Listener
	id         testIdentity
	version    uint16 // TLS version, 0 = any
	verdict    string // "" = OK
	headers    string // "" = the cookie
	capability string
	serve      func(net.Conn) // after the handshake

	mu    sync.Mutex
	got   []string // headers received
	bye   []string // answers to a refusal
	conns int
	busy  sync.WaitGroup
}

func newJNLPController(t *testing.T) *jnlpController {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &jnlpController{
		Listener: l, id: newIdentity()[0], headers: `{"JnlpAgentProtocol.cookie":"` + testCookie + `"}`,
		capability: wire.CapDefault.Base64(),
	}
	c.busy.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns++
			c.mu.Unlock()
			c.busy.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
				_ = c.handle(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); c.busy.Wait() })
	return c
}

func (c *jnlpController) handle(raw net.Conn) error {
	if p, err := readU(raw); err != nil || p != "Protocol:JNLP4-connect" {
		_, _ = io.WriteString(raw, "Unknown protocol:"+p+"\n")
		return err
	}
	if err := writeU(raw, "ACK"); err != nil {
		return err
	}
	if a, err := readU(raw); err != nil || a != "ACK" {
		return err
	}
	conn := tls.Server(raw, &tls.Config{
		Certificates: []tls.Certificate{c.id.cert}, ClientAuth: tls.RequestClientCert,
		MinVersion: tls.VersionTLS12, MaxVersion: c.version,
	})
	if err := writeU(conn, c.headers); err != nil {
		return err
	}
	h, err := readU(conn)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.got = append(c.got, h)
	c.mu.Unlock()
	if c.verdict != "" {
		if err := writeU(conn, c.verdict); err != nil {
			return err
		}
		for range 2 { // OK, then BYE
			s, err := readU(conn)
			if err != nil {
				return err
			}
			c.mu.Lock()
			c.bye = append(c.bye, s)
			c.mu.Unlock()
		}
		return nil
	}
	if err := writeU(conn, "OK"); err != nil {
		return err
	}
	if _, err := readU(conn); err != nil {
		return err
	}
	if err := writeU(conn, c.capability); err != nil {
		return err
	}
	if _, err := readU(conn); err != nil {
		return err
	}
	if c.serve != nil {
		c.serve(conn)
	}
	return nil
}

func (c *jnlpController) received() (headers, byes []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.got...), append([]string(nil), c.bye...)
}

func (c *jnlpController) direct() *TCP {
	return &TCP{
		Direct: c.Addr().String(), InstanceIdentity: c.id.base64, Name: "agent \"1\" ü", Secret: testSecret,
		Cookies: &Cookies{}, HandshakeTimeout: 5 * time.Second,
	}
}

func echo(conn net.Conn) { _, _ = io.Copy(conn, conn) }

func TestTCPDirect(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			c := newJNLPController(t)
			c.version, c.serve = version, echo
			d := c.direct()
			conn, err := d.Dial(t.Context())
			require.NoError(t, err)
			require.Equal(t, "JNLP4-connect", conn.Protocol())
			require.Equal(t, wire.CapDefault, conn.RemoteCapability())
			require.Equal(t, testCookie, conn.Cookie())
			cmd := bytes.Repeat([]byte("x"), 100000)
			written := make(chan error, 1)
			go func() { written <- conn.WriteCommand(cmd) }()
			got, err := conn.ReadCommand()
			require.NoError(t, err)
			require.NoError(t, <-written)
			require.True(t, bytes.Equal(cmd, got))
			require.NoError(t, conn.Close())
			_, err = conn.ReadCommand()
			require.ErrorIs(t, err, net.ErrClosed)

			conn, err = d.Dial(t.Context())
			require.NoError(t, err)
			require.NoError(t, conn.Close())
			headers, _ := c.received()
			name := `{"Node-Name":"agent \"1\" ü","Secret-Key":"` + testSecret + `"`
			require.Equal(t, []string{name + "}", name + `,"JnlpAgentProtocol.cookie":"` + testCookie + `"}`}, headers)
		})
	}
}

func TestTCPOrderlyEnd(t *testing.T) {
	c := newJNLPController(t)
	c.serve = func(conn net.Conn) { _, _ = conn.Write(wire.AppendFrames(nil, []byte("bye"))); _ = conn.Close() }
	conn, err := c.direct().Dial(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	got, err := conn.ReadCommand()
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
	_, err = conn.ReadCommand()
	require.Equal(t, io.EOF, err)
}

func TestTCPCloseUnblocks(t *testing.T) {
	c := newJNLPController(t)
	release := make(chan struct{})
	c.serve = func(net.Conn) { <-release }
	defer close(release)
	conn, err := c.direct().Dial(t.Context())
	require.NoError(t, err)
	errs := make(chan error, 2)
	go func() { _, err := conn.ReadCommand(); errs <- err }()
	wrote := make(chan struct{}, 1)
	go func() {
		for {
			if err := conn.WriteCommand(make([]byte, 1<<20)); err != nil {
				errs <- err
				return
			}
			select {
			case wrote <- struct{}{}:
			default:
			}
		}
	}()
	<-wrote
	start := time.Now()
	_ = conn.Close()
	require.Less(t, time.Since(start), time.Second)
	require.ErrorIs(t, <-errs, net.ErrClosed)
	require.ErrorIs(t, <-errs, net.ErrClosed)
}

func TestTCPWrongIdentity(t *testing.T) {
	c := newJNLPController(t)
	d := c.direct()
	d.InstanceIdentity = newIdentity()[1].base64
	_, err := d.Dial(t.Context())
	require.ErrorContains(t, err, "is not the expected controller")
	require.True(t, IsPermanent(err))
	c.Close()
	c.busy.Wait()
	headers, _ := c.received()
	require.Empty(t, headers, "the secret stays here")

	for text, change := range map[string]func(*TCP){
		"-direct without -instanceIdentity": func(d *TCP) { d.InstanceIdentity = "" },
		"not a base64 RSA public key":       func(d *TCP) { d.InstanceIdentity = "AAAA" },
		"is not an address":                 func(d *TCP) { d.Direct = "jenkins" },
		"names nothing that can be spoken":  func(d *TCP) { d.Protocols = []string{"JNLP2-connect"} },
		"there is no controller":            func(d *TCP) { d.Direct = "" },
	} {
		d := c.direct()
		change(d)
		_, err := d.Dial(t.Context())
		require.ErrorContains(t, err, text)
		require.True(t, IsPermanent(err))
	}
	_, err = (&jnlp4{}).run(t.Context(), nil)
	require.True(t, IsPermanent(err), "no identity, no byte")
}

func TestTCPRefusals(t *testing.T) {
	tests := []struct {
		verdict   string
		permanent bool
		text      string
	}{
		{"ERROR: Unknown client name: agent-1", true, "was the node deleted?"},
		{"ERROR: Authorization failure", true, "the secret is wrong"},
		{"ERROR: agent-1 is already connected to this controller. Rejecting this connection.", false, "older connection"},
		{"ERROR: Failed to disconnect the current client", false, "letting go"},
		{"ERROR: something\nelse", false, "refused the agent: something else"},
		{"FATAL: no", true, "for good: no"},
		{"WHAT", false, `verdict is "WHAT"`},
	}
	for _, tt := range tests {
		t.Run(tt.verdict, func(t *testing.T) {
			c := newJNLPController(t)
			c.verdict = tt.verdict
			d := c.direct()
			d.Cookies.SetCookie(testCookie)
			_, err := d.Dial(t.Context())
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, tt.permanent, refused.Permanent)
			require.Equal(t, testCookie, d.Cookies.Cookie())
			c.Close()
			c.busy.Wait()
			_, byes := c.received()
			require.Equal(t, []string{"OK", "BYE"}, byes)
		})
	}
}

func TestTCPOddPeers(t *testing.T) {
	tests := []struct {
		name, answer, text string
		permanent          bool
	}{
		{"unknown protocol", "Unknown protocol:\n", "does not offer JNLP4-connect", true},
		{"web server", "HTTP/1.1 400 Bad Request\r\n\r\n", "that is a web server", false},
		{"ssh", "SSH-2.0-OpenSSH_9.9\r\n", `answers "SSH-2.0-OpenSSH_9.9"`, false},
		{"closes", "", "closed the connection", false},
		{"closes early", "\x00\x03A", "instead of an acknowledgement", false},
		{"no TLS", "\x00\x03ACKhello", "TLS", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			var served sync.WaitGroup
			served.Go(func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = readU(conn)
				_, _ = readU(conn)
				_, _ = io.WriteString(conn, tt.answer)
			})
			defer served.Wait()
			defer l.Close()
			d := &TCP{Direct: l.Addr().String(), InstanceIdentity: newIdentity()[0].base64, Name: "n", Secret: testSecret, HandshakeTimeout: 2 * time.Second}
			_, err = d.Dial(t.Context())
			require.ErrorContains(t, err, tt.text)
			require.Equal(t, tt.permanent, IsPermanent(err))
		})
	}
}

func TestTCPDeadlines(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	check := func(d *TCP) {
		d.HandshakeTimeout = 50 * time.Millisecond
		start := time.Now()
		_, err := d.Dial(t.Context())
		require.ErrorContains(t, err, "no answer in time")
		require.False(t, IsPermanent(err))
		require.Less(t, time.Since(start), 3*time.Second)
	}
	check(&TCP{Direct: silent.Addr().String(), InstanceIdentity: newIdentity()[0].base64})
	check(&TCP{URLs: []string{"http://" + silent.Addr().String()}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = (&TCP{Direct: silent.Addr().String(), InstanceIdentity: newIdentity()[0].base64}).Dial(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

// listenerPage is /tcpSlaveAgentListener/ for a controller.
func listenerPage(t *testing.T, c *jnlpController, change func(h http.Header)) *httptest.Server {
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ctx/tcpSlaveAgentListener/" || r.Header.Get("Node-Name") == "" {
			rw.WriteHeader(http.StatusNotFound)
			return
		}
		h := rw.Header()
		_, port, _ := net.SplitHostPort(c.Addr().String())
		h.Set("X-Jenkins-JNLP-Port", port)
		h.Set("X-Instance-Identity", c.id.base64)
		h.Set("X-Jenkins-Agent-Protocols", "JNLP4-connect, Ping")
		h.Set("X-Remoting-Minimum-Version", "3107.v665000b_51092")
		if change != nil {
			change(h)
		}
	}))
	t.Cleanup(srv.Close)
	return srv
}

func TestTCPDiscovery(t *testing.T) {
	c := newJNLPController(t)
	good := listenerPage(t, c, nil)
	disabled := httptest.NewServer(http.NotFoundHandler())
	defer disabled.Close()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()

	d := c.direct()
	d.Direct, d.InstanceIdentity = "", ""
	d.URLs = []string{dead.URL, disabled.URL, good.URL + "/ctx"}
	conn, err := d.Dial(t.Context())
	require.NoError(t, err)
	require.Equal(t, "3107.v665000b_51092", conn.MinimumVersion())
	require.NoError(t, conn.Close())
	require.Equal(t, good.URL+"/ctx", d.candidates()[0], "the winner is asked first next time")
	require.Len(t, d.candidates(), 3)
	require.Equal(t, 1, c.conns, "no probe connection")

	d.Version = "3044.v1"
	_, err = d.Dial(t.Context())
	require.ErrorContains(t, err, "or newer")
	d.Version = ""
	d.URLs = []string{disabled.URL, disabled.URL + "/x"}
	_, err = d.Dial(t.Context())
	require.ErrorContains(t, err, "none of the controllers")
	require.True(t, IsPermanent(err))
	d.URLs = []string{disabled.URL}
	_, err = d.Dial(t.Context())
	require.ErrorContains(t, err, "TCP port for inbound agents is disabled")
	require.True(t, IsPermanent(err))
	d.URLs = []string{dead.URL, disabled.URL}
	_, err = d.Dial(t.Context())
	require.False(t, IsPermanent(err), "one of them may come up")
}

func TestTCPTunnel(t *testing.T) {
	c := newJNLPController(t)
	_, port, err := net.SplitHostPort(c.Addr().String())
	require.NoError(t, err)
	wrong := listenerPage(t, c, func(h http.Header) {
		h.Set("X-Jenkins-JNLP-Port", "1")
		h.Set("X-Jenkins-JNLP-Host", "jenkins.invalid")
	})
	d := c.direct()
	d.Direct, d.InstanceIdentity, d.URLs = "", "", []string{wrong.URL + "/ctx/"}
	d.Tunnel = c.Addr().String()
	conn, err := d.Dial(t.Context())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	right := listenerPage(t, c, nil)
	d.URLs = []string{right.URL + "/ctx/"}
	for _, tunnel := range []string{"127.0.0.1:", ":" + port} {
		d.Tunnel = tunnel
		conn, err := d.Dial(t.Context())
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
}

func TestParseTunnel(t *testing.T) {
	tests := []struct {
		value, host string
		port        int
	}{
		{"h:1", "h", 1}, {"h:", "h", 7}, {":9", "def", 9}, {":", "def", 7}, {" h : 1 ", "h", 1},
		{"[::1]:50000", "::1", 50000}, {"[fe80::1%eth0]:1", "fe80::1%eth0", 1}, {"[::1]:", "::1", 7},
		{"h", "", 0}, {"::1:50000", "", 0}, {"[::1]", "", 0}, {"[::1:5", "", 0}, {"[x]:5", "", 0},
		{"h:0", "", 0}, {"h:65536", "", 0}, {"h:-1", "", 0}, {"a b:1", "", 0}, {"", "", 0}, {"http://h:1", "", 0},
	}
	for _, tt := range tests {
		host, port, err := parseTunnel(tt.value, "def", 7)
		if tt.host == "" {
			require.Error(t, err, tt.value)
			continue
		}
		require.NoError(t, err, tt.value)
		require.Equal(t, tt.host, host)
		require.Equal(t, tt.port, port)
	}
}

func TestParseEndpoint(t *testing.T) {
	root, err := url.Parse("https://jenkins.example.org/ctx/")
	require.NoError(t, err)
	id := newIdentity()[0].base64
	base := map[string]string{"X-Jenkins-JNLP-Port": "50000", "X-Instance-Identity": id}
	tests := []struct {
		name, key, value string
		only             []string
		addr, err        string
	}{
		{"plain", "", "", nil, "jenkins.example.org:50000", ""},
		{"old port header", "X-Jenkins-JNLP-Port", "", nil, "jenkins.example.org:4", ""},
		{"host", "X-Jenkins-JNLP-Host", "other", nil, "other:50000", ""},
		{"IPv6 host", "X-Jenkins-JNLP-Host", "[2001:db8::1]", nil, "[2001:db8::1]:50000", ""},
		{"odd host", "X-Jenkins-JNLP-Host", "a/b", nil, "", "invalid host"},
		{"port 0", "X-Jenkins-JNLP-Port", "0", nil, "", "invalid port"},
		{"port text", "X-Jenkins-JNLP-Port", "x", nil, "", "invalid port"},
		{"no identity", "X-Instance-Identity", "", nil, "", "publishes no instance identity"},
		{"bad identity", "X-Instance-Identity", "AAAA", nil, "", "invalid instance identity"},
		{"protocols", "X-Jenkins-Agent-Protocols", "Ping, JNLP4-connect", nil, "jenkins.example.org:50000", ""},
		{"only old protocols", "X-Jenkins-Agent-Protocols", "JNLP-connect,JNLP2-connect", nil, "", "offers only"},
		{"list overridden", "X-Jenkins-Agent-Protocols", "Ping", []string{"JNLP4-connect"}, "jenkins.example.org:50000", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"X-Hudson-Jnlp-Port": {"4"}}
			for k, v := range base {
				h.Set(k, v)
			}
			h.Set(tt.key, tt.value)
			e, err := parseEndpoint(h, root, tt.only)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.addr, e.addr())
		})
	}
}

func FuzzDiscoveryHeaders(f *testing.F) {
	f.Add("50000", "h", newIdentity()[0].base64, "JNLP4-connect, Ping", "3107")
	f.Add("", "[::1]", "AAAA", ",", "")
	root, err := url.Parse("http://h/")
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, port, host, id, protocols, minimum string) {
		e, err := parseEndpoint(http.Header{
			"X-Jenkins-Jnlp-Port": {port}, "X-Jenkins-Jnlp-Host": {host}, "X-Instance-Identity": {id},
			"X-Jenkins-Agent-Protocols": {protocols}, "X-Remoting-Minimum-Version": {minimum},
		}, root, nil)
		if err != nil {
			require.Less(t, len(err.Error()), 1000)
			return
		}
		require.NotNil(t, e.identity)
		require.True(t, 0 < e.port && e.port < 65536)
		_, _, err = net.SplitHostPort(e.addr())
		require.NoError(t, err)
	})
}

func TestHeadersJSON(t *testing.T) {
	tests := []struct {
		text string
		want map[string]string // nil = an error
	}{
		{`{}`, map[string]string{}},
		{" \t\n\r\f\b{ } ", map[string]string{}},
		{`{"a":"b"}`, map[string]string{"a": "b"}},
		{` { "a" : "b" , "c" : null } `, map[string]string{"a": "b"}},
		{`{"a":"1","a":"2"}`, map[string]string{"a": "2"}},
		{`{"a":"1","a":null}`, map[string]string{}},
		{`{"\"\\\/\b\f\n\r\t\u0041\u00e9":"\ud83d\ude00"}`, map[string]string{"\"\\/\b\f\n\r\tAé": "😀"}},
		{`{"a":"\ud83dx"}`, map[string]string{"a": "\uFFFDx"}},
		{`{"a":"\ud83d\u0041"}`, map[string]string{"a": "\uFFFDA"}},
		{`{"":""}`, map[string]string{"": ""}},
		{``, nil}, {`{`, nil}, {`[]`, nil}, {`{"a"}`, nil}, {`{"a":}`, nil}, {`{"a":1}`, nil}, {`{"a":nul}`, nil},
		{`{"a":"b",}`, nil}, {`{"a":"b"`, nil}, {`{"a":"b"}x`, nil}, {`{"a":"b"}{}`, nil}, {`{a:"b"}`, nil},
		{`{"a":"\x"}`, nil}, {`{"a":"\u12"}`, nil}, {`{"a":"\u12g4"}`, nil}, {`{"a":"b`, nil}, {`{"a":"\`, nil},
		{`{"a":{"b":"c"}}`, nil}, {"{\"a\":\"\xff\"}", nil}, {"{}\x00", nil}, {"\x00{}", nil},
		{"{" + strings.Repeat(`"a":"b",`, 300) + `"a":"b"}`, nil},
	}
	for _, tt := range tests {
		got, err := parseHeaders(tt.text)
		if tt.want == nil {
			require.Error(t, err, "%q", tt.text)
			continue
		}
		require.NoError(t, err, "%q", tt.text)
		require.Equal(t, tt.want, got, "%q", tt.text)
	}
	require.Equal(t, `{"Node-Name":"a\"\\\u0001\b\té/","Secret-Key":"s"}`,
		formatHeaders([]jnlpHeader{{"Node-Name", "a\"\\\x01\b\té/"}, {"Secret-Key", "s"}}))
}

func FuzzHeadersJSON(f *testing.F) {
	f.Add(`{"JnlpAgentProtocol.cookie":"` + testCookie + `"}`)
	f.Add(`{"a":null,"b":"\ud83d\ude00\u0000"}`)
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseHeaders(text)
		if err != nil {
			return
		}
		var list []jnlpHeader
		for k, v := range m {
			list = append(list, jnlpHeader{k, v})
		}
		back, err := parseHeaders(formatHeaders(list))
		require.NoError(t, err)
		require.Equal(t, m, back)
	})
}

func FuzzIntroduce(f *testing.F) {
	var good bytes.Buffer
	require.NoError(f, writeU(&good, `{"JnlpAgentProtocol.cookie":"00"}`, "OK", wire.CapDefault.Base64()))
	f.Add(good.Bytes())
	f.Add([]byte("\x00\x02{}\x00\x08ERROR: x"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		h := jnlp4{name: "n", secret: testSecret}
		var res jnlp4Result
		conn := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(answer), io.Discard}
		if err := h.introduce(conn, &res); err != nil {
			require.NotContains(t, err.Error(), testSecret)
		}
		require.True(t, res.cookie == "" || validCookie(res.cookie))
	})
}
