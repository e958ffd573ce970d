package main

import (
	"os"
	"path/filepath"

	"github.com/footman-ci/footman/exec/hold"
)

// embeddedShell is the program beside this one that has the shell, if it is
// there: it is kept out of the agent, see docs/hold.md.
func embeddedShell() (argv, names []string) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil
	}
	sh := filepath.Join(filepath.Dir(exe), "jenkins-shell")
	if st, err := os.Stat(sh); err != nil || st.Mode()&0o111 == 0 {
		return nil, nil
	}
	return []string{sh}, hold.ShellPrograms
}
