package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// taskOfFargate is an answer of the task metadata endpoint, version 4.
const taskOfFargate = `{
  "Cluster": "arn:aws:ecs:eu-west-1:111122223333:cluster/ci",
  "TaskARN": "arn:aws:ecs:eu-west-1:111122223333:task/ci/0123456789abcdef0123456789abcdef",
  "Family": "jenkins-agent", "Revision": "7", "DesiredStatus": "RUNNING", "KnownStatus": "RUNNING",
  "Limits": {"CPU": 0.5, "Memory": 1024},
  "PullStartedAt": "2026-11-21T10:00:00.100Z", "PullStoppedAt": "2026-11-21T10:00:04.621Z",
  "AvailabilityZone": "eu-west-1a", "LaunchType": "FARGATE", "VPCID": "vpc-1",
  "Containers": [{"DockerId": "0123-45", "Name": "jenkins-agent", "Limits": {"CPU": 2}}],
  "ClockDrift": {"ClockErrorBound": 0.5, "ClockSynchronizationStatus": "SYNCHRONIZED"},
  "EphemeralStorageMetrics": {"Utilized": 261, "Reserved": 20496}
}`

// ecs is the endpoint; the value is that of ECS_CONTAINER_METADATA_URI_V4.
func ecs(t *testing.T, answer string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v4/id/task" {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/v4/id"
}

func TestECSTaskIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ answer, want, place string }{
		"Fargate": {taskOfFargate, "Running as ECS task arn:aws:ecs:eu-west-1:111122223333:task/ci/0123456789abcdef0123456789abcdef" +
			" definition=jenkins-agent:7 launch=FARGATE zone=eu-west-1a cpu=0.5 memory=1024MiB storage=20496MiB pulled in=4.5s\n",
			"ECS task ci/0123456789abcdef0123456789abcdef"},
		"as little as EC2 may say": {`{"TaskARN":"arn:aws:ecs:eu-west-1:1:task/old"}`, "Running as ECS task arn:aws:ecs:eu-west-1:1:task/old\n", "ECS task old"},
		"no task":                  {`{}`, "", ""},
		"garbage":                  {`<html>`, "", ""},
		"other types":              {`{"TaskARN": 7}`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			uri := ecs(t, c.answer)
			var log bytes.Buffer
			a := &agent{log: slog.New(newTextHandler(&log, &slog.HandlerOptions{}))}
			a.sayWhere(t.Context(), func(k string) string { return map[string]string{ecsMetadataEnv: uri}[k] })
			_, said, _ := strings.Cut(log.String(), "INFO    ")
			require.Equal(t, c.want, said)
			if p := a.place.Load(); c.place == "" {
				require.Nil(t, p)
			} else {
				require.Equal(t, c.place, *p)
			}
		})
	}
	a := &agent{} // no log: nothing may be said
	a.sayWhere(t.Context(), func(string) string { return "" })
	a.sayWhere(t.Context(), func(string) string { return "http://127.0.0.1:1" })
}

// optionsOf is what a command line and an environment are read as.
func optionsOf(t *testing.T, env map[string]string, args ...string) (options, error) {
	args, err := withEnvironment(newApp(nil, nil), func(k string) string { return env[k] }, args, func(string) {})
	require.NoError(t, err)
	o, _, err := parsed(t, args...)
	return o, err
}

// What ECSLauncher.getDockerRunCommand of the plugin amazon-ecs (1.50) puts in
// the place of a container's command: the URL, the tunnel if the cloud has one,
// and the two deprecated positional arguments. It knows no WebSocket: that is
// for the environment of the template, as is everything else. ECSService adds
// SLAVE_NODE_NAME and SLAVE_NODE_SECRET.
func TestCommandsOfTheECSPlugin(t *testing.T) {
	const secret = "0a1b2c3d"
	for name, c := range map[string]struct {
		args    []string
		env     map[string]string
		want    string // of the options: what counts
		refused string
	}{
		"plain":            {args: []string{"-url", "https://j/"}, want: "tcp https://j/ agent-1"},
		"tunnel":           {args: []string{"-url", "https://j/", "-tunnel", "nlb:50000"}, want: "tcp https://j/ nlb:50000 agent-1"},
		"tunnel port only": {args: []string{"-url", "https://j/", "-tunnel", ":50000"}, want: "tcp https://j/ :50000 agent-1"},
		"WebSocket by environment": {args: []string{"-url", "https://j/"}, env: map[string]string{"JENKINS_WEB_SOCKET": "true"},
			want: "ws https://j/ agent-1"},
		"WebSocket by REMOTING_OPTS": {args: []string{"-url", "https://j/"}, env: map[string]string{"REMOTING_OPTS": "-webSocket -drainTimeout 105s"},
			want: "ws https://j/ agent-1"},
		"both": {args: []string{"-url", "https://j/", "-tunnel", "nlb:50000"}, env: map[string]string{"JENKINS_WEB_SOCKET": "true"},
			refused: "-webSocket"},
		"URL in both places": {args: []string{"-url", "https://j/"}, env: map[string]string{"JENKINS_URL": "https://other/"},
			want: "tcp https://j/ agent-1"},
		"JVM arguments": {args: []string{"-url", "https://j/"}, env: map[string]string{"JAVA_OPTS": "-Xmx512m -XX:+UseG1GC", "JENKINS_JAVA_OPTS": "-Xmx1g"},
			want: "tcp https://j/ agent-1"},
		// Older plugins, and entry points of one's own.
		"-headless":     {args: []string{"-headless", "-url", "https://j/"}, want: "tcp https://j/ agent-1"},
		"-noReconnect":  {args: []string{"-url", "https://j/", "-noReconnect"}, want: "tcp https://j/ agent-1"},
		"-webSocket":    {args: []string{"-url", "https://j/", "-webSocket"}, want: "ws https://j/ agent-1"},
		"-workDir last": {args: []string{"-url", "https://j/", "-workDir", "/home/jenkins/agent"}, want: "tcp https://j/ agent-1"},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"SLAVE_NODE_NAME": "agent-1", "SLAVE_NODE_SECRET": secret, ecsMetadataEnv: "http://169.254.170.2/v4/x"}
			for k, v := range c.env {
				env[k] = v
			}
			o, err := optionsOf(t, env, append(c.args, secret, "agent-1")...)
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				require.NotContains(t, err.Error(), secret)
				return
			}
			require.NoError(t, err)
			require.Equal(t, secret, o.secret)
			got := "tcp"
			if o.webSocket {
				got = "ws"
			}
			for _, s := range append(append([]string{}, o.urls...), o.tunnel, o.name) {
				if s != "" {
					got += " " + s
				}
			}
			require.Equal(t, c.want, got)
			var environ []string
			for k, v := range env {
				environ = append(environ, k+"="+v)
			}
			require.NotContains(t, strings.Join(buildEnvironment(environ), "\n"), secret, "builds must not get the secret")
		})
	}
}
