// Package shell is a POSIX shell for containers that have none, with the few
// programs that the wrapper of a durable step and the kubernetes plugin call.
//
//	sh -xe script.sh ─▶ Main ─▶ mvdan.cc/sh/v3/interp
//	                              │ each command
//	                              ├ is there in PATH: run it
//	                              ├ cp, mv, touch, …: applets.go, in this process
//	                              └ sh, nohup, #!/bin/sh: this program again, as a
//	                                process of its own, with its environment: a
//	                                step is killed by what is in there
//
// Jobs in the background are goroutines, so the shell ends when the last of them
// has, not when its script has; $! names no process.
package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

const (
	exitUsage    = 2
	exitDenied   = 126
	exitNotFound = 127
)

// shells are the names that we answer to.
var shells = []string{"sh", "bash", "dash", "ash"}

// Main runs the program argv[0] with its arguments, and returns its exit code.
func Main(argv []string, stdin *os.File, stdout, stderr io.Writer) int {
	if len(argv) == 0 {
		fmt.Fprintln(stderr, "jenkins-shell: which program? sh, nohup, or one of:", strings.Join(Applets(), " "))
		return exitUsage
	}
	switch name := filepath.Base(argv[0]); {
	case slices.Contains(shells, name):
		return runShell(argv, stdin, stdout, stderr)
	case name == "nohup":
		return nohup(argv[1:], stdin, stdout, stderr)
	case applets[name] != nil:
		dir, _ := os.Getwd() // "" leaves paths as they are
		a := applet{ctx: context.Background(), dir: dir, stdin: stdin, stdout: stdout, stderr: stderr, name: name}
		return a.exit(applets[name](&a, argv[1:]))
	}
	fmt.Fprintf(stderr, "%s: not found\n", argv[0])
	return exitNotFound
}

// nohup is what the wrapper of a durable step begins with.
func nohup(argv []string, stdin *os.File, stdout, stderr io.Writer) int {
	if len(argv) == 0 {
		fmt.Fprintln(stderr, "nohup: missing operand")
		return 125
	}
	signal.Ignore(syscall.SIGHUP) // inherited by what we run
	path, err := osexec.LookPath(argv[0])
	if err == nil {
		err = syscall.Exec(path, argv, os.Environ())
	}
	if base := filepath.Base(argv[0]); slices.Contains(shells, base) || applets[base] != nil {
		return Main(argv, stdin, stdout, stderr)
	}
	fmt.Fprintf(stderr, "nohup: %s: %v\n", argv[0], err)
	if errors.Is(err, os.ErrPermission) {
		return exitDenied
	}
	return exitNotFound
}

// invocation is how a shell was called.
type invocation struct {
	command   bool // -c
	script    string
	options   []string // for interp.Params
	name      string   // $0
	arguments []string
}

// parseInvocation reads "sh [-exufn] [-o option] [-c command | file] [argument…]".
func parseInvocation(argv []string) (v invocation, err error) {
	v.name = argv[0]
	args := argv[1:]
	for len(args) > 0 {
		a := args[0]
		if a == "--" || a == "-" {
			args = args[1:]
			break
		}
		if len(a) < 2 || a[0] != '-' && a[0] != '+' {
			break
		}
		args = args[1:]
		if strings.HasPrefix(a, "--") { // --norc, --login and such of bash
			continue
		}
		for _, c := range a[1:] {
			switch c {
			case 'c':
				v.command = true
			case 'o':
				if len(args) == 0 {
					return v, errors.New("-o needs an option")
				}
				v.options = append(v.options, a[:1]+"o", args[0])
				args = args[1:]
			case 'a', 'e', 'f', 'n', 'u', 'x':
				v.options = append(v.options, a[:1]+string(c))
			case 'i', 'l', 's', 'b', 'm', 'h', 'v': // make no difference here
			default:
				return v, fmt.Errorf("unknown option -%c", c)
			}
		}
	}
	if v.command && len(args) == 0 {
		return v, errors.New("-c needs a command")
	}
	if len(args) == 0 {
		return v, nil
	}
	v.script, args = args[0], args[1:]
	if !v.command {
		v.name = v.script
	} else if len(args) > 0 {
		v.name, args = args[0], args[1:]
	}
	v.arguments = args
	return v, nil
}

