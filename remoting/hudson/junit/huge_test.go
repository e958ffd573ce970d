package junit

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pieces reads as many copies of a text as it takes to pass size bytes, between
// a head and a tail, and notes the highest heap use on the way.
type pieces struct {
	head, tail string
	piece      func(i int) string
	size       int64
	n          int
	rest       string
	done       bool
	sent       int64
	peak       uint64
}

func (p *pieces) Read(b []byte) (int, error) {
	for p.rest == "" {
		switch {
		case p.n == 0:
			p.rest = p.head
		case p.done:
			return 0, io.EOF
		case p.sent > p.size:
			p.rest, p.done = p.tail, true
		default:
			p.rest = p.piece(p.n)
		}
		if p.n++; p.n%20000 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			p.peak = max(p.peak, m.HeapAlloc)
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	p.sent += int64(n)
	return n, nil
}

var line = strings.Repeat("some output of a chatty test &amp; more of it\n", 22)

// hugeReports are shaped so that what must be kept of them is small.
var hugeReports = map[string]func() *pieces{
	"one output": func() *pieces {
		return &pieces{
			head:  `<testsuite name="s"><testcase classname="c" name="n"><failure>f</failure><system-out>`,
			piece: func(int) string { return line },
			tail:  `</system-out></testcase></testsuite>`,
		}
	},
	"one CDATA": func() *pieces {
		return &pieces{
			head:  `<testsuite name="s"><testcase classname="c" name="n"/><system-err><![CDATA[`,
			piece: func(int) string { return line },
			tail:  `]]></system-err></testsuite>`,
		}
	},
	"many outputs": func() *pieces {
		return &pieces{
			head: `<testsuites><testsuite name="s">`,
			piece: func(int) string {
				return "<system-out>" + line + "</system-out><other><![CDATA[" + line + "]]></other>"
			},
			tail: `<testcase classname="c" name="n"/></testsuite></testsuites>`,
		}
	},
	"chatty cases": func() *pieces {
		out := strings.Repeat(line, 20)
		return &pieces{
			head: `<testsuite name="s">`,
			piece: func(i int) string {
				return fmt.Sprintf(`<testcase classname="c" name="n%d" time="0.01"><system-out>%s</system-out></testcase>`, i, out)
			},
			tail: `</testsuite>`,
		}
	},
}

// raceDetector is set where everything is ten times slower.
var raceDetector bool

// TestHugeReports reads 200 MB reports (4 MB in short runs and under the race
// detector) with a heap that stays below 40 MB.
func TestHugeReports(t *testing.T) {
	size := int64(200 << 20)
	if testing.Short() || raceDetector {
		size = 4 << 20
	}
	for name, report := range hugeReports {
		t.Run(name, func(t *testing.T) {
			r := report()
			r.size = size
			p := newParser(context.Background(), Options{})
			require.NoError(t, p.document(rep(), r))
			require.NotEmpty(t, p.res.Suites)
			require.NotEmpty(t, p.res.Suites[0].Cases)
			require.NotEqual(t, "[failed-to-read]", *p.res.Suites[0].Cases[0].TestName)
			require.Greater(t, r.sent, size)
			require.Less(t, r.peak, uint64(40<<20))
			t.Logf("%d MB read, heap at most %d MB", r.sent>>20, r.peak>>20)
		})
	}
}

func rep() report { return report{path: "/w/r.xml", abs: "/w/r.xml", name: "r.xml"} }

func BenchmarkReport(b *testing.B) {
	for name, report := range hugeReports {
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			const size = 4 << 20
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				r := report()
				r.size = size
				p := newParser(context.Background(), Options{})
				require.NoError(b, p.document(rep(), r))
			}
		})
	}
}
