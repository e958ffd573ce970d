package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/wire"
)

// testIdentity is an instance identity: a self-signed certificate over an RSA
// key, as the instance-identity plugin makes it.
// jnlpController is the controller's side of JNLP4-connect.
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
	_ = closeUnblocks(t, conn)
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

// The connection is lost right after the controller said OK: it has dropped the
// one before and knows the new one by the new cookie.
func TestTCPCookieOfLostHandshake(t *testing.T) {
	c := newJNLPController(t)
	c.capability = "AAAA" // as good as a lost one
	d := c.direct()
	d.Cookies.SetCookie("00")
	_, err := d.Dial(t.Context())
	require.Error(t, err)
	require.Equal(t, testCookie, d.Cookies.Cookie())
}

func TestTCPSilence(t *testing.T) {
	c := newJNLPController(t)
	release := make(chan struct{})
	c.serve = func(net.Conn) { <-release }
	defer close(release)
	d := c.direct()
	d.ReadTimeout = 30 * time.Millisecond
	conn, err := d.Dial(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ReadCommand()
	require.True(t, isTimeout(err), "%v", err)
}
