package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/remoting/transport"
)

// jenkins-agent doctor, with the options and the environment of the agent, says
// what would keep it from working:
//
//	network ─ doctor.go ──────────────▶ name, port, proxy, TLS, /login, clock, connection
//	machine ─ doctor_machine.go ──────▶ work directory, user, shell, limits, Java, AWS
//
// One line a finding, and the remedy below it. The exit code is 1 when a line
// says fail, 0 otherwise.

const (
	levelOK   = "ok"
	levelWarn = "warn"
	levelFail = "fail"
)

// finding is one line of the doctor.
type finding struct {
	Level  string `json:"level"` // ok, warn or fail
	Check  string `json:"check"`
	Text   string `json:"text"`
	Remedy string `json:"remedy,omitempty"`
}

type doctor struct {
	o        options
	findings []finding
}

func (d *doctor) say(level, check, remedy, format string, args ...any) {
	d.findings = append(d.findings, finding{level, check, fmt.Sprintf(format, args...), remedy})
}

func (d *doctor) ok(check, format string, args ...any) { d.say(levelOK, check, "", format, args...) }

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		HideHelp:  true, // -help is one of agentFlags
		Usage:     "look for what would keep the agent from working; takes the agent's options",
		UsageText: "jenkins-agent doctor [--json] [--connect] -url URL [the other options of the agent]",
		Flags: append(agentFlags(),
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.BoolFlag{Name: "connect", Usage: "connect as the agent, too, and leave at once: checks secret, name and load balancer; the node is online for that moment"}),
		Action: runDoctor,
	}
}

func runDoctor(c *cli.Context) error {
	if c.Bool("help") {
		return cli.ShowSubcommandHelp(c)
	}
	d := &doctor{}
	var err error
	if d.o, err = readOptions(c); err != nil {
		level := levelWarn // a look at the network alone is fine, too
		if c.Bool("connect") {
			level = levelFail
		}
		d.say(level, "options", "see jenkins-agent -help", "%v", err)
	}
	ctx, cancel := context.WithTimeout(c.Context, 90*time.Second)
	defer cancel()
	if len(d.o.urls) == 0 && d.o.direct == "" {
		d.say(levelWarn, "options", "give -url, or set JENKINS_URL", "there is no -url: the network is not looked at")
	}
	for _, u := range d.o.urls {
		d.controller(ctx, u)
	}
	if c.Bool("connect") && err == nil && d.o.inbound() {
		d.connect(ctx)
	}
	d.machine()
	failed := false
	for _, f := range d.findings {
		failed = failed || f.Level == levelFail
	}
	if c.Bool("json") {
		err = printJSON(c.App.Writer, map[string]any{"failed": failed, "findings": d.findings})
	} else {
		err = nil
		for _, f := range d.findings {
			fmt.Fprintf(c.App.Writer, "%-4s  %-10s %s\n", f.Level, f.Check, f.Text)
			if f.Remedy != "" {
				fmt.Fprintf(c.App.Writer, "      %-10s → %s\n", "", f.Remedy)
			}
		}
	}
	if failed {
		return &codeError{code: exitFailure}
	}
	return err
}

// controller follows the way to the root URL, step by step, and stops at the
// first that is impossible.
func (d *doctor) controller(ctx context.Context, root string) {
	u, err := url.Parse(root)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		d.say(levelFail, "url", "write it as https://jenkins.example.com/", "-url is not the URL of a Jenkins")
		return
	}
	tlsConfig, err := transport.TLSOptions{Certificates: d.o.certs, NoCertificateCheck: d.o.noCertCheck}.Config()
	if err != nil {
		d.say(levelFail, "tls", "-cert takes a PEM certificate or @FILE", "%v", err)
		return
	}
	if d.o.noCertCheck {
		d.say(levelWarn, "tls", "give the CA with -cert @FILE instead", "-noCertificateCheck: whoever is in between gets the secret")
	}
	client := httpClient(tlsConfig)
	client.Timeout = 20 * time.Second
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u})
	switch {
	case err != nil:
		d.say(levelFail, "proxy", "HTTPS_PROXY is a URL such as http://proxy:3128", "the proxy variables can't be read")
		return
	case proxy != nil:
		d.ok("proxy", "%s is reached through %s", u.Host, proxy.Host)
	default:
		if !d.reach(ctx, u) {
			return
		}
	}
	d.login(ctx, client, u)
}

