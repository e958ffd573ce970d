package main

import (
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/remoting/transport"
)

// options are what one run of the agent was asked to do, checked.
type options struct {
	urls             []string
	secret, name     string
	webSocket        bool
	headers          http.Header
	tunnel, direct   string
	instanceIdentity string
	protocols        []string
	credentials      string
	proxyCredentials string
	certs            []string
	noCertCheck      bool
	noKeepAlive      bool
	text             bool

	noReconnect      bool
	noReconnectAfter time.Duration
	giveUpAfter      time.Duration
	pingInterval     time.Duration

	workDir, internalDir string
	failIfWorkDirMissing bool
	agentLog             string
	companion            string
	logJSON, debug       bool
}

const groupAgent, groupOurs, groupOld = "as agent.jar", "of this agent", "accepted for old command lines"

func agentFlags() []cli.Flag {
	str := func(group, name, usage string, aliases ...string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Aliases: aliases, Category: group}
	}
	list := func(group, name, usage string, aliases ...string) cli.Flag {
		return &cli.StringSliceFlag{Name: name, Usage: usage, Aliases: aliases, Category: group}
	}
	on := func(group, name, usage string, aliases ...string) cli.Flag {
		return &cli.BoolFlag{Name: name, Usage: usage, Aliases: aliases, Category: group}
	}
	return []cli.Flag{
		list(groupAgent, "url", "root `URL` of Jenkins; several are tried in turn, except with -webSocket"),
		str(groupAgent, "secret", "secret of the agent in hex, or @FILE"),
		str(groupAgent, "name", "`NAME` of the agent"),
		on(groupAgent, "webSocket", "connect by WebSocket instead of the TCP port"),
		list(groupAgent, "webSocketHeader", "`NAME=VALUE` to send with the WebSocket upgrade, for reverse proxies"),
		str(groupAgent, "tunnel", "connect to `HOST:PORT` (or HOST: or :PORT) instead of what Jenkins announces"),
		str(groupAgent, "direct", "connect to the TCP port `HOST:PORT` without asking by HTTP", "directConnection"),
		str(groupAgent, "instanceIdentity", "public key of the controller in base64, for -direct"),
		list(groupAgent, "protocols", "protocols to try with -direct"),
		str(groupAgent, "credentials", "`USER:PASSWORD` for HTTP basic authentication", "jnlpCredentials"),
		str(groupAgent, "proxyCredentials", "`USER:PASSWORD` for the HTTP proxy"),
		list(groupAgent, "cert", "PEM certificate to trust, or @FILE"),
		on(groupAgent, "noCertificateCheck", "trust any certificate; the secret is then open to whoever is in between", "disableHttpsCertValidation"),
		on(groupAgent, "noReconnect", "exit when the connection ends", "noreconnect"),
		str(groupAgent, "noReconnectAfter", "exit when Jenkins can't be reached for that long, such as 30s, 5m, 1d"),
		on(groupAgent, "noKeepAlive", "no TCP keep-alive"),
		str(groupAgent, "workDir", "root `DIR` of the agent"),
		&cli.StringFlag{Name: "internalDir", Usage: "name of the directory for logs and caches inside workDir", Value: "remoting", Category: groupAgent},
		on(groupAgent, "failIfWorkDirIsMissing", "do not make workDir"),
		str(groupAgent, "agentLog", "write the log to `FILE` too"),
		on(groupAgent, "version", "print the version of Remoting that this agent stands for"),
		on(groupAgent, "help", "print this text", "h"),

		&cli.DurationFlag{Name: "pingInterval", Usage: "time between WebSocket pings, 0 for none", Value: 20 * time.Second, Category: groupOurs},
		&cli.DurationFlag{Name: "giveUpAfter", Usage: "exit when Jenkins refuses this agent for that long (wrong secret, unknown name); 0 for never", Value: 2 * time.Minute, Category: groupOurs},
		&cli.StringFlag{Name: "companion", Usage: "JVM for what is not native: auto, off, eager, or a Java runtime", Value: "auto", EnvVars: []string{"JENKINS_AGENT_COMPANION"}, Category: groupOurs},
		on(groupOurs, "logJSON", "log as JSON"),
		on(groupOurs, "debug", "log more"),

		on(groupOld, "text", "encode stdin and stdout with base64"),
		str(groupOld, "jar-cache", "ignored: there are no jars"),
		str(groupOld, "loggingConfig", "ignored: for java.util.logging"),
		str(groupOld, "auth", "ignored; use -credentials"),
		on(groupOld, "headless", "ignored"),
		on(groupOld, "ping", "ignored"),
		str(groupOld, "jnlpUrl", "not supported; use -url and -name"),
		str(groupOld, "tcp", "not supported"),
		str(groupOld, "connectTo", "not supported"),
	}
}

// forbids and depends are the rules of hudson.remoting.Launcher.
var (
	forbids = map[string][]string{
		"webSocket":        {"direct", "tunnel", "credentials", "noKeepAlive"},
		"direct":           {"url", "tunnel"},
		"noReconnectAfter": {"noReconnect"},
		"cert":             {"noCertificateCheck"},
	}
	depends = map[string]string{
		"webSocket": "url", "webSocketHeader": "webSocket", "direct": "instanceIdentity", "instanceIdentity": "direct",
		"protocols": "direct", "internalDir": "workDir", "failIfWorkDirIsMissing": "workDir",
	}
	deprecated = map[string]string{
		"auth":     `WARNING: The "-auth" argument is deprecated and will be removed in a future release; use "-credentials" or "-proxyCredentials" instead.`,
		"headless": `WARNING: The "-headless" argument is deprecated and will be removed without replacement in a future release.`,
		"ping":     `WARNING: The "-ping" argument is deprecated and will be removed without replacement in a future release.`,
	}
)

