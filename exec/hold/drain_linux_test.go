package hold

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLockAgent(t *testing.T) {
	p := Place{t.TempDir()}
	_, err := p.LockAgent(time.Second)
	require.ErrorIs(t, err, fs.ErrNotExist, "no hold has been here")
	require.NoError(t, p.MakeDir())
	_, lives := p.agentLeaves()
	require.False(t, lives)
	old := syscall.Umask(0o077)
	f, err := p.LockAgent(20 * time.Second)
	syscall.Umask(old)
	require.NoError(t, err)
	st, err := f.Stat()
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o644), st.Mode())
	limit, lives := p.agentLeaves()
	require.True(t, lives)
	require.Equal(t, 25*time.Second, limit)
	_, err = p.LockAgent(time.Second)
	require.ErrorIs(t, err, syscall.EWOULDBLOCK)
	limit, _ = p.agentLeaves()
	require.Equal(t, 25*time.Second, limit, "the second one has changed nothing")
	require.NoError(t, f.Close())
	_, lives = p.agentLeaves()
	require.False(t, lives)
	// The next agent may have less to say.
	f, err = p.LockAgent(0)
	require.NoError(t, err)
	defer f.Close()
	limit, lives = p.agentLeaves()
	require.True(t, lives)
	require.Equal(t, 5*time.Second, limit)
	for text, want := range map[string]time.Duration{"": -1, "soon": -1, "-1": -1, "99999999999999": time.Hour, "9223372036854775807": time.Hour, "9223372036854775808": -1, "0": 0} {
		require.NoError(t, os.WriteFile(filepath.Join(p.Dir(), agentFile), []byte(text), 0o644))
		limit, lives := p.agentLeaves()
		require.Equal(t, want >= 0, lives, text)
		if lives {
			require.Equal(t, want, limit, text)
		}
	}
	require.NoError(t, os.Remove(filepath.Join(p.Dir(), agentFile)))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(p.Dir(), agentFile)))
	_, lives = p.agentLeaves()
	require.False(t, lives)
	_, err = p.LockAgent(0)
	require.ErrorIs(t, err, syscall.ELOOP)
}

// TestStopAfterAgent is the end of a pod whose agent lets a build finish.
func TestStopAfterAgent(t *testing.T) {
	n := startInit(t, setup{})
	lock, err := n.place.LockAgent(20 * time.Second)
	require.NoError(t, err)
	o := newGrowing()
	r, err := begin(t, n.hold(), shell("echo up; until [ -e go ]; do sleep 0.02; done; echo whole"), o, nil)
	require.NoError(t, err)
	o.await(t, "up")
	require.NoError(t, n.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return contains(n, "lets builds finish first") }, 10*time.Second, time.Millisecond)
	// It goes on, and takes what is new: an abort needs that.
	another, err := runCommand(t, n.hold(), shell("exit 3"), "")
	require.NoError(t, err)
	require.Equal(t, 3, another.Code)
	require.NoError(t, os.WriteFile(filepath.Join(n.place.Root, "go"), nil, 0o644))
	exit, err := r.Wait(within(t, 10*time.Second))
	require.NoError(t, err)
	require.Zero(t, exit.Code)
	require.Contains(t, o.String(), "whole")
	require.NoError(t, lock.Close())
	began := time.Now()
	<-n.ended
	require.Less(t, time.Since(began), stopTime)
	require.Zero(t, n.cmd.ProcessState.ExitCode())
}

func TestStopDoesNotWaitForEver(t *testing.T) {
	for name, second := range map[string]bool{"time is over": false, "second signal": true} {
		s := setup{drain: time.Minute}
		if !second {
			s.drain = 200 * time.Millisecond
		}
		n := startInit(t, s)
		lock, err := n.place.LockAgent(20 * time.Second)
		require.NoError(t, err)
		began := time.Now()
		require.NoError(t, n.cmd.Process.Signal(syscall.SIGTERM))
		require.Eventually(t, func() bool { return contains(n, "lets builds finish first") }, 10*time.Second, time.Millisecond)
		if second {
			require.NoError(t, n.cmd.Process.Signal(syscall.SIGTERM))
		}
		<-n.ended
		require.Less(t, time.Since(began), 200*time.Millisecond+stopTime, name)
		require.Equal(t, !second, contains(n, "still there"), name)
		require.NoError(t, lock.Close())
	}
}

func contains(n *namespaced, text string) bool { return strings.Contains(n.log.String(), text) }
