package awsauth

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Credentials are one set of keys. Printing, logging or marshalling them by
// accident gives the key id only; the secrets leave through files.go alone.
type Credentials struct {
	KeyID   string
	secret  string
	session string
	Expires time.Time // zero: they do not expire
	Account string
}

// NewCredentials is for Issuers outside this package.
func NewCredentials(keyID, secret, session string, expires time.Time) Credentials {
	return Credentials{KeyID: keyID, secret: secret, session: session, Expires: expires}
}

func (c Credentials) String() string               { return c.KeyID + " (secrets not shown)" }
func (c Credentials) GoString() string             { return c.String() }
func (c Credentials) Format(s fmt.State, _ rune)   { _, _ = s.Write([]byte(c.String())) }
func (c Credentials) LogValue() slog.Value         { return slog.StringValue(c.String()) }
func (c Credentials) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Request is one call for credentials.
type Request struct {
	Kind        string // KindWebIdentity, KindAssumeRole, KindContainer, KindInstance
	RoleARN     string
	SessionName string
	ExternalID  string
	Seconds     int32 // 0: the service's default
	Region      string
	Token       string      // KindWebIdentity
	Source      Credentials // KindAssumeRole
}

// LogValue shows a request without its token and keys.
func (r Request) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", r.Kind), slog.String("role", r.RoleARN), slog.String("region", r.Region))
}

// String keeps the token out of %v.
func (r Request) String() string { return r.Kind + " " + r.RoleARN }

// GoString keeps the token out of %#v.
func (r Request) GoString() string { return r.String() }

// Grant is the answer to a Request.
type Grant struct {
	Credentials
	AssumedRoleID  string
	AssumedRoleARN string
	// ServerTime is the service's clock at the answer, zero if it did not say.
	ServerTime time.Time
	// Received is the local clock at the answer.
	Received time.Time
}

// skew is how far the local clock is ahead of the service's.
func (g Grant) skew() time.Duration {
	if g.ServerTime.IsZero() {
		return 0
	}
	return g.Received.Sub(g.ServerTime)
}

// life is how long the grant lasts from Received, by the service's clock.
func (g Grant) life() time.Duration {
	if g.Expires.IsZero() {
		return 0
	}
	return g.Expires.Sub(g.Received.Add(-g.skew()))
}

// expiresHere is the moment of expiry on the local clock.
func (g Grant) expiresHere() time.Time {
	return g.Received.Add(g.life())
}

// An Issuer makes one attempt at a request. Retries are the Keeper's: it owns
// the jitter and the deadlines. Issue is called from several goroutines. Its
// errors should be *IssueError.
type Issuer interface {
	Issue(ctx context.Context, r Request) (Grant, error)
}

// IssueError is a failed attempt.
type IssueError struct {
	Code    string // as the service names it, or "" when it was not reached
	Message string
	Retry   bool // a later attempt may succeed without anyone changing anything
}

func (e *IssueError) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// ResolveError says which link of whose chain failed.
type ResolveError struct {
	Profile string // the target that was wanted
	Link    *Link  // the link that failed
	Err     error
}

func (e *ResolveError) Error() string {
	l := e.Link
	s := fmt.Sprintf("awsauth: profile %s: ", displayName(e.Profile))
	if l.Profile != e.Profile && l.Profile != "" {
		s += "source " + l.Profile + ": "
	}
	s += l.Kind
	if l.RoleARN != "" {
		s += " " + l.RoleARN + " (STS in " + l.Region + ")"
	}
	s += ": " + e.Err.Error()
	if r := remedy(l, e.Err); r != "" {
		s += "; " + r
	}
	return s
}

func (e *ResolveError) Unwrap() error { return e.Err }

func displayName(profile string) string {
	if profile == "" {
		return DefaultName
	}
	return profile
}
