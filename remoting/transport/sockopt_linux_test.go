package transport

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestSocketOptions(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for _, noKeepAlive := range []bool{false, true} {
		d := &netDialer{timeout: 5 * time.Second, noKeepAlive: noKeepAlive}
		conn, err := d.direct(t.Context(), l.Addr().String())
		require.NoError(t, err)
		raw, err := conn.(*net.TCPConn).SyscallConn()
		require.NoError(t, err)
		get := func(level, option int) (v int) {
			require.NoError(t, raw.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, option) }))
			require.NoError(t, err)
			return v
		}
		require.Equal(t, 75000, get(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT), "milliseconds")
		require.Equal(t, 1, get(unix.IPPROTO_TCP, unix.TCP_NODELAY))
		if noKeepAlive {
			require.Zero(t, get(unix.SOL_SOCKET, unix.SO_KEEPALIVE))
		} else {
			require.Equal(t, 1, get(unix.SOL_SOCKET, unix.SO_KEEPALIVE))
			require.Equal(t, 15, get(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE), "seconds")
			require.Equal(t, 15, get(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL))
		}
		conn.Close()
	}
}
