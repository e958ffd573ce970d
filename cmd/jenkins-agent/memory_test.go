package main

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGCPercent(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{
		{0, 100},
		{500 << 10, 100},
		{2 << 20, 100},
		{5 << 19, 60}, // 2.5 MiB: collected at 4
		{3 << 20, 40}, // at 4.2
		{4 << 20, 40},
		{1 << 40, 40},
	} {
		require.InDelta(t, tt.want, gcPercent(tt.live), 1, "%d bytes", tt.live)
	}
}

func TestAfterCollection(t *testing.T) {
	calls := make(chan struct{}, 1)
	afterCollection(func() {
		select {
		case calls <- struct{}{}:
		default: // after the test
		}
	})
	for range 3 {
		runtime.GC()
		select {
		case <-calls:
		case <-time.After(10 * time.Second):
			t.Fatal("a collection went unnoticed")
		}
	}
}
