package awsauth

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// Share says who besides the agent may read the files.
type Share string

// The ways to share. Auto takes group where one fits, else world in a pod.
//
// World-readable sounds wrong for keys and is right where no fsGroup exists: an
// emptyDir is visible to its pod alone, and a file of mode 0600 that another
// uid meets does not make the AWS CLI ask STS, it makes the CLI die. The files
// are writable to the same readers because CLI v2 writes in place when it must
// refresh by itself. With fsGroup in the pod's securityContext nothing is
// opened to the world.
const (
	ShareAuto  Share = "auto"
	ShareGroup Share = "group" // 02770, 0660
	ShareWorld Share = "world" // 0777, 0666
	ShareOwner Share = "owner" // 0700, 0600
)

// ParseShare reads a Share or "gid:N".
func ParseShare(s string) (Share, int, error) {
	switch Share(s) {
	case "", ShareAuto:
		return ShareAuto, -1, nil
	case ShareGroup, ShareWorld, ShareOwner:
		return Share(s), -1, nil
	}
	gid, ok := 0, false
	if n, found := strings.CutPrefix(s, "gid:"); found {
		gid, ok = pythonInt(n)
	}
	if !ok || gid < 0 {
		return "", -1, fmt.Errorf("awsauth: share %q: use auto, group, world, owner or gid:NUMBER", s)
	}
	return ShareGroup, gid, nil
}

// access is a Share worked out for one directory.
type access struct {
	share Share
	gid   int // -1: leave the group as it is
	why   string
}

func (a access) dirMode() fs.FileMode {
	switch a.share {
	case ShareGroup:
		return 0o770 | fs.ModeSetgid
	case ShareWorld:
		return 0o777
	}
	return 0o700
}

func (a access) fileMode() fs.FileMode {
	switch a.share {
	case ShareGroup:
		return 0o660
	case ShareWorld:
		return 0o666
	}
	return 0o600
}

// decide works out the access for the directory st describes. A group fits when
// the directory says so by its set-group-id bit, which kubelet sets together
// with the fsGroup, and when we may give files to that group.
func decide(want Share, gid int, st fs.FileInfo, env Env) access {
	sys, _ := st.Sys().(*syscall.Stat_t)
	dirGID := -1
	if sys != nil {
		dirGID = int(sys.Gid)
	}
	mine := func(g int) bool {
		if os.Geteuid() == 0 || g == os.Getegid() {
			return true
		}
		groups, _ := os.Getgroups()
		return slices.Contains(groups, g)
	}
	switch want {
	case ShareGroup:
		if gid < 0 {
			gid = dirGID
		}
		return access{ShareGroup, gid, "asked for"}
	case ShareWorld, ShareOwner:
		return access{want, -1, "asked for"}
	}
	inPod := env("KUBERNETES_SERVICE_HOST") != "" || env("ECS_CONTAINER_METADATA_URI_V4") != ""
	switch {
	case st.Mode()&fs.ModeSetgid != 0 && dirGID > 0 && mine(dirGID):
		return access{ShareGroup, dirGID, "the directory's group is the pod's fsGroup"}
	case os.Geteuid() != 0 && !inPod && st.Mode().Perm()&0o002 == 0:
		return access{ShareOwner, -1, "not in a pod"}
	}
	return access{ShareWorld, -1, "no fsGroup; set one to keep the files from other uids"}
}
