package junit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// fuzzLimits are small enough that a fuzzer reaches them.
var fuzzLimits = Limits{MaxDepth: 64, MaxName: 256, MaxAttributes: 32, MaxExpansions: 100, MaxEntityText: 10000, MaxRetained: 1 << 20}

// FuzzParse feeds one report, whole and byte by byte: both ways give the same
// result, all of it valid UTF-8, and nothing panics or grows past its limits.
func FuzzParse(f *testing.F) {
	for _, d := range loadDocuments(f) {
		f.Add([]byte(d.XML), uint8(0))
	}
	for _, pattern := range []string{"rules", "pytest", "jest", "gotestsum", "nunit"} {
		files, err := filepath.Glob(filepath.Join("testdata/reports", pattern, "*.xml"))
		require.NoError(f, err)
		for i, name := range files {
			b, err := os.ReadFile(name)
			require.NoError(f, err)
			if len(b) < 8000 {
				f.Add(b, uint8(i))
			}
		}
	}
	f.Fuzz(func(t *testing.T, doc []byte, flags uint8) {
		opts := Options{
			StdioRetention: []StdioRetention{RetainNone, RetainFailed, RetainAll}[int(flags)%3],
			KeepProperties: flags&4 != 0,
			Names:          NameRule(flags >> 3 & 1),
			Limits:         fuzzLimits,
		}
		run := func(r io.Reader) string {
			p := newParser(context.Background(), opts)
			rep := report{path: "/w/r.xml", abs: "/w/r.xml", name: "r.xml"}
			err := p.document(rep, r)
			if err == nil {
				err = p.tally()
			}
			require.LessOrEqual(t, p.bud.used, p.bud.max+1<<20)
			for _, s := range p.res.Suites {
				for _, c := range s.Cases {
					for _, text := range []*string{c.ClassName, c.TestName, c.ErrorDetails, c.ErrorStackTrace, c.Stdout, c.Stderr, c.SkippedMessage} {
						require.True(t, text == nil || utf8.ValidString(*text))
					}
				}
			}
			out, merr := json.Marshal(javaDump(p.res, err))
			require.NoError(t, merr)
			return string(out)
		}
		require.Equal(t, run(bytes.NewReader(doc)), run(iotest.OneByteReader(bytes.NewReader(doc))))
	})
}

// FuzzTimes checks that no text of a time or timestamp panics or leaves the
// range of a duration.
func FuzzTimes(f *testing.F) {
	for _, s := range []string{"", "1,234.5", "0x1p3f", "NaN", "-Infinity", "٣.٥E-2", "2026-11-21T10:00:00.5+01:00", "+292278994-08-17T07:12:55.808Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := clampDuration(timeToFloat(&s))
		require.True(t, d != d || d >= 0 && d <= maxDuration)
		if s != "" {
			parseTimestamp(s)
		}
	})
}
