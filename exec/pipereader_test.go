package exec

import (
	"bytes"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func pipe(t *testing.T, limits BufferLimits) (*PipeReader, *os.File) {
	t.Helper()
	if limits.Dir == "" {
		limits.Dir = t.TempDir()
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	p := newPipeReader(r, limits)
	t.Cleanup(func() { w.Close(); p.Close() })
	return p, w
}

// pattern is n bytes in which every offset can be told.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

func TestPipeReaderLate(t *testing.T) {
	p, w := pipe(t, BufferLimits{})
	data := pattern(3_000_000)
	_, err := w.Write(data) // more than memory and the pipe hold: goes to the file
	require.NoError(t, err)
	require.NoError(t, w.Close())
	got, err := io.ReadAll(p)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	require.Nil(t, p.spill)
	left, err := os.ReadDir(p.limits.Dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestPipeReaderSlowLosesNothing(t *testing.T) {
	p, w := pipe(t, BufferLimits{Memory: 1000, Spill: 5000, Stall: time.Hour})
	data := pattern(1_000_000)
	go func() {
		w.Write(data)
		w.Close()
	}()
	var got []byte
	b := make([]byte, 700)
	for {
		n, err := p.Read(b)
		got = append(got, b[:n]...)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
	}
	require.True(t, bytes.Equal(data, got))
}

func TestPipeReaderNeverRead(t *testing.T) {
	p, w := pipe(t, BufferLimits{Memory: 1000, Spill: 50_000, Stall: 20 * time.Millisecond})
	data := pattern(500_000)
	_, err := w.Write(data)
	require.NoError(t, err, "the writer gets through")
	require.NoError(t, w.Close())
	got, err := io.ReadAll(p)
	var dropped *DroppedError
	require.ErrorAs(t, err, &dropped)
	require.Equal(t, data[:len(got)], got)
	require.EqualValues(t, len(data)-len(got), dropped.Bytes)
	require.Contains(t, err.Error(), "dropped")
}

func TestPipeReaderWithoutFile(t *testing.T) {
	for name, l := range map[string]BufferLimits{
		"none":   {Memory: 1000, Spill: -1, Stall: time.Millisecond},
		"no dir": {Memory: 1000, Dir: "/no/such/dir", Stall: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			p, w := pipe(t, l)
			_, err := w.Write(pattern(300_000))
			require.NoError(t, err)
			w.Close()
			got, err := io.ReadAll(p)
			require.Error(t, err)
			require.Equal(t, pattern(1000), got)
		})
	}
}

func TestPipeReaderDiscardAndClose(t *testing.T) {
	p, w := pipe(t, BufferLimits{Stall: time.Hour})
	p.Discard()
	_, err := w.Write(pattern(1_000_000))
	require.NoError(t, err)
	require.Empty(t, p.mem)

	read := make(chan error)
	go func() {
		_, err := p.Read(make([]byte, 1))
		read <- err
	}()
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.ErrorIs(t, <-read, os.ErrClosed)
	_, err = w.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.EPIPE)
}

func TestReverseStreamsOfProcess(t *testing.T) {
	t.Run("nobody reads and the process ends", func(t *testing.T) {
		p := start(t, Spec{Argv: sh("head -c 2000000 /dev/zero; echo done >&2"), StdoutPipe: true, StderrPipe: true})
		require.Zero(t, wait(t, p))
		got, err := io.ReadAll(p.StderrPipe())
		require.NoError(t, err)
		require.Equal(t, "done\n", string(got))
		got, err = io.ReadAll(p.StdoutPipe())
		require.NoError(t, err)
		require.Len(t, got, 2_000_000)
	})
	t.Run("merged", func(t *testing.T) {
		p := start(t, Spec{Argv: sh("echo a; echo b >&2"), StdoutPipe: true})
		require.Nil(t, p.StderrPipe())
		got, err := io.ReadAll(p.StdoutPipe())
		require.NoError(t, err)
		require.Equal(t, "a\nb\n", string(got))
	})
	t.Run("dialogue", func(t *testing.T) {
		p := start(t, Spec{Argv: []string{"cat"}, StdinPipe: true, StdoutPipe: true})
		b := make([]byte, 10)
		for _, s := range []string{"one", "two"} {
			_, err := io.WriteString(p.StdinPipe(), s)
			require.NoError(t, err)
			n, err := p.StdoutPipe().Read(b)
			require.NoError(t, err)
			require.Equal(t, s, string(b[:n]))
		}
		require.NoError(t, p.StdinPipe().Close())
		require.Zero(t, wait(t, p))
	})
	t.Run("closing is SIGPIPE", func(t *testing.T) {
		p := start(t, Spec{Argv: []string{"yes"}, StdoutPipe: true})
		require.NoError(t, p.StdoutPipe().Close())
		require.Equal(t, 141, wait(t, p))
	})
	t.Run("durable task's launch", func(t *testing.T) {
		dir := t.TempDir()
		p := start(t, Spec{Argv: []string{"nohup", "sh", "-c", "(sleep 0.2; echo ok > result; wait) >&- 2>&- &"}, Dir: dir, StdoutPipe: true})
		require.Zero(t, wait(t, p))
		got, err := io.ReadAll(p.StdoutPipe())
		require.NoError(t, err)
		require.Empty(t, strings.ReplaceAll(string(got), "nohup: ignoring input\n", ""))
		require.Eventually(t, func() bool {
			b, _ := os.ReadFile(dir + "/result")
			return string(b) == "ok\n"
		}, 10*time.Second, 20*time.Millisecond)
	})
}
