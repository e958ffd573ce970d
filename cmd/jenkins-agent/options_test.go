package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

// parsed is what a command line is read as, with the warnings it gave.
func parsed(t *testing.T, args ...string) (o options, warnings string, err error) {
	var errs bytes.Buffer
	app := newApp(&bytes.Buffer{}, &errs)
	app.Action = func(c *cli.Context) error {
		var err error
		o, err = readOptions(c)
		return err
	}
	err = runApp(context.Background(), app, args)
	return o, errs.String(), err
}

func TestEveryOption(t *testing.T) {
	tcp := []string{"-url", "http://a/", "-secret", "0a", "-name", "n"}
	ws := append([]string{"-webSocket"}, tcp...)
	direct := []string{"-direct", "h:1", "-instanceIdentity", "MII=", "-secret", "0a", "-name", "n"}
	for name, c := range map[string]struct {
		base []string
		args string
		ok   func(o options) bool
	}{
		"plain": {tcp, "", func(o options) bool {
			return o.inbound() && o.secret == "0a" && o.name == "n" && o.urls[0] == "http://a/"
		}},
		"stdio":                 {nil, "", func(o options) bool { return !o.inbound() }},
		"stdio with a work dir": {nil, "-workDir /w -jar-cache /w/remoting/jarCache", func(o options) bool { return !o.inbound() && o.workDir == "/w" }},
		"text":                  {nil, "-text", func(o options) bool { return o.text }},
		"two dashes":            {nil, "--url http://a/ --secret=0a --name=n", func(o options) bool { return o.name == "n" && o.secret == "0a" }},
		"positional":            {nil, "0a n -url http://a/", func(o options) bool { return o.secret == "0a" && o.name == "n" }},
		"several URLs":          {tcp, "-url http://b/", func(o options) bool { return len(o.urls) == 2 && o.urls[1] == "http://b/" }},
		"webSocket":             {ws, "", func(o options) bool { return o.webSocket }},
		"webSocketHeader":       {ws, "-webSocketHeader A=b,c -webSocketHeader C=d=e", func(o options) bool { return o.headers.Get("A") == "b,c" && o.headers.Get("C") == "d=e" }},
		"tunnel":                {tcp, "-tunnel :5", func(o options) bool { return o.tunnel == ":5" }},
		"direct":                {direct, "", func(o options) bool { return o.direct == "h:1" && o.instanceIdentity == "MII=" }},
		"directConnection":      {nil, "-directConnection h:1 -instanceIdentity M -secret 0a -name n", func(o options) bool { return o.direct == "h:1" }},
		"protocols":             {direct, "-protocols JNLP4-connect,Ping -protocols X", func(o options) bool { return strings.Join(o.protocols, " ") == "JNLP4-connect Ping X" }},
		"credentials":           {tcp, "-credentials u:p", func(o options) bool { return o.credentials == "u:p" }},
		"jnlpCredentials":       {tcp, "-jnlpCredentials u:p", func(o options) bool { return o.credentials == "u:p" }},
		"proxyCredentials":      {tcp, "-proxyCredentials u:p", func(o options) bool { return o.proxyCredentials == "u:p" }},
		"cert":                  {tcp, "-cert @a -cert @b", func(o options) bool { return strings.Join(o.certs, " ") == "@a @b" }},
		"noCertificateCheck":    {tcp, "-noCertificateCheck", func(o options) bool { return o.noCertCheck }},
		"disableHttpsCert…":     {tcp, "-disableHttpsCertValidation", func(o options) bool { return o.noCertCheck }},
		"noReconnect":           {tcp, "-noReconnect", func(o options) bool { return o.noReconnect }},
		"noreconnect":           {tcp, "-noreconnect", func(o options) bool { return o.noReconnect }},
		"noReconnectAfter":      {tcp, "-noReconnectAfter 1d", func(o options) bool { return o.noReconnectAfter == 24*time.Hour }},
		"noKeepAlive":           {tcp, "-noKeepAlive", func(o options) bool { return o.noKeepAlive }},
		"work dir":              {tcp, "-workDir /w -internalDir r -failIfWorkDirIsMissing", func(o options) bool { return o.workDir == "/w" && o.internalDir == "r" && o.failIfWorkDirMissing }},
		"internalDir's default": {tcp, "", func(o options) bool { return o.internalDir == "remoting" }},
		"agentLog":              {tcp, "-agentLog /l -loggingConfig /c", func(o options) bool { return o.agentLog == "/l" }},
		"the last one wins":     {tcp, "-workDir /a -workDir /b", func(o options) bool { return o.workDir == "/b" }},
		"of ours": {ws, "-pingInterval 0 -giveUpAfter 1m -drainTimeout 3s -logJSON -debug", func(o options) bool {
			return o.giveUpAfter == time.Minute && o.drainTimeout == 3*time.Second && o.logJSON && o.debug
		}},
		"drainTimeout's default":    {tcp, "", func(o options) bool { return o.drainTimeout == 20*time.Second }},
		"deprecated without effect": {tcp, "-auth u:p -headless -ping", func(o options) bool { return o.inbound() }},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := parsed(t, append(append([]string{}, c.base...), strings.Fields(c.args)...)...)
			require.NoError(t, err)
			require.True(t, c.ok(o), "%+v", o)
		})
	}
}

