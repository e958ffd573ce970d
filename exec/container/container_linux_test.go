package container

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/exec/hold"
)

func TestDifference(t *testing.T) {
	base := []string{"PATH=/usr/bin:/bin", "JAVA_HOME=/java", "JENKINS_URL=http://j/", "EMPTY=", "HOME=/root"}
	changed, prepend := Difference(base, []string{"PATH=/opt/m/bin:/usr/bin:/bin", "JAVA_HOME=/java", "HOME=/other", "NEW=a=b", "EMPTY=", "HUDSON_COOKIE=x", "=bad", "bad", "X=", "MANPATH=/a:", "JENKINS_URL=http://j/"})
	require.Equal(t, []string{"HOME=/other", "NEW=a=b", "X=", "MANPATH=/a:", "JENKINS_URL=http://j/"}, changed)
	require.Equal(t, []string{"PATH=/opt/m/bin"}, prepend)
}

func TestTarget(t *testing.T) {
	r := &Router{Self: "jnlp"}
	for env, want := range map[string]string{"FOOTMAN_CONTAINER=maven": "maven", "FOOTMAN_CONTAINER=jnlp": "", "FOOTMAN_CONTAINER=": "", "FOOTMAN_CONTAINER_NAME=x": ""} {
		require.Equal(t, want, r.Target(exec.Spec{Env: []string{"A=b", env}}), env)
	}
}

// newPod is a router and a hold called maven.
func newPod(t *testing.T) (*Router, context.CancelFunc) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	h := &hold.Hold{Name: "maven", Place: hold.Place{Root: t.TempDir()}, Environ: []string{"PATH=/usr/bin:/bin"}, Grace: 200 * time.Millisecond}
	h.Dir = h.Place.Root
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	r, err := New(h.Place.Root, []string{"PATH=/usr/local/bin:/usr/bin:/bin"}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.Equal(t, "jnlp", r.Self)
	return r, stop
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestPipes(t *testing.T) {
	r, _ := newPod(t)
	ctx := within(t, 30*time.Second)
	p, err := r.Start(ctx, "maven", exec.Spec{Argv: []string{"sh", "-c", "cat; echo err >&2; exit 3"}, StdinPipe: true, StdoutPipe: true, StderrPipe: true})
	require.NoError(t, err)
	require.True(t, p.IsAlive())
	_, err = io.WriteString(p.StdinPipe(), "typed\n")
	require.NoError(t, err)
	require.NoError(t, p.StdinPipe().Close())
	out, err := io.ReadAll(p.StdoutPipe())
	require.NoError(t, err)
	errs, err := io.ReadAll(p.StderrPipe())
	require.NoError(t, err)
	code, err := p.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, []any{"typed\n", "err\n", 3, false}, []any{string(out), string(errs), code, p.IsAlive()})

	// Output that nobody reads holds nothing up.
	p, err = r.Start(ctx, "maven", exec.Spec{Argv: []string{"head", "-c", "3000000", "/dev/zero"}, StdoutPipe: true})
	require.NoError(t, err)
	code, err = p.Wait(ctx)
	require.NoError(t, err)
	require.Zero(t, code)
	out, err = io.ReadAll(p.StdoutPipe())
	require.NoError(t, err)
	require.Len(t, out, 3_000_000)

	// Input from a reader, and outputs merged as they come.
	var both bytes.Buffer
	p, err = r.Start(ctx, "maven", exec.Spec{Argv: []string{"sh", "-c", "cat; echo e >&2; echo o"}, Stdin: strings.NewReader("in\n"), Stdout: &both})
	require.NoError(t, err)
	_, err = p.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, "in\ne\no\n", both.String())
}

func TestContainerThatEnds(t *testing.T) {
	r, stop := newPod(t)
	ctx := within(t, 30*time.Second)
	p, err := r.Start(ctx, "maven", exec.Spec{Argv: []string{"sleep", "100"}})
	require.NoError(t, err)
	go stop()
	code, err := p.Wait(ctx)
	if err == nil { // it was told in time that its command had to end
		require.Equal(t, 143, code)
	} else {
		require.ErrorContains(t, err, `container "maven" ended`)
	}
	stop()
	r.Wait = -1
	_, err = r.Start(ctx, "maven", exec.Spec{Argv: []string{"true"}})
	require.ErrorContains(t, err, `no container "maven" listens`)
	n, err := r.Kill(ctx, map[string]string{"A": "b"})
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestContainerThatIsOnItsWay starts the hold after the launch.
func TestContainerThatIsOnItsWay(t *testing.T) {
	r := &Router{Place: hold.Place{Root: t.TempDir()}, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(context.Background())
	type result struct {
		p   *Process
		err error
	}
	started := make(chan result, 1)
	go func() {
		p, err := r.Start(ctx, "late", exec.Spec{Argv: []string{"true"}})
		started <- result{p, err}
	}()
	done := make(chan error, 1)
	h := &hold.Hold{Name: "late", Place: r.Place, Dir: r.Place.Root}
	go func() { done <- h.Run(ctx) }()
	res := <-started
	require.NoError(t, res.err)
	code, err := res.p.Wait(within(t, 20*time.Second))
	require.NoError(t, err)
	require.Zero(t, code)
	cancel()
	require.NoError(t, <-done)
}

// TestKillLeavesNeighbours: two steps of one workspace have one cookie; what the
// plugin's own container() has started is not ours to end, until the node block is.
func TestKillLeavesNeighbours(t *testing.T) {
	r, _ := newPod(t)
	ctx := within(t, 30*time.Second)
	env := []string{"JENKINS_SERVER_COOKIE=durable-1", "JENKINS_NODE_COOKIE=n-1"}
	ours, err := r.Start(ctx, "maven", exec.Spec{Argv: []string{"sleep", "100"}, Env: env})
	require.NoError(t, err)
	cl, err := hold.Dial(ctx, r.Place, "maven")
	require.NoError(t, err)
	theirs, err := cl.Start(ctx, hold.Command{Argv: []string{"sleep", "100"}, Env: env, NoStdin: true}, nil, nil)
	require.NoError(t, err)
	defer theirs.Close()
	n, err := r.Kill(ctx, map[string]string{"JENKINS_SERVER_COOKIE": "durable-1"})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	code, err := ours.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, 143, code)
	select {
	case <-theirs.Ended():
		require.Fail(t, "the neighbour is gone, too")
	default:
	}
	n, err = r.Kill(ctx, map[string]string{"JENKINS_NODE_COOKIE": "n-1"})
	require.NoError(t, err)
	require.Equal(t, 1, n)
	exit, err := theirs.Wait(ctx)
	require.NoError(t, err)
	require.Equal(t, 143, exit.Code)
}
