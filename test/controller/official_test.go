package controller_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/agentproc"
	"github.com/footman-ci/footman/test/controller"
)

// The official agent works on this controller: what the controller sends is
// understood by the real thing.
func TestOfficialAgent(t *testing.T) {
	jar, classes := os.Getenv("AGENT_JAR"), os.Getenv("AGENT_CLASSES")
	if jar == "" || classes == "" {
		t.Skip("SKIPPED: needs a JVM, AGENT_JAR (agent.jar) and AGENT_CLASSES (class path of Jenkins, durable-task and workflow-api)")
	}
	source, done, err := controller.Jars(classes)
	require.NoError(t, err)
	defer done()
	for _, tcp := range []bool{false, true} {
		t.Run(map[bool]string{false: "WebSocket", true: "JNLP4-connect"}[tcp], func(t *testing.T) {
			c := start(t, controller.Options{TCP: tcp, Classes: source})
			n := c.Node("official", t.TempDir())
			var log bytes.Buffer
			p, err := agentproc.Start(agentproc.Options{Command: []string{"java", "-jar", jar}, URL: c.URL(), Name: n.Name(), Secret: n.Secret(),
				WorkDir: n.RemoteFS(), TCP: tcp, Log: &log})
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Stop()) }()
			ctx := deadline(t)
			require.NoError(t, n.WaitOnline(ctx))
			require.NoError(t, n.RunMonitors(ctx))
			require.Len(t, n.Info().Monitors, 6)

			var out bytes.Buffer
			r, err := n.Sh(ctx, "echo hi; exit 3", controller.ShOptions{Log: &out})
			require.NoError(t, err)
			require.Equal(t, 3, r.ExitCode)
			require.Equal(t, "+ echo hi\nhi\n+ exit 3\n", out.String())
			r, err = n.Sh(ctx, "#!/bin/sh\necho out", controller.ShOptions{ReturnStdout: true})
			require.NoError(t, err)
			require.Equal(t, "out\n", r.Stdout)

			out.Reset()
			r, err = n.Freestyle(ctx, "free", "echo free; exit 5", nil, &out)
			require.NoError(t, err)
			require.Equal(t, 5, r.ExitCode)
			require.Contains(t, out.String(), "\n+ echo free\nfree\n")

			dir := n.RemoteFS() + "/workspace/files"
			require.NoError(t, n.WriteFile(ctx, dir+"/in/a.txt", "grüße"))
			size, err := n.WritePipe(ctx, dir+"/big.bin", bytes.NewReader(make([]byte, 3<<20)))
			require.NoError(t, err)
			require.EqualValues(t, 3<<20, size)
			size, err = n.ReadFile(ctx, dir+"/big.bin", &bytes.Buffer{})
			require.NoError(t, err)
			require.EqualValues(t, 3<<20, size)
			var tar bytes.Buffer
			count, err := n.Stash(ctx, dir+"/in", "**", &tar)
			require.NoError(t, err)
			require.Equal(t, 1, count)
			require.NoError(t, n.Unstash(ctx, dir+"/out", &tar))
			names, err := n.ListGlob(ctx, dir+"/out", "**", "")
			require.NoError(t, err)
			require.Equal(t, []string{dir + "/out/a.txt"}, names)
			_, err = n.ReadFile(ctx, dir+"/none", &bytes.Buffer{})
			var remote *controller.RemoteError
			require.ErrorAs(t, err, &remote)
			require.Equal(t, "java.nio.file.NoSuchFileException", remote.Class)
		})
	}
}
