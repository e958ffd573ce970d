package junit

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// surefireOutput reads the output that Maven Surefire puts beside its report
// when redirectTestOutputToFile is set: NAME-output.txt beside TEST-NAME.xml.
// nil if there is none. What is there but no regular file is passed over, where
// Java would read it, perhaps forever.
func (b *builder) surefireOutput(failed bool) (*string, error) {
	name, ok := strings.CutPrefix(b.rep.name, "TEST-")
	if !ok {
		return nil, nil
	}
	if name, ok = strings.CutSuffix(name, ".xml"); !ok || name == "" || strings.ContainsAny(name, "\n\r\u0085\u2028\u2029") {
		return nil, nil
	}
	path := filepath.Join(filepath.Dir(b.rep.path), name+"-output.txt")
	fi, err := os.Stat(path)
	if err != nil || !fi.Mode().IsRegular() {
		return nil, nil
	}
	if b.sureOut == nil || b.sureOut.failed != failed {
		text, err := b.p.outputFile(path, fi.Size(), failed)
		if err != nil {
			return nil, &Throwable{Class: ClassIO, Message: "Failed to read " + path, Cause: asThrowable(path, err)}
		}
		b.sureOut = &readOutput{failed, text}
	}
	return &b.sureOut.text, nil
}

// readOutput remembers the output file of a report with many suites.
type readOutput struct {
	failed bool
	text   string
}

// outputFile is CaseResult.possiblyTrimStdio(Collection, StdioRetention, File):
// even output to be kept is trimmed from 1 MiB on.
func (p *parser) outputFile(path string, size int64, failed bool) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	keepAll, half := p.retention(failed)
	if keepAll && size < 1<<20 || size <= int64(2*half) {
		return p.readAll(f)
	}
	// A character takes at most four bytes in any charset that Java reads.
	start, err := p.decode(io.NewSectionReader(f, 0, int64(half)*4+4))
	if err != nil {
		return "", err
	}
	from := max(0, size-int64(half)*4-1024)
	end, err := p.decode(io.NewSectionReader(f, from, size-from))
	if err != nil {
		return "", err
	}
	head, tail := prefixUnits(start, half), suffixUnits(end, half)
	middle := size - p.encodedLen(head, start[len(head):], half) - p.encodedLen(tail, end[:len(end)-len(tail)], half)
	if middle <= 0 {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		return p.readAll(f)
	}
	return fixNULs(head) + fmt.Sprintf("\n...[truncated %d bytes]...\n", middle) + fixNULs(tail), nil
}

func (p *parser) readAll(f *os.File) (string, error) {
	b, err := p.decode(f)
	return fixNULs(b), err
}

// decode reads text in the default charset, within the budget.
func (p *parser) decode(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, p.bud.max-p.bud.used+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > p.bud.max-p.bud.used {
		return nil, errRetained(p.bud.max)
	}
	if cs := p.opts.DefaultCharset; cs != nil {
		return cs.NewDecoder().Bytes(b)
	}
	return decodeUTF8(b), nil
}

// encodedLen is String.getBytes().length of text. Where Java cut a surrogate
// pair in half (rest is what lay beyond the cut), the half counts as one '?'.
func (p *parser) encodedLen(text, rest []byte, half int) int64 {
	n := int64(len(text))
	if cs := p.opts.DefaultCharset; cs != nil {
		if b, err := cs.NewEncoder().Bytes(text); err == nil {
			n = int64(len(b))
		}
	}
	if len(rest) > 0 && utf16Len(text) < half {
		n++
	}
	return n
}

// fixNULs is CaseResult.fixNULs. XML cannot hold NUL, output files can.
func fixNULs(b []byte) string { return strings.ReplaceAll(string(b), "\x00", "^@") }
