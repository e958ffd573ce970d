// Command jenkins-shell is the shell for containers without one: `jenkins-agent
// hold` runs it, when it is beside it, in place of a sh or nohup that is not
// there.
//
//	jenkins-shell sh -xe script.sh      jenkins-shell nohup sh -c '…'
//
// A link with the name of a program does the same: sh -> jenkins-shell. It is a
// program of its own to keep the interpreter out of the agent's size.
package main

import (
	"os"
	"path/filepath"

	"github.com/footman-ci/footman/exec/shell"
)

func main() {
	argv := os.Args
	if n := filepath.Base(argv[0]); n == "jenkins-shell" || n == "exe" {
		argv = argv[1:]
	}
	os.Exit(shell.Main(argv, os.Stdin, os.Stdout, os.Stderr))
}
