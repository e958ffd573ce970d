package junit

// StdioRetention mirrors enum hudson.tasks.junit.StdioRetention (suid 0, super
// java.lang.Enum): how much of system-out and system-err is kept. The Go value
// is the constant's name.
type StdioRetention string

const (
	// RetainAll keeps everything (pipeline option keepLongStdio: true).
	RetainAll StdioRetention = "ALL"
	// RetainFailed keeps everything where a case failed, trims elsewhere.
	RetainFailed StdioRetention = "FAILED"
	// RetainNone trims everywhere; it is Java's DEFAULT.
	RetainNone StdioRetention = "NONE"
)

// ParseStdioRetention maps the name of a Java enum constant; "" is the default.
// The second result is false for any other text.
func ParseStdioRetention(name string) (StdioRetention, bool) {
	switch r := StdioRetention(name); r {
	case RetainAll, RetainFailed, RetainNone:
		return r, true
	case "":
		return RetainNone, true
	}
	return "", false
}

// TestResult mirrors hudson.tasks.junit.TestResult, suid 1, the root of a reply.
//
// Class chain, each with its serialVersionUID; none of the supers has a
// serialized field:
//
//	hudson.tasks.junit.TestResult               1
//	hudson.tasks.test.MetaTabulatedResult       236948503849584523
//	hudson.tasks.test.TabulatedResult           -4240965806931194187
//	hudson.tasks.test.TestResult                7859544877181218522
//	hudson.tasks.test.TestObject                1
//	hudson.tasks.junit.TestObject               2606084086675915280
//
// Fields in the order of the class descriptor: duration F, keepProperties Z,
// keepTestNames Z, skipOldReports Z, startTime J, impl
// Lio/jenkins/plugins/junit/storage/TestResultImpl; (always null),
// stdioRetention Lhudson/tasks/junit/StdioRetention;, suites Ljava/util/List;
// (java.util.ArrayList).
type TestResult struct {
	Duration       float32        // duration, seconds
	KeepProperties bool           // keepProperties
	KeepTestNames  bool           // keepTestNames
	SkipOldReports bool           // skipOldReports
	StartTime      int64          // startTime, epoch milliseconds, -1 = unset
	StdioRetention StdioRetention // stdioRetention
	Suites         []*SuiteResult // suites, never null
}

// SuiteResult mirrors hudson.tasks.junit.SuiteResult, suid 1, no super.
//
// Fields in the order of the class descriptor: duration F, startTime J, cases
// Ljava/util/List;, enclosingBlockNames Ljava/util/List;, enclosingBlocks
// Ljava/util/List; (three java.util.ArrayList), file, id, name, nodeId (String),
// properties Ljava/util/Map;, stderr, stdout, time, timestamp (String). A nil
// *string is Java's null.
//
// A fake suite (empty or unreadable report) has no File, StartTime 0, Stdout and
// Stderr "" and Properties nil; that is what the Java constructor leaves behind.
type SuiteResult struct {
	Duration            float32           // duration, seconds
	StartTime           int64             // startTime, epoch milliseconds, -1 = unset
	Cases               []*CaseResult     // cases, never null
	EnclosingBlockNames []string          // enclosingBlockNames, never null
	EnclosingBlocks     []string          // enclosingBlocks, never null
	File                *string           // file, absolute path of the report
	ID                  *string           // id, attribute
	Name                string            // name, URL-safe, never null
	NodeID              *string           // nodeId, flow node of the junit step
	Properties          map[string]string // properties: nil = java.util.Collections$EmptyMap, else java.util.HashMap
	Stderr              *string           // stderr
	Stdout              *string           // stdout
	Time                *string           // time, attribute as written
	Timestamp           *string           // timestamp, attribute as written
}

// CaseResult mirrors hudson.tasks.junit.CaseResult, suid 1.
//
// Class chain: hudson.tasks.test.TestResult 7859544877181218522,
// hudson.tasks.test.TestObject 1, hudson.tasks.junit.TestObject
// 2606084086675915280, none with a serialized field.
//
// Fields in the order of the class descriptor of 2.541.2's plugin: duration F,
// failedSince I (always 0 in a reply), keepTestNames Z, skipped Z, startTime J,
// className, errorDetails, errorStackTrace (String), flakyFailures
// Ljava/util/List;, properties Ljava/util/Map;, rerunFailures Ljava/util/List;,
// skippedMessage, stderr, stdout, testName (String). Plugins since f916f317
// (2026-06) have one more, isProperFailure Z, between failedSince and
// keepTestNames; a receiver without it ignores it, one with it reads false when
// it is absent (which shows failures with the icon of errors).
type CaseResult struct {
	Duration        float32           // duration, seconds
	IsProperFailure bool              // isProperFailure: has a <failure> element
	KeepTestNames   bool              // keepTestNames
	Skipped         bool              // skipped
	StartTime       int64             // startTime, epoch milliseconds, -1 = unset
	ClassName       *string           // className (Parse never returns nil here)
	ErrorDetails    *string           // errorDetails, message attribute
	ErrorStackTrace *string           // errorStackTrace; not null = failed
	FlakyFailures   []Failure         // flakyFailures: nil = null, else java.util.ArrayList
	Properties      map[string]string // properties: nil = java.util.Collections$EmptyMap, else java.util.HashMap
	RerunFailures   []Failure         // rerunFailures: nil = null, else java.util.ArrayList
	SkippedMessage  *string           // skippedMessage
	Stderr          *string           // stderr
	Stdout          *string           // stdout
	TestName        *string           // testName
}

// Failure mirrors hudson.tasks.junit.Failure, a Java record (since 2025-11):
// serialVersionUID 0, all five components Ljava/lang/String;, in the canonical
// field order message, stackTrace, stderr, stdout, type. Records are restored by
// component name, so the order on the wire is free.
type Failure struct {
	Message    *string // message, attribute
	Type       *string // type, attribute
	StackTrace *string // stackTrace, element
	Stdout     *string // stdout, element system-out, never trimmed
	Stderr     *string // stderr, element system-err, never trimmed
}

// PipelineTestDetails mirrors hudson.tasks.test.PipelineTestDetails as the
// request carries it.
type PipelineTestDetails struct {
	NodeID              *string  // nodeId; nil = the details are not used at all
	EnclosingBlocks     []string // enclosingBlocks
	EnclosingBlockNames []string // enclosingBlockNames
}

// Counts adds up what the controller derives from the cases: a case with
// Skipped is skipped, else one with an ErrorStackTrace failed, else it passed.
func (r *TestResult) Counts() (total, failed, skipped int) {
	for _, s := range r.Suites {
		for _, c := range s.Cases {
			total++
			switch {
			case c.Skipped:
				skipped++
			case c.ErrorStackTrace != nil:
				failed++
			}
		}
	}
	return total, failed, skipped
}
