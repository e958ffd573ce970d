package controller_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/transport"
	"github.com/footman-ci/footman/test/controller"
)

func TestOnlineOverWebSocket(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	require.NoError(t, n.RunMonitors(deadline(t)))
	i := n.Info()
	require.Equal(t, "3352.v17a_fb_4b_2773f", i.Version)
	require.Equal(t, "WebSocket", i.Protocol)
	require.True(t, i.Unix)
	require.Equal(t, "UTF-8", i.Charset)
	require.Len(t, i.Monitors, 6)
	require.Contains(t, i.Monitors["GetArchTask"], "Linux")
	require.Less(t, i.UntilOnline.CommandsIn, int64(20), "a native agent loads no classes")
}

func TestOnlineOverTCP(t *testing.T) {
	c := start(t, controller.Options{TCP: true})
	n := c.Node("agent \"1\" ü", t.TempDir())
	d := &transport.TCP{URLs: []string{c.URL()}, Name: n.Name(), Secret: n.Secret(), Cookies: &transport.Cookies{}}
	runAgent(t, d.Dial)
	require.NoError(t, n.WaitOnline(deadline(t)))
	require.Equal(t, "JNLP4-connect", n.Info().Protocol)
	r, err := n.Sh(deadline(t), "echo hello", controller.ShOptions{ReturnStdout: true})
	require.NoError(t, err)
	require.Equal(t, "hello\n", r.Stdout)
}

func TestSh(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	for name, tc := range map[string]struct {
		script string
		o      controller.ShOptions
		code   int
		log    string
		stdout string
	}{
		"log":         {script: "echo one; echo two >&2", log: "+ echo one\none\n+ echo two\ntwo\n"},
		"stdout":      {script: "echo one; echo two >&2", o: controller.ShOptions{ReturnStdout: true}, log: "+ echo one\n+ echo two\ntwo\n", stdout: "one\n"},
		"exit code":   {script: "exit 3", code: 3, log: "+ exit 3\n"},
		"shebang":     {script: "#!/bin/sh\necho plain", log: "plain\n"},
		"environment": {script: "#!/bin/sh\necho $GREETING $NODE_NAME", o: controller.ShOptions{Env: map[string]string{"GREETING": "hi"}}, log: "hi agent-1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			tc.o.Log = &log
			r, err := n.Sh(deadline(t), tc.script, tc.o)
			require.NoError(t, err)
			require.Equal(t, tc.code, r.ExitCode)
			require.Equal(t, tc.stdout, r.Stdout)
			require.Equal(t, tc.log, log.String())
			require.EqualValues(t, log.Len(), r.LogBytes)
		})
	}
	left, err := os.ReadDir(n.RemoteFS() + "/workspace/demo@tmp")
	require.NoError(t, err)
	require.Empty(t, left, "control directories are removed")
}

func TestShAbort(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	log := writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "started\n") {
			cancel()
		}
		return len(p), nil
	})
	r, err := n.Sh(ctx, "echo started; sleep 100", controller.ShOptions{Log: log})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 143, r.ExitCode)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestShSurvivesLostConnection(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	var log bytes.Buffer
	dropped := false
	w := writerFunc(func(p []byte) (int, error) {
		if !dropped && strings.Contains(string(p), "before") {
			dropped = true
			n.Drop()
		}
		return log.Write(p)
	})
	r, err := n.Sh(deadline(t), "#!/bin/sh\necho before; sleep 1; echo after; exit 4", controller.ShOptions{Log: w})
	require.NoError(t, err)
	require.Equal(t, 4, r.ExitCode)
	require.Equal(t, "before\nafter\n", log.String())
	require.Equal(t, 2, n.Info().Connections)
}

