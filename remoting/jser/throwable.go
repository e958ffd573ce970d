package jser

var (
	stackElementDesc = Serializable("java.lang.StackTraceElement", 6992337162326171013, nil,
		Prim("format", 'B'), Prim("lineNumber", 'I'), Ref("classLoaderName", "java.lang.String"), Ref("declaringClass", "java.lang.String"),
		Ref("fileName", "java.lang.String"), Ref("methodName", "java.lang.String"), Ref("moduleName", "java.lang.String"),
		Ref("moduleVersion", "java.lang.String"))
	stackArray    = ArrayClass("[Ljava.lang.StackTraceElement;", 163864874655228473)
	throwableDesc = Custom("java.lang.Throwable", -3042686055658047285, nil,
		Ref("cause", "java.lang.Throwable"), Ref("detailMessage", "java.lang.String"),
		Ref("stackTrace", "[Ljava/lang/StackTraceElement;"), Ref("suppressedExceptions", "java.util.List"))

	// ExceptionClass is java.lang.Exception.
	ExceptionClass = Serializable("java.lang.Exception", -3387516993124229948, throwableDesc)
	// RuntimeExceptionClass is java.lang.RuntimeException.
	RuntimeExceptionClass = Serializable("java.lang.RuntimeException", -7034897190745766939, ExceptionClass)
	// IOExceptionClass is java.io.IOException.
	IOExceptionClass = Serializable("java.io.IOException", 7818375828146090155, ExceptionClass)
	// InterruptedExceptionClass is java.lang.InterruptedException.
	InterruptedExceptionClass = Serializable("java.lang.InterruptedException", 6700697376100628473, ExceptionClass)
	// SecurityExceptionClass is java.lang.SecurityException.
	SecurityExceptionClass = Serializable("java.lang.SecurityException", 6878364983674394167, RuntimeExceptionClass)
	// IllegalArgumentExceptionClass is java.lang.IllegalArgumentException.
	IllegalArgumentExceptionClass = Serializable("java.lang.IllegalArgumentException", -5365630128856068164, RuntimeExceptionClass)
	// IllegalStateExceptionClass is java.lang.IllegalStateException.
	IllegalStateExceptionClass = Serializable("java.lang.IllegalStateException", -1848914673093119416, RuntimeExceptionClass)
	// UnsupportedOperationExceptionClass is java.lang.UnsupportedOperationException.
	UnsupportedOperationExceptionClass = Serializable("java.lang.UnsupportedOperationException", -1242599979055084673, RuntimeExceptionClass)
	// FileNotFoundExceptionClass is java.io.FileNotFoundException.
	FileNotFoundExceptionClass = Serializable("java.io.FileNotFoundException", -897856973823710492, IOExceptionClass)
	// EOFExceptionClass is java.io.EOFException.
	EOFExceptionClass = Serializable("java.io.EOFException", 6433858223774886977, IOExceptionClass)
	// UnsupportedEncodingExceptionClass is java.io.UnsupportedEncodingException.
	UnsupportedEncodingExceptionClass = Serializable("java.io.UnsupportedEncodingException", -4274276298326136670, IOExceptionClass)
	// ZipExceptionClass is java.util.zip.ZipException.
	ZipExceptionClass = Serializable("java.util.zip.ZipException", 8000196834066748623, IOExceptionClass)

	// FileSystemExceptionClass is java.nio.file.FileSystemException. It and its
	// subclasses are made by FileSystemException.
	FileSystemExceptionClass = Serializable("java.nio.file.FileSystemException", -3055425747967319812, IOExceptionClass,
		Ref("file", "java.lang.String"), Ref("other", "java.lang.String"))
	// NoSuchFileExceptionClass is java.nio.file.NoSuchFileException.
	NoSuchFileExceptionClass = Serializable("java.nio.file.NoSuchFileException", -1390291775875351931, FileSystemExceptionClass)
	// AccessDeniedExceptionClass is java.nio.file.AccessDeniedException.
	AccessDeniedExceptionClass = Serializable("java.nio.file.AccessDeniedException", 4943049599949219617, FileSystemExceptionClass)
	// FileAlreadyExistsExceptionClass is java.nio.file.FileAlreadyExistsException.
	FileAlreadyExistsExceptionClass = Serializable("java.nio.file.FileAlreadyExistsException", 7579540934498831181, FileSystemExceptionClass)
	// DirectoryNotEmptyExceptionClass is java.nio.file.DirectoryNotEmptyException.
	DirectoryNotEmptyExceptionClass = Serializable("java.nio.file.DirectoryNotEmptyException", 3056667871802779003, FileSystemExceptionClass)
	// NotDirectoryExceptionClass is java.nio.file.NotDirectoryException.
	NotDirectoryExceptionClass = Serializable("java.nio.file.NotDirectoryException", -9011457427178200199, FileSystemExceptionClass)
)

// Throwable makes an exception of class c, which must extend
// java.lang.Throwable. message may be nil for a null message. A nil cause
// means none. fields are those that the classes below Throwable declare,
// superclass first. The stack trace has one element that names where the
// exception comes from, since an empty one makes some loggers print nothing.
func Throwable(c *ClassDesc, message Value, cause *Object, fields ...Value) *Object {
	o := &Object{Class: c}
	var why Value = o // Throwable.cause refers to itself while there is no cause
	if cause != nil {
		why = cause
	}
	frame := New(stackElementDesc, int8(1), int32(-1), nil, "footman.Agent", nil, "run", nil, nil)
	values := append([]Value{why, message, &Array{Class: stackArray, Elems: []Value{frame}}, EmptyList()}, fields...)
	o.Data = New(c, values...).Data
	return o
}

// FileSystemException makes an exception of FileSystemExceptionClass or one of
// its subclasses. An empty reason is null; Java shows "file: reason".
func FileSystemException(c *ClassDesc, file, reason string) *Object {
	return Throwable(c, orNull(reason), nil, file, nil)
}

// ThrowableMessage returns the class and message of a deserialized exception,
// such as "java.io.IOException: no space left". ok is false when v is none.
func ThrowableMessage(v Value) (text string, ok bool) {
	o, isObject := v.(*Object)
	if !isObject || !o.Class.Is("java.lang.Throwable") {
		return "", false
	}
	text = short(o.Class.Name)
	if m, isText := o.Get("detailMessage").(string); isText && m != "" {
		text += ": " + m
	}
	return text, true
}
