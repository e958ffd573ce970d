package transport

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

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
