package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func findings(t *testing.T, stdout string) map[string]finding {
	var rep struct {
		Failed   bool
		Findings []finding
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &rep), stdout)
	out := map[string]finding{}
	for _, f := range rep.Findings {
		if have, ok := out[f.Check]; !ok || have.Level == levelOK {
			out[f.Check] = f
		}
	}
	return out
}

func TestDoctorOfAnAgentThatWillWork(t *testing.T) {
	c, n, dir := jenkins(t)
	env := []string{"JENKINS_URL=" + c.URL(), "JENKINS_SECRET=" + n.Secret(), "JENKINS_NAME=n1", "JENKINS_WEB_SOCKET=true", "JENKINS_AGENT_WORKDIR=" + dir}
	code, stdout, stderr := outcomeOf(t, program(t, "jenkins-agent", env, "doctor", "--json", "--connect"))
	require.Equal(t, exitOK, code, stdout+stderr)
	f := findings(t, stdout)
	for _, check := range []string{"dns", "tcp", "jenkins", "connect"} {
		require.Equal(t, levelOK, f[check].Level, "%s: %v", check, f)
	}
	require.NotContains(t, stdout+stderr, n.Secret())

	env[1] = "JENKINS_SECRET=00112233"
	code, stdout, _ = outcomeOf(t, program(t, "jenkins-agent", env, "doctor", "--json", "--connect"))
	require.Equal(t, exitFailure, code)
	require.Equal(t, levelFail, findings(t, stdout)["connect"].Level, stdout)
	require.NotContains(t, stdout, "00112233")
}

func TestDoctorFindsWhatIsWrong(t *testing.T) {
	answer := func(status int, header ...string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tlsServer.Close)
	for name, tc := range map[string]struct{ url, check, level, text string }{
		"no such name":  {"http://nowhere.invalid/", "dns", levelFail, "nowhere.invalid"},
		"closed port":   {"http://" + freePort(t) + "/", "tcp", levelFail, "refused"},
		"wrong path":    {answer(404), "jenkins", levelFail, "404"},
		"starting":      {answer(503), "jenkins", levelFail, "503"},
		"not Jenkins":   {answer(200), "jenkins", levelWarn, "does not say"},
		"clock":         {answer(200, "X-Jenkins", "2.500", "Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)), "clock", levelWarn, "differ by"},
		"unknown CA":    {tlsServer.URL, "tls", levelFail, "not known"},
		"not a URL":     {"jenkins:8080", "url", levelFail, "not the URL"},
		"login is SSO":  {answer(302, "X-Jenkins", "2.500", "Location", "/sso"), "jenkins", levelOK, "2.500"},
		"proxy in wait": {answer(407), "jenkins", levelFail, "407"},
	} {
		t.Run(name, func(t *testing.T) {
			_, stdout, stderr := outcomeOf(t, program(t, "jenkins-agent", nil, "doctor", "-url", tc.url, "--json"))
			f := findings(t, stdout)[tc.check]
			require.Equal(t, tc.level, f.Level, stdout+stderr)
			require.Contains(t, f.Text, tc.text)
			if tc.level == levelFail {
				require.NotEmpty(t, f.Remedy)
			}
		})
	}
}

func TestDoctorOfTheMachine(t *testing.T) {
	d := &doctor{}
	d.directory("workdir", "/proc/version", true)
	require.Equal(t, levelFail, d.findings[0].Level)
	d = &doctor{}
	d.directory("workdir", t.TempDir()+"/to/be/made", false)
	require.NotEqual(t, levelFail, d.findings[0].Level, d.findings[0].Text)
	d = &doctor{}
	d.aws(func(k string) string {
		return map[string]string{"AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}[k]
	})
	require.Equal(t, levelFail, d.findings[0].Level)
	require.Contains(t, d.findings[0].Remedy, "fsGroup")
}
