package localpod

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// initVariable marks a program that is to become a container.
const initVariable = "LOCALPOD_INIT"

// Init turns the process into the container that it was started for, and returns
// otherwise. It has to come before everything else.
func Init() {
	if os.Getenv(initVariable) == "" {
		return
	}
	runtime.LockOSThread() // capabilities are a thread's
	err := becomeContainer()
	fmt.Fprintln(os.Stderr, "localpod:", err)
	os.Exit(128) // as a runtime that can't start a container
}

func becomeContainer() error {
	var s setup
	in := os.NewFile(3, "setup")
	if err := json.NewDecoder(in).Decode(&s); err != nil {
		return fmt.Errorf("what to become: %w", err)
	}
	in.Close()
	root := filepath.Join(s.Layer, "root")
	if err := s.mountAll(root); err != nil {
		return err
	}
	if err := pivot(root); err != nil {
		return err
	}
	if s.Dir == "" {
		s.Dir = "/"
	}
	if err := s.dropRights(); err != nil {
		return err
	}
	if err := os.Chdir(s.Dir); err != nil {
		return err
	}
	os.Clearenv()
	for _, kv := range s.Env {
		for i := range kv {
			if kv[i] == '=' {
				os.Setenv(kv[:i], kv[i+1:])
				break
			}
		}
	}
	program, err := exec.LookPath(s.Argv[0])
	if err != nil {
		return err
	}
	unix.Umask(0o022)
	// A change of user has undone the one that we were started with.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", program, syscall.Exec(program, s.Argv, s.Env))
}

// mountAll puts the container's file system together at root.
func (s *setup) mountAll(root string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	layers := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", s.Root, filepath.Join(s.Layer, "upper"), filepath.Join(s.Layer, "work"))
	if err := unix.Mount("overlay", root, "overlay", 0, layers); err != nil {
		return fmt.Errorf("overlay of %s: %w", s.Root, err)
	}
	binds := append([]mount{{"/dev", "/dev", false}, {"/sys", "/sys", true}, {"/etc/resolv.conf", "/etc/resolv.conf", true},
		{"/etc/hosts", "/etc/hosts", true}}, s.Mounts...)
	for _, d := range []string{"proc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", filepath.Join(root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if s.Dir != "" {
		if err := os.MkdirAll(filepath.Join(root, s.Dir), 0o755); err != nil { // the runtime does so
			return err
		}
	}
	for _, m := range binds {
		if err := bind(m, filepath.Join(root, m.Target)); err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
	}
	if s.ReadOnly {
		if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("read-only root: %w", err)
		}
	}
	return nil
}

func bind(m mount, target string) error {
	st, err := os.Stat(m.Source)
	if err != nil {
		return err
	}
	if st.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var f *os.File
		if f, err = os.OpenFile(target, os.O_CREATE, 0o644); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(m.Source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if m.ReadOnly {
		return unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
	}
	return nil
}

// pivot makes root the root, and the machine's file system unreachable.
func pivot(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("the old root: %w", err)
	}
	return os.Chdir("/")
}

// What root in a container has left, with every common runtime.
var defaultCapabilities = []uintptr{unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD, unix.CAP_NET_RAW,
	unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP, unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE}

func (s *setup) dropRights() error {
	keep := map[uintptr]bool{}
	if !s.NoCapabilities {
		for _, c := range defaultCapabilities {
			keep[c] = true
		}
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP && !s.Privileged; c++ {
		if !keep[c] {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL { // EINVAL: an older kernel
				return fmt.Errorf("capability %d: %w", c, err)
			}
		}
	}
	groups := []int{}
	for _, g := range s.Groups {
		groups = append(groups, int(g))
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	if err := syscall.Setgid(int(s.Group)); err != nil {
		return fmt.Errorf("group: %w", err)
	}
	if err := syscall.Setuid(int(s.User)); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	if s.NoNewPrivs {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("no_new_privs: %w", err)
		}
	}
	return nil
}
