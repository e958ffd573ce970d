package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/footman-ci/footman/remoting/transport"
)

// way is how to get to one controller: directly, or by CONNECT through a proxy.
type way struct {
	root  *url.URL // ends in a slash
	addr  string   // host:port of the controller
	proxy *url.URL // nil for none; may hold a password
	tls   *tls.Config
	times doctorTimes
	front string // who answers for Jenkins, "" when that is Jenkins itself
}

// controller follows the way to a root URL, step by step, and stops at the
// first that is impossible: then it returns nil.
func (d *doctor) controller(ctx context.Context, root string) *way {
	w := d.wayTo(root)
	if w == nil || !d.throughProxy(ctx, w) || w.proxy == nil && !d.reach(ctx, w) {
		return nil
	}
	if w.root.Scheme == "https" && !d.certificate(ctx, w) {
		return nil
	}
	if !d.login(ctx, w) {
		return nil
	}
	if d.o.webSocket || !d.complete {
		d.upgrade(ctx, w)
	}
	return w
}

func (d *doctor) wayTo(root string) *way {
	u, err := url.Parse(strings.TrimSpace(root))
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		d.fail("url", "write it as https://jenkins.example.com/", "-url is not the URL of a Jenkins")
		return nil
	case u.User != nil:
		d.fail("url", "leave it out: the agent is known by its secret; for a proxy in front there are -webSocketHeader and -credentials", "-url holds a user name")
		return nil
	case u.RawQuery != "" || u.Fragment != "":
		d.fail("url", "give the root alone, such as https://jenkins.example.com/", "-url is a page, not the root of a Jenkins")
		return nil
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
		u.RawPath = ""
	}
	cfg, err := transport.TLSOptions{Certificates: d.o.certs, NoCertificateCheck: d.o.noCertCheck}.Config()
	if err != nil {
		d.fail("tls", "-cert takes a PEM certificate or @FILE", "%v", err)
		return nil
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return &way{root: u, addr: net.JoinHostPort(u.Hostname(), port), tls: cfg, times: d.times}
}

// errProxySetting stands for proxy variables that can't be used. They may hold
// a password, so they are never quoted.
var errProxySetting = errors.New("the proxy variables can't be used: only http:// and https:// proxies are")

// proxyFor is the proxy for a URL, nil for none; credentials are
// -proxyCredentials.
func proxyFor(u *url.URL, credentials string) (*url.URL, error) {
	env := httpproxy.FromEnvironment()
	for _, s := range []string{env.HTTPProxy, env.HTTPSProxy} {
		if s != "" && !strings.Contains(s, "://") {
			s = "http://" + s
		}
		// Package httpproxy takes what is no URL for none at all.
		if p, err := url.Parse(s); s != "" && (err != nil || p.Host == "") {
			return nil, errProxySetting
		}
	}
	p, err := env.ProxyFunc()(u)
	if err != nil || p != nil && p.Scheme != "http" && p.Scheme != "https" {
		return nil, errProxySetting
	}
	if p == nil {
		return nil, nil
	}
	with := *p
	if user, password, ok := strings.Cut(credentials, ":"); ok {
		with.User = url.UserPassword(user, password)
	}
	return &with, nil
}

// throughProxy finds out about the proxy and, when there is one, asks it for a
// tunnel.
func (d *doctor) throughProxy(ctx context.Context, w *way) bool {
	var err error
	if w.proxy, err = proxyFor(w.root, d.o.proxyCredentials); err != nil {
		d.fail("proxy", "HTTPS_PROXY is a URL such as http://proxy:3128", "%v", err)
		return false
	}
	env := httpproxy.FromEnvironment()
	host := w.root.Hostname()
	if w.proxy == nil {
		used := env.HTTPSProxy
		if w.root.Scheme == "http" {
			used = env.HTTPProxy
		}
		switch {
		case used != "":
			d.ok("proxy", "none for %s: NO_PROXY or being loopback exempts it", host)
		case env.HTTPProxy+env.HTTPSProxy != "":
			d.ok("proxy", "none for %s: there is a variable for the other scheme only", w.root.Scheme)
		}
		return true
	}
	if ip, err := netip.ParseAddr(host); !strings.Contains(host, ".") || strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".cluster.local") || err == nil && ip.IsPrivate() {
		d.warn("proxy", "add "+host+" to NO_PROXY", "%s looks like an address of this network, and goes through the proxy %s", host, w.proxy.Host)
	}
	begin := time.Now()
	conn, err := w.dialProxy(ctx)
	if err != nil {
		d.fail("proxy", "is it the right proxy? or exempt "+host+" with NO_PROXY", "the proxy %s can't be reached: %v", w.proxy.Host, plainNetError(err))
		return false
	}
	conn.Close()
	conn, err = w.dial(ctx)
	if err != nil {
		d.fail("proxy", proxyRemedy(err, w.addr), "%v", err)
		return false
	}
	conn.Close()
	d.ok("proxy", "%s opens a tunnel to %s (%s)", w.proxy.Host, w.addr, since(begin))
	return true
}

