package main

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/awsauth"
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
	drainTimeout     time.Duration

	workDir, internalDir string
	failIfWorkDirMissing bool
	agentLog, jarCache   string
	companion            string
	companionIdle        time.Duration
	logJSON, debug       bool
	http, spot           string
	pprof                bool
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
		str(groupAgent, "secret", "secret of the agent in hex, @FILE, aws-ssm:///PATH or aws-secretsmanager:ID[#KEY]"),
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
		str(groupAgent, "jar-cache", "`DIR` for the jars that the companion JVM loads from Jenkins"),
		str(groupAgent, "agentLog", "write the log to `FILE` too"),
		on(groupAgent, "version", "print the version of Remoting that this agent stands for"),
		on(groupAgent, "help", "print this text", "h"),

		&cli.DurationFlag{Name: "pingInterval", Usage: "time between WebSocket pings, 0 for none", Value: 20 * time.Second, Category: groupOurs},
		&cli.DurationFlag{Name: "giveUpAfter", Usage: "exit when Jenkins refuses this agent for that long (wrong secret, unknown name); 0 for never", Value: 2 * time.Minute, Category: groupOurs},
		&cli.StringFlag{Name: "companion", Usage: "JVM for what is not native: auto, off, eager, or a Java runtime", Value: "auto", EnvVars: []string{"JENKINS_AGENT_COMPANION"}, Category: groupOurs},
		&cli.DurationFlag{Name: "companionIdle", Usage: "stop that JVM when nothing has needed it for so long; 0 for never", Value: 30 * time.Minute, Category: groupOurs},
		&cli.DurationFlag{Name: "drainTimeout", Usage: "how long running processes of builds may take to end after SIGTERM", Value: 20 * time.Second, Category: groupOurs},
		&cli.StringFlag{Name: "http", Usage: "answer /livez, /readyz and /metrics at `ADDRESS`: :8080 is loopback, *:8080 every interface", EnvVars: []string{httpEnv}, Category: groupOurs},
		on(groupOurs, "pprof", "with -http: profiles of the agent itself under /debug/pprof/"),
		&cli.StringFlag{Name: "spot", Usage: "on EC2, stop in order when the instance is taken back: auto, off, or rebalance (already when that is likely)", Value: "auto", EnvVars: []string{"JENKINS_AGENT_SPOT"}, Category: groupOurs},
		on(groupOurs, "logJSON", "log as JSON"),
		on(groupOurs, "debug", "log more"),

		on(groupOld, "text", "encode stdin and stdout with base64"),
		str(groupOld, "loggingConfig", "ignored: for java.util.logging"),
		str(groupOld, "auth", "ignored; use -credentials"),
		on(groupOld, "headless", "ignored"),
		on(groupOld, "ping", "ignored"),
		str(groupOld, "jnlpUrl", "file of the controller to take the other options from"),
		str(groupOld, "tcp", "refused: clear text"),
		str(groupOld, "connectTo", "refused: clear text"),
	}
}

// forbids and depends are the rules of hudson.remoting.Launcher.
var (
	forbids = map[string][]string{
		"webSocket":        {"direct", "tunnel", "credentials", "noKeepAlive"},
		"direct":           {"jnlpUrl", "url", "tunnel"},
		"jnlpUrl":          {"direct", "name", "tunnel", "url", "webSocket"},
		"noReconnectAfter": {"noReconnect"},
		"cert":             {"noCertificateCheck"},
	}
	depends = map[string]string{
		"webSocket": "url", "webSocketHeader": "webSocket", "direct": "instanceIdentity", "instanceIdentity": "direct",
		"protocols": "direct", "internalDir": "workDir", "failIfWorkDirIsMissing": "workDir",
	}
	deprecated = []struct{ name, text string }{
		{"auth", ` and will be removed in a future release; use "-credentials" or "-proxyCredentials" instead.`},
		{"headless", " and will be removed without replacement in a future release."},
		{"ping", " and will be removed without replacement in a future release."},
		{"jnlpUrl", `. Use "-url" and "-name" instead, potentially also passing in "-webSocket", "-tunnel", and/or work directory options as needed.`},
	}
)

