package controller_test

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
)

// Benchmarks of both ends in one process; test/bench measures the agent alone.

func BenchmarkPing(b *testing.B) {
	n, ctx := wsAgent(b, controller.Options{}), deadline(b)
	for b.Loop() {
		require.NoError(b, n.Ping(ctx))
	}
}

func BenchmarkExists(b *testing.B) {
	n, ctx := wsAgent(b, controller.Options{}), deadline(b)
	for b.Loop() {
		_, err := n.Exists(ctx, n.RemoteFS())
		require.NoError(b, err)
	}
}

const pipeSize = 64 << 20

func BenchmarkPipeToAgent(b *testing.B) {
	n, ctx := wsAgent(b, controller.Options{}), deadline(b)
	b.SetBytes(pipeSize)
	for b.Loop() {
		_, err := n.WritePipe(ctx, n.RemoteFS()+"/f", io.LimitReader(zeros{}, pipeSize))
		require.NoError(b, err)
	}
}

func BenchmarkPipeFromAgent(b *testing.B) {
	n, ctx := wsAgent(b, controller.Options{}), deadline(b)
	_, err := n.WritePipe(ctx, n.RemoteFS()+"/f", io.LimitReader(zeros{}, pipeSize))
	require.NoError(b, err)
	b.SetBytes(pipeSize)
	for b.Loop() {
		_, err := n.ReadFile(ctx, n.RemoteFS()+"/f", io.Discard)
		require.NoError(b, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
