package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// applet is a small program at work, in the directory of the shell that calls it.
type applet struct {
	ctx            context.Context
	dir, name      string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// applets do what the wrapper of a durable step, the plugin and simple scripts
// need, not what POSIX knows.
var applets map[string]func(*applet, []string) error

func init() { // they refer to each other
	applets = map[string]func(*applet, []string) error{
		"cat": cat, "cp": cp, "cut": cut, "grep": grep, "kill": kill, "ls": ls, "mkdir": mkdir, "mv": mv,
		"rm": rm, "sleep": sleep, "touch": touch, "uname": uname, "env": env,
	}
}

// Applets lists their names.
func Applets() []string {
	var out []string
	for n := range applets {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

// exitCode is an error without a message.
type exitCode int

func (e exitCode) Error() string { return "exit code " + strconv.Itoa(int(e)) }

func (a *applet) exit(err error) int {
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(a.stderr, "%s: %v\n", a.name, err)
	return 1
}

func (a *applet) path(p string) string {
	if filepath.IsAbs(p) || a.dir == "" {
		return p
	}
	return filepath.Join(a.dir, p)
}

// flags takes the options of known off args; each letter of known may stand
// alone or with others.
func (a *applet) flags(args []string, known string) (map[rune]bool, []string, error) {
	set := map[rune]bool{}
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		opt := args[0]
		args = args[1:]
		if opt == "--" {
			break
		}
		for _, c := range opt[1:] {
			if !strings.ContainsRune(known, c) {
				return nil, nil, fmt.Errorf("option -%c is not known to the embedded shell", c)
			}
			set[c] = true
		}
	}
	return set, args, nil
}

func need(args []string, n int) error {
	if len(args) < n {
		return errors.New("missing operand")
	}
	return nil
}

func cat(a *applet, args []string) error {
	_, args, err := a.flags(args, "u")
	if err != nil {
		return err
	}
	if len(args) == 0 {
		args = []string{"-"}
	}
	for _, p := range args {
		if p == "-" {
			if a.stdin != nil {
				_, err = io.Copy(a.stdout, a.stdin)
			}
		} else {
			err = a.withFile(p, func(f *os.File) error {
				_, err := io.Copy(a.stdout, f)
				return err
			})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *applet) withFile(p string, do func(*os.File) error) error {
	f, err := os.Open(a.path(p))
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

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

// kill sends a signal: kill [-SIG | -s SIG | -n] pid…
func kill(a *applet, args []string) error {
	sig := syscall.SIGTERM
	if len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' && args[0] != "--" {
		name := args[0][1:]
		args = args[1:]
		if name == "s" && len(args) > 0 {
			name, args = args[0], args[1:]
		}
		if n, err := strconv.Atoi(name); err == nil {
			sig = syscall.Signal(n)
		} else if sig = unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(name), "SIG")); sig == 0 {
			return fmt.Errorf("no signal %q", name)
		}
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if err := need(args, 1); err != nil {
		return err
	}
	var first error
	for _, p := range args {
		pid, err := strconv.Atoi(p)
		if err == nil {
			err = syscall.Kill(pid, sig)
		}
		if err != nil && first == nil {
			first = fmt.Errorf("%s: %w", p, err)
		}
	}
	return first
}

// grep finds lines of files that may hold NULs, such as /proc/*/environ.
func grep(a *applet, args []string) error {
	set, args, err := a.flags(args, "lqvisEFhc")
	if err == nil {
		err = need(args, 1)
	}
	if err != nil {
		return errors.Join(err, exitCode(2))
	}
	pattern, files := args[0], args[1:]
	if set['F'] {
		pattern = regexp.QuoteMeta(pattern)
	}
	if set['i'] {
		pattern = "(?i)" + pattern
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	found := false
	search := func(name string, r io.Reader) error {
		n := 0
		in := bufio.NewReader(r)
		for {
			line, err := in.ReadString('\n')
			if line != "" && re.MatchString(strings.TrimSuffix(line, "\n")) != set['v'] {
				found = true
				n++
				if set['l'] || set['q'] {
					break
				}
				if !set['c'] {
					if len(files) > 1 && !set['h'] {
						line = name + ":" + line
					}
					fmt.Fprintln(a.stdout, strings.TrimSuffix(line, "\n"))
				}
			}
			if err != nil {
				break
			}
		}
		if set['l'] && n > 0 {
			fmt.Fprintln(a.stdout, name)
		}
		if set['c'] {
			fmt.Fprintln(a.stdout, n)
		}
		return nil
	}
	if len(files) == 0 && a.stdin != nil {
		_ = search("-", a.stdin)
	}
	for _, p := range files {
		err := a.withFile(p, func(f *os.File) error { return search(p, f) })
		if err != nil && !set['s'] && !set['q'] {
			fmt.Fprintf(a.stderr, "grep: %v\n", err) // the others still count
		}
	}
	if !found {
		return exitCode(1)
	}
	return nil
}

// cut knows -d and -f with one list of numbers.
func cut(a *applet, args []string) error {
	delimiter, list := "\t", ""
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		opt, value := args[0][1], args[0][2:]
		args = args[1:]
		if value == "" {
			if err := need(args, 1); err != nil {
				return err
			}
			value, args = args[0], args[1:]
		}
		switch opt {
		case 'd':
			delimiter = value
		case 'f':
			list = value
		default:
			return fmt.Errorf("option -%c is not known to the embedded shell", opt)
		}
	}
	var fields []int
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return fmt.Errorf("the list of fields %q is not known to the embedded shell", list)
		}
		fields = append(fields, n-1)
	}
	in := a.stdin
	if len(args) > 0 {
		f, err := os.Open(a.path(args[0]))
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	if in == nil {
		return nil
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		parts := strings.Split(lines.Text(), delimiter)
		if len(parts) == 1 {
			fmt.Fprintln(a.stdout, parts[0])
			continue
		}
		var out []string
		for _, n := range fields {
			if n < len(parts) {
				out = append(out, parts[n])
			}
		}
		fmt.Fprintln(a.stdout, strings.Join(out, delimiter))
	}
	return nil
}

func uname(a *applet, args []string) error {
	set, _, err := a.flags(args, "asmr")
	if err != nil {
		return err
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err
	}
	text := func(b []byte) string { return strings.TrimRight(string(b), "\x00") }
	var out []string
	for _, f := range []struct {
		flag rune
		text string
	}{{'s', text(u.Sysname[:])}, {'r', text(u.Release[:])}, {'m', text(u.Machine[:])}} {
		if set[f.flag] || set['a'] || len(set) == 0 && f.flag == 's' {
			out = append(out, f.text)
		}
	}
	fmt.Fprintln(a.stdout, strings.Join(out, " "))
	return nil
}

// env prints the environment of this process; `env NAME=VALUE command` is not
// known.
func env(a *applet, args []string) error {
	if len(args) > 0 {
		return errors.New("only the list is known to the embedded shell")
	}
	for _, kv := range os.Environ() {
		fmt.Fprintln(a.stdout, kv)
	}
	return nil
}
