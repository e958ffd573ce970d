package shell

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// target is where from goes: into a directory, or to the name itself.
func (a *applet) target(from, to string) string {
	to = a.path(to)
	if st, err := os.Stat(to); err == nil && st.IsDir() {
		return filepath.Join(to, filepath.Base(from))
	}
	return to
}

func cp(a *applet, args []string) error {
	set, args, err := a.flags(args, "rRfpPa")
	if err == nil {
		err = need(args, 2)
	}
	if err != nil {
		return err
	}
	to := args[len(args)-1]
	for _, from := range args[:len(args)-1] {
		src := a.path(from)
		st, err := os.Stat(src)
		if err != nil {
			return err
		}
		dst := a.target(src, to)
		if st.IsDir() {
			if !set['r'] && !set['R'] && !set['a'] {
				return fmt.Errorf("%s is a directory", from)
			}
			if filepath.Base(src) == "." || from == "." { // dir/. means what is in it
				dst = a.path(to)
			}
			err = copyTree(src, dst)
		} else {
			err = copyFile(src, dst, st.Mode())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func copyTree(src, dst string) error {
	return filepath.WalkDir(src, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, p)
		if err != nil {
			return err
		}
		to := filepath.Join(dst, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return os.MkdirAll(to, info.Mode().Perm()|0o700)
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(p)
			if err != nil {
				return err
			}
			return os.Symlink(link, to)
		}
		return copyFile(p, to, info.Mode())
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode.Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

func mv(a *applet, args []string) error {
	_, args, err := a.flags(args, "f")
	if err == nil {
		err = need(args, 2)
	}
	if err != nil {
		return err
	}
	for _, from := range args[:len(args)-1] {
		src := a.path(from)
		dst := a.target(src, args[len(args)-1])
		err := os.Rename(src, dst)
		if errors.Is(err, syscall.EXDEV) {
			if err = copyTree(src, dst); err == nil {
				err = os.RemoveAll(src)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func touch(a *applet, args []string) error {
	set, args, err := a.flags(args, "camf")
	if err == nil {
		err = need(args, 1)
	}
	if err != nil {
		return err
	}
	for _, p := range args {
		now := time.Now()
		err := os.Chtimes(a.path(p), now, now)
		if errors.Is(err, fs.ErrNotExist) && !set['c'] {
			var f *os.File
			if f, err = os.OpenFile(a.path(p), os.O_WRONLY|os.O_CREATE, 0o666); err == nil {
				err = f.Close()
			}
		}
		if err != nil && !(set['c'] && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

func sleep(a *applet, args []string) error {
	if err := need(args, 1); err != nil {
		return err
	}
	var total time.Duration
	for _, s := range args {
		unit := time.Second
		if i := strings.IndexAny(s, "smhd"); i == len(s)-1 && i > 0 {
			unit = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}[s[i]]
			s = s[:i]
		}
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || n < 0 || n > 1e9 {
			return fmt.Errorf("invalid time interval %q", s)
		}
		total += time.Duration(n * float64(unit))
	}
	return pause(a.ctx, total)
}

func mkdir(a *applet, args []string) error {
	set, args, err := a.flags(args, "p")
	if err == nil {
		err = need(args, 1)
	}
	if err != nil {
		return err
	}
	for _, p := range args {
		if set['p'] {
			err = os.MkdirAll(a.path(p), 0o777)
		} else {
			err = os.Mkdir(a.path(p), 0o777)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func rm(a *applet, args []string) error {
	set, args, err := a.flags(args, "rRf")
	if err != nil {
		return err
	}
	if err := need(args, 1); err != nil && !set['f'] {
		return err
	}
	for _, p := range args {
		path := a.path(p)
		if c := filepath.Clean(path); c == "/" || filepath.Base(p) == "." || filepath.Base(p) == ".." {
			return fmt.Errorf("refusing to remove %s", p)
		}
		st, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && set['f']:
			continue
		case err != nil:
			return err
		case st.IsDir() && !set['r'] && !set['R']:
			return fmt.Errorf("%s is a directory", p)
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

func ls(a *applet, args []string) error {
	set, args, err := a.flags(args, "1aA")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	for _, p := range args {
		st, err := os.Stat(a.path(p))
		if err != nil {
			return err
		}
		if !st.IsDir() {
			fmt.Fprintln(a.stdout, p)
			continue
		}
		entries, err := os.ReadDir(a.path(p))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), ".") || set['a'] || set['A'] {
				fmt.Fprintln(a.stdout, e.Name())
			}
		}
	}
	return nil
}