// readOptions checks a command line.
func readOptions(c *cli.Context) (options, error) {
	for opt, others := range forbids {
		for _, o := range others {
			if c.IsSet(opt) && c.IsSet(o) {
				return options{}, usagef("option \"-%s\" cannot be used with the option(s) [-%s]", opt, strings.Join(others, ", -"))
			}
		}
	}
	for opt, other := range depends {
		if c.IsSet(opt) && !c.IsSet(other) {
			return options{}, usagef("option \"-%s\" requires the option(s) [-%s]", opt, other)
		}
	}
	for _, old := range []string{"jnlpUrl", "tcp", "connectTo"} {
		if c.IsSet(old) {
			return options{}, usagef("option \"-%s\" is not supported by this agent: use \"-url\" and \"-name\"", old)
		}
	}
	for opt, text := range deprecated {
		if c.IsSet(opt) {
			_, _ = c.App.ErrWriter.Write([]byte(text + "\n"))
		}
	}
	o := options{
		urls: c.StringSlice("url"), secret: c.String("secret"), name: c.String("name"), webSocket: c.Bool("webSocket"),
		tunnel: c.String("tunnel"), direct: c.String("direct"), instanceIdentity: c.String("instanceIdentity"),
		credentials: c.String("credentials"), proxyCredentials: c.String("proxyCredentials"),
		certs: c.StringSlice("cert"), noCertCheck: c.Bool("noCertificateCheck"), noKeepAlive: c.Bool("noKeepAlive"), text: c.Bool("text"),
		noReconnect: c.Bool("noReconnect"), giveUpAfter: c.Duration("giveUpAfter"), pingInterval: c.Duration("pingInterval"),
		workDir: c.String("workDir"), internalDir: c.String("internalDir"), failIfWorkDirMissing: c.Bool("failIfWorkDirIsMissing"),
		agentLog: c.String("agentLog"), companion: c.String("companion"), logJSON: c.Bool("logJSON"), debug: c.Bool("debug"),
	}
	for _, p := range c.StringSlice("protocols") {
		o.protocols = append(o.protocols, strings.Split(p, ",")...)
	}
	if o.pingInterval <= 0 {
		o.pingInterval = transport.PingOff
	}
	if d := c.String("noReconnectAfter"); d != "" {
		var err error
		if o.noReconnectAfter, err = parseDuration(d); err != nil {
			return o, err
		}
	}
	if err := o.positional(c.Args().Slice(), c.App.ErrWriter.Write); err != nil {
		return o, err
	}
	if err := o.parseHeaders(c.StringSlice("webSocketHeader")); err != nil {
		return o, err
	}
	return o, o.check()
}

func (o *options) positional(args []string, warn func([]byte) (int, error)) error {
	switch {
	case len(args) == 0:
		return nil
	case len(args) != 2:
		return usagef("Two arguments required, but got %d", len(args))
	case o.secret != "":
		return usagef("Cannot provide secret via both named and positional arguments")
	case o.name != "":
		return usagef("Cannot provide name via both named and positional arguments")
	}
	_, _ = warn([]byte("WARNING: Providing the secret and agent name as positional arguments is deprecated; use \"-secret\" and \"-name\" instead.\n"))
	o.secret, o.name = args[0], args[1]
	return nil
}

func (o *options) parseHeaders(headers []string) error {
	for _, h := range headers {
		k, v, ok := strings.Cut(h, "=")
		if !ok || k == "" {
			return usagef("-webSocketHeader %q is not NAME=VALUE", k)
		}
		if o.headers == nil {
			o.headers = http.Header{}
		}
		o.headers.Add(k, v)
	}
	return nil
}

// inbound reports whether a connection to a controller is asked for, and not
// service on stdin and stdout.
func (o *options) inbound() bool {
	return len(o.urls) > 0 || o.direct != "" || o.secret != "" || o.name != ""
}

func (o *options) check() error {
	if !o.inbound() {
		return nil
	}
	switch {
	case o.secret == "":
		return usagef("Secret is required for inbound agents")
	case o.name == "":
		return usagef("Name is required for inbound agents")
	case len(o.urls) == 0 && o.direct == "":
		return usagef("At least one URL is required for inbound agents")
	case o.webSocket && len(o.urls) > 1:
		return usagef("Only a single URL is supported for WebSocket agents")
	}
	return nil
}

// parseDuration reads what -noReconnectAfter takes: 30s, 5m, 1h30m, 500ms, 1d,
// a number of milliseconds, or ISO 8601.
func parseDuration(s string) (time.Duration, error) {
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil && ms >= 0 {
		return time.Duration(ms) * time.Millisecond, nil
	}
	t := strings.ToLower(strings.TrimSpace(s))
	if iso, ok := strings.CutPrefix(t, "p"); ok {
		t = strings.Replace(iso, "t", "", 1)
	}
	var days time.Duration
	if d, rest, ok := strings.Cut(t, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 || n > 36500 {
			return 0, usagef("-noReconnectAfter: %q is no duration; write 30s, 5m, 1h or 1d", s)
		}
		if days = time.Duration(n) * 24 * time.Hour; rest == "" {
			return days, nil
		}
		t = rest
	}
	d, err := time.ParseDuration(t)
	if err != nil || d < 0 {
		return 0, usagef("-noReconnectAfter: %q is no duration; write 30s, 5m, 1h or 1d", s)
	}
	return days + d, nil
}

// mergeEnvironment appends what the environment asks for to the arguments.
func mergeEnvironment(args []string) ([]string, error) {
	more, err := environmentArguments(os.Getenv, args)
	return append(args, more...), err
}
