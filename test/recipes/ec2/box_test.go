package ec2

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// boxScript becomes PID 1 of the box. $1 is an empty directory, $2 a cgroup.
// What would reach beyond the namespaces (module loading, sysctls, udev) is
// read-only or masked.
const boxScript = `
set -eu
if [ -n "$2" ]; then
	echo $$ >"$2/cgroup.procs"
	exec unshare -C sh -euc "$0" "$0" "$1" ""
fi
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for d in null zero full random urandom tty; do
	touch "dev/$d"
	mount --bind "/dev/$d" "dev/$d"
done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mkdir -p box
mount --bind "$BOX_SHARE" box
ip link set lo up
ip address add 169.254.169.254/32 dev lo
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires etc/systemd/network
for unit in systemd-sysctl systemd-modules-load systemd-udevd systemd-udev-trigger systemd-remount-fs \
	systemd-binfmt systemd-firstboot systemd-hwdb-update systemd-random-seed systemd-logind cron dbus; do
	ln -sf /dev/null "etc/systemd/system/$unit.service"
done
for unit in systemd-udevd-kernel.socket systemd-udevd-control.socket proc-sys-fs-binfmt_misc.automount \
	dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount sys-kernel-config.mount; do
	ln -sf /dev/null "etc/systemd/system/$unit"
done
printf '[Unit]\nDescription=an instance of EC2\n' >etc/systemd/system/box.target
: >etc/machine-id
pivot_root . mnt
umount -l mnt
cd /
mount --make-rshared / # as container managers do; credentials of units need it
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=box \
	/lib/systemd/systemd --system --unit=box.target --log-target=journal --log-level=info --show-status=no
`

// box is a machine that runs systemd.
type box struct {
	t     *testing.T
	init  *exec.Cmd
	log   bytes.Buffer
	share string // /box in there
}

// cgroup2 finds where the unified hierarchy is mounted.
func cgroup2() string {
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(dir + "/cgroup.procs"); err == nil {
			if b, _ := os.ReadFile(dir + "/cgroup.controllers"); b != nil {
				return dir
			}
		}
	}
	return ""
}

// not begins the reason of every skip.
const not = "THE RECIPES FOR EC2 ARE NOT RUN HERE: "

// need skips loudly what can't be tested here.
func need(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip(not + "namespaces need root")
	}
	for _, program := range []string{"unshare", "nsenter", "pivot_root", "ip", "curl", "useradd", "systemctl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s%s is missing (Debian: util-linux, iproute2, curl, passwd, systemd)", not, program)
		}
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip(not + "there is no systemd to boot (Debian's package systemd)")
	}
	if cgroup2() == "" {
		t.Skip(not + "there is no cgroup v2 hierarchy")
	}
}

func newBox(t *testing.T, share string) *box {
	b := &box{t: t, share: share}
	group := filepath.Join(cgroup2(), fmt.Sprintf("footman-box-%d", os.Getpid()))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Skipf("%sno cgroup can be made: %v", not, err)
	}
	t.Cleanup(func() { removeGroups(t, group) })
	b.init = exec.Command("sh", "-euc", boxScript, boxScript, t.TempDir(), group)
	b.init.Env = append(os.Environ(), "BOX_SHARE="+share)
	b.init.Stdout, b.init.Stderr = &b.log, &b.log
	b.init.WaitDelay = time.Second
	b.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := b.init.Start(); err != nil {
		t.Skipf("%sno namespaces can be made: %v", not, err)
	}
	t.Cleanup(func() {
		_ = b.init.Process.Kill() // PID 1: everything in there ends with it
		_ = b.init.Wait()
		if t.Failed() {
			t.Log("the console of the box:\n" + b.log.String())
		}
	})
	deadline := time.Now().Add(60 * time.Second)
	for {
		out, err := b.command("systemctl", "is-system-running").CombinedOutput()
		if state := strings.TrimSpace(string(out)); state == "running" || state == "degraded" {
			return b
		}
		if time.Now().After(deadline) {
			// Nothing of ours is in there yet: it is the machine.
			_ = b.init.Process.Kill()
			_ = b.init.Wait()
			t.Skipf("%ssystemd does not come up in namespaces: %s %v\n%s", not, out, err, b.log.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// command runs in the box.
func (b *box) command(name string, args ...string) *exec.Cmd {
	c := exec.Command("nsenter", append([]string{"-t", strconv.Itoa(b.init.Process.Pid), "-m", "-p", "-n", "-u", "-i", "-C", "--root", "--wdns=/", "--", name}, args...)...)
	c.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb"}
	return c
}

// removeGroups takes the box's cgroups away, once its processes are.
func removeGroups(t *testing.T, dir string) {
	require.Eventually(t, func() bool {
		var dirs []string
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		for i := len(dirs) - 1; i >= 0; i-- {
			_ = syscall.Rmdir(dirs[i])
		}
		_, err := os.Stat(dir)
		return os.IsNotExist(err)
	}, 20*time.Second, 50*time.Millisecond)
}

// insideVariable says which part of TestInside is wanted.
const insideVariable = "EC2_BOX"

// TestInstance boots an instance for each way to make one.
func TestInstance(t *testing.T) {
	need(t)
	share := t.TempDir()
	require.NoError(t, os.Chmod(share, 0o755))
	build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-trimpath", "-ldflags=-s -w", "-o", share+"/jenkins-agent", "./cmd/jenkins-agent")
	build.Dir = "../../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	for _, f := range []string{"images/ec2/user-data.sh", "images/ec2/cloud-init.yaml", "images/ec2/jenkins-agent.service", "docs/ec2.md"} {
		b, err := os.ReadFile(filepath.Join("../../..", f))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(share, filepath.Base(f)), b, 0o644))
	}
	self, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(share+"/test", b, 0o755))

	for _, how := range []string{"script", "checksum", "cloud-init"} {
		t.Run(how, func(t *testing.T) {
			if _, err := exec.LookPath("cloud-init"); err != nil && how == "cloud-init" {
				t.Skip("CLOUD-INIT IS MISSING: cloud-init.yaml IS NOT RUN HERE; install Debian's package cloud-init")
			}
			c := newBox(t, share).command("/box/test", "-test.run", "^TestInside$", "-test.v", "-test.timeout", "3m")
			c.Env = append(c.Env, insideVariable+"="+how)
			out, err := c.CombinedOutput()
			t.Logf("%s", out)
			require.NoError(t, err)
			require.Contains(t, string(out), "--- PASS: TestInside")
		})
	}
}