// readOptions checks a command line.
func readOptions(c *cli.Context) (options, error) {
	for _, opt := range slices.Sorted(maps.Keys(forbids)) {
		others := forbids[opt]
		for _, o := range others {
			if c.IsSet(opt) && c.IsSet(o) {
				return options{}, usagef("option \"-%s\" cannot be used with the option(s) [-%s]", opt, strings.Join(others, ", -"))
			}
		}
	}
	for _, opt := range slices.Sorted(maps.Keys(depends)) {
		other := depends[opt]
		if c.IsSet(opt) && !c.IsSet(other) {
			return options{}, usagef("option \"-%s\" requires the option(s) [-%s]", opt, other)
		}
	}
	for _, old := range []string{"tcp", "connectTo"} {
		if c.IsSet(old) {
			return options{}, usagef("option \"-%s\" is not supported by this agent: it is an old protocol in clear text; use \"-url\" and \"-name\"", old)
		}
	}
	for _, opt := range deprecated {
		if c.IsSet(opt.name) {
			_, _ = c.App.ErrWriter.Write([]byte("WARNING: The \"-" + opt.name + "\" argument is deprecated" + opt.text + "\n"))
		}
	}
	o := options{
		urls: c.StringSlice("url"), secret: c.String("secret"), name: c.String("name"), webSocket: c.Bool("webSocket"),
		tunnel: c.String("tunnel"), direct: c.String("direct"), instanceIdentity: c.String("instanceIdentity"),
		credentials: c.String("credentials"), proxyCredentials: c.String("proxyCredentials"),
		certs: c.StringSlice("cert"), noCertCheck: c.Bool("noCertificateCheck"), noKeepAlive: c.Bool("noKeepAlive"), text: c.Bool("text"),
		noReconnect: c.Bool("noReconnect"), giveUpAfter: c.Duration("giveUpAfter"), pingInterval: c.Duration("pingInterval"), drainTimeout: c.Duration("drainTimeout"),
		workDir: c.String("workDir"), internalDir: c.String("internalDir"), failIfWorkDirMissing: c.Bool("failIfWorkDirIsMissing"),
		agentLog: c.String("agentLog"), jarCache: c.String("jar-cache"), companion: c.String("companion"), companionIdle: c.Duration("companionIdle"), logJSON: c.Bool("logJSON"), debug: c.Bool("debug"),
		pprof: c.Bool("pprof"), spot: c.String("spot"),
	}
	if a := c.String("http"); a != "" {
		var err error
		if o.http, err = watchAddress(a); err != nil {
			return o, err
		}
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
	if c.IsSet("jnlpUrl") {
		return o, nil // the file brings what is missing
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
	_, _, secretErr := awsauth.ParseSecretRef(o.secret)
	switch {
	case o.secret == "":
		return usagef("Secret is required for inbound agents")
	case o.name == "":
		return usagef("Name is required for inbound agents")
	case secretErr != nil:
		return usagef("-secret: %v", secretErr)
	case len(o.urls) == 0 && o.direct == "":
		return usagef("At least one URL is required for inbound agents")
	case o.webSocket && len(o.urls) > 1:
		return usagef("Only a single URL is supported for WebSocket agents")
	}
	return nil
}

// isoDuration is what java.time.Duration.parse takes, without signs.
var isoDuration = regexp.MustCompile(`^p(?:(\d+)d)?(?:t(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?)?$`)

// parseDuration reads what -noReconnectAfter takes: 30s, 5m, 1h30m, 500ms, 1d,
// a number of milliseconds, or ISO 8601.
func parseDuration(s string) (time.Duration, error) {
	bad := usagef("-noReconnectAfter: %q is not a valid duration; write 30s, 5m, 1h, 1d or PT1H30M", s)
	t := strings.ToLower(strings.TrimSpace(s))
	if ms, err := strconv.ParseInt(t, 10, 64); err == nil {
		t = strconv.FormatInt(ms, 10) + "ms"
	}
	if strings.HasPrefix(t, "p") {
		m := isoDuration.FindStringSubmatch(t)
		if m == nil || strings.HasSuffix(t, "t") || t == "p" {
			return 0, bad
		}
		t = ""
		for i, unit := range []string{"d", "h", "m", "s"} {
			if m[i+1] != "" {
				t += m[i+1] + unit
			}
		}
	}
	var days time.Duration
	if d, rest, ok := strings.Cut(t, "d"); ok {
		n, err := strconv.Atoi(d)
		if err != nil || n < 0 || n > 36500 {
			return 0, bad
		}
		if days = time.Duration(n) * 24 * time.Hour; rest == "" {
			return days, nil
		}
		t = rest
	}
	d, err := time.ParseDuration(t)
	if err != nil || d < 0 {
		return 0, bad
	}
	return days + d, nil
}