// refusedTunnel is the answer of a proxy other than 200.
type refusedTunnel struct {
	proxy, addr string
	status      int
}

func (e *refusedTunnel) Error() string {
	return fmt.Sprintf("the proxy %s refuses a tunnel to %s: %d %s", e.proxy, e.addr, e.status, http.StatusText(e.status))
}

func proxyRemedy(err error, addr string) string {
	var refused *refusedTunnel
	switch {
	case !errors.As(err, &refused):
		return "is that an HTTP proxy? or exempt the controller with NO_PROXY"
	case refused.status == http.StatusProxyAuthRequired:
		return "give -proxyCredentials USER:PASSWORD"
	case refused.status/100 == 5:
		return "the proxy itself can't reach " + addr + ": ask who runs it, or exempt the controller with NO_PROXY"
	}
	return "allow CONNECT to " + addr + " in the proxy, or exempt the controller with NO_PROXY"
}

func (w *way) dialProxy(ctx context.Context) (net.Conn, error) {
	port := cmp.Or(w.proxy.Port(), map[string]string{"http": "80", "https": "443"}[w.proxy.Scheme])
	conn, err := w.dialAddr(ctx, net.JoinHostPort(w.proxy.Hostname(), port))
	if err != nil || w.proxy.Scheme != "https" {
		return conn, err
	}
	cfg := w.tls.Clone()
	cfg.ServerName = w.proxy.Hostname()
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// dialAddr opens a connection that sends no keep-alive probes: silence is to be
// silence.
func (w *way) dialAddr(ctx context.Context, addr string) (net.Conn, error) {
	return (&net.Dialer{Timeout: w.times.step, KeepAlive: -1}).DialContext(ctx, "tcp", addr)
}

// dial opens a connection to the controller.
func (w *way) dial(ctx context.Context) (net.Conn, error) {
	if w.proxy == nil {
		return w.dialAddr(ctx, w.addr)
	}
	conn, err := w.dialProxy(ctx)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(w.times.step))
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: w.addr}, Host: w.addr, Header: http.Header{"User-Agent": {""}}}
	if u := w.proxy.User; u != nil {
		password, _ := u.Password()
		req.Header.Set("Proxy-Authorization", basic(u.Username()+":"+password))
	}
	if err = req.Write(conn); err == nil {
		var resp *http.Response
		// Nobody behind the tunnel speaks first, so no byte is lost in this buffer.
		if resp, err = http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxResponse)), req); err == nil && resp.StatusCode != http.StatusOK {
			err = &refusedTunnel{w.proxy.Host, w.addr, resp.StatusCode}
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, conn.SetDeadline(time.Time{})
}

// dialSecure is dial, with TLS where the URL says so.
func (w *way) dialSecure(ctx context.Context) (net.Conn, error) {
	conn, err := w.dial(ctx)
	if err != nil || w.root.Scheme != "https" {
		return conn, err
	}
	cfg := w.tls.Clone()
	cfg.ServerName = w.root.Hostname()
	ctx, cancel := context.WithTimeout(ctx, w.times.step)
	defer cancel()
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secured, nil
}

// maxAddresses bounds how many addresses of a name are tried.
const maxAddresses = 8

// slowName is a time to resolve a name that hints at a lost query.
const slowName = 2 * time.Second

