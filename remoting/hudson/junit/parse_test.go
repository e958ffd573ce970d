package junit

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/charmap"
)

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

const oneCase = `<testsuite name="s"><testcase classname="c" name="n"/></testsuite>`

func TestNoFiles(t *testing.T) {
	_, err := Parse(Options{StdioRetention: RetainAll}, t.TempDir(), nil)
	require.Equal(t, &Throwable{Class: "hudson.AbortException", Message: "No test report files were found. Configuration error?"}, err)

	var lines []string
	res, err := Parse(Options{
		StdioRetention: RetainAll, KeepProperties: true, KeepTestNames: true, SkipOldReports: true,
		AllowEmptyResults: true, Println: func(l string) { lines = append(lines, l) },
	}, t.TempDir(), nil)
	require.NoError(t, err)
	require.Equal(t, []string{NoReportsMessage}, lines)
	// The third answer of session 09: none of the options is in it.
	require.Equal(t, &TestResult{StartTime: -1, StdioRetention: RetainNone, Suites: []*SuiteResult{}}, res)
}

func TestSkipOldReports(t *testing.T) {
	dir := t.TempDir()
	start := time.UnixMilli(1_795_266_042_223)
	for name, age := range map[string]time.Duration{"old.xml": -3001, "edge.xml": -3000, "new.xml": 5000} {
		write(t, dir, name, strings.Replace(oneCase, `"s"`, `"`+name+`"`, 1))
		at := start.Add(age * time.Millisecond)
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), at, at))
	}
	// The earlier of the two build times counts.
	opts := Options{BuildStartTimeMillis: start.UnixMilli() + 77, BuildTimeMillis: start.UnixMilli()}
	files := []string{"edge.xml", "new.xml", "old.xml"}
	names := func() (out []string) {
		res, err := Parse(opts, dir, files)
		require.NoError(t, err)
		for _, s := range res.Suites {
			out = append(out, s.Name)
		}
		return out
	}
	require.Equal(t, files, names())
	opts.SkipOldReports = true
	require.Equal(t, files[:2], names())

	opts.BuildTimeMillis += 100_000
	opts.BuildStartTimeMillis += 100_000
	res, err := Parse(opts, dir, files)
	require.NoError(t, err, "all old is no error here; the controller complains")
	require.Empty(t, res.Suites)
	require.True(t, res.SkipOldReports)

	_, err = Parse(opts, dir, []string{"gone.xml"})
	require.Equal(t, &Throwable{Class: ClassNoSuchFile, Message: filepath.Join(dir, "gone.xml")}, err)
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	res, err := Parse(Options{}, dir, []string{"vanished.xml"})
	require.NoError(t, err, "File.length is 0 for a file that is gone")
	require.Equal(t, "[empty]", *res.Suites[0].Cases[0].TestName)
	require.Equal(t, "Test report file "+filepath.Join(dir, "vanished.xml")+" was length 0", *res.Suites[0].Cases[0].ErrorStackTrace)

	require.NoError(t, os.Mkdir(filepath.Join(dir, "dir.xml"), 0o755))
	_, err = Parse(Options{}, dir, []string{"dir.xml"})
	require.Equal(t, &Throwable{Class: ClassFileNotFound, Message: filepath.Join(dir, "dir.xml") + " (Is a directory)"}, err)

	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Log("SKIPPED: permission part needs a user other than root")
		return
	}
	write(t, dir, "secret.xml", oneCase)
	require.NoError(t, os.Chmod(filepath.Join(dir, "secret.xml"), 0))
	_, err = Parse(Options{}, dir, []string{"secret.xml"})
	require.Equal(t, &Throwable{Class: ClassFileNotFound, Message: filepath.Join(dir, "secret.xml") + " (Permission denied)"}, err)
}

func TestNotAReport(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "notes.txt", "hello")
	_, err := Parse(Options{}, dir, []string{"notes.txt"})
	var th *Throwable
	require.ErrorAs(t, err, &th)
	require.Equal(t, ClassIO, th.Class)
	require.Equal(t, "Failed to read "+filepath.Join(dir, "notes.txt")+
		"\nIs this really a JUnit report file? Your configuration must be matching too many files", th.Message)
	require.Equal(t, ClassDocument, th.Cause.Class)
	require.Equal(t, "Error on line 1 of document  : Content is not allowed in prolog.", th.Cause.Message)
	require.Equal(t, ClassSAXParse, th.Cause.Cause.Class)
}

