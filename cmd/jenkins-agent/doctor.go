package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/awsauth"
)

// jenkins-agent doctor, with the options and the environment of the agent, says
// what would keep it from working. Each step needs the one before it:
//
//	options ── doctor.go ────────────▶ what is there of -url, -secret, -name
//	network ── doctor_network.go ────▶ proxy, name, port        (way: how to get there)
//	           doctor_tls.go ────────▶ TLS, certificate, CA
//	           doctor_login.go ──────▶ /login, version, clock
//	           doctor_front.go         who answers instead of Jenkins, and its remedy
//	           doctor_websocket.go ──▶ upgrade through the load balancer
//	           doctor_port.go ───────▶ TCP port for agents, instance identity
//	           doctor_connect.go ────▶ --connect: secret and name
//	           doctor_idle.go ───────▶ --idle: how long silence is borne
//	machine ── doctor_machine.go ────▶ work directory, user, tools
//	           doctor_limits.go ─────▶ memory, CPU, processes, files, PID 1
//	           doctor_java.go ───────▶ Java, AWS
//
// One line a finding, and its remedy below unless all is well. The exit code is
// 1 when a line says fail, 0 otherwise, 64 for a command line that makes no
// sense. No secret, password or value of a header is ever printed.

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
	Remedy string `json:"remedy,omitempty"` // empty only when Level is ok
}

// doctor is one examination. It is used by one goroutine.
type doctor struct {
	o           options
	complete    bool          // name and secret are there: the agent could start
	wantConnect bool          // --connect
	idle        time.Duration // --idle, 0 for none
	findings    []finding
	told        func(finding) // hears of each finding at once; may be nil
	progress    io.Writer     // lines while something is waited for; may be nil
	times       doctorTimes

	version string // of the controller, "" while it is not known
	cookie  string // of the connection that --connect made
}

// doctorTimes are waits that tests shorten.
type doctorTimes struct {
	step     time.Duration // connect, handshake, one answer
	answer   time.Duration // a sign of life after the idle time
	progress time.Duration // between two lines about the idle time
}

var patience = doctorTimes{step: 10 * time.Second, answer: 10 * time.Second, progress: 30 * time.Second}

func (d *doctor) say(level, check, remedy, format string, args ...any) {
	f := finding{level, check, d.withoutSecrets(oneLine(fmt.Sprintf(format, args...))), remedy}
	d.findings = append(d.findings, f)
	if d.told != nil {
		d.told(f)
	}
}

func (d *doctor) ok(check, format string, args ...any) { d.say(levelOK, check, "", format, args...) }

func (d *doctor) warn(check, remedy, format string, args ...any) {
	d.say(levelWarn, check, remedy, format, args...)
}

func (d *doctor) fail(check, remedy, format string, args ...any) {
	d.say(levelFail, check, remedy, format, args...)
}

// withoutSecrets guards against strangers that repeat what they were sent.
func (d *doctor) withoutSecrets(s string) string {
	hide := []string{d.o.secret, d.o.credentials, d.o.proxyCredentials}
	for _, c := range []string{d.o.credentials, d.o.proxyCredentials} {
		_, password, _ := strings.Cut(c, ":")
		hide = append(hide, password)
	}
	for _, values := range d.o.headers {
		hide = append(hide, values...)
	}
	for _, h := range hide {
		if len(h) >= 4 {
			s = strings.ReplaceAll(s, h, "(hidden)")
		}
	}
	return s
}

// oneLine makes text of strangers fit for a terminal.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > 600 {
		return string(runes[:600]) + "…"
	}
	return s
}

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:      "doctor",
		HideHelp:  true, // -help is one of agentFlags
		Usage:     "look for what would keep the agent from working; takes the agent's options",
		UsageText: "jenkins-agent doctor [--json] [--connect] [--idle 400s] -url URL [the other options of the agent]",
		Flags: append(agentFlags(),
			&cli.BoolFlag{Name: "json", Usage: "print JSON"},
			&cli.BoolFlag{Name: "connect", Usage: "connect as the agent, too, and leave at once: checks secret, name and load balancer"},
			&cli.DurationFlag{Name: "idle", Usage: "hold a connection without traffic of ours for `TIME`, such as 400s, and say what cuts it; with -webSocket it is that of the agent, as for --connect"}),
		Action: runDoctor,
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return usagef("%v; see 'jenkins-agent doctor -help'", err)
		},
	}
}

