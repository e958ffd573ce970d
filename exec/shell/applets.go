package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
