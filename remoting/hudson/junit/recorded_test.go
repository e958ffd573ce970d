package junit

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRecorded compares with what the official agent answered in the recorded
// sessions 09-junit (three steps) and 22-error-paths (broken.xml), field by
// field, the frames of the stack trace left out.
func TestRecorded(t *testing.T) {
	b, err := os.ReadFile("testdata/recorded.json")
	require.NoError(t, err)
	var recorded map[string]any
	require.NoError(t, json.Unmarshal(b, &recorded))
	base, err := filepath.Abs("testdata/reports/fixture09")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		files  []string
		nodeID string
		opts   Options
	}{
		"all":    {[]string{"r/TEST-a.xml", "r/TEST-b.xml"}, "8", Options{StdioRetention: RetainAll}},
		"none":   {[]string{"r/TEST-c.xml"}, "11", Options{StdioRetention: RetainNone, AllowEmptyResults: true}},
		"empty":  {nil, "12", Options{StdioRetention: RetainNone, AllowEmptyResults: true}},
		"broken": {[]string{"broken.xml"}, "54", Options{StdioRetention: RetainNone}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.opts.Pipeline = &PipelineTestDetails{NodeID: &tc.nodeID}
			res, err := Parse(tc.opts, base, tc.files)
			require.NoError(t, err)
			text, err := json.Marshal(javaDump(res, nil))
			require.NoError(t, err)
			var got any
			require.NoError(t, json.Unmarshal([]byte(strings.ReplaceAll(string(text), base, "${BASE}")), &got))
			// The recorded plugin is older than this field.
			for _, s := range got.(map[string]any)["suites"].([]any) {
				for _, c := range s.(map[string]any)["cases"].([]any) {
					delete(c.(map[string]any), "isProperFailure")
				}
			}
			if where := difference("", recorded[name], got); where != "" {
				t.Error(where)
			}
		})
	}
}
