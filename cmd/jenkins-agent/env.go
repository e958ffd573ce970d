package main

import (
	"strings"
)

// environmentArguments are the options that the official image's script makes
// of the environment, in its order; the kubernetes plugin sets exactly these
// variables. An option that is in args already is not repeated. The arguments
// of REMOTING_OPTS follow.
func environmentArguments(getenv func(string) string, args []string) ([]string, error) {
	given := func(names ...string) bool {
		for _, a := range args {
			for _, n := range names {
				if strings.TrimLeft(a, "-") == n {
					return true
				}
			}
		}
		return false
	}
	name := getenv("JENKINS_AGENT_NAME")
	if n := getenv("JENKINS_NAME"); n != "" {
		name = n
	}
	var out []string
	add := func(option, value string, also ...string) {
		if value != "" && !given(append(also, option)...) {
			out = append(out, "-"+option, value)
		}
	}
	// Positional SECRET NAME count as given, as they do for the script.
	contains := func(s string) bool {
		for _, a := range args {
			if s != "" && strings.Contains(a, s) {
				return true
			}
		}
		return false
	}
	if s := getenv("JENKINS_SECRET"); !contains(s) {
		add("secret", s)
	}
	if !contains(name) {
		add("name", name)
	}
	direct := getenv("JENKINS_DIRECT_CONNECTION")
	add("tunnel", getenv("JENKINS_TUNNEL"), "direct", "directConnection")
	// A controller that starts an agent by a command sets JENKINS_URL too, but
	// neither secret nor name: that one is served on stdin and stdout.
	if len(out) > 0 || len(args) > 0 {
		add("url", getenv("JENKINS_URL"), "direct", "directConnection")
	}
	add("workDir", getenv("JENKINS_AGENT_WORKDIR"))
	if getenv("JENKINS_WEB_SOCKET") == "true" && !given("webSocket") {
		out = append(out, "-webSocket")
	}
	add("direct", direct, "directConnection")
	add("protocols", getenv("JENKINS_PROTOCOLS"))
	add("instanceIdentity", getenv("JENKINS_INSTANCE_IDENTITY"))
	opts, err := splitWords(getenv("REMOTING_OPTS"))
	if err != nil {
		return nil, usagef("REMOTING_OPTS: %v", err)
	}
	return append(out, opts...), nil
}

// splitWords splits text into words as a shell does: blanks separate, quotes
// and backslashes protect. Nothing is expanded or executed.
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
		name, _, _ := strings.Cut(kv, "=")
		if name != "JENKINS_SECRET" {
			out = append(out, kv)
		}
	}
	return out
}
