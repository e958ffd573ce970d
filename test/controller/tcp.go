package controller

import (
	"bufio"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/footman-ci/footman/remoting/wire"
)

// identity is the RSA key of the instance and a certificate over it.
type identity struct {
	cert tls.Certificate
	key  string // base64 of the SubjectPublicKeyInfo
}

func newIdentity() (*identity, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "embedded controller"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(365 * 24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, err
	}
	return &identity{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.StdEncoding.EncodeToString(spki)}, nil
}

// tcpListenerPage serves /tcpSlaveAgentListener/ (hudson.TcpSlaveAgentListener).
func (c *Controller) tcpListenerPage(rw http.ResponseWriter, _ *http.Request) {
	if c.tcp == nil {
		errorPage(rw, http.StatusNotFound, "Not Found")
		return
	}
	h := rw.Header()
	port := strconv.Itoa(c.tcp.Addr().(*net.TCPAddr).Port)
	h.Set("X-Hudson-JNLP-Port", port)
	h.Set("X-Jenkins-JNLP-Port", port)
	h.Set("X-Instance-Identity", c.identity.key)
	h.Set("X-Jenkins-Agent-Protocols", "JNLP4-connect, Ping")
	h.Set("X-Remoting-Minimum-Version", c.opts.MinimumVersion)
	h.Set("Content-Type", "text/plain;charset=UTF-8")
	_, _ = io.WriteString(rw, "Jenkins\n")
}

// handshakeTimeout is what a TCP agent has to present itself.
const handshakeTimeout = 10 * time.Second

// acceptTCP serves the agents' TCP port.
func (c *Controller) acceptTCP() {
	for {
		s, err := c.tcp.Accept()
		if err != nil {
			return
		}
		c.workers.Go(func() {
			if !c.track(s) {
				return
			}
			defer c.untrack(s)
			if err := c.serveTCP(s); err != nil && !errors.Is(err, io.EOF) {
				c.log.Debug("refused a TCP connection", "from", s.RemoteAddr().String(), "err", err)
			}
		})
	}
}

func (c *Controller) serveTCP(s net.Conn) error {
	_ = s.SetDeadline(time.Now().Add(handshakeTimeout))
	line, err := readUTF(s)
	if err != nil {
		return err // the agent's probe of the port ends here
	}
	if line != "Protocol:JNLP4-connect" {
		_, err := fmt.Fprintf(s, "Unknown protocol:%s\n", line)
		return err
	}
	if err := writeUTF(s, "ACK"); err != nil {
		return err
	}
	if ack, err := readUTF(s); err != nil || ack != "ACK" {
		return fmt.Errorf("controller: want ACK, got %q: %w", ack, err)
	}
	t := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{c.identity.cert}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12})
	text, err := readUTF(t)
	if err != nil {
		return err
	}
	var headers map[string]string
	if err := json.Unmarshal([]byte(text), &headers); err != nil {
		return fmt.Errorf("controller: headers of the agent: %w", err)
	}
	n, cookie, err := c.checkTCP(headers)
	own, _ := json.Marshal(map[string]string{"JnlpAgentProtocol.cookie": cookie})
	if werr := writeUTF(t, string(own)); werr != nil {
		return werr
	}
	if err != nil {
		_ = writeUTF(t, "ERROR: "+err.Error())
		for range 2 { // its verdict on us, then BYE
			if _, err := readUTF(t); err != nil {
				return err
			}
		}
		return err
	}
	handedOver := false
	defer func() {
		if !handedOver {
			n.admitted()
		}
	}()
	if err := writeUTF(t, "OK"); err != nil {
		return err
	}
	if verdict, err := readUTF(t); err != nil || verdict != "OK" {
		return fmt.Errorf("controller: the agent said %q: %w", verdict, err)
	}
	if err := writeUTF(t, c.capability().Base64()); err != nil {
		return err
	}
	if _, err := readUTF(t); err != nil {
		return err
	}
	_ = s.SetDeadline(time.Time{})
	handedOver = true
	traffic := &counters{}
	n.connected(newTCPLink(t, s, traffic), traffic, "JNLP4-connect", cookie)
	return nil
}

// checkTCP is JnlpAgentReceiver's part of the handshake.
func (c *Controller) checkTCP(headers map[string]string) (*Node, string, error) {
	name := headers["Node-Name"]
	n := c.lookup(name)
	if n == nil {
		return nil, "", errors.New("Unknown client name: " + name)
	}
	if !hmac.Equal([]byte(n.Secret()), []byte(headers["Secret-Key"])) {
		return nil, "", errors.New("Authorization failure")
	}
	cookie, err := n.admit(c.ctx, headers["JnlpAgentProtocol.cookie"])
	return n, cookie, err
}

// tcpLink carries commands over TLS.
type tcpLink struct {
	tls     *tls.Conn
	raw     net.Conn
	in      *wire.Reader
	traffic *counters
}

func newTCPLink(t *tls.Conn, raw net.Conn, traffic *counters) *tcpLink {
	l := &tcpLink{tls: t, raw: raw, traffic: traffic}
	l.in = wire.NewReader(bufio.NewReaderSize(&countedReader{t, traffic}, 32<<10), 0)
	return l
}

type countedReader struct {
	r       io.Reader
	traffic *counters
}

func (r *countedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.traffic.bytesIn.Add(int64(n))
	return n, err
}

func (l *tcpLink) ReadCommand() ([]byte, error) { return l.in.ReadCommand() }

func (l *tcpLink) WriteCommand(cmd []byte) error {
	_ = l.raw.SetWriteDeadline(time.Now().Add(wire.DefaultWriteTimeout))
	b := wire.AppendFrames(make([]byte, 0, wire.FramedSize(len(cmd))), cmd)
	l.traffic.bytesOut.Add(int64(len(b)))
	_, err := l.tls.Write(b)
	return err
}

func (l *tcpLink) Close() error {
	_ = l.raw.SetDeadline(time.Now().Add(time.Second))
	return l.tls.Close()
}

func (l *tcpLink) drop() { _ = l.raw.Close() }

// readUTF and writeUTF are DataInput.readUTF and writeUTF for plain text.
func readUTF(r io.Reader) (string, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", err
	}
	b := make([]byte, binary.BigEndian.Uint16(n[:]))
	_, err := io.ReadFull(r, b)
	return string(b), err
}

func writeUTF(w io.Writer, s string) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...))
	return err
}
