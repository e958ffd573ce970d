package hold

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/test/output"
)

// TestMain makes the test program a hold of its own when a test starts it so.
func TestMain(m *testing.M) {
	if os.Getenv("HOLD_TEST_ROLE") == "hold" {
		os.Exit(holdMain())
	}
	os.Exit(m.Run())
}

func holdMain() int {
	root := os.Getenv("FOOTMAN_WORK")
	grace, _ := time.ParseDuration(os.Getenv("HOLD_TEST_GRACE"))
	drain, _ := time.ParseDuration(os.Getenv("HOLD_TEST_DRAIN"))
	h := &Hold{Name: FindName(os.Getenv), Place: Place{root}, Init: true, Grace: grace, Drain: drain, ContainerWork: filepath.Join(root, "container-work"),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	os.Unsetenv("HOLD_TEST_ROLE")
	h.ShareUmask()
	err := h.Run(context.Background())
	if s, ok := err.(*ErrStopped); ok {
		if s.Killed > 0 {
			return 143
		}
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// start runs a hold inside the test until that ends.
func startHold(t testing.TB, h *Hold) (*Hold, *output.Buffer) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	log := &output.Buffer{}
	if h.Name == "" {
		h.Name = "maven"
	}
	if h.Place.Root == "" {
		h.Place.Root = t.TempDir()
	}
	if h.Environ == nil {
		h.Environ = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "IN_IMAGE=yes"}
	}
	if h.Dir == "" {
		h.Dir = h.Place.Root
	}
	h.Log = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		if t.Failed() {
			t.Log(log.String())
		}
	})
	require.Eventually(t, func() bool { return Check(context.Background(), h.Place, h.Name) == nil }, 10*time.Second, time.Millisecond)
	return h, log
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// growing collects what a command writes and tells when there is more.
type growing struct {
	output.Buffer
	grown chan struct{}
}

func newGrowing() *growing { return &growing{grown: make(chan struct{}, 1)} }

func (o *growing) Write(b []byte) (int, error) {
	n, err := o.Buffer.Write(b)
	select {
	case o.grown <- struct{}{}:
	default:
	}
	return n, err
}

// await waits for text.
func (o *growing) await(t testing.TB, text string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for !bytes.Contains([]byte(o.String()), []byte(text)) {
		select {
		case <-o.grown:
		case <-late:
			require.FailNow(t, "no such output", "%q in %q", text, o.String())
		}
	}
}

// begin starts a command.
func begin(t testing.TB, h *Hold, cmd Command, stdout, stderr io.Writer) (*Remote, error) {
	t.Helper()
	ctx := within(t, time.Minute)
	cl, err := Dial(ctx, h.Place, h.Name)
	require.NoError(t, err)
	return cl.Start(ctx, cmd, stdout, stderr)
}

// result is what a command left.
type result struct {
	Exit
	out, err string
}

// runCommand runs a command with input.
func runCommand(t testing.TB, h *Hold, cmd Command, stdin string) (result, error) {
	t.Helper()
	var stdout, stderr output.Buffer
	r, err := begin(t, h, cmd, &stdout, &stderr)
	if err != nil {
		return result{}, err
	}
	if !cmd.NoStdin {
		go func() {
			_, _ = io.WriteString(r.Stdin(), stdin) // the command may not read it
			_ = r.Stdin().Close()
		}()
	}
	exit, err := r.Wait(within(t, time.Minute))
	require.NoError(t, err)
	return result{exit, stdout.String(), stderr.String()}, nil
}

func shell(script string) Command { return Command{Argv: []string{"sh", "-c", script}} }

// alive tells whether a process is there and no zombie.
func alive(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, ok := parseProcess(pid, b)
	return ok
}
