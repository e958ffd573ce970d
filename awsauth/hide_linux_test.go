package awsauth

import (
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHideMemory(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	HideMemory()
	const prGetDumpable, prSetDumpable = 3, 4
	r, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, prGetDumpable, 0, 0)
	require.Zero(t, r, "no core file, no reading of our memory by others")
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 1, 0)
}
