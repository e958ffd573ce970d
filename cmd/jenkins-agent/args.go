package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// expandArguments turns what we were started with into agent options: started
// as java it drops the JVM's own arguments; then "@file" is replaced by the
// lines of the file, as args4j does for agent.jar. The value of -cert keeps
// its @, as it names a file to read as a whole.
func expandArguments(args []string, asJava bool) ([]string, error) {
	if asJava {
		args = skipJVM(args)
	}
	var out []string
	for i, a := range args {
		name, isFile := strings.CutPrefix(a, "@")
		if !isFile || name == "" || i > 0 && strings.TrimLeft(args[i-1], "-") == "cert" {
			out = append(out, a)
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, usagef("No such file %q: %v", name, err)
		}
		lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
		if i > 0 && strings.TrimLeft(args[i-1], "-") == "secret" && (len(lines) != 1 || strings.ContainsAny(lines[0], " \t")) {
			// Whatever is in there, it may be secret: say nothing of it.
			return nil, usagef("the file %q is to hold the secret, in one line of hex digits, and it does not", name)
		}
		out = append(out, lines...)
	}
	return out, nil
}

// skipJVM drops everything up to "-jar NAME", or leading options of a JVM.
func skipJVM(args []string) []string {
	if i := slices.Index(args, "-jar"); i >= 0 && i+1 < len(args) {
		return args[i+2:]
	}
	for len(args) > 0 {
		a := args[0]
		switch {
		case a == "-cp" || a == "-classpath" || a == "--class-path":
			args = args[min(2, len(args)):]
		case strings.HasPrefix(a, "-D"), strings.HasPrefix(a, "-X"), strings.HasPrefix(a, "-server"), strings.HasPrefix(a, "--add-opens"):
			args = args[1:]
		default:
			return args
		}
	}
	return args
}

// foreignCommand reports that the arguments are a single word that is neither
// an option nor one of our subcommands, and where that program is.
func foreignCommand(app *cli.App, args []string) (string, bool) {
	if len(args) != 1 || args[0] == "" || strings.HasPrefix(args[0], "-") || args[0] == "help" || app.Command(args[0]) != nil {
		return "", false
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		path = args[0] // let exec say what is wrong
	}
	return path, true
}

// reorder puts positional arguments last: the official agent takes options
// behind its two deprecated positional arguments, package flag does not.
func reorder(app *cli.App, args []string) []string {
	if len(args) > 0 && app.Command(args[0]) != nil {
		return args
	}
	takesValue := map[string]bool{}
	for _, f := range app.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, n := range f.Names() {
			takesValue[n] = !isBool
		}
	}
	var options, positional []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		name := strings.TrimLeft(a, "-")
		switch {
		case a == "--":
			positional = append(positional, args[i+1:]...)
			i = len(args)
		case name == a || a == "-":
			positional = append(positional, a)
		default:
			options = append(options, a)
			if takesValue[name] && i+1 < len(args) {
				i++
				options = append(options, args[i])
			}
		}
	}
	if len(positional) > 0 {
		options = append(options, "--")
	}
	return append(options, positional...)
}
