package transport

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// setUserTimeout ends the connection when sent data stays unacknowledged for d.
// Keep-alive probes do not run while data is in flight; without this the kernel
// retransmits for a quarter of an hour.
func setUserTimeout(conn *net.TCPConn, d time.Duration) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
	})
}
