package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// spec says how to run a container of an image.
type spec struct {
	args     []string // default: the image's entrypoint
	uid, gid int
	groups   []int
	readOnly bool
	caps     []string
	// privileges may grow, as newuidmap's do: no_new_privs is off.
	grow    bool
	env     []string
	volumes []volume
	memory  *memoryLimit // nil for none
	log     io.Writer
}

// volume is a directory or file of this machine inside the container.
type volume struct {
	source, target string
	readOnly       bool
}

// container is one that runs.
type container struct {
	c    *checker
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

type object = map[string]any

// bundle writes the config.json of a container for the OCI runtime. The network
// is this machine's, since the controller is on loopback.
func bundle(dir, root, cgroup string, im *image, s spec) error {
	args := s.args
	if args == nil {
		args = im.config.Entrypoint
	}
	type m = object
	mounts := []m{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}},
		{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{"destination": "/sys", "type": "bind", "source": "/sys", "options": []string{"rbind", "nosuid", "noexec", "nodev", "ro"}},
	}
	if s.readOnly {
		mounts = append(mounts, m{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "nodev", "mode=1777"}})
	}
	for _, v := range s.volumes {
		mode := "rw"
		if v.readOnly {
			mode = "ro"
		}
		mounts = append(mounts, m{"destination": v.target, "type": "bind", "source": v.source, "options": []string{"rbind", mode}})
	}
	user := m{"uid": s.uid, "gid": s.gid}
	if s.groups != nil {
		user["additionalGids"] = s.groups
	}
	caps := m{"bounding": s.caps, "permitted": s.caps, "effective": s.caps}
	if s.uid != 0 {
		caps = m{"bounding": s.caps} // only a program with file capabilities gets them
	}
	linux := m{
		"namespaces":    []m{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}},
		"maskedPaths":   []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"},
		"readonlyPaths": []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
	}
	if cgroup != "" {
		linux["cgroupsPath"] = cgroup
	}
	cwd := im.config.WorkingDir
	if cwd == "" {
		cwd = "/"
	}
	b, err := json.MarshalIndent(m{
		"ociVersion": "1.0.0",
		"hostname":   "footman",
		"root":       m{"path": root, "readonly": s.readOnly},
		"mounts":     mounts,
		"linux":      linux,
		"process": m{"args": args, "cwd": cwd, "env": append(append([]string(nil), im.config.Env...), s.env...), "user": user,
			"capabilities": caps, "noNewPrivileges": !s.grow},
	}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), b, 0o644)
}

// start starts a container. It must be waited for or stopped.
func (c *checker) start(ctx context.Context, im *image, s spec) (*container, error) {
	c.serial++
	k := &container{c: c, name: fmt.Sprintf("footman-check-%d-%d", os.Getpid(), c.serial), done: make(chan struct{})}
	dir := filepath.Join(c.work, k.name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	cgroup := ""
	if s.memory != nil {
		cgroup = s.memory.child(k.name)
	}
	if err := bundle(dir, im.root, cgroup, im, s); err != nil {
		return nil, err
	}
	k.cmd = k.command(ctx, "run", "--bundle", dir, k.name)
	k.cmd.Stdout, k.cmd.Stderr = s.log, s.log
	if err := k.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		k.err = k.cmd.Wait()
		close(k.done)
	}()
	return k, nil
}

func (k *container) command(ctx context.Context, args ...string) *exec.Cmd {
	all := append(append([]string(nil), k.c.crun[1:]...), args...)
	return exec.CommandContext(ctx, k.c.crun[0], all...)
}

// wait waits until the container has ended by itself.
func (k *container) wait() error {
	<-k.done
	return k.err
}

// exec runs a program in the container and returns its output.
func (k *container) exec(ctx context.Context, args ...string) (string, error) {
	out, err := k.command(ctx, append([]string{"exec", k.name}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// stop ends the container as a kubelet does: SIGTERM, and SIGKILL after ten
// seconds, which is an error.
func (k *container) stop() error {
	ctx := context.Background()
	_ = k.command(ctx, "kill", k.name, "TERM").Run()
	select {
	case <-k.done:
		return nil
	case <-time.After(10 * time.Second):
		_ = k.command(ctx, "kill", k.name, "KILL").Run()
		<-k.done
		_ = k.command(ctx, "delete", "--force", k.name).Run()
		return errors.New("the container did not end within 10 s of SIGTERM")
	}
}
