package hudson

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

const junitParser = "hudson.tasks.junit.JUnitParser$"

func (r *rig) junit(log *sink, dir, pattern, retention string, allowEmpty bool) (jser.Value, error) {
	details := fields("hudson.tasks.test.PipelineTestDetails", "enclosingBlockNames", jser.ArrayList("Stage"),
		"enclosingBlocks", jser.ArrayList("4"), "nodeId", "8")
	return r.call(onPath(fields(junitParser+"DirectParseResultCallable", "allowEmptyResults", allowEmpty,
		"buildStartTimeInMillis", int64(1), "buildTimeInMillis", int64(1), "keepProperties", true, "keepTestNames", false,
		"nowMaster", int64(1), "skipOldReports", false, "listener", plainListener(r.stream(log), nil), "pipelineTestDetails", details,
		"stdioRetention", enum("hudson.tasks.junit.StdioRetention", retention), "testResults", pattern), dir))
}

func elements(t *testing.T, v jser.Value) []*jser.Object {
	vs, err := jser.List(v)
	require.NoError(t, err)
	out := make([]*jser.Object, len(vs))
	for i, e := range vs {
		out[i] = e.(*jser.Object)
	}
	return out
}

func TestJUnit(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "r/TEST-a.xml", `<testsuite name="s" time="1.5" timestamp="2026-11-21T10:00:00"><properties><property name="k" value="v"/></properties>`+
		`<testcase classname="p.A" name="ok" time="0.5"/><testcase classname="p.A" name="bad"><failure message="m" type="T">trace</failure>`+
		`<system-out>out</system-out></testcase><testcase classname="p.A" name="skip"><skipped message="why"/></testcase></testsuite>`,
		"r/b.xml", `<testsuite><testcase`)
	v, err := r.junit(newSink(), dir, "r/*.xml", "ALL", false)
	require.NoError(t, err)
	res := v.(*jser.Object)
	require.Equal(t, "hudson.tasks.junit.TestResult", res.Class.Name)
	require.Equal(t, true, res.Get("keepProperties"))
	require.Equal(t, "ALL", res.Get("stdioRetention").(*jser.Enum).Name)
	suites := elements(t, res.Get("suites"))
	require.Len(t, suites, 2)
	s := suites[0]
	require.Equal(t, "s", s.Str("name"))
	require.Equal(t, dir+"/r/TEST-a.xml", s.Str("file"))
	require.Equal(t, "8", s.Str("nodeId"))
	require.Equal(t, float32(1.5), s.Get("duration"))
	blocks, err := jser.Strings(s.Get("enclosingBlockNames"))
	require.NoError(t, err)
	require.Equal(t, []string{"Stage"}, blocks)
	props, err := jser.StringMap(s.Get("properties"))
	require.NoError(t, err)
	require.Equal(t, "v", *props["k"])
	cases := elements(t, s.Get("cases"))
	require.Len(t, cases, 3)
	require.Nil(t, cases[0].Get("errorStackTrace"))
	require.Equal(t, "trace", cases[1].Get("errorStackTrace"))
	require.Equal(t, "m", cases[1].Get("errorDetails"))
	require.Equal(t, "out", cases[1].Get("stdout"))
	require.Equal(t, true, cases[1].Get("isProperFailure"))
	require.Equal(t, "why", cases[2].Get("skippedMessage"))
	require.Equal(t, true, cases[2].Get("skipped"))
	broken := elements(t, suites[1].Get("cases"))
	require.Equal(t, "[failed-to-read]", broken[0].Str("testName"))
}

func TestJUnitWithoutReports(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	_, err := r.junit(newSink(), dir, "*.xml", "NONE", false)
	var remote *remoting.RemoteError
	require.ErrorAs(t, err, &remote)
	require.Equal(t, "hudson.AbortException", remote.Class)
	require.Equal(t, "No test report files were found. Configuration error?", remote.Message)
	log := newSink()
	v, err := r.junit(log, dir, "*.xml", "NONE", true)
	require.NoError(t, err)
	require.Empty(t, elements(t, v.(*jser.Object).Get("suites")))
	require.Equal(t, "No test report files were found. Configuration error?\n", log.String())
	_, err = r.junit(newSink(), dir, "*.xml", "SOME", true)
	require.ErrorContains(t, err, "not implemented natively with the retention SOME")
	_, err = r.junit(newSink(), dir+"/gone", "*.xml", "NONE", true)
	require.ErrorContains(t, err, "does not exist")
}

// TestJUnitBeforeSkipOldReports: plugins until 2022-05 leave out old reports.
func TestJUnitBeforeSkipOldReports(t *testing.T) {
	r, dir := newRig(t, &Agent{}), t.TempDir()
	put(t, dir, "a.xml", `<testsuite name="s"><testcase name="c.n"/></testsuite>`)
	now := time.Now().UnixMilli()
	parse := func() (jser.Value, error) {
		return r.call(onPath(fields(junitParser+"ParseResultCallable", "buildTime", now, "nowMaster", now, "keepLongStdio", true,
			"allowEmptyResults", false, "testResults", "*.xml"), dir))
	}
	v, err := parse()
	require.NoError(t, err)
	res := v.(*jser.Object)
	require.Equal(t, true, res.Get("keepLongStdio"))
	_, found := res.Field("stdioRetention")
	require.False(t, found)
	require.Len(t, elements(t, res.Get("suites")), 1)
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(dir+"/a.xml", old, old))
	_, err = parse()
	require.ErrorContains(t, err, "none of them are new")
}
