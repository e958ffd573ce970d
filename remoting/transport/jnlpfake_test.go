package transport

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/wire"
)

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
