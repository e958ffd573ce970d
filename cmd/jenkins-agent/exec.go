package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/exec/hold"
)

// exitNoHold is for commands that did not run because no hold took them.
const exitNoHold = 125

const execUsage = "jenkins-agent exec CONTAINER [-e NAME=VALUE]… [-w DIR] [-t] [--] COMMAND [ARGUMENT]…"

// execCommand runs a command in another container of the pod.
func execCommand() *cli.Command {
	return &cli.Command{
		Name:            "exec",
		Usage:           "run a command in another container of the pod",
		UsageText:       execUsage,
		SkipFlagParsing: true, // the arguments of COMMAND are not ours
		Action: func(c *cli.Context) error {
			o, err := parseExec(c.Args().Slice())
			if err != nil {
				return err
			}
			if o.help {
				_, err := fmt.Fprintln(c.App.Writer, execUsage+`

  -e NAME=VALUE  set a variable; -e NAME takes it from here
  -w DIR         run in DIR; the default is the directory of the container
  -t             with a terminal
The exit code is that of the command; 125 when the container can't be reached,
126 when the command may not be run, 127 when it is not there.`)
				return err
			}
			return o.run(c.Context, os.Stdin, c.App.Writer, c.App.ErrWriter)
		},
	}
}

type execOptions struct {
	container string
	env       []string
	dir       string
	terminal  bool
	help      bool
	argv      []string
}

// parseExec takes options before and after the container, as docker and kubectl
// do between them, up to the first argument of the command.
func parseExec(args []string) (o execOptions, err error) {
	value := func(i *int, name string) (string, error) {
		if *i+1 >= len(args) {
			return "", usagef("exec: %s needs a value; usage: %s", name, execUsage)
		}
		*i++
		return args[*i], nil
	}
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--":
			if o.container == "" && i+1 < len(args) {
				return o, usagef("exec: which container? usage: %s", execUsage)
			}
			o.argv = args[i+1:]
			return o, o.check()
		case a == "-h", a == "-help", a == "--help":
			o.help = true
			return o, nil
		case a == "-t", a == "--tty", a == "-it", a == "-ti":
			o.terminal = true
		case a == "-i": // input is always passed on
		case a == "-e", a == "--env":
			v, err := value(&i, a)
			if err != nil {
				return o, err
			}
			if !strings.Contains(v, "=") {
				if now, ok := os.LookupEnv(v); ok {
					o.env = append(o.env, v+"="+now)
				}
				continue
			}
			if strings.HasPrefix(v, "=") {
				return o, usagef("exec: -e %q has no name", v)
			}
			o.env = append(o.env, v)
		case a == "-w", a == "--workdir":
			if o.dir, err = value(&i, a); err != nil {
				return o, err
			}
		case strings.HasPrefix(a, "-") && a != "-":
			return o, usagef("exec: unknown option %s; usage: %s", a, execUsage)
		case o.container == "":
			o.container = a
		default:
			o.argv = args[i:]
			return o, o.check()
		}
	}
	return o, o.check()
}

func (o execOptions) check() error {
	switch {
	case o.container == "":
		return usagef("exec: which container? usage: %s", execUsage)
	case len(o.argv) == 0:
		return usagef("exec: which command? usage: %s", execUsage)
	}
	return nil
}

func (o execOptions) run(ctx context.Context, stdin *os.File, stdout, stderr io.Writer) error {
	cwd, _ := os.Getwd() // "" is said by FindPlace
	place, err := hold.FindPlace(os.Getenv, cwd)
	if err != nil {
		return &codeError{exitNoHold, err}
	}
	cl, err := hold.Dial(ctx, place, o.container)
	if err != nil {
		return &codeError{exitNoHold, err}
	}
	cmd := hold.Command{Argv: o.argv, Env: o.env, Dir: o.dir, Root: place.Root}
	var tty *localTerminal
	if o.terminal {
		tty = openTerminal(stdin)
		cmd.Terminal, cmd.Echo = tty.size(), tty.raw != nil
	}
	defer tty.restore()
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
	defer signal.Stop(signals)
	r, err := cl.Start(ctx, cmd, stdout, stderr)
	if err != nil {
		var refused *hold.Refused
		if errors.As(err, &refused) {
			return &codeError{refused.Code, err}
		}
		return &codeError{exitNoHold, err}
	}
	go func() {
		_, _ = io.Copy(r.Stdin(), stdin) // ends with the command or with our input
		_ = r.Stdin().Close()
	}()
	go func() {
		for sig := range signals {
			if sig == unix.SIGWINCH {
				if s := tty.size(); s != nil {
					_ = r.Resize(*s)
				}
				continue
			}
			_ = r.Signal(sig.(syscall.Signal), true)
		}
	}()
	exit, err := r.Wait(ctx)
	tty.restore()
	if err != nil {
		return &codeError{exitNoHold, err}
	}
	if exit.OOM != "" {
		fmt.Fprintln(stderr, "jenkins-agent:", exit.OOM)
	}
	if exit.Code != 0 {
		return &codeError{code: exit.Code}
	}
	return nil
}

// localTerminal is the terminal that we were started from, if it is one.
type localTerminal struct {
	fd  int
	raw *unix.Termios // what to restore; nil when it is no terminal
}

// openTerminal makes the terminal raw: the other end does the echo and turns ^C
// into a signal.
func openTerminal(f *os.File) *localTerminal {
	t := &localTerminal{fd: int(f.Fd())}
	old, err := unix.IoctlGetTermios(t.fd, unix.TCGETS)
	if err != nil {
		return t
	}
	raw := *old
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag &^= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if unix.IoctlSetTermios(t.fd, unix.TCSETS, &raw) == nil {
		t.raw = old
	}
	return t
}

// size is never nil for a command that gets a terminal; without one of our own
// it is the classic.
func (t *localTerminal) size() *hold.Size {
	if t == nil {
		return nil
	}
	if w, err := unix.IoctlGetWinsize(t.fd, unix.TIOCGWINSZ); err == nil && w.Row > 0 {
		return &hold.Size{Rows: int(w.Row), Cols: int(w.Col)}
	}
	return &hold.Size{Rows: 24, Cols: 80}
}

func (t *localTerminal) restore() {
	if t != nil && t.raw != nil {
		_ = unix.IoctlSetTermios(t.fd, unix.TCSETS, t.raw)
	}
}
