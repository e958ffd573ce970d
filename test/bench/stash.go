package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"time"
)

// stash measures FilePath$Archive and FilePath$UntarRemote, as the steps stash
// and unstash send them, with one big file: half text, half noise.
func (b *bench) stash(ctx context.Context, a *agent) error {
	dir := filepath.Join(a.node.RemoteFS(), "stash")
	size := b.s.stash * 1e6
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "big"), halfText(size), 0o644); err != nil {
		return err
	}
	var packed bytes.Buffer
	timed := func(row string, run func() error) error {
		return b.cpu(a, row+" cpu", func() (float64, error) {
			start := time.Now()
			if err := run(); err != nil {
				return 0, err
			}
			b.r[row] = float64(size) / 1e6 / time.Since(start).Seconds()
			return float64(size) / 1e8, nil
		})
	}
	if err := timed("stash", func() error {
		n, err := a.node.Stash(ctx, dir, "**", &packed)
		if err == nil && n != 1 {
			err = fmt.Errorf("stash: %d files instead of one", n)
		}
		return err
	}); err != nil {
		return err
	}
	back := dir + "-back"
	if err := timed("unstash", func() error { return a.node.Unstash(ctx, back, &packed) }); err != nil {
		return err
	}
	info, err := os.Stat(filepath.Join(back, "big"))
	if err != nil {
		return err
	}
	if info.Size() != int64(size) {
		return fmt.Errorf("unstash: %d bytes instead of %d", info.Size(), size)
	}
	if err := a.node.DeleteRecursive(ctx, back); err != nil {
		return err
	}
	return a.node.DeleteRecursive(ctx, dir)
}

// halfText is like a build's output: lines of source, then what does not
// compress.
func halfText(size int) []byte {
	r := rand.New(rand.NewSource(1))
	var t bytes.Buffer
	for t.Len() < size/2 {
		fmt.Fprintf(&t, "func f%d(x%d int) error { return call(%q, x%d) }\n", r.Intn(5000), r.Intn(50), fmt.Sprint(r.Int63()), r.Intn(50))
	}
	t.Truncate(size / 2)
	noise := make([]byte, size-size/2)
	r.Read(noise)
	return append(t.Bytes(), noise...)
}
