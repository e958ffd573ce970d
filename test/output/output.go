// Package output has the buffer that the tests let processes and loggers write to:
//
//	process, slog ── Write ──▶ Buffer ── String ──▶ test, while it still grows
package output

import (
	"bytes"
	"sync"
)

// Buffer collects output. Its zero value is empty; all methods are safe from
// any goroutine.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (o *Buffer) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

// String is what has been written so far.
func (o *Buffer) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
