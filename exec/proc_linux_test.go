package exec

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Where CLONE_PIDFD is unknown the start is tried again without, once, and
// waiting for the end is left to wait4.
func TestWithoutPidFD(t *testing.T) {
	var attr syscall.SysProcAttr
	w := prepareWait(&attr)
	require.NotNil(t, attr.PidFD)
	require.True(t, withoutPidFD(&attr))
	require.Nil(t, attr.PidFD)
	require.False(t, withoutPidFD(&attr), "an EINVAL of something else is an error")
	w.wait()
	w.close()
}
