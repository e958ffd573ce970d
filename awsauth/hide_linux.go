package awsauth

import "syscall"

// HideMemory makes the process undumpable, so that neither a core file nor
// another process of the same uid shows the keys it holds. It is for processes
// that do nothing but keep credentials: an agent that runs builds must not
// change what its children may do.
func HideMemory() {
	const prSetDumpable = 4
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0)
}
