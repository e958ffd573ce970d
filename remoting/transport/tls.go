package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// TLSOptions say whom to trust for https:// and wss://. JNLP4-connect has its
// own rule, the instance identity, and ignores them.
type TLSOptions struct {
	// Certificates are -cert arguments: a PEM text, or @FILE. They are added to
	// the system's authorities. A self-signed server certificate works too.
	Certificates []string
	// NoCertificateCheck accepts any certificate. For trials only: the secret is
	// then given to whoever answers.
	NoCertificateCheck bool
}

// maxPEM is the largest certificate file in bytes, as in the official agent.
const maxPEM = 64 << 10

// Config builds the TLS configuration. The result may be shared by dialers,
// which only read it.
func (o TLSOptions) Config() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.NoCertificateCheck {
		if len(o.Certificates) > 0 {
			return nil, errors.New("transport: -noCertificateCheck and -cert contradict each other: give one of them")
		}
		cfg.InsecureSkipVerify = true
		return cfg, nil
	}
	if len(o.Certificates) == 0 {
		return cfg, nil // nil RootCAs: the system's pool, loaded when needed
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // images without ca-certificates still have -cert
	}
	for _, c := range o.Certificates {
		if err := addPEM(pool, c); err != nil {
			return nil, err
		}
	}
	cfg.RootCAs = pool
	return cfg, nil
}

func addPEM(pool *x509.CertPool, cert string) error {
	name, text := "-cert", []byte(cert)
	if file, ok := strings.CutPrefix(strings.TrimSpace(cert), "@"); ok {
		name = file
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("transport: -cert: %w", err)
		}
		if !info.Mode().IsRegular() || info.Size() > maxPEM {
			return fmt.Errorf("transport: -cert: %s is not a file of less than %d bytes", file, maxPEM)
		}
		if text, err = os.ReadFile(file); err != nil {
			return fmt.Errorf("transport: -cert: %w", err)
		}
	}
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("transport: -cert: no PEM certificate in %s (it must hold -----BEGIN CERTIFICATE-----)", name)
	}
	return nil
}
