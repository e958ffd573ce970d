package hudson

import (
	"github.com/footman-ci/footman/remoting/hudson/junit"
	"github.com/footman-ci/footman/remoting/jser"
)

// Descriptors of the plugin junit; see the types of package junit for where
// each field comes from.
//
// The superclasses (hudson.tasks.test.TestResult and others) have no fields,
// and no serialVersionUID of their own, so that it changes with each version
// of the plugin. They are left out of the descriptors: Java then takes them
// for classes that were added later, and there is nothing left to disagree on.
var (
	testResultDesc = jser.Serializable("hudson.tasks.junit.TestResult", 1, nil,
		jser.Prim("duration", 'F'), jser.Prim("keepProperties", 'Z'), jser.Prim("keepTestNames", 'Z'), jser.Prim("skipOldReports", 'Z'),
		jser.Prim("startTime", 'J'), jser.Ref("impl", "io.jenkins.plugins.junit.storage.TestResultImpl"),
		jser.Ref("stdioRetention", "hudson.tasks.junit.StdioRetention"), jser.Ref("suites", "java.util.List"))
	// Before 2024-01 (junit at 65ffcef2).
	oldTestResultDesc = jser.Serializable("hudson.tasks.junit.TestResult", 1, nil,
		jser.Prim("duration", 'F'), jser.Prim("keepLongStdio", 'Z'), jser.Prim("skipOldReports", 'Z'), jser.Ref("suites", "java.util.List"))
	suiteResultDesc = jser.Serializable("hudson.tasks.junit.SuiteResult", 1, nil,
		jser.Prim("duration", 'F'), jser.Prim("startTime", 'J'), jser.Ref("cases", "java.util.List"),
		jser.Ref("enclosingBlockNames", "java.util.List"), jser.Ref("enclosingBlocks", "java.util.List"),
		jser.Ref("file", "java.lang.String"), jser.Ref("id", "java.lang.String"), jser.Ref("name", "java.lang.String"),
		jser.Ref("nodeId", "java.lang.String"), jser.Ref("properties", "java.util.Map"), jser.Ref("stderr", "java.lang.String"),
		jser.Ref("stdout", "java.lang.String"), jser.Ref("time", "java.lang.String"), jser.Ref("timestamp", "java.lang.String"))
	// isProperFailure is read by plugins since 2026-06 only; others skip it.
	caseResultDesc = jser.Serializable("hudson.tasks.junit.CaseResult", 1, nil,
		jser.Prim("duration", 'F'), jser.Prim("failedSince", 'I'), jser.Prim("isProperFailure", 'Z'), jser.Prim("keepTestNames", 'Z'),
		jser.Prim("skipped", 'Z'), jser.Prim("startTime", 'J'), jser.Ref("className", "java.lang.String"),
		jser.Ref("errorDetails", "java.lang.String"), jser.Ref("errorStackTrace", "java.lang.String"),
		jser.Ref("flakyFailures", "java.util.List"), jser.Ref("properties", "java.util.Map"), jser.Ref("rerunFailures", "java.util.List"),
		jser.Ref("skippedMessage", "java.lang.String"), jser.Ref("stderr", "java.lang.String"), jser.Ref("stdout", "java.lang.String"),
		jser.Ref("testName", "java.lang.String"))
	// A record: its serialVersionUID is not compared.
	failureDesc = jser.Serializable("hudson.tasks.junit.Failure", 0, nil,
		jser.Ref("message", "java.lang.String"), jser.Ref("stackTrace", "java.lang.String"), jser.Ref("stderr", "java.lang.String"),
		jser.Ref("stdout", "java.lang.String"), jser.Ref("type", "java.lang.String"))
	retentionDesc = jser.EnumClass("hudson.tasks.junit.StdioRetention")
)

// testResult writes a result for the plugin that sent the request.
func testResult(r *junit.TestResult, request *jser.Object) *jser.Object {
	suites := make([]jser.Value, len(r.Suites))
	for i, s := range r.Suites {
		suites[i] = suiteResult(s)
	}
	if _, old := request.Field("keepLongStdio"); old {
		return jser.New(oldTestResultDesc, r.Duration, r.StdioRetention == junit.RetainAll, r.SkipOldReports, jser.ArrayList(suites...))
	}
	retention := &jser.Enum{Class: retentionDesc, Name: string(r.StdioRetention)}
	return jser.New(testResultDesc, r.Duration, r.KeepProperties, r.KeepTestNames, r.SkipOldReports, r.StartTime,
		nil, retention, jser.ArrayList(suites...))
}

func suiteResult(s *junit.SuiteResult) *jser.Object {
	cases := make([]jser.Value, len(s.Cases))
	for i, c := range s.Cases {
		cases[i] = caseResult(c)
	}
	return jser.New(suiteResultDesc, s.Duration, s.StartTime, jser.ArrayList(cases...), textList(s.EnclosingBlockNames),
		textList(s.EnclosingBlocks), text(s.File), text(s.ID), s.Name, text(s.NodeID), textMap(s.Properties), text(s.Stderr),
		text(s.Stdout), text(s.Time), text(s.Timestamp))
}

func caseResult(c *junit.CaseResult) *jser.Object {
	return jser.New(caseResultDesc, c.Duration, int32(0), c.IsProperFailure, c.KeepTestNames, c.Skipped, c.StartTime, text(c.ClassName),
		text(c.ErrorDetails), text(c.ErrorStackTrace), failureList(c.FlakyFailures), textMap(c.Properties), failureList(c.RerunFailures),
		text(c.SkippedMessage), text(c.Stderr), text(c.Stdout), text(c.TestName))
}

func failureList(fs []junit.Failure) jser.Value {
	if fs == nil {
		return nil
	}
	vs := make([]jser.Value, len(fs))
	for i, f := range fs {
		vs[i] = jser.New(failureDesc, text(f.Message), text(f.StackTrace), text(f.Stderr), text(f.Stdout), text(f.Type))
	}
	return jser.ArrayList(vs...)
}

// text is a string that may be null.
func text(s *string) jser.Value {
	if s == nil {
		return nil
	}
	return *s
}

func textList(ss []string) *jser.Object {
	vs := make([]jser.Value, len(ss))
	for i, s := range ss {
		vs[i] = s
	}
	return jser.ArrayList(vs...)
}

func textMap(m map[string]string) jser.Value {
	if m == nil {
		return jser.EmptyMap()
	}
	return sortedMap(m)
}
