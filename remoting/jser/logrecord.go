package jser

import "time"

var (
	levelDesc = Serializable("java.util.logging.Level", -8176160795706313070, nil,
		Prim("value", 'I'), Ref("name", "java.lang.String"), Ref("resourceBundleName", "java.lang.String"))
	// The fields of JDK 17; JDK 8 takes those it knows.
	logRecordDesc = Custom("java.util.logging.LogRecord", 5372048053134512534, nil,
		Prim("longThreadID", 'J'), Prim("millis", 'J'), Prim("nanoAdjustment", 'I'), Prim("sequenceNumber", 'J'), Prim("threadID", 'I'),
		Ref("level", "java.util.logging.Level"), Ref("loggerName", "java.lang.String"), Ref("message", "java.lang.String"),
		Ref("resourceBundleName", "java.lang.String"), Ref("sourceClassName", "java.lang.String"),
		Ref("sourceMethodName", "java.lang.String"), Ref("thrown", "java.lang.Throwable"))
)

// Level makes a java.util.logging.Level; Java replaces it by its own constant
// when it knows the name, such as "WARNING" (900) or "INFO" (800).
func Level(name string, value int32) *Object {
	return New(levelDesc, value, name, "sun.util.logging.resources.logging")
}

// LogEntry is what a java.util.logging.LogRecord says.
type LogEntry struct {
	Level    *Object // made by Level
	Time     time.Time
	Sequence int64
	Thread   int32
	Logger   string
	Message  string
	Class    string // of the source; "" is null
	Method   string // of the source; "" is null
}

// LogRecord makes a java.util.logging.LogRecord without parameters, so that
// its message is shown as it is.
func LogRecord(e LogEntry) *Object {
	values := []Value{int64(e.Thread), e.Time.UnixMilli(), int32(e.Time.Nanosecond() % 1e6), e.Sequence, e.Thread,
		e.Level, e.Logger, e.Message, nil, orNull(e.Class), orNull(e.Method), nil}
	// writeObject: version 1.0, then the number of parameters, -1 for none.
	extra := []Value{Block{1, 0, 0xFF, 0xFF, 0xFF, 0xFF}}
	return &Object{Class: logRecordDesc, Data: []ClassData{{Desc: logRecordDesc, Values: values, Extra: extra}}}
}

func orNull(s string) Value {
	if s == "" {
		return nil
	}
	return s
}
