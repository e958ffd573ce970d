package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting/wire"
)

// TCP dials the controller's port for inbound agents with JNLP4-connect. Give
// either URLs, and the port and identity are looked up, or Direct with
// InstanceIdentity. Dial may not run twice at the same time.
type TCP struct {
	URLs   []string // Jenkins roots; several are candidates for the same controller
	Name   string
	Secret string

	// Tunnel is -tunnel: HOST:PORT, HOST: or :PORT instead of what the controller
	// says.
	Tunnel string
	// Direct is -direct HOST:PORT: no HTTP request at all.
	Direct string
	// InstanceIdentity is the base64 public key that Direct needs.
	InstanceIdentity string
	// Protocols is -protocols; empty = what the controller offers. Only
	// JNLP4-connect can be spoken.
	Protocols []string
	// Credentials is -credentials USER:PASSWORD, for the HTTP request.
	Credentials string

	Proxy       Proxy
	TLS         *tls.Config // for https:// URLs; JNLP4-connect has the instance identity instead
	UserAgent   string
	NoKeepAlive bool // -noKeepAlive

	HandshakeTimeout time.Duration // each step; 0 = DefaultHandshakeTimeout
	WriteTimeout     time.Duration // one write; 0 = wire.DefaultWriteTimeout
	// ReadTimeout ends the connection after so much silence; 0 = never. A
	// controller says something every five minutes (ChannelPinger); remoting
	// pings above this package notice a dead peer sooner.
	ReadTimeout time.Duration

	MaxCommand int         // bytes of one incoming command; 0 = wire.DefaultMaxCommand
	Version    string      // the remoting version we report, "" = not compared with the minimum
	Cookies    CookieStore // nil = no cookie is kept
	Log        *slog.Logger

	mu   sync.Mutex
	last string // the candidate that answered last; guarded by mu
}

// Dial makes one attempt: discovery, connect, JNLP4-connect. Refusals are
// *RefusedError. ctx bounds the attempt, not the connection.
func (t *TCP) Dial(ctx context.Context) (*Conn, error) {
	d := &netDialer{
		proxy: t.Proxy, tls: t.TLS, userAgent: t.UserAgent, noKeepAlive: t.NoKeepAlive,
		timeout: orDefault(t.HandshakeTimeout, DefaultHandshakeTimeout),
	}
	log := logger(t.Log)
	e, err := t.resolve(ctx, d)
	if err != nil {
		return nil, err
	}
	log.Debug("connecting to the agent port", "address", e.addr(), "identity", e.identity.fingerprint())
	proxy, err := t.Proxy.forTCP(e.addr())
	if err != nil {
		return nil, err
	}
	raw, err := d.dial(ctx, e.addr(), proxy)
	if err != nil {
		return nil, err
	}
	hs := jnlp4{
		name: t.Name, secret: t.Secret, cookie: usableCookie(t.Cookies),
		identity: e.identity, addr: e.addr(), timeout: d.timeout,
		accepted: func(cookie string) { rememberCookie(t.Cookies, cookie) },
	}
	done, err := hs.run(ctx, raw)
	if err != nil {
		raw.Close()
		return nil, err
	}
	if done.cookie == "" && done.oddCookie {
		log.Warn("the controller's connection cookie is not hexadecimal, it is not used")
	}
	stream := wire.NewStream(&tlsStream{Conn: done.tls, raw: raw}, wire.StreamConfig{
		MaxCommand: t.MaxCommand, WriteTimeout: t.WriteTimeout, ReadTimeout: t.ReadTimeout,
	})
	return &Conn{
		commands: stream, protocol: protocolJNLP4, remote: e.addr(),
		capability: done.capability, minimum: e.minimum, cookie: done.cookie,
	}, nil
}

func (t *TCP) resolve(ctx context.Context, d *netDialer) (endpoint, error) {
	if t.Direct == "" {
		return t.discover(ctx, d)
	}
	if t.InstanceIdentity == "" {
		return endpoint{}, &RefusedError{
			Reason:    "-direct without -instanceIdentity",
			Advice:    "without it the controller could not be told from an impostor",
			Permanent: true,
		}
	}
	id, err := parseIdentity(t.InstanceIdentity)
	if err != nil {
		return endpoint{}, &RefusedError{Reason: "-instanceIdentity is not a base64 RSA public key", Advice: "copy X-Instance-Identity from the controller's /tcpSlaveAgentListener/", Permanent: true}
	}
	if len(t.Protocols) > 0 {
		if err := onlyJNLP4(t.Protocols); err != nil {
			return endpoint{}, err
		}
	}
	e := endpoint{identity: id}
	e.host, e.port, err = parseTunnel(t.Direct, "", 0)
	return e, err
}

// tlsStream closes within a moment: crypto/tls gives its farewell up to five
// seconds when the peer does not read.
type tlsStream struct {
	*tls.Conn
	raw interface{ Close() error }
}

func (s *tlsStream) Close() error {
	t := time.AfterFunc(closeGrace, func() { s.raw.Close() })
	defer t.Stop()
	return s.Conn.Close()
}