func runShell(argv []string, stdin *os.File, stdout, stderr io.Writer) int {
	v, err := parseInvocation(argv)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", argv[0], err)
		return exitUsage
	}
	var source io.Reader = stdin
	switch {
	case v.command:
		source = strings.NewReader(v.script)
	case v.script != "":
		f, err := os.Open(v.script)
		if err != nil {
			fmt.Fprintf(stderr, "%s: can't open %s\n", argv[0], v.script)
			return exitNotFound
		}
		defer f.Close()
		source = f
	}
	// The parser's POSIX variant takes export and readonly for mere commands, which
	// the interpreter does not know then, so it is bash's for every name.
	file, err := syntax.NewParser().Parse(source, v.name)
	if err != nil {
		fmt.Fprintf(stderr, "%v\n", err)
		return exitUsage
	}
	params := append(append(v.options, "--"), v.arguments...)
	r, err := interp.New(interp.StdIO(stdin, stdout, stderr), interp.Env(expand.ListEnviron(os.Environ()...)),
		interp.Params(params...), interp.ExecHandlers(handler), interp.CallHandler(call))
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", argv[0], err)
		return exitUsage
	}
	ctx := context.Background()
	code := status(r.Run(ctx, file), stderr)
	// What runs in the background lives in this process.
	if wait, err := syntax.NewParser().Parse(strings.NewReader("trap - EXIT; wait"), ""); err == nil && interp.Params("+x", "+e")(r) == nil {
		_ = r.Run(ctx, wait)
	}
	return code
}

// status turns the end of a script into an exit code.
func status(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	if code, ok := interp.IsExitStatus(err); ok {
		return int(code)
	}
	fmt.Fprintln(stderr, err)
	return 1
}

// call sends kill, a builtin that the interpreter only knows by name, to handler.
func call(_ context.Context, args []string) ([]string, error) {
	if args[0] == "kill" {
		args = slices.Concat([]string{"/bin/kill"}, args[1:])
	}
	return args, nil
}

// handler runs one command of a script.
func handler(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	return func(ctx context.Context, args []string) error {
		hc := interp.HandlerCtx(ctx)
		name := args[0]
		path, err := interp.LookPathDir(hc.Dir, hc.Env, name)
		if err == nil {
			if again := missingInterpreter(path, args); again != nil {
				return next(ctx, again)
			}
			return next(ctx, args)
		}
		base := filepath.Base(name)
		if strings.Contains(name, "/") && filepath.Dir(name) != "/bin" && filepath.Dir(name) != "/usr/bin" {
			return next(ctx, args) // says that it is not there
		}
		switch {
		case slices.Contains(shells, base), base == "nohup":
			return next(ctx, slices.Concat([]string{self(), base}, args[1:]))
		case applets[base] != nil:
			a := applet{ctx: ctx, dir: hc.Dir, stdin: hc.Stdin, stdout: hc.Stdout, stderr: hc.Stderr, name: base}
			if code := a.exit(applets[base](&a, args[1:])); code != 0 {
				return interp.ExitStatus(uint8(code))
			}
			return nil
		}
		return next(ctx, args)
	}
}

// missingInterpreter is the command to run instead of a script whose #!/bin/sh
// is not there.
func missingInterpreter(path string, args []string) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	b := make([]byte, 256)
	n, _ := io.ReadFull(f, b) // a shorter file is as good
	line, _, _ := strings.Cut(string(b[:n]), "\n")
	line, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return nil
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return nil
	}
	if _, err := os.Stat(words[0]); err == nil {
		return nil
	}
	if filepath.Base(words[0]) == "env" && len(words) > 1 {
		words = words[1:]
	}
	base := filepath.Base(words[0])
	if !slices.Contains(shells, base) {
		return nil
	}
	return slices.Concat([]string{self(), base}, words[1:], []string{path}, args[1:])
}

// self is this program.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		return "/proc/self/exe"
	}
	return exe
}

// pause is sleep that ends with its context.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
