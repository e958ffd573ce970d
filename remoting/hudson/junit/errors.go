package junit

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// NoReportsMessage is the text of the hudson.AbortException when no file
// matched, and the line printed to the build log when that is allowed
// (Messages.JUnitResultArchiver_NoTestReportFound, English).
const NoReportsMessage = "No test report files were found. Configuration error?"

// Java classes of the failures that Parse reports.
const (
	ClassAbort           = "hudson.AbortException"
	ClassIO              = "java.io.IOException"
	ClassFileNotFound    = "java.io.FileNotFoundException"
	ClassNoSuchFile      = "java.nio.file.NoSuchFileException"
	ClassAccessDenied    = "java.nio.file.AccessDeniedException"
	ClassFileSystem      = "java.nio.file.FileSystemException"
	ClassNullPointer     = "java.lang.NullPointerException"
	ClassDocument        = "org.dom4j.DocumentException"
	ClassSAXParse        = "org.xml.sax.SAXParseException"
	ClassMalformedBytes  = "com.sun.org.apache.xerces.internal.impl.io.MalformedByteSequenceException"
	ClassUnsupportedCode = "java.io.UnsupportedEncodingException"
)

// Throwable is a failure as the Java parser would throw it: what the caller
// needs to answer with an exception of the right class and text. Cause may be
// nil.
type Throwable struct {
	Class   string
	Message string
	Cause   *Throwable
}

// Error gives Java's message; the class is added for those that say little
// without it.
func (t *Throwable) Error() string {
	if t.Class == ClassAbort || t.Class == ClassIO {
		return "junit: " + t.Message
	}
	return "junit: " + t.Class + ": " + t.Message
}

// Unwrap returns the cause.
func (t *Throwable) Unwrap() error {
	if t.Cause == nil {
		return nil
	}
	return t.Cause
}

// reason is the text that strerror gives a Java program.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "No such file or directory"
		case errors.Is(err, fs.ErrPermission):
			return "Permission denied"
		case errno == syscall.EISDIR:
			return "Is a directory"
		}
		return errno.Error()
	}
	return err.Error()
}

// openError is what java.io.FileInputStream throws.
func openError(path string, err error) *Throwable {
	return &Throwable{Class: ClassFileNotFound, Message: path + " (" + reason(err) + ")"}
}

// statError is what java.nio.file.Files throws.
func statError(path string, err error) *Throwable {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Throwable{Class: ClassNoSuchFile, Message: path}
	case errors.Is(err, fs.ErrPermission):
		return &Throwable{Class: ClassAccessDenied, Message: path}
	}
	return &Throwable{Class: ClassFileSystem, Message: path + ": " + reason(err)}
}

// length is java.io.File.length: 0 when the file cannot be examined.
func length(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}
