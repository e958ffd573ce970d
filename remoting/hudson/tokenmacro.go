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

// registerTokenMacro adds what the plugin token-macro sends for ${FILE,path="…"}
// and ${PROPFILE,file="…",property="…"}, which mails and descriptions of builds
// use. Its JSON and XML macros evaluate expressions of Java libraries.
func registerTokenMacro(t *callable.Table) {
	t.Register(callable.Entry{Class: "org.jenkinsci.plugins.tokenmacro.impl.WorkspaceFileMacro$WorkspaceFileMasterToSlaveCallable",
		Source: "token-macro 428", Fields: []string{"root", "path", "fileNotFoundMessage", "charSet", "maxLines"},
		Accepts: acceptsFileMacro, Run: fileMacro})
	t.Register(callable.Entry{Class: "org.jenkinsci.plugins.tokenmacro.impl.PropertyFromFileMacro$ReadProperty",
		Source: "token-macro 2.0", Fields: []string{"root", "filename", "property"}, Run: propertyMacro})
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
	b, err := readMacroFile(name)
	if errors.As(err, new(*remoting.Exception)) {
		return nil, err
	}
	if err != nil {
		return "ERROR: File '" + path + "' could not be read", nil
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

// readMacroFile fails with *remoting.Exception for a file that is too big.
func readMacroFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMacroFile+1))
	if err == nil && len(b) > maxMacroFile {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: %s is too big for a macro: more than %d MiB", name, maxMacroFile>>20)
	}
	return b, err
}

// propertyMacro is ReadProperty.call.
func propertyMacro(_ context.Context, c *callable.Call) (jser.Value, error) {
	file := c.Object.Str("filename")
	name := filepath.Join(c.Object.Str("root"), file)
	if _, err := os.Stat(name); err != nil {
		return file + " not found", nil
	}
	b, err := readMacroFile(name)
	switch {
	case errors.As(err, new(*remoting.Exception)):
		return nil, err
	case errors.Is(err, os.ErrPermission):
		return nil, fileNotFound(name, err) // it is opened outside of the plugin's try
	case err != nil:
		return "Error reading " + file, nil
	}
	return properties(strings.ToValidUTF8(string(b), "\uFFFD"))[c.Object.Str("property")], nil
}

// lineEnds makes of all that BufferedReader takes for the end of a line one.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")
