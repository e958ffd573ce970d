package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting/wire"
)

// jnlp4 is one JNLP4-connect handshake from the agent's side
// (org.jenkinsci.remoting.engine.JnlpProtocol4Handler). U(s) is a 16-bit length
// and the UTF-8 bytes of s.
//
//	agent → controller   U("Protocol:JNLP4-connect")
//	both                 U("ACK")
//	                     ── TLS from here, agent = client; the controller's public
//	                        key must be the instance identity ──
//	both                 U(JSON headers)     ours hold the secret, theirs the cookie
//	both                 U("OK"), or U("ERROR: …") / U("FATAL: …"), answered by U("BYE")
//	both                 U(base64 capability)
//	                     then chunk frames
type jnlp4 struct {
	name, secret, cookie string
	identity             *identity // nil is refused before a byte is sent
	addr                 string    // for errors
	timeout              time.Duration
	// accepted is called as soon as the controller has said OK, with the cookie
	// it will know this connection by. It has dropped the connection before this
	// one by then: if the rest of the handshake is lost, the new cookie is the
	// one to come back with. May be nil.
	accepted func(cookie string)
}

type jnlp4Result struct {
	tls        *tls.Conn
	capability wire.Capability
	cookie     string
	oddCookie  bool // the controller sent one that cannot be used
}

// run drives the handshake over raw. The caller closes raw after an error.
func (h *jnlp4) run(ctx context.Context, raw net.Conn) (*jnlp4Result, error) {
	if h.identity == nil {
		return nil, &RefusedError{Reason: "the instance identity of the controller is not known, it is not trusted", Permanent: true}
	}
	// The prologue runs in the clear; no byte of TLS may be lost in a buffer.
	if err := h.step(ctx, raw, "starting "+protocolJNLP4+" with", h.prologue); err != nil {
		return nil, err
	}
	secured := tls.Client(raw, h.tlsConfig())
	if err := h.step(ctx, raw, "TLS with", func(net.Conn) error { return secured.Handshake() }); err != nil {
		return nil, err
	}
	res := &jnlp4Result{tls: secured}
	err := h.step(ctx, raw, "introducing the agent to", func(net.Conn) error { return h.introduce(secured, res) })
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (h *jnlp4) step(ctx context.Context, raw net.Conn, what string, f func(net.Conn) error) error {
	lift := bound(ctx, raw, h.timeout)
	err := f(raw)
	lift()
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return explain(what, h.addr, orContext(ctx, err))
	}
	return nil
}

const ack = "ACK"

func (h *jnlp4) prologue(conn net.Conn) error {
	if err := writeU(conn, "Protocol:"+protocolJNLP4, ack); err != nil {
		return err
	}
	want := appendU(nil, ack)
	got := make([]byte, len(want))
	n, err := io.ReadFull(conn, got)
	if err != nil && n == 0 {
		return err
	}
	if string(got[:n]) == string(want) {
		return nil
	}
	return notAnAgentPort(conn, got[:n])
}

// notAnAgentPort quotes what came instead of the acknowledgement.
func notAnAgentPort(conn net.Conn, head []byte) error {
	_ = conn.SetReadDeadline(time.Now().Add(closeGrace))
	rest := make([]byte, 200)
	n, _ := io.ReadFull(conn, rest)
	said := clip(string(head)+string(rest[:n]), 120)
	e := &RefusedError{Reason: fmt.Sprintf("%s answers %q instead of an acknowledgement", conn.RemoteAddr(), said)}
	switch {
	case strings.HasPrefix(said, "Unknown protocol"):
		e.Reason = "the controller does not offer " + protocolJNLP4
		e.Advice, e.Permanent = "enable it (Manage Jenkins, Security, Agent protocols), or use -webSocket", true
	case strings.HasPrefix(said, "HTTP/"):
		e.Advice = "that is a web server, not the port for agents: check -tunnel and -direct"
	}
	return e
}

