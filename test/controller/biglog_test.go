package controller_test

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
)

// Many steps with big logs at once: each line arrives once and in order, and the
// memory of agent and controller together (they share this process) stays far
// below the size of the logs. FOOTMAN_BIG_LOGS=1 takes 20 × 100 000 lines;
// test/bench does so with the real process.
func TestManyBigLogs(t *testing.T) {
	steps, lines := 20, 5_000
	if os.Getenv("FOOTMAN_BIG_LOGS") != "" {
		lines = 100_000
	}
	n := wsAgent(t, controller.Options{})
	ctx := deadline(t)
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	errs := make([]error, steps)
	var total int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range steps {
		wg.Go(func() {
			check := controller.NewLineCheck(fmt.Sprintf("step %02d line ", i), lines)
			script := fmt.Sprintf("#!/bin/sh\nseq -f 'step %02d line %%06.0f of a log with a tail' 1 %d | cut -d' ' -f1-4", i, lines)
			r, err := n.Sh(ctx, script, controller.ShOptions{Job: fmt.Sprintf("log-%d", i), Log: check})
			if err == nil && r.ExitCode != 0 {
				err = fmt.Errorf("exit code %d", r.ExitCode)
			}
			errs[i] = errors.Join(err, check.Done())
			mu.Lock()
			total += r.LogBytes
			mu.Unlock()
		})
	}
	wg.Wait()
	close(stop)
	most := <-peak
	require.NoError(t, errors.Join(errs...))
	t.Logf("%d steps, %d lines each: %.1f MB of log, heap at most %.1f MiB", steps, lines, float64(total)/1e6, float64(most)/(1<<20))
	require.Less(t, most, uint64(64<<20))
}

// A reader that takes its time holds up its own step only, and its window
// bounds what is on the way.
func TestSlowLogHoldsUpNobody(t *testing.T) {
	n, ctx := wsAgent(t, controller.Options{}), deadline(t)
	blocked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := make(chan error, 1)
	go func() {
		_, err := n.Sh(ctx, "#!/bin/sh\nseq 1 600000", controller.ShOptions{Job: "slow", Log: writerFunc(func(p []byte) (int, error) {
			once.Do(func() { close(blocked); <-release })
			return len(p), nil
		})})
		slow <- err
	}()
	<-blocked
	for range 3 {
		r, err := n.Sh(ctx, "echo quick", controller.ShOptions{Job: "quick", ReturnStdout: true})
		require.NoError(t, err)
		require.Equal(t, "quick\n", r.Stdout)
	}
	close(release)
	require.NoError(t, <-slow)
}
