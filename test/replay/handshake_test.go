package replay

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/transport"
	"github.com/footman-ci/footman/remoting/wire"
)

// handshake is one recorded WebSocket upgrade.
type handshake struct {
	conn    int
	request http.Header
	status  int
	answer  http.Header
}

// handshakes reads those of a session; there are none over TCP and stdio.
func handshakes(t *testing.T, name string) (out []handshake) {
	b, err := os.ReadFile(filepath.Join(fixturesDir(), name, "meta.json"))
	require.NoError(t, err)
	var meta struct {
		Connections []struct {
			Conn              int
			Request, Response struct {
				Line    string
				Headers [][2]string
			}
		}
	}
	require.NoError(t, json.Unmarshal(b, &meta))
	headers := func(list [][2]string) http.Header {
		h := http.Header{}
		for _, kv := range list {
			h.Add(kv[0], kv[1])
		}
		return h
	}
	for _, c := range meta.Connections {
		f := strings.Fields(c.Response.Line)
		require.Greater(t, len(f), 1, c.Response.Line)
		status, err := strconv.Atoi(f[1])
		require.NoError(t, err)
		out = append(out, handshake{c.Conn, headers(c.Request.Headers), status, headers(c.Response.Headers)})
	}
	return out
}

// agent dials as the recorded one did.
func (h handshake) agent(url string) *transport.WebSocket {
	return &transport.WebSocket{URL: url, Name: h.request.Get("Node-Name"), Secret: h.request.Get("Secret-Key"), Version: "3352.v17a_fb_4b_2773f",
		PingInterval: transport.PingOff, Cookies: &transport.Cookies{}}
}

// recordedController answers upgrades as recorded, the last one again and
// again.
type recordedController struct {
	t       *testing.T
	answers []handshake

	mu       sync.Mutex
	requests []http.Header
}

// ServeHTTP answers /login and /wsagents/.
func (c *recordedController) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/login" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.answers[min(len(c.requests), len(c.answers)-1)]
	h := r.Header.Clone()
	h.Set("Host", r.Host)
	c.requests = append(c.requests, h)
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		c.t.Error(err)
		return
	}
	// A socket that is upgraded ends with the agent's close.
	defer func() { go func() { _, _ = rw.ReadByte(); conn.Close() }() }()
	fmt.Fprintf(rw, "HTTP/1.1 %d %s\r\n", a.status, http.StatusText(a.status))
	for name, values := range a.answer {
		for _, v := range values {
			if name == "Sec-Websocket-Accept" {
				v = acceptKey(h.Get("Sec-Websocket-Key"))
			}
			fmt.Fprintf(rw, "%s: %s\r\n", name, v)
		}
	}
	fmt.Fprintf(rw, "\r\n%s", errorPage(a.answer))
	_ = rw.Flush()
}

// errorPage is the body of a refusal. Bodies were not recorded; this is Jetty's
// page, and the only text of Jenkins that gives it the recorded length.
func errorPage(h http.Header) string {
	if h.Get("Content-Length") == "" {
		return ""
	}
	const text = "no such agent"
	return "<html>\n<head>\n<meta http-equiv=\"Content-Type\" content=\"text/html;charset=ISO-8859-1\"/>\n<title>Error 400 " + text + "</title>\n</head>\n" +
		"<body><h2>HTTP ERROR 400 " + text + "</h2>\n<table>\n<tr><th>URI:</th><td>/wsagents/</td></tr>\n<tr><th>STATUS:</th><td>400</td></tr>\n" +
		"<tr><th>MESSAGE:</th><td>" + text + "</td></tr>\n<tr><th>SERVLET:</th><td>Stapler</td></tr>\n</table>\n" +
		"<hr/><a href=\"https://jetty.org/\">Powered by Jetty:// 12.1.5</a><hr/>\n\n</body>\n</html>\n"
}

// TestHandshakes sends what the official agent sent, and takes what the
// controller answered: header by header, over all connections of a session.
func TestHandshakes(t *testing.T) {
	dirs, err := os.ReadDir(fixturesDir())
	require.NoError(t, err)
	upgrades, refusals, cookies := 0, 0, 0
	for _, dir := range dirs {
		all := handshakes(t, dir.Name())
		if len(all) == 0 {
			continue
		}
		c := &recordedController{t: t, answers: all}
		server := httptest.NewServer(c)
		ws := all[0].agent(server.URL)
		for i, h := range all {
			if h.request.Get("Connection-Cookie") == "" {
				ws.Cookies = &transport.Cookies{} // another process, that knows of nothing (19, 20)
			} else {
				cookies++
			}
			conn, err := ws.Dial(t.Context())
			if h.status != http.StatusSwitchingProtocols {
				refusals++
				require.True(t, transport.IsPermanent(err), "%s: %v", dir.Name(), err)
			} else {
				upgrades++
				require.NoError(t, err, dir.Name())
				require.Equal(t, h.answer.Get("Connection-Cookie"), conn.Cookie())
				require.Equal(t, h.answer.Get("X-Remoting-Minimum-Version"), conn.MinimumVersion())
				require.Equal(t, h.answer.Get(wire.CapabilityHeader), conn.RemoteCapability().Base64())
				require.NoError(t, conn.Close())
			}
			c.mu.Lock()
			sameHeaders(t, fmt.Sprintf("%s, connection %d", dir.Name(), h.conn), h.request, c.requests[i])
			c.mu.Unlock()
		}
		server.Close()
	}
	t.Logf("%d upgrades, %d of them with a cookie, and %d refusals", upgrades, cookies, refusals)
	require.Positive(t, cookies)
	require.Positive(t, refusals)
}

// sameHeaders compares requests; host, origin and the random key differ.
func sameHeaders(t *testing.T, where string, want, got http.Header) {
	random := []string{"Host", "Origin", "Sec-Websocket-Key"}
	names := func(h http.Header) (out []string) {
		for n := range h {
			out = append(out, n)
		}
		slices.Sort(out)
		return out
	}
	require.Equal(t, names(want), names(got), where)
	for n := range want {
		if !slices.Contains(random, n) {
			require.Equal(t, want[n], got[n], where)
		}
	}
}

// acceptKey proves to a WebSocket client that it was understood (RFC 6455,
// 4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
