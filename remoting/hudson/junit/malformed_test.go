package junit

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wantDocument is a small document and what the real parser (dom4j 2.1.4 over
// the Xerces of JDK 17) made of it: a trace, the exceptions, or the suites.
type wantDocument struct {
	Name   string      `json:"name"`
	XML    string      `json:"xml"`
	Base64 string      `json:"base64"`
	Trace  string      `json:"trace"`
	Error  [][2]string `json:"error"`
	Suites [][]any     `json:"suites"`
}

// onPurpose names the documents that get another answer here, and its text.
var onPurpose = map[string]string{
	// Default values and types of attributes in a DTD are not read.
	"attlist_nm": "",
	// Entities that hold markup, and parameter entities, are refused.
	"ent_elem":  `The entity "x" contains markup, which this agent does not expand.`,
	"ent_unbal": `The entity "x" contains markup, which this agent does not expand.`,
	"pe":        "Parameter entity references are not expanded by this agent.",
	"pe_ext":    "Parameter entity references are not expanded by this agent.",
	// Xerces' own answer to these is an accident.
	"doctype_in":     "The content of elements must consist of well-formed character data or markup.",
	"cs_utf16_trunc": `The end-tag for element type "testsuite" must end with a '>' delimiter.`,
}

// elsewhere names the documents whose column is another one here: Xerces counts
// inside an entity, not behind the reference, and keeps back the last character
// before a bad byte.
func elsewhere(name string) bool {
	switch name {
	case "bomb", "rec", "ent_lt_attr", "ascii_bad":
		return true
	}
	return strings.HasPrefix(name, "utf8_")
}

var column = regexp.MustCompile(`columnNumber: \d+`)

func loadDocuments(t testing.TB) []wantDocument {
	b, err := os.ReadFile("testdata/malformed.json")
	require.NoError(t, err)
	var docs []wantDocument
	require.NoError(t, json.Unmarshal(b, &docs))
	for i := range docs {
		if docs[i].Base64 != "" {
			raw, err := base64.StdEncoding.DecodeString(docs[i].Base64)
			require.NoError(t, err)
			docs[i].XML = string(raw)
		}
	}
	return docs
}

func TestDocuments(t *testing.T) {
	for _, d := range loadDocuments(t) {
		t.Run(d.Name, func(t *testing.T) {
			dir := t.TempDir()
			file := d.Name + ".xml"
			require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(d.XML), 0o644))
			res, err := Parse(Options{Names: NamesRFC3986}, dir, []string{file})
			if text, ok := onPurpose[d.Name]; ok {
				require.NoError(t, err)
				if text != "" {
					require.Contains(t, *res.Suites[0].Cases[0].ErrorStackTrace, text)
				}
				return
			}
			if len(d.Error) > 0 {
				require.Error(t, err)
				var chain [][2]string
				for e, _ := err.(*Throwable); e != nil; e = e.Cause {
					chain = append(chain, [2]string{e.Class, strings.ReplaceAll(e.Message, dir+"/", "")})
				}
				require.Equal(t, d.Error, chain)
				return
			}
			require.NoError(t, err)
			if d.Trace != "" {
				require.Len(t, res.Suites, 1)
				c := res.Suites[0].Cases[0]
				require.Equal(t, "[failed-to-read]", *c.TestName)
				head := "Failed to read test report file " + filepath.Join(dir, file) + "\n"
				want, got := head+d.Trace, *c.ErrorStackTrace
				if elsewhere(d.Name) {
					want, got = column.ReplaceAllString(want, ""), column.ReplaceAllString(got, "")
				}
				require.Equal(t, want, got)
				return
			}
			got := [][]any{}
			for _, s := range res.Suites {
				row := []any{s.Name}
				for _, c := range s.Cases {
					row = append(row, []any{c.ClassName, c.TestName, c.ErrorDetails, c.ErrorStackTrace})
				}
				got = append(got, row)
			}
			w, _ := json.Marshal(d.Suites)
			g, _ := json.Marshal(got)
			require.JSONEq(t, string(w), string(g))
		})
	}
}
