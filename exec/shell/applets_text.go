package shell

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

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
