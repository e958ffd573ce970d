package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/remoting/hudson"
)

// listed is one callable as this subcommand shows it.
type listed struct {
	Class  string   `json:"class"`
	Source string   `json:"source"` // "core", or a plugin
	Since  string   `json:"since,omitempty"`
	Family string   `json:"family"`
	Fields []string `json:"fields"`
}

// listCallables is the table of what runs natively, by class name.
func listCallables() []listed {
	var out []listed
	for _, e := range hudson.NewTable(&hudson.Agent{}).Entries() {
		source, since, _ := strings.Cut(e.Source, " ")
		source = strings.TrimRight(source, ";,")
		out = append(out, listed{e.Class, source, since, hudson.Family(e.Class), append([]string{}, e.Fields...)})
	}
	return out
}

// callablesCommand prints the table of what runs natively.
func callablesCommand() *cli.Command {
	return &cli.Command{
		Name:  "callables",
		Usage: "list the Java classes that this agent executes natively",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print an array of objects, with the fields that are understood"},
			&cli.BoolFlag{Name: "seen", Usage: "list instead what the controllers of a work directory sent, and whether it ran natively, in the companion JVM, or not at all"},
			&cli.StringFlag{Name: "workDir", Usage: "with -seen: `DIR` of the agent", EnvVars: []string{"JENKINS_AGENT_WORKDIR"}},
			&cli.StringFlag{Name: "internalDir", Usage: "with -seen: as for the agent", Value: "remoting"},
			&cli.BoolFlag{Name: "markdown", Usage: "print the page docs/callables.md"},
		},
		Action: func(c *cli.Context) error {
			if c.Bool("seen") {
				return listSeen(c)
			}
			list := listCallables()
			switch {
			case c.Bool("json"):
				e := json.NewEncoder(c.App.Writer)
				e.SetIndent("", "  ")
				return e.Encode(list)
			case c.Bool("markdown"):
				_, err := io.WriteString(c.App.Writer, callablesPage(list))
				return err
			}
			_, err := io.WriteString(c.App.Writer, callablesTable(list))
			return err
		},
	}
}

// callablesTable aligns class, family and source.
func callablesTable(list []listed) string {
	class, family := len("CLASS"), len("FOR")
	for _, l := range list {
		class, family = max(class, len(l.Class)), max(family, len(l.Family))
	}
	var b strings.Builder
	row := func(c, f, s string) {
		b.WriteString(strings.TrimRight(fmt.Sprintf("%-*s  %-*s  %s", class, c, family, f, s), " ") + "\n")
	}
	row("CLASS", "FOR", "FROM")
	for _, l := range list {
		row(l.Class, l.Family, strings.TrimSpace(l.Source+" "+l.Since))
	}
	return b.String()
}

// pageHead is what docs/callables.md says before the table.
const pageHead = `# What the agent executes natively

<!-- Generated: go run ./cmd/jenkins-agent callables -markdown > docs/callables.md -->

A controller sends *callables*: objects of Java classes that it wants to be executed on the agent. The classes below are
implemented in Go; %s. %s

A request is native when its class is listed and every field that is set is one that the implementation knows. A newer
plugin that sends more than that counts as unknown, and so does text that would pass through a log filter that is not
understood, which may be there to mask secrets.

What is not native goes to the companion, a JVM that is started when it is first needed and there is one (option
` + "`-companion`" + `), or fails with an exception that names the class. ` + "`jenkins-agent callables`" + ` prints this list, with
` + "`-json`" + ` also the fields.

Git is a case of its own: its two classes are native only where no companion can run, see [git.md](git.md).

The column *from* names the core (Jenkins itself) or the plugin whose class it is, with the version in which it appeared
in this form, where that matters. Classes without a version have been there for as long as the plugin.

## What differs from the official agent

* junit: the line "No test report files were found. Configuration error?" reaches the log; the official agent loses it when
  the step ends before its buffer is sent. Reports that can't be read come without the stack frames of a JVM.
* zip, tar: compressed archives have other sizes; their content is the same. What unpacks to more than the limits is refused.
* unzip with ` + "`read: true`" + ` returns at most 256 MiB of text.
* timeout with ` + "`activity: true`" + `: the timer is reset when the line is printed, not up to a tenth of the timeout later.
* ansiColor: text that callables print keeps its escape sequences.
* The JVM version of a node is "N/A" (versioncolumn); support-core's log files on the agent are not written.
`

// callablesPage is docs/callables.md.
func callablesPage(list []listed) string {
	byFamily := map[string][]listed{}
	var families []string
	plugins := map[string]bool{}
	for _, l := range list {
		if byFamily[l.Family] == nil {
			families = append(families, l.Family)
		}
		byFamily[l.Family] = append(byFamily[l.Family], l)
		if l.Source != "core" && l.Source != "remoting" && l.Source != "Hudson" {
			plugins[l.Source] = true
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, pageHead, fmt.Sprintf("%d of them", len(list)), fmt.Sprintf("They belong to Jenkins' core and to %d plugins.", len(plugins)))
	slices.Sort(families)
	for _, f := range families {
		title := f
		if title == "" {
			title = "other"
		}
		fmt.Fprintf(&b, "\n## %s\n\n| class | from | fields |\n|---|---|---|\n", strings.ToUpper(title[:1])+title[1:])
		for _, l := range byFamily[f] {
			fields := strings.Join(l.Fields, ", ")
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", l.Class, strings.TrimSpace(l.Source+" "+l.Since), fields)
		}
	}
	return b.String()
}
