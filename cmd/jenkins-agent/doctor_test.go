package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
)

// hurried are the waits of the tests.
var hurried = doctorTimes{step: 5 * time.Second, answer: 300 * time.Millisecond, progress: 50 * time.Millisecond}

// visit lets a doctor look, and returns what it found. Whatever is not well has
// a remedy.
func visit(t *testing.T, d *doctor, look func(context.Context)) []finding {
	t.Helper()
	if d.times == (doctorTimes{}) {
		d.times = hurried
	}
	look(within(t, 30*time.Second))
	for _, f := range d.findings {
		require.NotEmpty(t, f.Check)
		require.NotEmpty(t, f.Text)
		require.Equal(t, f.Level == levelOK, f.Remedy == "", "%+v", f)
	}
	return d.findings
}

// worst is the most serious finding of a check.
func worst(all []finding, check string) finding {
	rank := map[string]int{"": 0, levelOK: 1, levelWarn: 2, levelFail: 3}
	var out finding
	for _, f := range all {
		if f.Check == check && rank[f.Level] > rank[out.Level] {
			out = f
		}
	}
	return out
}

// wants is what a finding is to be.
type wants struct{ check, level, text, remedy string }

func (w wants) verify(t *testing.T, all []finding) {
	t.Helper()
	f := worst(all, w.check)
	require.Equal(t, w.level, f.Level, "%s: %+v", w.check, all)
	require.Contains(t, f.Text, w.text)
	require.Contains(t, f.Remedy, w.remedy)
}

// fakeJenkins answers as Jenkins does as far as a doctor without secret asks;
// over, if set, may answer first, and reports whether it did.
func fakeJenkins(over func(http.ResponseWriter, *http.Request) bool) http.Handler {
	errorPage := func(w http.ResponseWriter, text string) {
		w.Header().Set("Server", "Jetty(12.1.5)")
		w.WriteHeader(400)
		fmt.Fprintf(w, "<html><head><title>Error 400 %s</title></head><body><table><tr><th>SERVLET:</th><td>Stapler</td></tr></table></body></html>", text)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if over != nil && over(w, r) {
			return
		}
		switch strings.TrimPrefix(r.URL.Path, "/jenkins") {
		case "/login":
			w.Header().Set("X-Jenkins", "2.541.2")
		case "/wsagents/":
			errorPage(w, "This endpoint is only for use from agent.jar in WebSocket mode")
		case "/cli/ws":
			if r.Header.Get("Upgrade") == "" {
				errorPage(w, "only WS connections accepted here")
				return
			}
			if ws, err := (&websocket.Upgrader{}).Upgrade(w, r, nil); err == nil {
				ws.Close()
			}
		default:
			w.WriteHeader(404)
		}
	})
}

func serve(t *testing.T, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/"
}

// findings reads what the program printed.
func findings(t *testing.T, stdout string) []finding {
	t.Helper()
	var rep struct {
		Failed   bool
		Findings []finding
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &rep), stdout)
	return rep.Findings
}

func TestDoctorOfAnAgentThatWillWork(t *testing.T) {
	c, n, dir := jenkins(t)
	env := []string{"JENKINS_URL=" + c.URL(), "JENKINS_SECRET=" + n.Secret(), "JENKINS_NAME=n1", "JENKINS_WEB_SOCKET=true",
		"JENKINS_AGENT_WORKDIR=" + dir, "JENKINS_AGENT_COMPANION=off"}
	code, stdout, stderr := outcomeOf(t, program(t, "jenkins-agent", env, "doctor", "--json", "--connect", "--idle", "1s"))
	require.Equal(t, exitOK, code, stdout+stderr)
	all := findings(t, stdout)
	for _, check := range []string{"secret", "dns", "tcp", "jenkins", "websocket", "connect", "idle", "home", "workdir", "java"} {
		require.Equal(t, levelOK, worst(all, check).Level, "%s: %v", check, all)
	}
	require.NotContains(t, stdout+stderr, n.Secret())

	env[1] = "JENKINS_SECRET=00112233"
	code, stdout, stderr = outcomeOf(t, program(t, "jenkins-agent", env, "doctor", "--connect"))
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, "fail  connect    the controller refused the WebSocket: 403 Forbidden\n                 → the secret is wrong")
	require.NotContains(t, stdout+stderr, "00112233")
}

