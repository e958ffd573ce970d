//go:build !linux

package exec

import "syscall"

// waiter does nothing here: os.Process.Wait blocks a thread.
type waiter struct{}

func prepareWait(*syscall.SysProcAttr) waiter { return waiter{} }

func withoutPidFD(*syscall.SysProcAttr) bool { return false }
func (waiter) wait()                         {}
func (waiter) close()                        {}

func raiseOOMScore(int, *int) {}
