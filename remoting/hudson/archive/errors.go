package archive

import "fmt"

// Java classes of a Failure other than java.io.IOException.
const (
	ClassIO  = "java.io.IOException"
	ClassEOF = "java.io.EOFException"
	ClassZip = "java.util.zip.ZipException"
)

// Failure is an error in the words of the Java agent: what its exception's getMessage() says. Failures of the file
// system are *fs.PathError with the whole path instead, from which callers make NoSuchFileException and the like.
type Failure struct {
	Class string // of the exception
	Text  string // its message, may be empty
	Cause error  // its cause, may be nil; *Failure, *fs.PathError or anything else
}

func (f *Failure) Error() string {
	switch {
	case f.Cause == nil && f.Text == "":
		return f.Class
	case f.Cause == nil:
		return f.Text
	}
	return f.Text + ": " + f.Cause.Error()
}

func (f *Failure) Unwrap() error { return f.Cause }

func failure(format string, args ...any) *Failure {
	return &Failure{Class: ClassIO, Text: fmt.Sprintf(format, args...)}
}
