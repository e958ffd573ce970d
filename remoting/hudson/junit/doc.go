// Package junit reads JUnit XML reports into the values that Jenkins' junit
// plugin makes of them, field by field and rule by rule.
//
//	report files (paths relative to baseDir, in the order of Ant's scanner)
//	     │
//	     │  length 0 ──────────────► fake suite, one case "[empty]"
//	     │  malformed XML, *.xml ──► fake suite, one case "[failed-to-read]"
//	     ▼
//	 decoder     BOM, <?xml encoding=…?>, golang.org/x/text        → UTF-8 bytes
//	 scanner     streaming, never a tree; errors with line and column
//	     │       start(name, attributes) · text(bytes) · end
//	     ▼
//	 builder     one open suite or case a level; text goes to collectors that
//	     │       keep a head and a tail, or all, as StdioRetention says
//	     ▼
//	 TestResult  suites added in document order, equal ones merged, start
//	             times and durations summed in float32 as Java does
//
// The package knows nothing of serialization and imports nothing of ours; the
// doc comment of each struct names the Java class, its serialVersionUID and the
// Java field behind each Go field, for the one who writes the object graph.
//
// Source of the rules: hudson.tasks.junit.{JUnitParser, TestResult, SuiteResult,
// CaseResult, TimeToFloat, XMLEntityResolver} of the junit plugin at c64aedd
// (2026-08), dom4j 2.1.4 and the JDK 17 Xerces below it, and the recorded
// sessions 09-junit and 22-error-paths.
//
// # What differs on purpose
//
//   - The stack trace lines inside the text of a "[failed-to-read]" case are left
//     out: no JVM ran. The two lines that carry the reason are kept in their
//     places.
//   - A document type declaration is read for internal general entities only.
//     Parameter entities, entities that contain markup, and default attribute
//     values are not processed: the first two make the report "[failed-to-read]",
//     the third is ignored. External entities and DTDs are never opened and
//     count as empty, as upstream.
//   - Limits bound nesting, names, attributes, entities and retained text.
//
// A Parse call uses one goroutine and no global state; calls may run in parallel.
package junit
