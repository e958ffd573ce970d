package exec

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func entries(t *testing.T, dir string) int {
	t.Helper()
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	return len(names)
}

func TestRunningProcessesCostNoThreads(t *testing.T) {
	const n = 60
	p := start(t, Spec{Argv: []string{"true"}, Stdout: io.Discard})
	wait(t, p)
	threads, goroutines := entries(t, "/proc/self/task"), runtime.NumGoroutine()
	for range n {
		start(t, Spec{Argv: []string{"sleep", "60"}})
	}
	require.LessOrEqual(t, runtime.NumGoroutine()-goroutines, n, "one goroutine each, none for streams")
	require.Less(t, entries(t, "/proc/self/task")-threads, n/2)
	for range n {
		start(t, Spec{Argv: []string{"sleep", "60"}, StdoutPipe: true})
	}
	require.LessOrEqual(t, runtime.NumGoroutine()-goroutines, 3*n)
	require.Less(t, entries(t, "/proc/self/task")-threads, n/2)
}

func TestNoDescriptorStays(t *testing.T) {
	run := func() {
		var out bytes.Buffer
		for _, s := range []Spec{
			{Argv: []string{"true"}},
			{Argv: []string{"cat"}, Stdin: bytes.NewReader([]byte("x")), Stdout: &out, Stderr: io.Discard},
			{Argv: []string{"echo", "x"}, StdoutPipe: true, StderrPipe: true, StdinPipe: true},
			{Argv: []string{"nope"}, Stdin: bytes.NewReader(nil), Stdout: &out, StderrPipe: true},
		} {
			p, err := Start(context.Background(), s)
			if err != nil {
				continue
			}
			wait(t, p)
			p.Kill(context.Background(), KillOptions{})
			if s.StdoutPipe {
				io.Copy(io.Discard, p.StdoutPipe())
				io.Copy(io.Discard, p.StderrPipe())
			}
			p.Close()
		}
	}
	run()
	before := entries(t, "/proc/self/fd")
	for range 20 {
		run()
	}
	require.Eventually(t, func() bool { return entries(t, "/proc/self/fd") <= before }, 5*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		children.Lock()
		defer children.Unlock()
		return len(children.byPid) == 0
	}, 5*time.Second, time.Millisecond)
}

func TestBusyScriptIsTriedAgain(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script.sh")
	f, err := os.OpenFile(script, os.O_CREATE|os.O_WRONLY, 0o755)
	require.NoError(t, err)
	_, err = f.WriteString("#!/bin/sh\nexit 4\n")
	require.NoError(t, err)
	busy := f
	time.AfterFunc(30*time.Millisecond, func() { busy.Close() })
	p := start(t, Spec{Argv: []string{script}})
	require.Equal(t, 4, wait(t, p))

	f, err = os.OpenFile(script, os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	_, err = Start(context.Background(), Spec{Argv: []string{script}})
	require.EqualError(t, err, `Cannot run program "`+script+`": error=26, Text file busy`)
}

func TestManyAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var out bytes.Buffer
			p, err := Start(context.Background(), Spec{Argv: sh("i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done"), Stdout: &out})
			if err != nil {
				t.Error(err)
				return
			}
			code, err := p.Wait(context.Background())
			if code != 0 || err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 2000 {
				t.Error(code, err, out.Len())
			}
		})
	}
	wg.Wait()
}
