package main

import (
	"bytes"
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
func (d *doctor) machine() {
	d.identity()
	d.directory("workdir", d.o.workDir, d.o.failIfWorkDirMissing)
	d.directory("tmp", os.TempDir(), true)
	d.tools()
	d.limits("/sys/fs/cgroup")
	d.java()
	d.aws(os.Getenv)
}

func (d *doctor) identity() {
	groups, _ := os.Getgroups()
	name := "without an entry in /etc/passwd"
	if u, err := user.LookupId(strconv.Itoa(os.Getuid())); err == nil {
		name = u.Username
	}
	d.ok("user", "uid %d (%s), gid %d, groups %v, umask %03o", os.Getuid(), name, os.Getgid(), groups, umask())
	home := os.Getenv("HOME")
	if home == "" {
		d.say(levelWarn, "home", "set HOME to a directory that this user may write to", "HOME is not set: git, ssh and npm want one")
	} else if unix.Access(home, unix.W_OK) != nil {
		d.say(levelWarn, "home", "set HOME to a directory that this user may write to, such as the work directory", "HOME %s can't be written to", home)
	}
}

func umask() int {
	old := syscall.Umask(0o077)
	syscall.Umask(old)
	return old
}

// Below these a build will end for lack of space, or soon.
const (
	spaceFail = 100 << 20
	spaceWarn = 1 << 30
)

func (d *doctor) directory(check, dir string, mustExist bool) {
	if dir == "" {
		d.say(levelWarn, check, "give -workDir, or set JENKINS_AGENT_WORKDIR", "there is no work directory: no log files, no routes to other containers")
		return
	}
	path := dir
	fi, err := os.Stat(path)
	for ; os.IsNotExist(err) && !mustExist && filepath.Dir(path) != path; fi, err = os.Stat(path) {
		path = filepath.Dir(path) // the agent makes what is missing below it
	}
	switch {
	case err != nil:
		d.say(levelFail, check, "make it, or mount a volume there", "%v", err)
		return
	case !fi.IsDir():
		d.say(levelFail, check, "", "%s is no directory", path)
		return
	}
	owner := ""
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		owner = " uid " + strconv.Itoa(int(st.Uid)) + " gid " + strconv.Itoa(int(st.Gid))
	}
	if unix.Access(path, unix.R_OK|unix.W_OK|unix.X_OK) != nil {
		d.say(levelFail, check, "set fsGroup in the pod's securityContext to a group of the agent, or chown it", "%s (%s%s) is not to be written by uid %d", path, fi.Mode(), owner, os.Getuid())
		return
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		d.say(levelWarn, check, "", "%s: %v", path, err)
		return
	}
	free := int64(fs.Bavail) * fs.Bsize
	level, remedy := levelOK, ""
	switch {
	case free < spaceFail:
		level, remedy = levelFail, "make room, or use a larger volume"
	case free < spaceWarn:
		level, remedy = levelWarn, "make room, or use a larger volume"
	case fs.Files > 0 && fs.Ffree < 1000:
		level, remedy = levelFail, "there is space but no inode left: remove small files"
	case fs.Flags&unix.ST_NOEXEC != 0:
		level, remedy = levelWarn, "mounted noexec: tools that builds install there do not start"
	}
	d.say(level, check, remedy, "%s (%s%s), %d MB free", path, fi.Mode(), owner, free>>20)
}

// durable are the programs that a durable `sh` step of Jenkins starts itself.
var durable = []string{"sh", "nohup", "cp", "mv", "touch", "sleep", "cat", "ps"}

func (d *doctor) tools() {
	missing := func(names ...string) []string {
		return slices.DeleteFunc(names, func(n string) bool { _, err := exec.LookPath(n); return err == nil })
	}
	lost := missing(slices.Clone(durable)...)
	switch {
	case slices.Contains(lost, "sh"):
		d.say(levelWarn, "shell", "steps need container(…) with a shell, or jenkins-shell beside this program", "there is no sh on PATH %s", os.Getenv("PATH"))
	case len(lost) > 0:
		d.say(levelWarn, "shell", "install busybox or coreutils and procps", "sh steps may miss %s", strings.Join(lost, ", "))
	default:
		d.ok("shell", "sh and what its steps need are there")
	}
	if lost := missing("git", "ssh", "tar"); len(lost) > 0 {
		d.say(levelWarn, "tools", "checkout needs git; use the image footman/agent, or check out in another container", "not on PATH: %s", strings.Join(lost, ", "))
	} else {
		d.ok("tools", "git, ssh and tar are there")
	}
}

// limits reads cgroup v2 as the container sees it.
func (d *doctor) limits(dir string) {
	read := func(f string) string {
		b, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			return ""
		}
		return string(bytes.TrimSpace(b))
	}
	limit, err := strconv.ParseInt(read("memory.max"), 10, 64)
	if err == nil && limit < 24<<20 {
		d.say(levelWarn, "memory", "24 MiB are enough for the agent; builds come on top", "the limit is %d MiB", limit>>20)
	} else if err == nil {
		d.ok("memory", "the limit is %d MiB, for the agent and what builds start beside it", limit>>20)
	} else {
		d.ok("memory", "no limit is to be seen")
	}
	for line := range strings.Lines(read("memory.events")) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && n != "0" {
			d.say(levelWarn, "memory", "raise the limit of this container", "the kernel has killed %s processes here for memory", n)
		}
	}
	if n, err := strconv.Atoi(read("pids.max")); err == nil && n < 128 {
		d.say(levelWarn, "pids", "raise the limit of processes", "only %d processes and threads are allowed", n)
	}
}

func (d *doctor) java() {
	if d.o.companion == "off" {
		d.ok("java", "the companion is off: what is not native is refused")
		return
	}
	for _, p := range []string{os.Getenv("JENKINS_JAVA_BIN"), filepath.Join(os.Getenv("JAVA_HOME"), "bin/java"), "java"} {
		if p == "" || p == "bin/java" {
			continue
		}
		if path, err := exec.LookPath(p); err == nil {
			d.ok("java", "the companion would use %s", path)
			return
		}
	}
	d.ok("java", "there is none: what is not native is refused (jenkins-agent callables lists what is)")
}

func (d *doctor) aws(getenv func(string) string) {
	f, role := getenv("AWS_WEB_IDENTITY_TOKEN_FILE"), getenv("AWS_ROLE_ARN")
	switch {
	case f == "" && role == "":
	case f == "" || role == "":
		d.say(levelWarn, "aws", "both come from the service account's annotation eks.amazonaws.com/role-arn", "only one of AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE is set")
	default:
		if _, err := os.ReadFile(f); err != nil {
			d.say(levelFail, "aws", "set fsGroup in the pod's securityContext: the token is readable to that group only", "%v", err)
		} else {
			d.ok("aws", "%s by web identity; more: jenkins-agent awsauth doctor", role)
		}
	}
}
