package transport

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Response headers of /tcpSlaveAgentListener/ (hudson.TcpSlaveAgentListener).
const (
	headerPort      = "X-Jenkins-JNLP-Port"
	headerPortOld   = "X-Hudson-JNLP-Port"
	headerHost      = "X-Jenkins-JNLP-Host"
	headerIdentity  = "X-Instance-Identity"
	headerProtocols = "X-Jenkins-Agent-Protocols"
)

// protocolJNLP4 is the only TCP protocol a controller still speaks.
const protocolJNLP4 = "JNLP4-connect"

// identity is the public key a controller has to prove: the DER of the X.509
// SubjectPublicKeyInfo of its instance identity.
type identity struct {
	der []byte
	key *rsa.PublicKey
}

// parseIdentity reads the base64 form in which identities travel.
func parseIdentity(text string) (*identity, error) {
	if len(text) > 16<<10 {
		return nil, errors.New("transport: instance identity is too long")
	}
	der, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("transport: instance identity is not base64: %w", err)
	}
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, fmt.Errorf("transport: instance identity is not a public key: %w", err)
	}
	rsaKey, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, fmt.Errorf("transport: instance identity is a %T, not an RSA key", key)
	}
	return &identity{der: der, key: rsaKey}, nil
}

// matches compares public keys, not certificates: the controller renews its
// certificate as it likes.
func (id *identity) matches(cert *x509.Certificate) bool {
	if bytes.Equal(cert.RawSubjectPublicKeyInfo, id.der) {
		return true
	}
	key, ok := cert.PublicKey.(*rsa.PublicKey) // the same key may be encoded otherwise
	return ok && key.Equal(id.key)
}

// fingerprint is short and safe to log.
func (id *identity) fingerprint() string { return fingerprint(id.der) }

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return fmt.Sprintf("SHA256:%x", sum[:12])
}

// endpoint is where to connect, and whom to expect there.
type endpoint struct {
	host     string
	port     int
	identity *identity // never nil
	minimum  string
}

func (e endpoint) addr() string { return net.JoinHostPort(e.host, strconv.Itoa(e.port)) }

// discover asks the candidates in turn; the one that answered last time is the
// first. The error joins those of all candidates and is permanent only when
// each of them is.
func (t *TCP) discover(ctx context.Context, d *netDialer) (endpoint, error) {
	var failures []error
	for _, root := range t.candidates() {
		e, err := t.ask(ctx, d, root)
		if err == nil {
			t.prefer(root)
			return e, nil
		}
		if ctx.Err() != nil {
			return endpoint{}, err
		}
		failures = append(failures, err)
	}
	switch len(failures) {
	case 0:
		return endpoint{}, &RefusedError{Reason: "there is no controller to connect to", Advice: "give -url or -direct", Permanent: true}
	case 1:
		return endpoint{}, failures[0]
	}
	all := errors.Join(failures...)
	return endpoint{}, &RefusedError{
		Reason:    "none of the controllers takes this agent: " + strings.ReplaceAll(strings.ReplaceAll(all.Error(), "transport: ", ""), "\n", " | "),
		Permanent: !slices.ContainsFunc(failures, func(err error) bool { return !IsPermanent(err) }),
	}
}

func (t *TCP) candidates() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(t.URLs)
	if i := slices.Index(list, t.last); i > 0 {
		list = slices.Insert(slices.Delete(list, i, i+1), 0, t.last)
	}
	return list
}

func (t *TCP) prefer(root string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = root
}

// ask reads the headers of one candidate's listener page.
func (t *TCP) ask(ctx context.Context, d *netDialer, rawRoot string) (endpoint, error) {
	root, err := parseRoot(rawRoot)
	if err != nil {
		return endpoint{}, err
	}
	page := root.JoinPath("tcpSlaveAgentListener/").String()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil {
		return endpoint{}, explain("asking", page, err)
	}
	req.Header.Set("User-Agent", t.UserAgent)
	req.Header.Set(headerNodeName, clip(t.Name, 1000))
	if t.Credentials != "" {
		req.Header.Set("Authorization", basicAuth(t.Credentials))
	}
	resp, err := d.httpClient(nil).Do(req)
	if err != nil {
		return endpoint{}, explain("asking", page, orContext(ctx, unwrapURL(err)))
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return endpoint{}, listenerRefusal(resp.StatusCode, page)
	}
	e, err := parseEndpoint(resp.Header, root, t.Protocols)
	if err != nil {
		return endpoint{}, err
	}
	if err := versionMismatch(t.Version, e.minimum); err != nil {
		return endpoint{}, err
	}
	if t.Tunnel != "" {
		if e.host, e.port, err = parseTunnel(t.Tunnel, e.host, e.port); err != nil {
			return endpoint{}, err
		}
	}
	return e, nil
}