func TestDoctorOfABadCommandLine(t *testing.T) {
	t.Setenv("JENKINS_URL", "")
	for name, c := range map[string]struct {
		args []string
		code int
		text string
	}{
		"help":              {[]string{"-help"}, exitOK, ""},
		"unknown option":    {[]string{"--nonsense"}, exitUsage, "jenkins-agent doctor -help"},
		"no time":           {[]string{"--idle", "soon"}, exitUsage, `"soon"`},
		"time below zero":   {[]string{"--idle", "-5s"}, exitUsage, "above zero"},
		"contradiction":     {[]string{"-url", "http://h/", "-webSocket", "-tunnel", "h:1"}, exitUsage, "-tunnel"},
		"half of direct":    {[]string{"-direct", "h:1"}, exitUsage, "instanceIdentity"},
		"URL without -url":  {[]string{"http://h/"}, exitUsage, "behind -url"},
		"one word too many": {[]string{"doctor"}, exitUsage, "Two arguments required"},
		"header":            {[]string{"-url", "http://h/", "-webSocket", "-webSocketHeader", "secretvalue"}, exitUsage, "not NAME=VALUE"},
		"nothing at all":    {[]string{"-companion", "off"}, exitOK, ""},
		"connect to what?":  {[]string{"-companion", "off", "--connect", "-secret", "ab"}, exitFailure, ""},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := quietly(append([]string{"jenkins-agent", "doctor"}, c.args...)...)
			require.Equal(t, c.code, code, stdout+stderr)
			require.Contains(t, stderr, c.text)
		})
	}
}

func TestDoctorLooksAtTheSecret(t *testing.T) {
	good := strings.Repeat("0f", 32)
	for name, c := range map[string]struct {
		secret, name string
		wants
	}{
		"good":       {good, "n", wants{"secret", levelOK, "right form", ""}},
		"line break": {good + "\n", "n", wants{"secret", levelFail, "line break", "printf"}},
		"token":      {"11aabbccdd", "n", wants{"secret", levelWarn, "10 characters", "page of the node"}},
		"blank name": {good, "n ", wants{"name", levelWarn, `"n "`, "page of the node"}},
		"in AWS":     {"aws-ssm:///jenkins/secret", "n", wants{"secret", "", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{o: options{secret: c.secret, name: c.name}}
			c.verify(t, visit(t, d, func(context.Context) { d.secretFormat() }))
		})
	}
}

// Whoever answers may repeat what it was sent.
func TestDoctorTellsNoSecret(t *testing.T) {
	hidden := []string{"5ecre75ecre7", "headervalue", "user:password1", "password1", "proxy:password2", "password2"}
	echo := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var all bytes.Buffer
		_ = r.Header.Write(&all)
		w.Header().Set("Location", "/x"+strings.Join(hidden, ""))
		w.Header().Set("X-Jenkins", strings.Join(hidden, " "))
		if r.URL.Path != "/login" {
			w.WriteHeader(418)
		}
		fmt.Fprintf(w, "<title>%s %s</title>", all.String(), strings.Join(hidden, " "))
	}))
	for _, ws := range []bool{true, false} {
		var out bytes.Buffer
		d := &doctor{complete: true, wantConnect: true, progress: &out, times: hurried,
			o: options{urls: []string{echo}, webSocket: ws, secret: hidden[0], name: "n", headers: http.Header{"X-Token": {hidden[1]}}, credentials: hidden[2], proxyCredentials: hidden[4], companion: "off"}}
		d.told = func(f finding) { printFinding(&out, f) }
		visit(t, d, func(ctx context.Context) { d.secretFormat(); d.network(ctx) })
		require.Contains(t, out.String(), "connect")
		for _, h := range hidden {
			require.NotContains(t, out.String(), h)
		}
	}
	t.Setenv("HTTPS_PROXY", "socks5://u:password3@proxy")
	d := &doctor{o: options{urls: []string{"https://jenkins.test/", "https://u:password4@jenkins.test/"}}}
	all := visit(t, d, d.network)
	wants{"proxy", levelFail, "can't be used", "HTTPS_PROXY"}.verify(t, all)
	wants{"url", levelFail, "user name", "leave it out"}.verify(t, all)
	require.NotContains(t, fmt.Sprint(all), "password")
}

func TestOneLine(t *testing.T) {
	require.Equal(t, "a b c ?", oneLine("a\nb\x1b \tc\x00 \xff"))
	require.Len(t, []rune(oneLine(strings.Repeat("é", 10000))), 601)
}

// A finding without a remedy is of no use. This reads our own source: the tests
// above see only the findings that they provoke.
func TestEveryFindingHasARemedy(t *testing.T) {
	files, err := filepath.Glob("doctor*.go")
	require.NoError(t, err)
	seen := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Less(t, bytes.Count(src, []byte("\n")), 400, name)
		f, err := parser.ParseFile(token.NewFileSet(), name, src, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			sel, isMethod := call.Fun.(*ast.SelectorExpr)
			ident, isFunc := call.Fun.(*ast.Ident)
			if isMethod && (sel.Sel.Name == "warn" || sel.Sel.Name == "fail") || isFunc && ident.Name == "say" {
				seen++
				lit, ok := call.Args[1].(*ast.BasicLit)
				require.False(t, ok && lit.Value == `""`, "%s: a finding without a remedy", name)
			}
			return true
		})
	}
	require.Greater(t, seen, 80)
}
