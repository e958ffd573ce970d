package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// certExpiry is how long before its end a certificate is worth a word.
const certExpiry = 14 * 24 * time.Hour

// certificate makes a TLS connection to the controller, or to what stands in
// front of it, and judges what it shows. It verifies by itself, because a
// failed handshake says little about the chain.
func (d *doctor) certificate(ctx context.Context, w *way) bool {
	host := w.root.Hostname()
	if f := os.Getenv("SSL_CERT_FILE"); f != "" {
		if _, err := os.Stat(f); err != nil {
			d.warn("tls", "mount the file, or unset SSL_CERT_FILE", "SSL_CERT_FILE: %v", err)
		}
	}
	conn, err := w.dial(ctx)
	if err != nil {
		d.fail("tls", dialRemedy(err, host), "%v", plainNetError(err))
		return false
	}
	defer conn.Close()
	cfg := w.tls.Clone()
	cfg.ServerName = host
	cfg.InsecureSkipVerify = true // judge verifies
	ctx, cancel := context.WithTimeout(ctx, d.times.step)
	defer cancel()
	c := tls.Client(conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		d.fail("tls", handshakeRemedy(err), "no TLS with %s: %v", host, err)
		return false
	}
	state := c.ConnectionState()
	version := tls.VersionName(state.Version)
	if d.o.noCertCheck {
		d.warn("tls", "give the CA with -cert @FILE instead", "%s, and -noCertificateCheck: whoever is in between gets the secret", version)
		return true
	}
	return d.judge(host, version, state.PeerCertificates, w.tls.RootCAs)
}

// tlsAlert begins what crypto/tls says when the other side has refused; there is
// no type for it.
const tlsAlert = "remote error: tls:"

func handshakeRemedy(err error) string {
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record):
		return "that port does not speak TLS: is it http:// rather than https://?"
	case strings.Contains(err.Error(), tlsAlert) && strings.Contains(err.Error(), "certificate"):
		return "the server wants a client certificate, which agents of Jenkins do not have: exempt them there"
	case strings.Contains(err.Error(), tlsAlert), strings.Contains(err.Error(), "unsupported versions"):
		return "look at the server's settings: it has nothing of TLS 1.2 or 1.3 in common with this agent, does not know the name, or wants a client certificate"
	case timedOut(err):
		return "the port is open, but nothing answers: an overloaded load balancer, or a lost large packet (MTU)"
	case errorIs(err, io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE):
		return "something closes TLS connections to this name: a firewall that filters by name, or a port without TLS"
	}
	return "look at the TLS settings of the load balancer or controller"
}

// judge verifies a chain; roots nil means the system's.
func (d *doctor) judge(host, version string, chain []*x509.Certificate, roots *x509.CertPool) bool {
	leaf := chain[0]
	opt := x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range chain[1:] {
		opt.Intermediates.AddCert(c)
	}
	verified, err := leaf.Verify(opt)
	if err != nil {
		text, remedy := d.untrusted(host, chain, err)
		d.fail("tls", remedy, "%s", text)
		return false
	}
	path := verified[0]
	first := slices.MinFunc(path, func(a, b *x509.Certificate) int { return a.NotAfter.Compare(b.NotAfter) })
	if left := time.Until(first.NotAfter); left < certExpiry {
		d.warn("tls", "renew it", "the certificate of %q ends in %s", subject(first), left.Round(time.Hour))
		return true
	}
	d.ok("tls", "%s, certificate by %q until %s, trusted through %q", version, issuer(leaf), first.NotAfter.UTC().Format(time.DateOnly), subject(path[len(path)-1]))
	return true
}

// untrusted explains why a chain is not accepted, and what to do.
func (d *doctor) untrusted(host string, chain []*x509.Certificate, err error) (text, remedy string) {
	leaf, top := chain[0], chain[len(chain)-1]
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &name):
		return "the certificate is for " + cmp.Or(strings.Join(names(leaf), ", "), subject(leaf)) + ", not for " + host, "use a name that is in the certificate, or put this one into it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(leaf.NotBefore):
		return "the certificate is not valid before " + leaf.NotBefore.UTC().Format(time.RFC3339), "set this machine's clock"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		for _, c := range chain {
			if time.Now().After(c.NotAfter) {
				return "the certificate of \"" + subject(c) + "\" ended at " + c.NotAfter.UTC().Format(time.RFC3339), "renew it, or set this machine's clock"
			}
		}
		return "a CA of the certificate has ended", "update the CA certificates (ca-certificates) of this image"
	case !errors.As(err, &unknown):
		return err.Error(), "have the certificate of the controller mended"
	}
	text = "the certificate is signed by a CA that is not known here: \"" + issuer(top) + "\""
	if who := inspector(chain); who != "" {
		return text + ", " + who + " opens TLS on the way", "get that CA from whoever runs it, and give it with -cert @FILE or SSL_CERT_FILE"
	}
	switch none := noSystemRoots(); {
	case none && len(d.o.certs) == 0:
		return text + "; in fact no CA is known here", "this image has no CA certificates: install ca-certificates, or mount a bundle and set SSL_CERT_FILE"
	case len(d.o.certs) > 0:
		return text, "-cert names another CA: give that one"
	case len(chain) == 1 && issuer(leaf) == subject(leaf):
		return text + " (itself)", "give that certificate with -cert @FILE"
	case len(chain) == 1:
		return text, "give the company's CA with -cert @FILE or SSL_CERT_FILE; or the server leaves out its intermediate certificate, which it is to send"
	}
	return text, "give the company's CA with -cert @FILE, or set SSL_CERT_FILE"
}

// noSystemRoots: an image from scratch has no CA certificates.
func noSystemRoots() bool {
	pool, err := x509.SystemCertPool()
	return err != nil || pool.Equal(x509.NewCertPool())
}

// inspector names a product that replaces certificates on the way.
func inspector(chain []*x509.Certificate) string {
	for _, c := range chain {
		text := strings.ToLower(c.Issuer.String())
		for _, p := range []string{"Zscaler", "Netskope", "Palo Alto", "Fortinet", "FortiGate", "Blue Coat", "Cisco Umbrella", "Forcepoint", "Sophos", "Check Point", "McAfee", "Cloudflare Gateway", "mitmproxy"} {
			if strings.Contains(text, strings.ToLower(p)) {
				return p
			}
		}
	}
	return ""
}

func names(c *x509.Certificate) []string {
	out := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		out = append(out, net.IP.String(ip))
	}
	if len(out) > 8 {
		out = append(out[:8], "…")
	}
	return out
}

func issuer(c *x509.Certificate) string { return cmp.Or(c.Issuer.CommonName, c.Issuer.String(), "?") }

func subject(c *x509.Certificate) string {
	return cmp.Or(c.Subject.CommonName, c.Subject.String(), strings.Join(c.DNSNames, ", "), "?")
}