// The texts of conflicts are those of args4j and hudson.remoting.Launcher.
func TestConflicts(t *testing.T) {
	for args, want := range map[string]string{
		"-url http://a/ -webSocket -tunnel h:1":                 `option "-webSocket" cannot be used with the option(s) [-direct, -tunnel, -credentials, -noKeepAlive]`,
		"-url http://a/ -webSocket -jnlpCredentials x":          `option "-webSocket" cannot be used with`,
		"-url http://a/ -webSocket -noKeepAlive":                `option "-webSocket" cannot be used with`,
		"-direct h:1 -instanceIdentity M -url http://a/":        `option "-direct" cannot be used with the option(s) [-jnlpUrl, -url, -tunnel]`,
		"-directConnection h:1 -instanceIdentity M -tunnel a:1": `option "-direct" cannot be used with`,
		"-direct h:1":                                            `option "-direct" requires the option(s) [-instanceIdentity]`,
		"-instanceIdentity M":                                    `option "-instanceIdentity" requires the option(s) [-direct]`,
		"-protocols X":                                           `option "-protocols" requires the option(s) [-direct]`,
		"-webSocket":                                             `option "-webSocket" requires the option(s) [-url]`,
		"-url http://a/ -webSocketHeader A=b":                    `option "-webSocketHeader" requires the option(s) [-webSocket]`,
		"-internalDir r":                                         `option "-internalDir" requires the option(s) [-workDir]`,
		"-failIfWorkDirIsMissing":                                `option "-failIfWorkDirIsMissing" requires the option(s) [-workDir]`,
		"-noReconnect -noReconnectAfter 1h":                      `option "-noReconnectAfter" cannot be used with the option(s) [-noReconnect]`,
		"-noCertificateCheck -cert @f":                           `option "-cert" cannot be used with the option(s) [-noCertificateCheck]`,
		"-jnlpUrl http://a/x.jnlp -name n":                       `option "-jnlpUrl" cannot be used with the option(s) [-direct, -name, -tunnel, -url, -webSocket]`,
		"-url http://a/ -secret 0a s3cr3t n":                     "Cannot provide secret via both named and positional arguments",
		"-url http://a/ -name n s3cr3t n":                        "Cannot provide name via both named and positional arguments",
		"-url http://a/ s3cr3t":                                  "Two arguments required, but got 1",
		"-url http://a/ s3cr3t n more":                           "Two arguments required, but got 3",
		"-webSocket -url http://a/ -url http://b/ s3cr3t n":      "Only a single URL is supported for WebSocket agents",
		"-webSocket -url http://a/ -webSocketHeader s3cr3t 0a n": `is not NAME=VALUE`,
		"-tcp /f":          `option "-tcp" is not supported by this agent`,
		"-connectTo h:1":   `option "-connectTo" is not supported by this agent`,
		"-pingInterval x":  "invalid value",
		"-nonsense s3cr3t": "-nonsense",
	} {
		t.Run(args, func(t *testing.T) {
			_, _, err := parsed(t, strings.Fields(args)...)
			var usage *usageError
			require.ErrorAs(t, err, &usage)
			require.Contains(t, err.Error(), want)
			if !strings.Contains(args, "-webSocketHeader s3cr3t") {
				require.NotContains(t, err.Error(), "s3cr3t")
			}
		})
	}
}

func TestDeprecationWarnings(t *testing.T) {
	_, w, err := parsed(t, "-url", "http://a/", "0a", "n", "-headless", "-ping", "-auth", "u:s3cr3t")
	require.NoError(t, err)
	require.Equal(t, `WARNING: The "-auth" argument is deprecated and will be removed in a future release; use "-credentials" or "-proxyCredentials" instead.
WARNING: The "-headless" argument is deprecated and will be removed without replacement in a future release.
WARNING: The "-ping" argument is deprecated and will be removed without replacement in a future release.
WARNING: Providing the secret and agent name as positional arguments is deprecated; use "-secret" and "-name" instead.
`, w)
}

func TestDurations(t *testing.T) {
	for s, want := range map[string]time.Duration{
		"30s": 30 * time.Second, "5m": 5 * time.Minute, "1h": time.Hour, "1d": 24 * time.Hour, "500ms": 500 * time.Millisecond,
		"1500": 1500 * time.Millisecond, "0": 0, "1h30m": 90 * time.Minute, "1d12h": 36 * time.Hour, "10ns": 10,
		"PT30S": 30 * time.Second, "pt1h30m": 90 * time.Minute, "P1D": 24 * time.Hour, "P1DT2H3M4.5S": 26*time.Hour + 3*time.Minute + 4500*time.Millisecond,
		"PT0.25S": 250 * time.Millisecond, "PT10M": 10 * time.Minute,
	} {
		got, err := parseDuration(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "soon", "1", "-5", "-30s", "PT", "P", "P1M", "P1W", "PT1D", "1 d", "99999999999999999999", "1e9d", "40000d", "d", "P1DT", "1x"} {
		if s == "1" {
			continue // a millisecond
		}
		_, err := parseDuration(s)
		require.ErrorContains(t, err, "is not a valid duration", s)
	}
}