func runDoctor(c *cli.Context) error {
	if c.Bool("help") {
		return cli.ShowSubcommandHelp(c)
	}
	d := &doctor{wantConnect: c.Bool("connect"), idle: c.Duration("idle"), progress: c.App.ErrWriter, times: patience}
	if c.IsSet("idle") && d.idle <= 0 {
		return usagef("--idle takes a time above zero, such as 400s")
	}
	if !c.Bool("json") {
		d.told = func(f finding) { printFinding(c.App.Writer, f) }
	}
	if err := d.readOptions(c); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, 2*time.Minute+d.idle)
	defer cancel()
	d.network(ctx)
	d.machine(ctx)
	failed := slices.ContainsFunc(d.findings, func(f finding) bool { return f.Level == levelFail })
	if c.Bool("json") {
		if err := printJSON(c.App.Writer, map[string]any{"failed": failed, "findings": d.findings}); err != nil {
			return err
		}
	}
	if failed {
		return &codeError{code: exitFailure}
	}
	return nil
}

func printFinding(w io.Writer, f finding) {
	fmt.Fprintf(w, "%-4s  %-10s %s\n", f.Level, f.Check, f.Text)
	if f.Remedy != "" {
		fmt.Fprintf(w, "      %-10s → %s\n", "", f.Remedy)
	}
}

// readOptions takes what there is. An agent that is not complete is a finding;
// options that contradict each other are an error.
func (d *doctor) readOptions(c *cli.Context) error {
	if a := c.Args().First(); strings.HasPrefix(a, "http://") || strings.HasPrefix(a, "https://") {
		return usagef("write the URL behind -url")
	}
	o, err := readOptions(c)
	d.o = o
	d.complete = err == nil && o.inbound()
	if err != nil {
		if missing := o.check(); missing == nil || missing.Error() != err.Error() || o.secret != "" && o.name != "" {
			return err
		}
		remedy := "see jenkins-agent -help; without it only the network and this machine are looked at"
		if d.wantConnect || d.idle > 0 && o.webSocket {
			d.fail("options", "give -name and -secret @FILE, or JENKINS_NAME and JENKINS_SECRET: --connect, and --idle with -webSocket, need them", "%v", err)
		} else {
			d.warn("options", remedy, "%v", err)
		}
	}
	if c.IsSet("jnlpUrl") {
		d.complete = false
		d.warn("options", "give -url, -name and -secret themselves", "what -jnlpUrl names is not looked at")
	}
	if len(o.urls) == 0 && o.direct == "" {
		d.warn("options", "give -url, or set JENKINS_URL", "there is no -url: the network is not looked at")
	}
	d.secretFormat()
	return nil
}

// agentSecret is what Jenkins makes for inbound agents: a SHA-256 HMAC in hex
// (jenkins.slaves.JnlpAgentReceiver.SLAVE_SECRET).
var agentSecret = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *doctor) secretFormat() {
	s := d.o.secret
	if _, inAWS, _ := awsauth.ParseSecretRef(s); s == "" || inAWS {
		return // the latter is read when it is needed
	}
	switch {
	case strings.TrimSpace(s) != s || strings.ContainsAny(s, "\r\n"):
		d.fail("secret", "store it without a line break: printf instead of echo, kubectl create secret --from-literal", "the secret has blanks or a line break around it")
	case !agentSecret.MatchString(s):
		d.warn("secret", "copy it from the page of the node in Jenkins; a password or API token is something else", "the secret does not look like one of an agent: %d characters, not 64 hex digits", len(s))
	default:
		d.ok("secret", "has the right form")
	}
	if n := d.o.name; strings.TrimSpace(n) != n {
		d.warn("name", "write it as the page of the node does", "the name %q begins or ends with a blank", n)
	}
}

// network looks at every controller that is named, and then at the connection.
func (d *doctor) network(ctx context.Context) {
	var ways []*way
	for _, u := range d.o.urls {
		if w := d.controller(ctx, u); w != nil {
			ways = append(ways, w)
		}
	}
	if len(ways) == 0 && d.o.direct == "" {
		return
	}
	port := d.port(ctx, ways)
	if d.complete && (d.wantConnect || d.idle > 0 && d.o.webSocket) {
		front := ""
		if len(ways) > 0 {
			front = ways[0].front
		}
		d.connect(ctx, front)
	}
	if d.idle <= 0 {
		return
	}
	switch {
	case d.o.webSocket && d.cookie != "":
		d.idleWebSocket(ctx, ways[0])
	case d.o.webSocket:
		// connect has said why, or options what is missing
	case port != nil:
		d.idlePort(ctx, port)
	default:
		d.warn("idle", "mend what is said above; with -webSocket, -secret and -name that connection is held instead", "there is no port to hold a connection to")
	}
}

// report tells on stderr how a long wait is going.
func (d *doctor) report(format string, args ...any) {
	if d.progress != nil {
		fmt.Fprintf(d.progress, "      "+format+"\n", args...)
	}
}

// errorIs reports whether err is one of targets.
func errorIs(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(t error) bool { return errors.Is(err, t) })
}

func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errorIs(err, os.ErrDeadlineExceeded, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
