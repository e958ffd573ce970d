package junit

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goldenCase is one Parse call whose result the real parser gave as well:
// upstream's own classes, run on the same files.
type goldenCase struct {
	Name     string   `json:"name"`
	Dir      string   `json:"dir"`   // below testdata/reports
	Files    []string `json:"files"` // below dir
	Retain   string   `json:"retain"`
	Props    bool     `json:"props"`
	Names    bool     `json:"names"`
	Pipeline bool     `json:"pipeline"`
	Classic  bool     `json:"classic"` // made by the plugin before 580465cc
}

func (c goldenCase) options() Options {
	o := Options{
		StdioRetention: StdioRetention(c.Retain),
		KeepProperties: c.Props,
		KeepTestNames:  c.Names,
		Names:          NamesRFC3986,
	}
	if c.Classic {
		o.Names = NamesClassic
	}
	if c.Pipeline {
		id := "17"
		o.Pipeline = &PipelineTestDetails{
			NodeID:              &id,
			EnclosingBlocks:     []string{"12", "5"},
			EnclosingBlockNames: []string{"Tests", "All ü"},
		}
	}
	return o
}

func goldenCases(t testing.TB) []goldenCase {
	b, err := os.ReadFile(filepath.Join(goldenRoot(), "cases.json"))
	require.NoError(t, err)
	var cases []goldenCase
	require.NoError(t, json.Unmarshal(b, &cases))
	require.NotEmpty(t, cases)
	return cases
}

func TestGolden(t *testing.T) {
	for _, c := range goldenCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			base, err := filepath.Abs(filepath.Join(goldenRoot(), "reports", c.Dir))
			require.NoError(t, err)
			want, err := os.ReadFile(filepath.Join(goldenRoot(), "golden", c.Name+".json"))
			require.NoError(t, err)
			res, err := Parse(c.options(), base, c.Files)
			got, merr := json.Marshal(javaDump(res, err))
			require.NoError(t, merr)
			text := strings.ReplaceAll(string(got), base, "${BASE}")
			var w, g any
			require.NoError(t, json.Unmarshal(want, &w))
			require.NoError(t, json.Unmarshal([]byte(text), &g))
			if where := difference("", w, g); where != "" {
				t.Error(where)
			}
		})
	}
}

// difference names the first place where two decoded JSON values differ.
func difference(path string, want, got any) string {
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			break
		}
		for k := range w {
			if d := difference(path+"."+k, w[k], g[k]); d != "" {
				return d
			}
		}
		for k := range g {
			if _, ok := w[k]; !ok {
				return path + "." + k + ": unexpected"
			}
		}
		return ""
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			break
		}
		for i := range w {
			if d := difference(fmt.Sprintf("%s[%d]", path, i), w[i], g[i]); d != "" {
				return d
			}
		}
		return ""
	default:
		if want == got {
			return ""
		}
	}
	return fmt.Sprintf("%s:\nwant %.2000v\ngot  %.2000v", path, want, got)
}

// javaDump gives a result the shape of the golden files: Java's field names,
// floats as Float.toString has them, "EmptyMap" for Collections.emptyMap().
func javaDump(r *TestResult, err error) any {
	if err != nil {
		var chain []any
		for t, ok := err.(*Throwable); ok && t != nil; t = t.Cause {
			chain = append(chain, map[string]any{"Class": t.Class, "Message": t.Message})
		}
		return map[string]any{"Error": chain}
	}
	suites := []any{}
	for _, s := range r.Suites {
		cases := []any{}
		for _, c := range s.Cases {
			cases = append(cases, map[string]any{
				"duration": javaFloat(c.Duration), "failedSince": 0, "isProperFailure": c.IsProperFailure,
				"keepTestNames": c.KeepTestNames, "skipped": c.Skipped, "startTime": c.StartTime,
				"className": c.ClassName, "errorDetails": c.ErrorDetails, "errorStackTrace": c.ErrorStackTrace,
				"flakyFailures": javaFailures(c.FlakyFailures), "properties": javaMap(c.Properties),
				"rerunFailures": javaFailures(c.RerunFailures), "skippedMessage": c.SkippedMessage,
				"stderr": c.Stderr, "stdout": c.Stdout, "testName": c.TestName,
			})
		}
		suites = append(suites, map[string]any{
			"duration": javaFloat(s.Duration), "startTime": s.StartTime, "cases": cases,
			"enclosingBlockNames": s.EnclosingBlockNames, "enclosingBlocks": s.EnclosingBlocks,
			"file": s.File, "id": s.ID, "name": s.Name, "nodeId": s.NodeID,
			"properties": javaMap(s.Properties), "stderr": s.Stderr, "stdout": s.Stdout,
			"time": s.Time, "timestamp": s.Timestamp,
		})
	}
	return map[string]any{
		"duration": javaFloat(r.Duration), "keepProperties": r.KeepProperties, "keepTestNames": r.KeepTestNames,
		"skipOldReports": r.SkipOldReports, "startTime": r.StartTime, "impl": nil,
		"stdioRetention": string(r.StdioRetention), "suites": suites,
	}
}

func javaMap(m map[string]string) any {
	if m == nil {
		return "EmptyMap"
	}
	return m
}

func javaFailures(list []Failure) any {
	if list == nil {
		return nil
	}
	out := []any{}
	for _, f := range list {
		out = append(out, map[string]any{
			"message": f.Message, "type": f.Type, "stackTrace": f.StackTrace, "stdout": f.Stdout, "stderr": f.Stderr,
		})
	}
	return out
}

// javaFloat gives the bits: two floats are the same only if all bits are.
func javaFloat(f float32) string { return strconv.FormatUint(uint64(math.Float32bits(f)), 16) }

// goldenRoot is testdata, or a directory of the same layout that a developer
// made elsewhere, such as from reports that may not be committed.
func goldenRoot() string {
	if dir := os.Getenv("JUNIT_GOLDEN_DIR"); dir != "" {
		return dir
	}
	return "testdata"
}
