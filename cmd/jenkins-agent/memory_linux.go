package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStartup gives back what coming online took: garbage, and the parts of
// the program file that only the start used (TLS, HTTP, the command line). They
// stay in the page cache and come back page by page when they are needed; the
// kernel maps in whole neighbourhoods, so half of an idle agent's memory is
// program text that nobody runs.
func forgetStartup() {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to uintptr
		var perm string
		// Only what can't have been written to: the file has the same bytes.
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &perm); err != nil ||
			!strings.HasSuffix(lines.Text(), exe) || perm != "r-xp" && perm != "r--p" {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED) // advice
	}
}
