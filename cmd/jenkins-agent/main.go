// Command jenkins-agent is a Jenkins agent: it takes the place of agent.jar
// and of the script jenkins-agent in the official images.
//
//	arguments, @files, environment ─ args.go, env.go ─▶ options ─ options.go
//	                                                       │ checked
//	              agent.go: transport + Engine + table ◀───┘
//	              callables.go, …: one file a subcommand
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes. The official agent leaves usage errors with 0 and everything
// else with 1 or 255; scripts are better served by a difference.
const (
	exitOK      = 0   // ended in peace: closed by the controller, or stopped by a signal while idle
	exitFailure = 1   // could not connect, lost the controller for good, or the work directory is unusable
	exitCrashed = 2   // what a Go program that panics ends with; never on purpose
	exitRefused = 3   // the controller refuses this agent: wrong secret, unknown name, version too old
	exitUsage   = 64  // the command line or environment contradicts itself
	exitKilled  = 143 // stopped by a second signal

	// awsauth exec, as a shell would
	exitNotStarted = 126
	exitNotFound   = 127
)

// usageError is a mistake in the arguments.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

func main() {
	tuneMemory()
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// run is main without the process: it returns the exit code.
func run(argv []string, stdout, stderr io.Writer) int {
	args := argv[1:]
	asJava := filepath.Base(argv[0]) == "java"
	if asJava {
		var done bool
		var err error
		if args, done, err = asJVM(args, stderr); done || err != nil {
			return exitCode(err, stderr)
		}
	}
	app := newApp(stdout, stderr)
	if path, ok := foreignCommand(app, args); ok && !asJava {
		// The official image runs a lone argument as a command, such as bash.
		err := syscall.Exec(path, args, os.Environ())
		fmt.Fprintf(stderr, "jenkins-agent: %s: %v\n", path, err)
		return exitFailure
	}
	var err error
	doctor := len(args) > 0 && args[0] == "doctor" && !asJava
	if doctor {
		args = args[1:] // it is asked about the rest
	}
	if doctor || len(args) == 0 || app.Command(args[0]) == nil {
		// agent.jar knows no environment; the script of the official images does.
		if !asJava {
			args, err = withEnvironment(app, os.Getenv, args, func(s string) { fmt.Fprintln(stderr, s) })
		}
		if err == nil {
			args, err = expandFiles(args)
		}
		if err != nil {
			return exitCode(err, stderr)
		}
	}
	if doctor {
		args = append([]string{"doctor"}, args...)
	}
	return exitCode(runApp(context.Background(), app, args), stderr)
}

// argsKey is where an App keeps its command line.
const argsKey = "args"

func runApp(ctx context.Context, app *cli.App, args []string) error {
	app.Metadata = map[string]any{argsKey: args}
	return app.RunContext(ctx, append([]string{"jenkins-agent"}, reorder(app, args)...))
}

func newApp(stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:  "jenkins-agent",
		Usage: "a Jenkins agent without a JVM",
		UsageText: "jenkins-agent -url URL -secret SECRET -name NAME [-webSocket] [-workDir DIR]   connect to a controller\n" +
			"jenkins-agent                                    serve a controller on stdin and stdout\n" +
			"jenkins-agent COMMAND                            see below",
		Flags:                  append(agentFlags(), agentAWSFlags()...),
		Commands:               []*cli.Command{callablesCommand(), holdCommand(), execCommand(), installCommand(), awsauthCommand(), healthCommand(), doctorCommand()},
		Action:                 runAgent,
		Writer:                 stdout,
		ErrWriter:              stderr,
		HideHelp:               true, // -help is one of agentFlags
		HideVersion:            true,
		UseShortOptionHandling: false,
		// a comma is part of a header or a URL
		DisableSliceFlagSeparator: true,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return usagef("%v; see 'jenkins-agent -help'", err)
		},
	}
}

// exitCode prints what ended the program and chooses its code.
func exitCode(err error, stderr io.Writer) int {
	var usage *usageError
	var code *codeError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		if code.err != nil {
			fmt.Fprintln(stderr, "jenkins-agent:", code.err)
		}
		return code.code
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "jenkins-agent:", usage.msg)
		return exitUsage
	}
	fmt.Fprintln(stderr, "jenkins-agent:", err)
	return exitFailure
}

// codeError ends the program with a certain exit code.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return fmt.Sprint(e.err) }
func (e *codeError) Unwrap() error { return e.err }
