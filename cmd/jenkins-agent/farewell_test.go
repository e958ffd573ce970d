package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// connectIn is connect with more environment.
func connectIn(t *testing.T, env []string, args ...string) *connected {
	return connectWith(t, func(secret string) ([]string, string) { return env, secret }, args...)
}

type shResult struct {
	controller.Result
	err error
}

// sh runs a step of a pipeline until it has printed "is running".
func (x *connected) sh(script string, o controller.ShOptions) (log *output.Buffer, result <-chan shResult) {
	log = &output.Buffer{}
	o.Log = log
	results := make(chan shResult, 1)
	ctx := within(x.t, 60*time.Second)
	go func() {
		r, err := x.n.Sh(ctx, script, o)
		results <- shResult{r, err}
	}()
	require.Eventually(x.t, func() bool { return strings.Contains(log.String(), "is running") }, 20*time.Second, 5*time.Millisecond)
	return log, results
}

// A task of ECS that is stopped, or taken back (Fargate Spot), ends with the
// agent: the step may finish, and its log says why the node goes.
func TestECSStopsATask(t *testing.T) {
	for name, capture := range map[string]bool{"log": false, "returnStdout": true} {
		t.Run(name, func(t *testing.T) {
			x := connectIn(t, []string{ecsMetadataEnv + "=" + ecs(t, taskOfFargate), "AWS_EXECUTION_ENV=AWS_ECS_FARGATE"})
			x.await("Running as ECS task arn:aws:ecs:")
			flag := filepath.Join(t.TempDir(), "go")
			log, result := x.sh("#!/bin/sh\necho is running >&2\nwhile [ ! -e "+flag+" ]; do sleep 0.05; done\necho finished; exit 3",
				controller.ShOptions{ReturnStdout: capture})
			x.signal(syscall.SIGTERM)
			const line = "jenkins-agent: stopping (SIGTERM, ECS task ci/0123456789abcdef0123456789abcdef): what runs here has 20s left\n"
			require.Eventually(t, func() bool { return strings.Contains(log.String(), line) }, 30*time.Second, 10*time.Millisecond, log.String())
			require.NoError(t, os.WriteFile(flag, nil, 0o600))
			r := <-result
			require.NoError(t, r.err)
			require.Equal(t, 3, r.ExitCode, "the step ends as if nothing were")
			if capture {
				require.Equal(t, "finished\n", r.Stdout)
				require.Equal(t, "is running\n"+line, log.String())
			} else {
				require.Equal(t, "is running\n"+line+"finished\n", log.String())
			}
			require.Equal(t, exitOK, x.exit(20*time.Second))
		})
	}
}

func TestEC2TakesTheMachineOfAStep(t *testing.T) {
	m := newIMDS(t)
	x := connectIn(t, []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + m.URL})
	log, result := x.sh("echo is running; sleep 30", controller.ShOptions{})
	m.say(map[string]string{spotPath: `{"action":"terminate","time":"` + time.Now().Add(spotReserve+8*time.Second).UTC().Format(time.RFC3339) + `"}`})
	require.Eventually(t, func() bool {
		return strings.Contains(log.String(), "jenkins-agent: stopping (EC2 takes this spot instance back (terminate)): what runs here has ")
	}, 30*time.Second, 10*time.Millisecond, log.String())
	require.Equal(t, exitOK, x.exit(30*time.Second), "the time is over")
	x.n.Disconnect()
	require.Contains(t, x.log.String(), "Stopping although processes of builds run")
	select {
	case r := <-result:
		require.Error(t, r.err)
	default: // it waits for a node that will not come back
	}
}

// A freestyle build has the line in its log at once.
func TestTheLogOfAFreestyleBuildSaysWhy(t *testing.T) {
	x := connect(t)
	log := &output.Buffer{}
	done := make(chan error, 1)
	go func() {
		_, err := x.n.Freestyle(within(t, 60*time.Second), "job", "echo is running; sleep 1; echo finished", nil, log)
		done <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "is running\n") }, 20*time.Second, 5*time.Millisecond)
	x.signal(syscall.SIGTERM)
	require.NoError(t, <-done)
	require.Contains(t, log.String(), "\njenkins-agent: stopping (SIGTERM): what can't wait for the next agent has 20s left\n")
	require.Contains(t, log.String(), "\nfinished\n")
	require.Equal(t, exitOK, x.exit(10*time.Second))
}
