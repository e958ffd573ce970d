package exec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func init() { helpers["reap"] = helperReap }

// helperReap is a subreaper whose children each leave an orphan behind: every
// exit code has to arrive, and no zombie may stay.
func helperReap() {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Println("prctl:", err)
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	reaped := 0
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		ReapUntil(ctx, func(n int, err error) {
			mu.Lock()
			defer mu.Unlock()
			reaped += n
		})
	}()
	const children = 400
	var wg sync.WaitGroup
	turns := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range turns {
				p, err := Start(ctx, Spec{Argv: []string{"/bin/sh", "-c", fmt.Sprintf("(/bin/true &); exit %d", i%120)}})
				if err != nil {
					fmt.Println("start:", err)
					continue
				}
				if code, err := p.Wait(ctx); err != nil || code != i%120 {
					fmt.Println("lost:", code, err)
				}
			}
		})
	}
	for i := range children {
		turns <- i
	}
	close(turns)
	wg.Wait()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if pids, err := childPids(); err == nil && len(pids) == 0 {
			break
		}
	}
	pids, err := childPids()
	cancel()
	<-stopped
	var ws syscall.WaitStatus
	_, werr := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
	fmt.Println("left:", pids, err, errors.Is(werr, syscall.ECHILD), "reaped:", reaped)
}

func TestReapLosesNothing(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	var out strings.Builder
	p := start(t, Spec{Argv: []string{self}, Env: append(os.Environ(), "EXEC_TEST_HELPER=reap"), Stdout: &out})
	code, err := p.Wait(within(t, time.Minute))
	require.NoError(t, err)
	require.Zero(t, code, out.String())
	require.Equal(t, "left: [] <nil> true reaped: 400\n", out.String())
}

func TestReapKeepsAwayFromOwnChildren(t *testing.T) {
	p, done, err := Guard(func() (*os.Process, error) {
		return os.StartProcess("/bin/sh", []string{"sh", "-c", "exit 3"}, &os.ProcAttr{})
	})
	require.NoError(t, err)
	require.True(t, Own(p.Pid))
	require.Eventually(t, func() bool {
		info, err := readProc(p.Pid)
		return err == nil && info.dead()
	}, 10*time.Second, time.Millisecond)
	_, err = Reap()
	require.NoError(t, err)
	st, err := p.Wait()
	require.NoError(t, err)
	require.Equal(t, 3, st.ExitCode())
	done()
	require.False(t, Own(p.Pid))

	_, _, err = Guard(func() (*os.Process, error) { return nil, errors.New("no") })
	require.EqualError(t, err, "no")
}
