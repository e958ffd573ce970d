package hold

import (
	"runtime"
	"syscall"
	"unsafe"
)

// lockThread ties the goroutine to a thread that ends with it.
func lockThread() { runtime.LockOSThread() }

// setThreadUser changes the user of this thread alone, which the kernel can do
// and package syscall, rightly, does not.
func setThreadUser(uid, gid int, groups []int) error {
	raw := make([]uint32, len(groups)+1)
	for i, g := range groups {
		raw[i] = uint32(g)
	}
	for _, c := range [][4]uintptr{
		{syscall.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&raw[0])), 0},
		{syscall.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, no := syscall.RawSyscall(c[0], c[1], c[2], c[3]); no != 0 {
			return no
		}
	}
	return nil
}