// tlsConfig trusts one public key and nothing else: no authority, no host name,
// no dates. The secret is written only after this handshake.
func (h *jnlp4) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, // replaced by VerifyConnection, which Go calls on resumption too
		VerifyConnection: func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) == 0 {
				return errors.New("the controller shows no certificate")
			}
			leaf := cs.PeerCertificates[0]
			if !h.identity.matches(leaf) {
				return &RefusedError{
					Reason: fmt.Sprintf("%s is not the expected controller: its identity is %s, not %s",
						h.addr, fingerprint(leaf.RawSubjectPublicKeyInfo), h.identity.fingerprint()),
					Advice:    "nothing was sent to it; check -tunnel, -direct and -instanceIdentity, or a proxy that opens TLS",
					Permanent: true,
				}
			}
			return nil
		},
	}
}

// introduce exchanges headers, verdicts and capabilities inside TLS.
func (h *jnlp4) introduce(conn io.ReadWriter, res *jnlp4Result) error {
	headers := []jnlpHeader{{jnlpName, h.name}, {jnlpSecret, h.secret}}
	if h.cookie != "" {
		headers = append(headers, jnlpHeader{jnlpCookie, h.cookie})
	}
	if err := writeU(conn, formatHeaders(headers)); err != nil {
		return err
	}
	theirs, err := readU(conn)
	if err != nil {
		return err
	}
	got, err := parseHeaders(theirs)
	if err != nil {
		_ = writeU(conn, "ERROR: Malformed connection header")
		return err
	}
	if c := got[jnlpCookie]; validCookie(c) {
		res.cookie = c
	} else {
		res.oddCookie = c != ""
	}
	if err := writeU(conn, "OK"); err != nil {
		return err
	}
	verdict, err := readU(conn)
	if err != nil {
		return err
	}
	if verdict != "OK" {
		sayBye(conn)
		return jnlpRefusal(verdict)
	}
	if h.accepted != nil {
		h.accepted(res.cookie)
	}
	if err := writeU(conn, wire.CapDefault.Base64()); err != nil {
		return err
	}
	capability, err := readU(conn)
	if err != nil {
		return err
	}
	res.capability, err = wire.ParseCapability(capability)
	return err
}

// sayBye confirms a refusal and lets the controller close first: a socket
// closed too early would reset, and the confirmation might be lost with it.
func sayBye(conn io.ReadWriter) {
	if writeU(conn, "BYE") != nil {
		return
	}
	if d, ok := conn.(interface{ SetReadDeadline(time.Time) error }); ok {
		_ = d.SetReadDeadline(time.Now().Add(closeGrace))
	}
	_, _ = io.CopyN(io.Discard, conn, 1024)
}

// jnlpRefusal explains an answer other than OK.
func jnlpRefusal(verdict string) error {
	e := &RefusedError{}
	if said, ok := strings.CutPrefix(verdict, "FATAL: "); ok {
		e.Reason = "the controller refused the agent for good: " + clip(said, 300)
		e.Advice, _ = judgeRefusal(said)
		e.Permanent = true
		return e
	}
	said, ok := strings.CutPrefix(verdict, "ERROR: ")
	if !ok {
		e.Reason = fmt.Sprintf("the controller's verdict is %q", clip(verdict, 120))
		return e
	}
	e.Reason = "the controller refused the agent: " + clip(said, 300)
	e.Advice, e.Permanent = judgeRefusal(said)
	return e
}

func onlyJNLP4(protocols []string) error {
	if slices.Contains(protocols, protocolJNLP4) {
		return nil
	}
	return &RefusedError{
		Reason:    fmt.Sprintf("-protocols %q names nothing that can be spoken", clip(strings.Join(protocols, ","), 100)),
		Advice:    "use " + protocolJNLP4,
		Permanent: true,
	}
}

func appendU(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}

// writeU sends strings in one write.
func writeU(w io.Writer, parts ...string) error {
	var b []byte
	for _, s := range parts {
		if len(s) > 0xFFFF {
			return &RefusedError{Reason: "the agent's name is too long for " + protocolJNLP4, Permanent: true}
		}
		b = appendU(b, s)
	}
	_, err := w.Write(b)
	return err
}

// readU reads one string of at most 65535 bytes.
func readU(r io.Reader) (string, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return "", err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(r, b); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
	return string(b), nil
}
