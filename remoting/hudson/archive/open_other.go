//go:build !unix

package archive

import "os"

const nonblock = 0

func openNonblock(path string, _ bool) (*os.File, error) { return os.Open(path) }
