//go:build !linux

package exec

import "context"

// Reap needs Linux's /proc.
func Reap() (int, error) { return 0, ErrNoProcessTree }

// ReapUntil returns at once.
func ReapUntil(_ context.Context, reaped func(int, error)) {
	if reaped != nil {
		reaped(0, ErrNoProcessTree)
	}
}