func listenerRefusal(status int, page string) error {
	e := &RefusedError{Status: status, Reason: fmt.Sprintf("%s: %d %s", page, status, http.StatusText(status))}
	switch {
	case status == http.StatusNotFound:
		e.Advice = "the TCP port for inbound agents is disabled (Manage Jenkins, Security), or -url is not the root of Jenkins; -webSocket needs no such port"
		e.Permanent = true
	case status == http.StatusUnauthorized:
		e.Advice, e.Permanent = "something in front wants credentials: give -credentials USER:PASSWORD", true
	default:
		e.Advice = probeAdvice(status)
		e.Permanent = status == http.StatusProxyAuthRequired
	}
	return e
}

// parseEndpoint reads the headers of a listener page. only replaces the
// controller's list of protocols when it is not empty.
func parseEndpoint(h http.Header, root *url.URL, only []string) (endpoint, error) {
	refuse := func(reason, advice string) (endpoint, error) {
		return endpoint{}, &RefusedError{Reason: root.Redacted() + " " + reason, Advice: advice}
	}
	e := endpoint{host: root.Hostname(), minimum: clip(h.Get(headerMinVersion), maxVersion)}
	if h.Get(headerIdentity) == "" {
		return refuse("publishes no instance identity", "without one the controller could not be told from an impostor: is the instance-identity plugin enabled, does a proxy drop X-Instance-Identity?")
	}
	id, err := parseIdentity(h.Get(headerIdentity))
	if err != nil {
		return refuse("publishes an invalid instance identity", "")
	}
	e.identity = id
	port := h.Get(headerPort)
	if port == "" {
		port = h.Get(headerPortOld)
	}
	if port == "" {
		return refuse("is not Jenkins: it names no port for agents", "check -url")
	}
	if e.port, err = parsePort(port); err != nil {
		return refuse("names an invalid port for agents", "")
	}
	if host := strings.TrimSpace(h.Get(headerHost)); host != "" {
		if !plausibleHost(host) {
			return refuse("names an invalid host for agents", "")
		}
		e.host = strings.Trim(host, "[]")
	}
	offered := splitList(h.Get(headerProtocols))
	if len(only) > 0 {
		offered = only
	}
	if len(offered) > 0 && !slices.Contains(offered, protocolJNLP4) {
		return endpoint{}, &RefusedError{
			Reason:    fmt.Sprintf("%s offers only the protocols %q", root.Redacted(), clip(strings.Join(offered, ", "), 200)),
			Advice:    "enable " + protocolJNLP4 + " there, or use -webSocket",
			Permanent: true,
		}
	}
	return e, nil
}

func splitList(s string) []string {
	var out []string
	for _, f := range strings.Split(s, ",") {
		if f = strings.TrimSpace(f); f != "" && len(out) < 64 {
			out = append(out, f)
		}
	}
	return out
}

func parsePort(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("transport: %q is not a port (1-65535)", clip(s, 20))
	}
	return int(n), nil
}

func plausibleHost(s string) bool {
	return len(s) <= 255 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || strings.ContainsRune("/@\\?#%", r) })
}

// parseTunnel reads -tunnel and -direct: HOST:PORT, HOST:, :PORT, where what is
// left out comes from the defaults, and [IPv6]:PORT.
func parseTunnel(value, defaultHost string, defaultPort int) (host string, port int, err error) {
	bad := func() (string, int, error) {
		return "", 0, &RefusedError{
			Reason:    fmt.Sprintf("%q is not an address", clip(value, 100)),
			Advice:    "-tunnel takes HOST:PORT, HOST: or :PORT, -direct HOST:PORT; IPv6 addresses stand in [brackets]",
			Permanent: true,
		}
	}
	s := strings.TrimSpace(value)
	i := strings.LastIndexByte(s, ':')
	if i < 0 || i < strings.LastIndexByte(s, ']') {
		return bad()
	}
	host, rawPort := strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1:])
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, closed := strings.CutSuffix(inner, "]")
		if !closed || net.ParseIP(strings.SplitN(inner, "%", 2)[0]) == nil {
			return bad()
		}
		host = inner
	} else if strings.ContainsRune(host, ':') || !plausibleHost(host) {
		return bad()
	}
	if host == "" {
		host = defaultHost
	}
	port = defaultPort
	if rawPort != "" {
		if port, err = parsePort(rawPort); err != nil {
			return bad()
		}
	}
	if host == "" || port == 0 {
		return bad()
	}
	return host, port, nil
}
