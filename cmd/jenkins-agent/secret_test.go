package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// parameters is a Parameter Store that refuses at first.
func parameters(t *testing.T, value string, refusals int32) (env []string) {
	var n atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1) <= refusals {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"AccessDeniedException","Message":"not yet"}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Parameter": map[string]string{"Value": value}})
	}))
	t.Cleanup(srv.Close)
	return []string{"AWS_ENDPOINT_URL=" + srv.URL, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=AKIA1", "AWS_SECRET_ACCESS_KEY=x"}
}

func TestSecretOfParameterStore(t *testing.T) {
	var secret string
	x := connectWith(t, func(s string) ([]string, string) {
		secret = s
		return parameters(t, s+"\n", 1), "aws-ssm:///jenkins/n1"
	})
	x.await("The secret can't be read; trying again")
	x.await("Secret read from aws-ssm:/jenkins/n1")
	require.NotContains(t, x.log.String(), secret)
}

func TestSecretThatIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		option   string
		value    string
		refusals int32
		code     int
		text     string
	}{
		"refused":     {"aws-ssm:/x", "ab", 100, exitFailure, "AccessDeniedException: not yet; the role needs ssm:GetParameter"},
		"two lines":   {"aws-ssm:/x", "ab\ncd", 0, exitFailure, "one line of hex digits, and it does not"},
		"no name":     {"aws-ssm:", "", 0, exitUsage, "-secret: awsauth: aws-ssm: is to be followed by"},
		"wrong place": {"aws-ssm:arn:aws:s3:::x", "", 0, exitUsage, "no ARN of Parameter Store"},
	} {
		p := program(t, "jenkins-agent", parameters(t, c.value, c.refusals), "-url", "http://127.0.0.1:1/", "-webSocket", "-name", "n1",
			"-secret", c.option, "-noReconnect")
		start := time.Now()
		code, _, stderr := outcomeOf(t, p)
		require.Equal(t, c.code, code, "%s: %s", name, stderr)
		require.Contains(t, stderr, c.text, name)
		require.NotContains(t, stderr, "cd", name)
		require.Less(t, time.Since(start), 20*time.Second, name)
	}
	code, _, stderr := outcomeOf(t, program(t, "jenkins-agent", nil, "-jnlpUrl", "http://127.0.0.1:1/x.jnlp", "-secret", "aws-ssm:/x"))
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "can't be used with -jnlpUrl")
}
