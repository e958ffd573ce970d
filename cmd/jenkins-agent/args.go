package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/urfave/cli/v2"
)

// optionName is the name of an option without dashes and value, "" for what is
// none.
func optionName(arg string) string {
	name := strings.TrimLeft(arg, "-")
	if name == arg {
		return ""
	}
	name, _, _ = strings.Cut(name, "=")
	return name
}

// expandFiles replaces "@file" by the lines of the file, as args4j does for
// agent.jar. The value of -cert keeps its @, as it names a file to read as a
// whole. What a file holds is never part of an error: it may be secret.
func expandFiles(args []string) ([]string, error) {
	var out []string
	for i, a := range args {
		name, isFile := strings.CutPrefix(a, "@")
		before := ""
		if i > 0 {
			before = optionName(args[i-1])
		}
		if !isFile || name == "" || before == "cert" {
			out = append(out, a)
			continue
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, usagef("the file of the argument %q can't be read: %v", a, err)
		}
		lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
		if before == "secret" && (len(lines) != 1 || lines[0] == "" || strings.ContainsAny(lines[0], " \t")) {
			return nil, usagef("the file %q is to hold the secret, in one line of hex digits, and it does not", name)
		}
		out = append(out, lines...)
	}
	return out, nil
}

// foreignCommand reports that the arguments are a single word that is neither
// an option nor one of our subcommands, and where that program is.
func foreignCommand(app *cli.App, args []string) (string, bool) {
	if len(args) != 1 || args[0] == "" || strings.HasPrefix(args[0], "-") || strings.HasPrefix(args[0], "@") ||
		args[0] == "help" || app.Command(args[0]) != nil {
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
	options, positional := sortArguments(app, args)
	if len(positional) > 0 {
		options = append(options, "--")
	}
	return append(options, positional...)
}

// sortArguments tells options with their values from positional arguments.
func sortArguments(app *cli.App, args []string) (options, positional []string) {
	takesValue := map[string]bool{}
	for _, f := range app.Flags {
		_, isBool := f.(*cli.BoolFlag)
		for _, n := range f.Names() {
			takesValue[n] = !isBool
		}
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		name := optionName(a)
		switch {
		case a == "--":
			return options, append(positional, args[i+1:]...)
		case name == "":
			positional = append(positional, a)
		default:
			options = append(options, a)
			if takesValue[name] && !strings.Contains(a, "=") && i+1 < len(args) {
				i++
				options = append(options, args[i])
			}
		}
	}
	return options, positional
}

// Launchers that want a Java runtime ask it for its version first: ssh-slaves
// by -version, reading a line `openjdk version "…"` of either stream, EC2 by
// -fullversion, reading only the exit code.
const javaVersion = "21.0.0"

// asJVM deals with a command line for Java: it drops the JVM's own arguments
// and the jar, and answers what only Java would. done says that this was all.
func asJVM(args []string, stderr io.Writer) (rest []string, done bool, err error) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-version" || a == "--version" || a == "-showversion":
			fmt.Fprintf(stderr, "openjdk version \"%s\"\njenkins-agent in the place of a Java runtime; it stands for Remoting %s\n", javaVersion, remotingVersion)
			return nil, true, nil
		case a == "-fullversion" || a == "--full-version":
			fmt.Fprintf(stderr, "openjdk full version \"%s\"\n", javaVersion)
			return nil, true, nil
		case a == "-jar":
			if i+1 >= len(args) {
				return nil, false, usagef("-jar requires a jar file specification")
			}
			return args[i+2:], false, knownJar(args[i+1])
		case valueOfJVM[a]:
			i++
		case strings.HasPrefix(a, "-"):
			// -Dkey=value, -Xmx1g, -XX:…, --add-opens=…
		default:
			if !strings.HasPrefix(a, "hudson.remoting.") {
				return nil, false, notJava(a)
			}
			return args[i+1:], false, nil
		}
	}
	return nil, false, notJava("nothing")
}

// valueOfJVM lists options of java whose value is the next argument.
var valueOfJVM = map[string]bool{
	"-cp": true, "-classpath": true, "--class-path": true, "-p": true, "--module-path": true, "--add-modules": true,
	"--add-opens": true, "--add-exports": true, "--add-reads": true, "--upgrade-module-path": true,
}

// knownJar refuses jars that are no agent: a build that finds us as its java
// must hear so, and not wait for a controller.
func knownJar(path string) error {
	name := path[strings.LastIndexAny(path, `/\`)+1:]
	for _, p := range []string{"agent", "remoting", "slave"} {
		if strings.HasPrefix(name, p) && strings.HasSuffix(name, ".jar") {
			return nil
		}
	}
	return notJava(name)
}

func notJava(what string) error {
	return fmt.Errorf("asked to run %s, but this java is jenkins-agent, which stands in for agent.jar, remoting.jar and slave.jar only", what)
}