func TestFreestyle(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	var log bytes.Buffer
	r, err := n.Freestyle(deadline(t), "free", "echo hello from $NODE_NAME; pwd; exit 5", nil, &log)
	require.NoError(t, err)
	require.Equal(t, 5, r.ExitCode)
	ws := n.RemoteFS() + "/workspace/free"
	lines := strings.SplitN(log.String(), "\n", 2)
	require.Regexp(t, `^\[free\] \$ /bin/sh -xe /.*/jenkins\d+\.sh$`, lines[0])
	require.Equal(t, "+ echo hello from agent-1\nhello from agent-1\n+ pwd\n"+ws+"\n+ exit 5\n", lines[1])

	ctx, cancel := context.WithCancel(deadline(t))
	defer cancel()
	_, err = n.Freestyle(ctx, "free", "echo started; sleep 100", nil, writerFunc(func(p []byte) (int, error) {
		if strings.Contains(string(p), "started\n") {
			cancel()
		}
		return len(p), nil
	}))
	require.ErrorIs(t, err, context.Canceled)
}

func TestFiles(t *testing.T) {
	n, ctx := wsAgent(t, controller.Options{}), deadline(t)
	dir := n.RemoteFS() + "/workspace/files"
	require.NoError(t, n.Mkdirs(ctx, dir))
	isDir, err := n.IsDirectory(ctx, dir)
	require.NoError(t, err)
	require.True(t, isDir)

	text := "grüße ✓\n" + strings.Repeat("x", 70_000)
	require.NoError(t, n.WriteFile(ctx, dir+"/a.txt", text))
	var got bytes.Buffer
	size, err := n.ReadFile(ctx, dir+"/a.txt", &got)
	require.NoError(t, err)
	require.Equal(t, text, got.String())
	require.EqualValues(t, len(text), size)

	big := make([]byte, 3<<20+17)
	_, _ = rand.Read(big)
	size, err = n.WritePipe(ctx, dir+"/sub/big.bin", bytes.NewReader(big))
	require.NoError(t, err)
	require.EqualValues(t, len(big), size)
	got.Reset()
	_, err = n.ReadFile(ctx, dir+"/sub/big.bin", &got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(big, got.Bytes()))

	names, err := n.ListGlob(ctx, dir, "**/*.bin", "")
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/sub/big.bin"}, names)

	_, err = n.ReadFile(ctx, dir+"/none", &got)
	var remote *controller.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "java.nio.file.NoSuchFileException", remote.Class)
	require.Equal(t, dir+"/none", remote.Message)

	require.NoError(t, n.Delete(ctx, dir+"/a.txt"))
	there, err := n.Exists(ctx, dir+"/a.txt")
	require.NoError(t, err)
	require.False(t, there)
	require.NoError(t, n.DeleteRecursive(ctx, dir))
	_, err = os.Stat(filepath.Join(dir))
	require.True(t, os.IsNotExist(err))
}

func TestStash(t *testing.T) {
	n, ctx := wsAgent(t, controller.Options{}), deadline(t)
	dir := n.RemoteFS() + "/workspace/stash"
	require.NoError(t, n.WriteFile(ctx, dir+"/in/a.txt", "one"))
	require.NoError(t, n.WriteFile(ctx, dir+"/in/b.bin", "two"))
	var tar bytes.Buffer
	count, err := n.Stash(ctx, dir+"/in", "**/*.txt", &tar)
	require.NoError(t, err)
	require.Equal(t, 1, count)
	require.NoError(t, n.Unstash(ctx, dir+"/out", &tar))
	names, err := n.ListGlob(ctx, dir+"/out", "**", "")
	require.NoError(t, err)
	require.Equal(t, []string{dir + "/out/a.txt"}, names)

	err = n.Unstash(ctx, dir+"/bad", strings.NewReader("no archive"))
	var remote *controller.RemoteError
	require.ErrorAs(t, err, &remote)
}

func TestParallel(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	errs := make(chan error, 8)
	for i := range 8 {
		go func() {
			r, err := n.Sh(deadline(t), fmt.Sprintf("echo step %d", i), controller.ShOptions{ReturnStdout: true})
			if err == nil && r.Stdout != fmt.Sprintf("step %d\n", i) {
				err = fmt.Errorf("step %d got %q", i, r.Stdout)
			}
			errs <- err
		}()
	}
	for range 8 {
		require.NoError(t, <-errs)
	}
}

func TestDisconnect(t *testing.T) {
	n := wsAgent(t, controller.Options{})
	n.Disconnect()
	require.NoError(t, n.WaitOnline(deadline(t)), "the agent comes back")
	require.Equal(t, 2, n.Info().Connections)
}
