package hudson

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// maxMacroFile bounds what ${FILE} takes up, in bytes: it becomes one string.
const maxMacroFile = 64 << 20

// registerTokenMacro adds what the plugin token-macro sends for ${FILE,path="…"},
// which mails and descriptions of builds use. Its JSON and XML macros evaluate
// expressions of Java libraries.
func registerTokenMacro(t *callable.Table) {
	t.Register(callable.Entry{Class: "org.jenkinsci.plugins.tokenmacro.impl.WorkspaceFileMacro$WorkspaceFileMasterToSlaveCallable",
		Source: "token-macro 428", Fields: []string{"root", "path", "fileNotFoundMessage", "charSet", "maxLines"},
		Accepts: acceptsFileMacro, Run: fileMacro})
}

// acceptsFileMacro leaves java.util.Formatter to Java, but for %s.
func acceptsFileMacro(c *callable.Call) error {
	if s := strings.ReplaceAll(c.Object.Str("fileNotFoundMessage"), "%s", ""); strings.Contains(s, "%") {
		return errors.New("its fileNotFoundMessage has a format other than %s")
	}
	_, err := charsetByName(c.Object.Str("charSet"))
	return err
}

// fileMacro is WorkspaceFileMasterToSlaveCallable.call.
func fileMacro(_ context.Context, c *callable.Call) (jser.Value, error) {
	path := c.Object.Str("path")
	name := filepath.Join(c.Object.Str("root"), path) // java.io.File: an absolute child goes below, too
	if _, err := os.Stat(name); err != nil {
		return strings.ReplaceAll(c.Object.Str("fileNotFoundMessage"), "%s", path), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "ERROR: File '" + path + "' could not be read", nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMacroFile+1))
	if err != nil {
		return "ERROR: File '" + path + "' could not be read", nil
	}
	if len(b) > maxMacroFile {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: %s is too big for a macro: more than %d MiB", name, maxMacroFile>>20)
	}
	text, err := decodeText(b, c.Object.Str("charSet"))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(lineEnds.Replace(text), "\n")
	if lines[len(lines)-1] == "" { // BufferedReader.lines: what ends a line begins none
		lines = lines[:len(lines)-1]
	}
	if n := int(c.Object.Int("maxLines")); n > 0 && n < len(lines) {
		lines = lines[:n]
	}
	return strings.Join(lines, "\n"), nil
}

// lineEnds makes of all that BufferedReader takes for the end of a line one.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")
