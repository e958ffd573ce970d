//go:build unix

package ant

import "syscall"

// readable is File.canRead: access(2) for reading, links followed.
func readable(path string) bool { return syscall.Access(path, 4) == nil }