// reach resolves the name and opens the port.
func (d *doctor) reach(ctx context.Context, u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	begin := time.Now()
	addrs, err := net.DefaultResolver.LookupHost(ctx, u.Hostname())
	if err != nil {
		d.say(levelFail, "dns", "is the name right, and is it known inside this network? behind a proxy set HTTPS_PROXY", "%v", err)
		return false
	}
	d.ok("dns", "%s is %s (%s)", u.Hostname(), addrs[0], time.Since(begin).Round(time.Millisecond))
	begin = time.Now()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		d.say(levelFail, "tcp", "security groups, network policies and firewalls must let this port out", "%v", err)
		return false
	}
	conn.Close()
	d.ok("tcp", "port %s answers (%s)", port, time.Since(begin).Round(time.Millisecond))
	return true
}

// Clocks that differ by more make tokens of AWS and OIDC invalid.
const (
	clockWarn  = 5 * time.Second
	certExpiry = 14 * 24 * time.Hour
)

func (d *doctor) login(ctx context.Context, client *http.Client, u *url.URL) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.JoinPath("login").String(), nil)
	if err != nil {
		d.say(levelFail, "url", "", "%v", err)
		return
	}
	for name, values := range d.o.headers {
		req.Header[name] = values
	}
	begin := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		var unknown x509.UnknownAuthorityError
		var host x509.HostnameError
		var invalid x509.CertificateInvalidError
		var record tls.RecordHeaderError
		switch {
		case errors.As(err, &unknown):
			d.say(levelFail, "tls", "give the CA with -cert @FILE, or set SSL_CERT_FILE", "the certificate is signed by a CA that is not known here: %q", issuer(unknown.Cert))
		case errors.As(err, &host):
			d.say(levelFail, "tls", "use the name that is in the certificate", "%v", host)
		case errors.As(err, &invalid):
			d.say(levelFail, "tls", "renew the certificate, or set this machine's clock", "%v", invalid)
		case errors.As(err, &record):
			d.say(levelFail, "tls", "is it http:// rather than https://?", "the port does not speak TLS")
		default:
			d.say(levelFail, "http", "", "%v", err)
		}
		return
	}
	defer resp.Body.Close()
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		left := time.Until(resp.TLS.PeerCertificates[0].NotAfter)
		if left < certExpiry {
			d.say(levelWarn, "tls", "renew it", "the certificate ends in %s", left.Round(time.Hour))
		} else {
			d.ok("tls", "%s, certificate good for %d days", tls.VersionName(resp.TLS.Version), int(left.Hours()/24))
		}
	}
	version := resp.Header.Get("X-Jenkins")
	switch {
	case resp.StatusCode == http.StatusOK && version != "", resp.StatusCode/100 == 3 && version != "":
		d.ok("jenkins", "version %s answers in %s", version, time.Since(begin).Round(time.Millisecond))
	case resp.StatusCode == http.StatusOK:
		d.say(levelWarn, "jenkins", "is -url the root of Jenkins, with its path?", "/login answers, but does not say that it is Jenkins")
	case resp.StatusCode == http.StatusServiceUnavailable:
		d.say(levelFail, "jenkins", "wait: it is starting, or it has no pod that is ready", "/login answers 503")
	case resp.StatusCode == http.StatusNotFound:
		d.say(levelFail, "jenkins", "is -url the root of Jenkins, with its path (such as /jenkins/)?", "/login answers 404")
	default:
		d.say(levelFail, "jenkins", "something in front of Jenkins wants more: see -webSocketHeader and -proxyCredentials", "/login answers %s", resp.Status)
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		off := time.Since(at).Truncate(time.Second)
		if off > clockWarn || off < -clockWarn {
			d.say(levelWarn, "clock", "run an NTP client on this machine", "this clock and the controller's differ by %s", off)
		} else {
			d.ok("clock", "agrees with the controller's")
		}
	}
}

func issuer(c *x509.Certificate) string {
	if c == nil {
		return "?"
	}
	return c.Issuer.String()
}

// connect does what the agent would, up to the point where the controller
// begins to ask, and closes.
func (d *doctor) connect(ctx context.Context) {
	a := &agent{o: d.o, log: slog.New(slog.DiscardHandler)}
	dial, err := a.dialer()
	if err != nil {
		d.say(levelFail, "connect", "", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	begin := time.Now()
	conn, err := dial(ctx)
	if err != nil {
		var refused *transport.RefusedError
		remedy := "compare with the page of the node in Jenkins"
		if errors.As(err, &refused) && refused.Advice != "" {
			remedy = refused.Advice
		}
		d.say(levelFail, "connect", remedy, "%v", err)
		return
	}
	d.ok("connect", "%s as %s in %s", conn.Protocol(), d.o.name, time.Since(begin).Round(time.Millisecond))
	_ = conn.Close()
}