func TestLimits(t *testing.T) {
	deep := strings.Repeat("<testsuite>", 50)
	for name, tc := range map[string]struct {
		doc, want string
		lim       Limits
	}{
		"depth":      {deep, "Elements are nested deeper than 49, the limit of this agent.", Limits{MaxDepth: 49}},
		"name":       {"<" + strings.Repeat("a", 101) + "/>", "A name is longer than 100 bytes, the limit of this agent.", Limits{MaxName: 100}},
		"attributes": {`<a b="" c="" d=""/>`, `JAXP00010002: Element "a" has more than "2" attributes, "2" is the limit imposed by the JDK.`, Limits{MaxAttributes: 2}},
		"expansions": {`<!DOCTYPE a [<!ENTITY x "1">]><a>&x;&x;&x;</a>`, `more than "2" entity expansions`, Limits{MaxExpansions: 2}},
		"entityText": {`<!DOCTYPE a [<!ENTITY x "1234567890"><!ENTITY y "&x;&x;&x;">]><a b="&y;"/>`, `The accumulated size of entities is "`, Limits{MaxEntityText: 25}},
		"dtd":        {`<!DOCTYPE a [<!ENTITY x "` + strings.Repeat("x", maxDTD+1) + `">]><a/>`, "The document type declaration is longer than", Limits{}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "r.xml", tc.doc)
			res, err := Parse(Options{Limits: tc.lim}, dir, []string{"r.xml"})
			require.NoError(t, err)
			require.Equal(t, "[failed-to-read]", *res.Suites[0].Cases[0].TestName)
			require.Contains(t, *res.Suites[0].Cases[0].ErrorStackTrace, tc.want)
		})
	}
	t.Run("retained", func(t *testing.T) {
		dir := t.TempDir()
		write(t, dir, "text.xml", "<testsuite><testcase classname='c' name='n'><error>"+strings.Repeat("x", 5000)+"</error></testcase></testsuite>")
		write(t, dir, "attr.xml", "<testsuite><testcase classname='c' name='"+strings.Repeat("x", 5000)+"'/></testsuite>")
		for _, f := range []string{"text.xml", "attr.xml"} {
			_, err := Parse(Options{Limits: Limits{MaxRetained: 4000}}, dir, []string{f})
			require.EqualError(t, err, "junit: The test reports hold more than 4000 bytes of text, the limit of this agent. Trim their output or match fewer files.")
			_, err = Parse(Options{Limits: Limits{MaxRetained: 40000}}, dir, []string{f})
			require.NoError(t, err)
		}
	})
}

func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "r.xml", oneCase)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := ParseContext(ctx, Options{}, dir, []string{"r.xml"})
	require.ErrorIs(t, err, context.Canceled)
}

// TestManySuites would take minutes if each suite looked at all before it.
func TestManySuites(t *testing.T) {
	var b strings.Builder
	b.WriteString("<testsuites>")
	for i := range 60000 {
		b.WriteString(`<testsuite name="same" id="`)
		b.WriteString(strings.Repeat("x", i%7))
		b.WriteString(time.Duration(i).String())
		b.WriteString(`"><testcase classname="c" name="n"/></testsuite>`)
	}
	b.WriteString("</testsuites>")
	dir := t.TempDir()
	write(t, dir, "r.xml", b.String())
	res, err := Parse(Options{}, dir, []string{"r.xml"})
	require.NoError(t, err)
	require.Len(t, res.Suites, 60000)
	total, failed, skipped := res.Counts()
	require.Equal(t, []int{60000, 0, 0}, []int{total, failed, skipped})
}

func TestOutputFileCharset(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "TEST-x.xml", oneCase)
	write(t, dir, "x-output.txt", "gr\xfc\xdfe")
	res, err := Parse(Options{DefaultCharset: charmap.ISO8859_1}, dir, []string{"TEST-x.xml"})
	require.NoError(t, err)
	require.Equal(t, "grüße", *res.Suites[0].Stdout)
	res, err = Parse(Options{}, dir, []string{"TEST-x.xml"})
	require.NoError(t, err)
	require.Equal(t, "gr\ufffd\ufffde", *res.Suites[0].Stdout)

	require.NoError(t, os.Remove(filepath.Join(dir, "x-output.txt")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "x-output.txt"), 0o755))
	res, err = Parse(Options{}, dir, []string{"TEST-x.xml"})
	require.NoError(t, err)
	require.Nil(t, res.Suites[0].Stdout)
}

func TestCollectorBounds(t *testing.T) {
	bud := budget{max: 1 << 40}
	unit := strings.Repeat("äb😀\n", 1000) // 5 characters, 8 bytes, a thousand times
	for _, n := range []int{0, 1, 19, 20, 21, 200} {
		text := strings.Repeat(unit, n)
		c := &collector{bud: &bud}
		for i := 0; i < n; i++ {
			require.NoError(t, c.write([]byte(unit)))
			require.Less(t, len(c.buf), tailMax+len(unit)+1)
		}
		for _, half := range []int{halfMaxSize, halfMaxFailingSize} {
			full := &collector{full: true, bud: &bud}
			require.NoError(t, full.write([]byte(text)))
			require.Equal(t, *full.trimmed(false, half), *c.trimmed(false, half))
			require.Equal(t, text, *full.trimmed(true, half))
			full.release()
		}
		c.release()
		require.Zero(t, bud.used)
	}
}
