package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/footman-ci/footman/remoting/hudson"
)

// callablesCommand prints the table of what runs natively.
func callablesCommand() *cli.Command {
	return &cli.Command{
		Name:  "callables",
		Usage: "list the Java classes that this agent executes natively",
		Action: func(c *cli.Context) error {
			w := tabwriter.NewWriter(c.App.Writer, 0, 8, 2, ' ', 0)
			for _, e := range hudson.NewTable(&hudson.Agent{}).Entries() {
				fmt.Fprintf(w, "%s\t%s\n", e.Class, e.Source)
			}
			return w.Flush()
		},
	}
}
