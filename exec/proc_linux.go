package exec

import (
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// waiter waits for the end of a process through its pidfd, parked in the
// netpoller; a blocking wait would cost a thread for every running process.
type waiter struct{ fd *int }

// prepareWait asks the start for a pidfd (Linux 5.4; -1 before).
func prepareWait(attr *syscall.SysProcAttr) waiter {
	fd := -1
	attr.PidFD = &fd
	return waiter{&fd}
}

// withoutPidFD takes the wish for a pidfd back and reports whether there was one:
// where CLONE_PIDFD is unknown (qemu's user emulation), the start fails with
// EINVAL for it.
func withoutPidFD(attr *syscall.SysProcAttr) bool {
	had := attr.PidFD != nil
	attr.PidFD = nil
	return had
}

// wait returns when the process has ended, or at once when that cannot be
// learned this way; the status is still to be taken.
func (w waiter) wait() {
	if *w.fd < 0 || syscall.SetNonblock(*w.fd, true) != nil {
		return
	}
	f := os.NewFile(uintptr(*w.fd), "pidfd")
	*w.fd = -1
	defer f.Close()
	rc, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = rc.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		return n > 0 || err != nil && err != unix.EINTR && err != unix.EAGAIN
	})
}

func (w waiter) close() {
	if *w.fd >= 0 {
		syscall.Close(*w.fd)
		*w.fd = -1
	}
}

func raiseOOMScore(pid int, adj *int) {
	score := 0
	if adj != nil {
		score = *adj
	} else {
		b, err := os.ReadFile("/proc/self/oom_score_adj")
		if err != nil {
			return
		}
		own, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return
		}
		score = min(own+OOMRaise, 1000)
	}
	// The process is not waited for yet, so the pid is still its own.
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(strconv.Itoa(score)), 0)
}
