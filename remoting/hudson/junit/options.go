package junit

import "golang.org/x/text/encoding"

// NameRule selects how suite names are made safe for URLs
// (hudson.tasks.test.TestObject.safe).
type NameRule int

const (
	// NamesClassic replaces / \ : ? # % < > by underscores: every plugin before
	// 580465cc (2026-08), that of the recorded sessions included.
	NamesClassic NameRule = iota
	// NamesRFC3986 replaces also space, controls, DEL and " [ ] ^ ` { | }. A
	// plugin that has it can be told by the constant pool of
	// hudson.tasks.test.TestObject, which then has a member UNSAFE_CHARS.
	NamesRFC3986
)

// Options are the fields of JUnitParser$ParseResultCallable and what the agent
// adds to them. The zero value is usable.
type Options struct {
	BuildStartTimeMillis int64                // buildStartTimeInMillis
	BuildTimeMillis      int64                // buildTimeInMillis
	StdioRetention       StdioRetention       // stdioRetention; "" = RetainNone
	KeepProperties       bool                 // keepProperties
	KeepTestNames        bool                 // keepTestNames
	AllowEmptyResults    bool                 // allowEmptyResults
	SkipOldReports       bool                 // skipOldReports
	Pipeline             *PipelineTestDetails // pipelineTestDetails

	// Println, if set, gets each line that upstream prints to the build's
	// listener.
	Println func(line string)
	// Names is the plugin's rule for suite names.
	Names NameRule
	// DefaultCharset decodes Surefire's *-output.txt files; nil is UTF-8. XML
	// reports say their own.
	DefaultCharset encoding.Encoding
	// Limits bounds what hostile reports can cost; zero fields take defaults.
	Limits Limits
}

// Limits bound one Parse call. A report that breaks one becomes a
// "[failed-to-read]" case that names the limit, except MaxRetained, which fails
// the call: there the sum of all reports counts.
type Limits struct {
	MaxDepth      int   // open elements; default 4096
	MaxName       int   // bytes of an element or attribute name; default 64 KiB
	MaxAttributes int   // attributes of one element; default 10 000 (the JDK's)
	MaxExpansions int   // entity references in one document; default 64 000 (the JDK's)
	MaxEntityText int64 // bytes that entities expand to in one document; default 50 000 000 (the JDK's)
	MaxRetained   int64 // bytes of text held at one time, results included; default 1 GiB
}

func (l Limits) withDefaults() Limits {
	if l.MaxDepth <= 0 {
		l.MaxDepth = 4096
	}
	if l.MaxName <= 0 {
		l.MaxName = 64 << 10
	}
	if l.MaxAttributes <= 0 {
		l.MaxAttributes = 10000
	}
	if l.MaxExpansions <= 0 {
		l.MaxExpansions = 64000
	}
	if l.MaxEntityText <= 0 {
		l.MaxEntityText = 50_000_000
	}
	if l.MaxRetained <= 0 {
		l.MaxRetained = 1 << 30
	}
	return l
}
