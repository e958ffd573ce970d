//go:build !linux

package hold

import (
	"errors"
	"os"
	"time"
)

// LockAgent is for Linux: pods run nowhere else.
func (p Place) LockAgent(time.Duration) (*os.File, error) { return nil, errors.ErrUnsupported }