// reach resolves the name and tries the port at every address.
func (d *doctor) reach(ctx context.Context, w *way) bool {
	host, port := w.root.Hostname(), w.addr[strings.LastIndexByte(w.addr, ':')+1:]
	begin := time.Now()
	look, cancel := context.WithTimeout(ctx, 2*d.times.step)
	addrs, err := net.DefaultResolver.LookupNetIP(look, "ip", host)
	cancel()
	if err != nil || len(addrs) == 0 {
		remedy := "is the name right, and is it known inside this network? behind a proxy set HTTPS_PROXY"
		if timedOut(err) {
			remedy = "the name servers in /etc/resolv.conf do not answer: firewall, network policy, or CoreDNS in trouble?"
		}
		d.fail("dns", remedy, "%v", err)
		return false
	}
	var names []string
	for _, a := range addrs {
		names = append(names, a.Unmap().String())
	}
	if took := time.Since(begin); took > slowName {
		d.warn("dns", "a query was lost, perhaps: look at the name servers in /etc/resolv.conf and at its search list", "%s is %s, and it took %s to know", host, strings.Join(names, ", "), since(begin))
	} else {
		d.ok("dns", "%s is %s (%s)", host, strings.Join(names, ", "), since(begin))
	}
	if !d.tryPort(ctx, w, host, port, addrs[:min(len(addrs), maxAddresses)]) {
		return false
	}
	if w.root.Scheme == "http" && !slices.ContainsFunc(addrs, func(a netip.Addr) bool {
		a = a.Unmap()
		return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
	}) {
		d.warn("url", "use https:// with -webSocket; the TCP port has a TLS of its own", "http:// to a public address: with -webSocket the secret travels in clear text")
	}
	return true
}

func (d *doctor) tryPort(ctx context.Context, w *way, host, port string, addrs []netip.Addr) bool {
	begin := time.Now()
	errs := make([]error, len(addrs))
	var all sync.WaitGroup
	for i, a := range addrs {
		all.Go(func() {
			conn, err := w.dialAddr(ctx, net.JoinHostPort(a.Unmap().String(), port))
			if errs[i] = err; err == nil {
				conn.Close()
			}
		})
	}
	all.Wait()
	var good, bad, noRoute []string
	var last error
	for i, a := range addrs {
		switch err := errs[i]; {
		case err == nil:
			good = append(good, a.Unmap().String())
		case a.Unmap().Is6() && errorIs(err, syscall.ENETUNREACH, syscall.EADDRNOTAVAIL, syscall.EAFNOSUPPORT):
			noRoute = append(noRoute, a.String())
			last = cmp.Or(last, err)
		default:
			bad = append(bad, a.Unmap().String()+": "+plainNetError(err))
			last = err
		}
	}
	switch {
	case len(good) == 0:
		d.fail("tcp", dialRemedy(last, host), "port %s can't be reached: %s", port, strings.Join(append(bad, noRoute...), "; "))
		return false
	case len(bad) > 0:
		d.warn("tcp", "each address is tried in turn, which costs time: mend or remove those that do not answer", "port %s answers at %s, but not at %s", port, strings.Join(good, ", "), strings.Join(bad, "; "))
	case len(noRoute) > 0:
		d.ok("tcp", "port %s answers at %s (%s); there is no route by IPv6 here", port, strings.Join(good, ", "), since(begin))
	default:
		d.ok("tcp", "port %s answers at %s (%s)", port, strings.Join(good, ", "), since(begin))
	}
	return true
}

// dialRemedy knows what keeps connections from being made.
func dialRemedy(err error, host string) string {
	local := host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) && local:
		return host + " is this machine or container itself: give the name by which the controller is known outside"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: is the controller up, is the port right, has the service a pod that is ready?"
	case errorIs(err, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return "there is no route: look at the subnet's route table, NAT gateway or VPN"
	case timedOut(err):
		return "packets are dropped: security groups, network policies and firewalls must let this port out and in"
	}
	return "security groups, network policies and firewalls must let this port out"
}

// plainNetError leaves out what the line says already.
func plainNetError(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		if timedOut(op.Err) {
			return "no answer"
		}
		var sys *os.SyscallError
		if errors.As(op.Err, &sys) {
			return sys.Err.Error()
		}
		return op.Err.Error()
	}
	return err.Error()
}

func since(t time.Time) time.Duration {
	d := time.Since(t)
	if d < time.Millisecond {
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// basic is the value of an Authorization header.
func basic(userPassword string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(userPassword))
}
