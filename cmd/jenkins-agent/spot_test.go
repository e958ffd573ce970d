package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/wire"
	"github.com/footman-ci/footman/test/output"
)

// imds is a metadata service of EC2 that insists on version 2.
type imds struct {
	*httptest.Server
	answers atomic.Pointer[map[string]string]
}

func newIMDS(t *testing.T) *imds {
	m := &imds{}
	m.say(nil)
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
			_, _ = io.WriteString(w, "the token")
		case r.Header.Get("X-aws-ec2-metadata-token") != "the token":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			body, ok := (*m.answers.Load())[r.URL.Path]
			if !ok {
				http.NotFound(w, r)
				return
			}
			_, _ = io.WriteString(w, body)
		}
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *imds) say(answers map[string]string) { m.answers.Store(&answers) }

func (m *imds) env(name string) string {
	if name == "AWS_EC2_METADATA_SERVICE_ENDPOINT" {
		return m.URL
	}
	return ""
}

const (
	spotPath      = "/latest/meta-data/spot/instance-action"
	asgPath       = "/latest/meta-data/autoscaling/target-lifecycle-state"
	rebalancePath = "/latest/meta-data/events/recommendations/rebalance"
)

func TestSpotNotices(t *testing.T) {
	at := time.Date(2026, 11, 21, 12, 2, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		mode    string
		answers map[string]string
		want    string // "" for no notice
		at      time.Time
	}{
		"nothing":            {"auto", nil, "", time.Time{}},
		"spot":               {"auto", map[string]string{spotPath: `{"action":"terminate","time":"2026-11-21T12:02:00Z"}`}, "spot instance back (terminate)", at},
		"garbage":            {"auto", map[string]string{spotPath: `<html>`}, "", time.Time{}},
		"auto scaling":       {"auto", map[string]string{asgPath: "Terminated"}, "Auto Scaling", time.Time{}},
		"in service":         {"auto", map[string]string{asgPath: "InService"}, "", time.Time{}},
		"rebalance is said":  {"auto", map[string]string{rebalancePath: `{"noticeTime":"2026-11-21T12:00:00Z"}`}, "", time.Time{}},
		"rebalance is meant": {"rebalance", map[string]string{rebalancePath: `{"noticeTime":"2026-11-21T12:00:00Z"}`}, "rebalance", time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newIMDS(t)
			m.say(tc.answers)
			s, err := newSpotWatch(tc.mode, m.env, slog.New(slog.DiscardHandler))
			require.NoError(t, err)
			n, found, err := s.poll(t.Context())
			require.NoError(t, err)
			require.Equal(t, tc.want != "", found)
			require.Contains(t, n.what, tc.want)
			require.Equal(t, tc.at, n.at)
		})
	}
}

func TestSpotWatchIsOffElsewhere(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"disabled": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1", "AWS_EC2_METADATA_DISABLED": "true"},
		"fargate":  {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1", "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"},
	} {
		s, err := newSpotWatch("auto", func(k string) string { return env[k] }, slog.New(slog.DiscardHandler))
		require.NoError(t, err, name)
		require.Nil(t, s, name)
	}
	_, err := newSpotWatch("maybe", func(string) string { return "" }, nil)
	require.ErrorContains(t, err, "none of auto")
	s, err := newSpotWatch("auto", func(k string) string {
		return map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}[k]
	}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	_, found := s.run(context.Background()) // gives up at once
	require.False(t, found)
}

func TestDrainForLeavesAReserve(t *testing.T) {
	now := time.Now()
	require.Equal(t, 2*time.Minute-spotReserve, notice{at: now.Add(2 * time.Minute)}.drainFor(now))
	require.Equal(t, time.Second, notice{at: now.Add(-time.Hour)}.drainFor(now))
	require.Equal(t, asgLeave, notice{}.drainFor(now))
}

func TestSpotNoticeEndsAnIdleAgent(t *testing.T) {
	m := newIMDS(t)
	m.say(map[string]string{spotPath: `{"action":"terminate","time":"` + time.Now().Add(2*time.Minute).UTC().Format(time.RFC3339) + `"}`})
	c, n, dir := jenkins(t)
	log := &output.Buffer{}
	p := program(t, "jenkins-agent", []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + m.URL}, "-url", c.URL(), "-webSocket", "-name", "n1", "-secret", n.Secret(), "-workDir", dir)
	p.Stdout, p.Stderr = log, log
	require.NoError(t, p.Start())
	kill := time.AfterFunc(30*time.Second, func() { _ = p.Process.Kill() })
	defer kill.Stop()
	require.NoError(t, p.Wait(), log.String())
	require.Contains(t, log.String(), "EC2 takes this spot instance back (terminate)")
}

// The plugin ec2 starts agents by SSH: they speak on stdin and stdout.
func TestSpotNoticeEndsAnAgentOnStdio(t *testing.T) {
	m := newIMDS(t)
	m.say(map[string]string{asgPath: "InService"})
	s := speakIn(t, []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + m.URL}, "jenkins-agent")
	s.open(wire.CapDefault)
	s.version()
	m.say(map[string]string{asgPath: "Terminated"})
	select {
	case <-s.ch.Done():
	case <-time.After(30 * time.Second):
		require.Fail(t, "no CloseCommand", s.log.String())
	}
	require.ErrorIs(t, s.ch.Err(), remoting.ErrPeerClosed)
	require.Equal(t, exitOK, s.exit())
	require.Contains(t, s.log.String(), "Auto Scaling ends this instance")
}
