package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/remoting/transport"
)

// port looks at the TCP port for agents, unless the agent uses WebSocket: where
// it is, whether it speaks JNLP4-connect, and whether the controller behind it
// is the expected one. It returns the way there, nil if there is none.
func (d *doctor) port(ctx context.Context, ways []*way) *way {
	if d.o.webSocket {
		return nil
	}
	if d.o.direct != "" {
		w := &way{times: d.times, tls: &tls.Config{MinVersion: tls.VersionTLS12}}
		return d.agentPort(ctx, w, d.o.direct, d.o.instanceIdentity)
	}
	for _, w := range ways {
		if p := d.announcedPort(ctx, w); p != nil {
			return p
		}
	}
	return nil
}

// announcedPort asks /tcpSlaveAgentListener/ (hudson.TcpSlaveAgentListener).
func (d *doctor) announcedPort(ctx context.Context, w *way) *way {
	say := d.fail
	if !d.complete {
		say = d.warn // WebSocket may be what is wanted
	}
	h := http.Header{"Node-Name": {d.o.name}}
	if c := d.o.credentials; c != "" {
		h.Set("Authorization", basic(c))
	}
	a, err := d.get(ctx, w, "tcpSlaveAgentListener/", h)
	switch {
	case err != nil:
		say("port", answerRemedy(err), "no answer from /tcpSlaveAgentListener/: %v", err)
		return nil
	case a.status == http.StatusNotFound:
		say("port", "use -webSocket, or open the port under Manage Jenkins, Security, Agents", "Jenkins has no TCP port for agents")
		return nil
	case a.status != http.StatusOK:
		remedy := openAgentPaths
		if f := frontOf(a); f != nil && !f.signIn && a.status/100 == 5 {
			remedy = f.name + " can't reach Jenkins for this page"
		}
		say("port", remedy, "/tcpSlaveAgentListener/ answers %s", statusText(a))
		return nil
	}
	port := cmp.Or(a.header.Get("X-Jenkins-JNLP-Port"), a.header.Get("X-Hudson-JNLP-Port"))
	if port == "" {
		say("port", "is -url the root of Jenkins? does a proxy drop headers that begin with X-Jenkins?", "/tcpSlaveAgentListener/ names no port")
		return nil
	}
	host := cmp.Or(strings.Trim(a.header.Get("X-Jenkins-JNLP-Host"), "[] "), w.root.Hostname())
	if least := a.header.Get("X-Remoting-Minimum-Version"); least != "" && !transport.VersionAtLeast(remotingVersion, least) {
		d.fail("port", "update the agent", "the controller wants remoting %s, this agent stands for %s", least, remotingVersion)
	}
	if offered := a.header.Get("X-Jenkins-Agent-Protocols"); offered != "" && !strings.Contains(offered, "JNLP4-connect") {
		say("port", "allow JNLP4-connect under Manage Jenkins, Security, Agents; or use -webSocket", "the controller offers only %s", offered)
		return nil
	}
	if i := strings.LastIndexByte(d.o.tunnel, ':'); i >= 0 { // HOST:PORT, HOST: or :PORT
		host = cmp.Or(strings.Trim(d.o.tunnel[:i], "[]"), host)
		port = cmp.Or(d.o.tunnel[i+1:], port)
	}
	return d.agentPort(ctx, &way{root: w.root, times: w.times, tls: w.tls}, net.JoinHostPort(host, port), a.header.Get("X-Instance-Identity"))
}

