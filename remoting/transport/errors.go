package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
)

// RefusedError is an answer of the other side that is not the connection we
// asked for: an HTTP status, a refusal inside JNLP4-connect, an identity that
// is not the expected one. Failures below that (no route, no name, timeouts)
// are ordinary wrapped errors.
type RefusedError struct {
	Status    int    // HTTP status; 0 when the refusal did not come by HTTP
	Reason    string // what was said, or what is wrong, in one line
	Advice    string // what to do about it; may be empty
	Permanent bool   // trying again with the same settings is not going to help
}

func (e *RefusedError) Error() string {
	s := "transport: " + e.Reason
	if e.Advice != "" {
		s += "; " + e.Advice
	}
	return s
}

// IsPermanent reports whether err says that another attempt with the same
// settings is pointless. The Engine still tries for a while: a controller that
// is just restoring its nodes refuses with the same words.
func IsPermanent(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && refused.Permanent
}

// explain wraps a failure of one step with what was tried and, where the cause
// is a usual one, with what to do.
func explain(step, target string, err error) error {
	var refused *RefusedError
	if errors.As(err, &refused) {
		return err
	}
	if hint := hintFor(err); hint != "" {
		return fmt.Errorf("transport: %s %s: %w (%s)", step, target, err, hint)
	}
	return fmt.Errorf("transport: %s %s: %w", step, target, err)
}

func hintFor(err error) string {
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return ""
	case errors.As(err, &dns):
		return "the host name does not resolve: check -url and the DNS of this machine"
	case errors.As(err, &authority):
		return "the certificate is signed by an unknown authority: give its CA with -cert @file"
	case errors.As(err, &hostname):
		return "the certificate is for another host: check -url"
	case errors.As(err, &invalid):
		return "the certificate is not valid: check its dates and the clock of this machine"
	case errors.As(err, &record):
		return "that port does not speak TLS: check http:// and https:// in -url"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: is the controller up, are host and port right?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "there is no route to that host"
	case isTimeout(err):
		return "no answer in time: a firewall, a proxy or an overloaded controller"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return "the other side closed the connection"
	}
	return ""
}

// isTimeout also sees the timeouts that gorilla/websocket wraps in a type of
// its own.
func isTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &netErr) && netErr.Timeout()
}
