package exec

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// StartError says why a process was not started. Its text is the message of the
// java.io.IOException that the Java agent (JDK 17) throws in the same case.
type StartError struct {
	Program string
	Dir     string // as given; "" = the agent's own
	NoDir   bool   // Dir does not exist (checked by LocalProc before the start)
	Err     error  // a syscall.Errno inside, where the system refused
}

var errNullInCommand = errors.New("invalid null character in command")

type errNullInEnv struct{ name string }

func (e errNullInEnv) Error() string {
	return fmt.Sprintf("invalid null character in environment variable %q", strings.ReplaceAll(e.name, "\x00", ""))
}

func (e *StartError) Error() string {
	if e.NoDir {
		dir := javaFile(e.Dir)
		if abs, err := filepath.Abs(e.Dir); err == nil && !filepath.IsAbs(dir) {
			dir = abs
		}
		return fmt.Sprintf("Process working directory '%s' doesn't exist!", dir)
	}
	var own errNullInEnv
	if errors.Is(e.Err, errNullInCommand) || errors.As(e.Err, &own) {
		return e.Err.Error()
	}
	in := ""
	if e.Dir != "" {
		in = fmt.Sprintf(` (in directory "%s")`, javaFile(e.Dir))
	}
	return fmt.Sprintf(`Cannot run program "%s"%s: %s`, e.Program, in, e.Cause())
}

// Cause is the message of the Java exception's own cause, an IOException too
// ("error=2, No such file or directory"); "" where Java has none.
func (e *StartError) Cause() string {
	if e.NoDir || e.Err == nil || errors.Is(e.Err, errNullInCommand) {
		return ""
	}
	var no syscall.Errno
	if errors.As(e.Err, &no) {
		return fmt.Sprintf("error=%d, %s", int(no), strerror(no))
	}
	return e.Err.Error()
}

func (e *StartError) Unwrap() error { return e.Err }

// strerror is the C library's text, which Go writes with a small first letter.
func strerror(no syscall.Errno) string {
	s := no.Error()
	if s != "" {
		s = strings.ToUpper(s[:1]) + s[1:]
	}
	return s
}

var slashes = regexp.MustCompile(`/+`)

// javaFile writes a path as java.io.File does: without doubled or trailing
// slashes.
func javaFile(path string) string {
	path = slashes.ReplaceAllString(path, "/")
	if len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	return path
}
