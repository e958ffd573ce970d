package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// withEnvironment puts before the arguments what the official image's script
// makes of the environment; the kubernetes plugin sets exactly these variables.
// Options that come later win, so the order says who has the last word:
//
//	JENKINS_* ─▶ REMOTING_OPTS ─▶ arguments
//
// A secret, name, tunnel, URL or work directory that the arguments have is not
// repeated. The variables of the JVM (JENKINS_JAVA_BIN, JENKINS_JAVA_OPTS,
// JAVA_OPTS) mean nothing here. warn gets one line a time.
func withEnvironment(app *cli.App, getenv func(string) string, args []string, warn func(string)) ([]string, error) {
	opts, err := splitWords(getenv("REMOTING_OPTS"))
	if err != nil {
		return nil, usagef("REMOTING_OPTS: %v", err)
	}
	given := func(names ...string) bool {
		return slices.ContainsFunc(args, func(a string) bool { return slices.Contains(names, optionName(a)) })
	}
	// Positional SECRET NAME count as given, as they do for the script, which
	// also takes an agent called "n" for given by "-tunnel".
	contains := func(s string) bool { return slices.Contains(args, s) }
	var out []string
	add := func(option, value string) {
		if value != "" {
			out = append(out, "-"+option, value)
		}
	}
	unless := func(have bool, warning, option, value string) {
		if value != "" && have {
			warn("Warning: " + warning + " is defined twice in command-line arguments and the environment variable")
		} else {
			add(option, value)
		}
	}
	secret, name := getenv("JENKINS_SECRET"), getenv("JENKINS_AGENT_NAME")
	if n := getenv("JENKINS_NAME"); n != "" {
		name = n
	}
	unless(given("secret") || contains(secret), "SECRET", "secret", secret)
	unless(given("name") || contains(name), "AGENT_NAME", "name", name)
	direct := getenv("JENKINS_DIRECT_CONNECTION")
	if !given("tunnel") {
		add("tunnel", getenv("JENKINS_TUNNEL"))
	}
	// A controller that starts an agent by a command sets JENKINS_URL too, but
	// gives neither secret nor name: that one is served on stdin and stdout.
	both := append(slices.Clone(opts), args...)
	_, positional := sortArguments(app, both)
	inbound := secret != "" || name != "" || len(positional) > 0 ||
		slices.ContainsFunc(both, func(a string) bool { n := optionName(a); return n == "secret" || n == "name" })
	if inbound && direct == "" && !given("url", "direct", "directConnection", "jnlpUrl") {
		add("url", getenv("JENKINS_URL"))
	}
	unless(given("workDir"), "Work directory", "workDir", getenv("JENKINS_AGENT_WORKDIR"))
	if getenv("JENKINS_WEB_SOCKET") == "true" && !given("webSocket") {
		out = append(out, "-webSocket")
	}
	if !given("direct", "directConnection") {
		add("direct", direct)
	}
	if !given("protocols") {
		add("protocols", getenv("JENKINS_PROTOCOLS"))
	}
	if !given("instanceIdentity") {
		add("instanceIdentity", getenv("JENKINS_INSTANCE_IDENTITY"))
	}
	return append(append(out, opts...), args...), nil
}

// splitWords splits text into words as a shell does: blanks separate, quotes
// and backslashes protect. Nothing is expanded or executed, where the script
// evaluates REMOTING_OPTS.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord := false
	var quote rune
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune("$`\"\\", r) {
				word.WriteByte('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	if quote != 0 || escaped {
		return nil, usagef("a quote or backslash is not finished")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}

// buildEnvironment is the environment that builds inherit: ours without what
// authenticates the agent.
func buildEnvironment(environ []string) []string {
	out := make([]string, 0, len(environ))
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		// The plugin amazon-ecs repeats the secret in SLAVE_NODE_SECRET.
		if name == "JENKINS_SECRET" || name == "SLAVE_NODE_SECRET" || name == supervisedEnv {
			continue
		}
		if name == "REMOTING_OPTS" && strings.Contains(value, "-secret") {
			continue // it may hold the secret itself
		}
		out = append(out, kv)
	}
	return out
}
