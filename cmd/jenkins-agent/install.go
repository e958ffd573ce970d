package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/exec/hold"
)

// What install puts into a directory. The shell is a program of its own and
// goes along when it is beside us.
const (
	installedName = "footman"
	installedLink = "jenkins-agent"
	shellProgram  = "jenkins-shell"
)

// installCommand copies this program into a volume that other containers mount.
func installCommand() *cli.Command {
	return &cli.Command{
		Name:      "install",
		Usage:     "copy this program into a directory, for the other containers of the pod",
		UsageText: "jenkins-agent install DIR",
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 || c.Args().First() == "" {
				return usagef("install: to which directory? usage: jenkins-agent install DIR")
			}
			return install(c.Args().First(), c.App.Writer)
		},
	}
}

func install(dir string, out io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("install: who am I? %w", err)
	}
	if p := (hold.Place{Root: filepath.Dir(filepath.Clean(dir))}); p.Dir() == filepath.Clean(dir) {
		// The directory of the sockets: holds of other users make theirs in it.
		err = p.MakeDir()
	} else {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("install: %w", err)
	}
	// /proc/self/exe is this very program even when its file was replaced.
	if err := installFile("/proc/self/exe", filepath.Join(dir, installedName)); err != nil {
		if err = installFile(exe, filepath.Join(dir, installedName)); err != nil {
			return fmt.Errorf("install: %w", err)
		}
	}
	if err := installSymlink(installedName, filepath.Join(dir, installedLink)); err != nil {
		return fmt.Errorf("install: %w", err)
	}
	shell := filepath.Join(filepath.Dir(exe), shellProgram)
	if err := installFile(shell, filepath.Join(dir, shellProgram)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("install: %w", err)
	}
	_, err = fmt.Fprintln(out, filepath.Join(dir, installedLink))
	return err
}

// installFile copies by way of a temporary name: whoever starts the program
// meanwhile gets the old one or the new one.
func installFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	tmp, err := os.CreateTemp(filepath.Dir(to), ".install-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, src)
	// The volume is shared by users that may differ: executable to all.
	err = errors.Join(err, tmp.Chmod(0o755), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), to)
}

func installSymlink(target, path string) error {
	tmp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	_ = os.Remove(tmp)
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return nil
}
