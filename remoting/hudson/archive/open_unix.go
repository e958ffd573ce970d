//go:build unix

package archive

import (
	"os"
	"syscall"
)

// nonblock keeps an open of a FIFO from waiting for its other end.
const nonblock = syscall.O_NONBLOCK

func openNonblock(path string, noFollow bool) (*os.File, error) {
	flags := os.O_RDONLY | nonblock
	if noFollow {
		flags |= syscall.O_NOFOLLOW
	}
	return os.OpenFile(path, flags, 0)
}
