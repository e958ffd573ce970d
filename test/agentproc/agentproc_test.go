package agentproc

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProcess(t *testing.T) {
	t.Setenv("JENKINS_SECRET", "not for the agent")
	dir := t.TempDir() + "/work"
	var log strings.Builder
	p, err := Start(Options{
		// The agent's options become the shell's arguments.
		Command: []string{"/bin/sh", "-c", `echo "$@" "[$JENKINS_SECRET]"; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exec sleep 100`, "agent"},
		URL:     "http://localhost/", Name: "a", Secret: "s3cret", WorkDir: dir, Log: &log,
	})
	require.NoError(t, err)
	require.Positive(t, p.PID())
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.Settle(ctx)
	cpu, err := p.CPU()
	require.NoError(t, err)
	require.Positive(t, cpu)
	m, err := p.Memory()
	require.NoError(t, err)
	require.Positive(t, m.Anonymous)
	require.GreaterOrEqual(t, m.PSS, m.Anonymous)
	require.NoError(t, p.Stop())
	require.Equal(t, "-url http://localhost/ -secret @"+dir+"/secret-file -name a -workDir "+dir+" -webSocket []\n", log.String())
	st, err := os.Stat(dir + "/secret-file")
	require.NoError(t, err)
	require.EqualValues(t, 0o600, st.Mode().Perm())
	_, err = p.Memory()
	require.Error(t, err)
}
