package remoting

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/footman-ci/footman/remoting/jser"
)

// JDK exceptions that answers use, with their serialVersionUIDs.
var (
	IOExceptionClass          = jser.IOExceptionClass
	InterruptedClass          = jser.Serializable("java.lang.InterruptedException", 6700697376100628473, jser.ExceptionClass)
	TimeoutClass              = jser.Serializable("java.util.concurrent.TimeoutException", 1900926677490660714, jser.ExceptionClass)
	IllegalStateClass         = jser.Serializable("java.lang.IllegalStateException", -1848914673093119416, jser.RuntimeExceptionClass)
	IllegalArgumentClass      = jser.Serializable("java.lang.IllegalArgumentException", -5365630128856068164, jser.RuntimeExceptionClass)
	SecurityClass             = jser.Serializable("java.lang.SecurityException", 6878364983674394167, jser.RuntimeExceptionClass)
	UnsupportedOperationClass = jser.Serializable("java.lang.UnsupportedOperationException", -1242599979055084673, jser.RuntimeExceptionClass)
	FileNotFoundClass         = jser.Serializable("java.io.FileNotFoundException", -897856973823710492, jser.IOExceptionClass)
	EOFClass                  = jser.Serializable("java.io.EOFException", 6433858223774886977, jser.IOExceptionClass)
	UnsupportedEncodingClass  = jser.Serializable("java.io.UnsupportedEncodingException", -4274276298326136670, jser.IOExceptionClass)
	ZipExceptionClass         = jser.Serializable("java.util.zip.ZipException", 8000196834066748623, jser.IOExceptionClass)

	fileSystemClass = jser.Serializable("java.nio.file.FileSystemException", -3055425747967319812, jser.IOExceptionClass,
		jser.Ref("file", "java.lang.String"), jser.Ref("other", "java.lang.String"))
	noSuchFileClass    = jser.Serializable("java.nio.file.NoSuchFileException", -1390291775875351931, fileSystemClass)
	accessDeniedClass  = jser.Serializable("java.nio.file.AccessDeniedException", 4943049599949219617, fileSystemClass)
	alreadyExistsClass = jser.Serializable("java.nio.file.FileAlreadyExistsException", 7579540934498831181, fileSystemClass)
	notEmptyClass      = jser.Serializable("java.nio.file.DirectoryNotEmptyException", 3056667871802779003, fileSystemClass)
)

// Exception is an error that becomes a Java exception of a chosen class.
type Exception struct {
	Class   *jser.ClassDesc // extends java.lang.Throwable
	Message string
	NoText  bool         // a null message instead of Message
	Fields  []jser.Value // of the classes below Throwable, superclass first
	Cause   error
}

func (e *Exception) Error() string {
	if e.NoText {
		return e.Class.Name
	}
	return e.Message
}

func (e *Exception) Unwrap() error { return e.Cause }

// Errorf makes an Exception of class c.
func Errorf(c *jser.ClassDesc, format string, args ...any) *Exception {
	return &Exception{Class: c, Message: fmt.Sprintf(format, args...)}
}

// FileError makes the java.nio.file exception for an error of package os, as
// the JDK's UnixException does: the message is the path, and only errors
// without a class of their own carry the reason.
func FileError(path string, err error) *Exception {
	c := fileSystemClass
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c = noSuchFileClass
	case errors.Is(err, syscall.EACCES):
		c = accessDeniedClass
	case errors.Is(err, syscall.ENOTEMPTY):
		c = notEmptyClass
	case errors.Is(err, fs.ErrExist):
		c = alreadyExistsClass
	}
	e := &Exception{Class: c, NoText: true, Fields: []jser.Value{path, nil}, Cause: err}
	if c == fileSystemClass {
		e.NoText, e.Message = false, FileReason(err)
	}
	return e
}

// FileReason is strerror's text, which Go spells in lower case.
func FileReason(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		s := no.Error()
		if s != "" && s[0] >= 'a' && s[0] <= 'z' {
			s = string(s[0]-'a'+'A') + s[1:]
		}
		return s
	}
	return err.Error()
}

// Throwable makes the Java exception for any error: an Exception as it says,
// errors of files as java.nio.file exceptions, cancellation as
// InterruptedException, everything else as java.io.IOException.
func Throwable(err error) *jser.Object {
	var e *Exception
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	var remote *RemoteError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &remote):
		e = Errorf(IOExceptionClass, "%s", remote.Error())
	case errors.Is(err, context.Canceled):
		e = &Exception{Class: InterruptedClass, NoText: true}
	case errors.As(err, &pathErr):
		e = FileError(pathErr.Path, pathErr.Err)
	case errors.As(err, &linkErr):
		e = FileError(linkErr.Old, linkErr.Err)
		e.Fields[1] = linkErr.New
	default:
		e = Errorf(IOExceptionClass, "%s", err.Error())
	}
	var text jser.Value = e.Message
	if e.NoText {
		text = nil
	}
	var cause *jser.Object
	var why *Exception
	if errors.As(e.Cause, &why) {
		cause = Throwable(why)
	}
	return jser.Throwable(e.Class, text, cause, e.Fields...)
}

// throwableText is Throwable.toString; FileSystemException composes its
// message of file, other and reason.
func throwableText(t *jser.Object) string {
	text, _ := jser.ThrowableMessage(t)
	file, ok := t.Get("file").(string)
	if !ok || !t.Class.Is(fileSystemClass.Name) {
		return text
	}
	text = t.Class.Name + ": " + file
	if other := t.Str("other"); other != "" {
		text += " -> " + other
	}
	if why := t.Str("detailMessage"); why != "" {
		text += ": " + why
	}
	return text
}

// RemoteError is an exception that the controller answered a call with.
type RemoteError struct {
	Class   string
	Message string
}

func (e *RemoteError) Error() string {
	if e.Message == "" {
		return e.Class
	}
	return e.Class + ": " + e.Message
}

func remoteError(v jser.Value) error {
	o, ok := v.(*jser.Object)
	if !ok {
		return &RemoteError{Class: "java.lang.Throwable", Message: jser.Describe(v)}
	}
	return &RemoteError{Class: o.Class.Name, Message: o.Str("detailMessage")}
}
