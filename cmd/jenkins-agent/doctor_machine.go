package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// machine looks at what the agent has around it.
func (d *doctor) machine(ctx context.Context) {
	_, err := user.LookupId(strconv.Itoa(os.Getuid()))
	d.user(err == nil)
	d.home(os.Getenv("HOME"))
	d.workDir()
	d.directory("tmp", os.TempDir(), true)
	d.tools()
	d.limits("/")
	d.java(ctx)
	d.aws(os.Getenv)
}

func (d *doctor) user(known bool) {
	groups, _ := os.Getgroups()
	text := fmt.Sprintf("uid %d, gid %d, groups %v, umask %03o", os.Getuid(), os.Getgid(), groups, umask())
	if !known {
		d.warn("user", "use a uid that is in the image's /etc/passwd (1000 in ours), or mount one that has it", "%s: without a line in /etc/passwd ssh refuses to work, and git wants user.name and user.email", text)
		return
	}
	d.ok("user", "%s", text)
}

func (d *doctor) home(dir string) {
	remedy := "set HOME to a directory that this user may write to, such as the work directory"
	switch {
	case dir == "":
		d.warn("home", remedy, "HOME is not set: git, ssh, docker and npm want one")
	case dir == "/" && os.Getuid() != 0:
		d.warn("home", remedy, "HOME is /, as for a uid without a line in /etc/passwd")
	case writable(dir) != nil:
		d.warn("home", remedy, "HOME %s can't be written to: %v", dir, writable(dir))
	default:
		d.ok("home", "%s can be written to", dir)
	}
}

func umask() int {
	old := syscall.Umask(0o077)
	syscall.Umask(old)
	return old
}

// writable makes a file in a directory, which asks more than permissions: quota,
// read-only mounts, NFS that maps root to nobody.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".jenkins-agent-doctor-*")
	if err != nil {
		var path *os.PathError
		if errors.As(err, &path) {
			return path.Err
		}
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Below these a build will end for lack of space, or soon.
const (
	spaceFail  = 100 << 20
	spaceWarn  = 1 << 30
	inodesFail = 1000
)

func (d *doctor) workDir() {
	if d.o.workDir == "" {
		d.warn("workdir", "give -workDir, or set JENKINS_AGENT_WORKDIR", "there is no work directory: no log files, no routes to other containers")
		return
	}
	d.directory("workdir", d.o.workDir, d.o.failIfWorkDirMissing)
	internal := filepath.Join(d.o.workDir, d.o.internalDir)
	for _, dir := range []string{internal, filepath.Join(internal, "logs"), filepath.Join(internal, "jarCache")} {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() && writable(dir) != nil {
			d.fail("workdir", fmt.Sprintf("an agent with another user made it: remove it, or chown -R %d it", os.Getuid()), "%s (%s) is not to be written by uid %d: %v", dir, ownership(fi), os.Getuid(), writable(dir))
			break
		}
	}
}

// directory looks at a directory, or at the first above it that exists where it
// may be made.
func (d *doctor) directory(check, dir string, mustExist bool) {
	path := dir
	fi, err := os.Stat(path)
	for ; os.IsNotExist(err) && !mustExist && filepath.Dir(path) != path; fi, err = os.Stat(path) {
		path = filepath.Dir(path) // the agent makes what is missing below it
	}
	switch {
	case err != nil:
		d.fail(check, "make it, or mount a volume there", "%v", err)
		return
	case !fi.IsDir():
		d.fail(check, "name a directory", "%s is no directory", path)
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		d.warn(check, "is the volume there still? mount it again", "%s: %v", path, err)
		return
	}
	text := fmt.Sprintf("%s (%s", path, ownership(fi))
	if gid, ok := shared(fi); ok {
		text += fmt.Sprintf(", shared by the group %d as with fsGroup", gid)
	}
	text += ")"
	switch err := writable(path); {
	case err == nil && unix.Access(path, unix.R_OK|unix.X_OK) == nil:
	case fs.Flags&unix.ST_RDONLY != 0:
		d.fail(check, "mount a volume there that may be written to (an emptyDir, with readOnlyRootFilesystem)", "%s is mounted read-only", text)
		return
	case errorIs(err, unix.ENOSPC, unix.EDQUOT):
		d.fail(check, "make room, or use a larger volume", "%s: %v", text, err)
		return
	default:
		d.fail(check, "set fsGroup in the pod's securityContext to a group of the agent, or chown it", "%s is not to be written by uid %d with the groups %v: %v", text, os.Getuid(), groupsOf(), err)
		return
	}
	free := int64(fs.Bavail) * int64(fs.Bsize)
	text += fmt.Sprintf(", %d MB free", free>>20)
	switch {
	case free < spaceFail:
		d.fail(check, "make room, or use a larger volume", "%s", text)
	case fs.Files > 0 && fs.Ffree < inodesFail:
		d.fail(check, "there is space, but hardly an inode: remove small files, or use another file system", "%s, %d inodes free", text, fs.Ffree)
	case free < spaceWarn:
		d.warn(check, "make room, or use a larger volume", "%s", text)
	case fs.Flags&unix.ST_NOEXEC != 0:
		d.warn(check, "mount it without noexec: tools and scripts that builds put there do not start", "%s, mounted noexec", text)
	case fs.Type == unix.TMPFS_MAGIC:
		d.ok(check, "%s, in memory: what it holds counts for the container's limit", text)
	default:
		d.ok(check, "%s", text)
	}
}

func ownership(fi os.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fi.Mode().String()
	}
	return fmt.Sprintf("%s uid %d gid %d", fi.Mode(), st.Uid, st.Gid)
}

// shared is the rule of shareWithGroup: a supplementary group of ours owns the
// directory and may write to it.
func shared(fi os.FileInfo) (gid int, ok bool) {
	st, isStat := fi.Sys().(*syscall.Stat_t)
	if !isStat || fi.Mode()&0o020 == 0 || int(st.Gid) == os.Getegid() {
		return 0, false
	}
	groups, _ := os.Getgroups()
	return int(st.Gid), slices.Contains(groups, int(st.Gid))
}

func groupsOf() []int {
	groups, _ := os.Getgroups()
	return append([]int{os.Getgid()}, groups...)
}

// durable are the programs that a durable `sh` step of Jenkins starts itself.
var durable = []string{"sh", "nohup", "cp", "mv", "touch", "sleep", "cat", "ps"}

// wanted are what checkouts, tools and stashes of builds start; the agent
// itself needs none of them.
var wanted = []string{"git", "ssh", "tar"}

func (d *doctor) tools() {
	missing := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { _, err := exec.LookPath(n); return err == nil })
	}
	lost := missing(durable)
	switch {
	case slices.Contains(lost, "sh"):
		d.warn("shell", "run steps in container(…) with a shell, or put jenkins-shell beside this program", "there is no sh on PATH %s", os.Getenv("PATH"))
	case len(lost) > 0:
		d.warn("shell", "install busybox or coreutils and procps", "sh steps may miss %s", strings.Join(lost, ", "))
	default:
		d.ok("shell", "sh and what its steps need are there")
	}
	if lost := missing(wanted); len(lost) > 0 {
		d.warn("tools", "checkout needs git, and ssh for git@ URLs: use the image footman/agent, or check out in another container", "not on PATH: %s", strings.Join(lost, ", "))
	} else {
		d.ok("tools", "%s are there", strings.Join(wanted, ", "))
	}
}
