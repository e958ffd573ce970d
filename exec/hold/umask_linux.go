package hold

import (
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// ShareUmask sets a umask of 002 where a group owns the volume on purpose: it is
// set-group-id or group-writable (a fsGroup), and the group is one of ours. What
// commands make can be changed and removed by the agent's user then.
func (h *Hold) ShareUmask() { ShareUmask(h.Place.Root) }

// ShareUmask is for every program that makes files in the volume root, the agent
// too. It reports whether the umask is 002 now. It is the process's, so call it
// at the start.
func ShareUmask(root string) bool {
	var st unix.Stat_t
	if unix.Stat(root, &st) != nil || st.Mode&(unix.S_ISGID|unix.S_IWGRP) == 0 || st.Gid == 0 {
		return false
	}
	groups, _ := os.Getgroups()
	if os.Geteuid() != 0 && os.Getegid() != int(st.Gid) && !slices.Contains(groups, int(st.Gid)) {
		return false
	}
	old := syscall.Umask(0o002)
	if old&0o070 == 0 && old != 0o002 { // more generous already
		syscall.Umask(old)
	}
	return true
}
