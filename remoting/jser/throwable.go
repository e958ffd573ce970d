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

// ThrowableMessage returns the class and message of a deserialized exception,
// such as "java.io.IOException: no space left". ok is false when v is none.
func ThrowableMessage(v Value) (text string, ok bool) {
	o, isObject := v.(*Object)
	if !isObject || !o.Class.Is("java.lang.Throwable") {
		return "", false
	}
	text = o.Class.Name
	if m, isText := o.Get("detailMessage").(string); isText && m != "" {
		text += ": " + m
	}
	return text, true
}