// agentPort connects and goes as far as TLS: no name and no secret is sent.
func (d *doctor) agentPort(ctx context.Context, w *way, addr, identity string) *way {
	say := d.fail
	if !d.complete {
		say = d.warn
	}
	w.addr = addr
	host, port, err := net.SplitHostPort(addr)
	if err != nil || host == "" || port == "" {
		d.fail("port", "write HOST:PORT; IPv6 addresses stand in [brackets]", "%q is not an address", addr)
		return nil
	}
	for _, scheme := range []string{"https", "http"} { // as the agent does
		if w.proxy, err = proxyFor(&url.URL{Scheme: scheme, Host: addr}, d.o.proxyCredentials); w.proxy != nil || err != nil {
			break
		}
	}
	if err != nil {
		d.fail("port", "HTTPS_PROXY is a URL such as http://proxy:3128", "%v", err)
		return nil
	}
	begin := time.Now()
	conn, err := w.dial(ctx)
	if err != nil {
		remedy := dialRemedy(err, "") + "; it is another port than that of HTTP, and most HTTP load balancers do not carry it: -tunnel names another way, -webSocket needs none"
		if w.proxy != nil {
			remedy = proxyRemedy(err, addr)
		}
		say("port", remedy, "%s can't be reached: %s", addr, plainNetError(err))
		return nil
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(d.times.step))
	leaf, err := introduce(conn)
	if err != nil {
		say("port", portRemedy(err), "%s: %v", addr, err)
		return nil
	}
	switch same, err := sameKey(leaf, identity); {
	case identity == "":
		say("port", "is the instance-identity plugin enabled? does a proxy drop the header X-Instance-Identity?", "%s answers, but the controller publishes no identity to compare with", addr)
	case err != nil:
		say("port", "copy X-Instance-Identity from the controller's /tcpSlaveAgentListener/", "the identity to compare with is no RSA key in base64")
	case !same:
		say("port", "look at -tunnel, -direct and -instanceIdentity: is it another controller, or a proxy that opens TLS?", "%s is not the expected controller: its key is %s", addr, fingerprint(leaf))
	default:
		d.ok("port", "%s%s speaks JNLP4-connect, identity %s is the expected one (%s)", addr, through(w), fingerprint(leaf), since(begin))
	}
	return w
}

// strangePort is what came instead of an acknowledgement.
type strangePort struct{ said string }

func (e *strangePort) Error() string {
	return fmt.Sprintf("instead of an acknowledgement came %q", e.said)
}

func portRemedy(err error) string {
	said := err.Error()
	switch {
	case strings.Contains(said, "HTTP/"):
		return "that is a web server, not the port for agents: look at -tunnel and -direct"
	case strings.Contains(said, "Unknown protocol"):
		return "allow JNLP4-connect under Manage Jenkins, Security, Agents; or use -webSocket"
	case timedOut(err):
		return "the port is open, but nothing answers: does a load balancer without a target listen there?"
	case errorIs(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return "something accepts the connection and closes it: a load balancer without a healthy target, or a service mesh's sidecar"
	}
	return "is that the port for agents? look at -tunnel and -direct"
}

// introduce begins JNLP4-connect (org.jenkinsci.remoting.engine.
// JnlpProtocol4Handler) and returns the certificate that the controller shows.
func introduce(conn net.Conn) (*x509.Certificate, error) {
	const hello, ack = "\x00\x16Protocol:JNLP4-connect", "\x00\x03ACK"
	if _, err := io.WriteString(conn, hello+ack); err != nil {
		return nil, err
	}
	got := make([]byte, len(ack))
	if n, err := io.ReadFull(conn, got); err != nil && n == 0 {
		return nil, err
	}
	if string(got) != ack {
		rest := make([]byte, 100)
		_ = conn.SetReadDeadline(time.Now().Add(250 * time.Millisecond))
		n, _ := conn.Read(rest)
		return nil, &strangePort{oneLine(string(got) + string(rest[:n]))}
	}
	var leaf *x509.Certificate
	c := tls.Client(conn, &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // the key is compared, nothing is sent
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf = s.PeerCertificates[0]
			return nil
		},
	})
	if err := c.Handshake(); err != nil {
		return nil, fmt.Errorf("no TLS: %w", err)
	}
	return leaf, nil
}

// sameKey compares public keys: certificates are renewed.
func sameKey(leaf *x509.Certificate, identity string) (bool, error) {
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(identity))
	if err != nil {
		return false, err
	}
	if bytes.Equal(der, leaf.RawSubjectPublicKeyInfo) {
		return true, nil
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return false, err
	}
	have, ok := leaf.PublicKey.(*rsa.PublicKey)
	return ok && have.Equal(key), nil
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("SHA256:%x…", sum[:6])
}
