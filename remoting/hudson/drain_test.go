package hudson

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

func idle(a *Agent) bool {
	select {
	case <-a.Idle():
		return true
	default:
		return false
	}
}

func sleepFor(seconds string) *jser.Object {
	return fields("hudson.Launcher$RemoteLaunchCallable", "cmd", jser.ArrayList("sleep", seconds), "quiet", true,
		"env", jser.StringArray(), "reverseStdin", false, "reverseStdout", false, "reverseStderr", false)
}

func TestDrain(t *testing.T) {
	a := &Agent{}
	r := newRig(t, a)
	require.False(t, idle(a), "an agent that does not drain is not done, however idle")

	r.must(sleepFor("0.4"))
	require.Equal(t, 1, a.Running())
	a.Drain()
	require.False(t, idle(a), "a process runs")

	_, err := r.call(sleepFor("0"))
	require.ErrorContains(t, err, "the agent is going away")

	select {
	case <-a.Idle():
	case <-time.After(10 * time.Second):
		t.Fatal("the process has ended and the agent is not idle")
	}
	require.Zero(t, a.Running())
	a.Drain() // twice is fine
}

func TestDrainWithNothingToDo(t *testing.T) {
	a := &Agent{}
	ch := a.Idle() // asked for before
	a.Drain()
	select {
	case <-ch:
	default:
		t.Fatal("nothing runs")
	}
}

func TestAProcessThatDoesNotStartIsNotCounted(t *testing.T) {
	a := &Agent{}
	r := newRig(t, a)
	_, err := r.call(fields("hudson.Launcher$RemoteLaunchCallable", "cmd", jser.ArrayList("/no/such/program"), "quiet", true,
		"env", jser.StringArray(), "reverseStdin", false, "reverseStdout", false, "reverseStderr", false))
	require.Error(t, err)
	a.Drain()
	require.True(t, idle(a))
}

// What a durable step starts ends at once and leaves the real work behind.
func TestDurableWorkIsNotWaitedFor(t *testing.T) {
	a := &Agent{}
	r := newRig(t, a)
	r.must(fields("hudson.Launcher$RemoteLaunchCallable", "quiet", true, "env", jser.StringArray(),
		"reverseStdin", false, "reverseStdout", false, "reverseStderr", false,
		"cmd", jser.ArrayList("sh", "-c", "(sleep 5) </dev/null >/dev/null 2>&1 &")))
	a.Drain()
	select {
	case <-a.Idle():
	case <-time.After(4 * time.Second):
		t.Fatal("waits for what a durable step left behind")
	}
}

// The kubernetes plugin takes an agent out of service for good.
func TestSlaveDisconnector(t *testing.T) {
	left := make(chan struct{}, 1)
	r := newRig(t, &Agent{NoReconnect: func() { left <- struct{}{} }})
	require.Nil(t, r.must(fields("org.csanchez.jenkins.plugins.kubernetes.KubernetesSlave$SlaveDisconnector")))
	<-left
}
