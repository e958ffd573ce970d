package hudson

import (
	"bytes"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// maskText stands where a secret stood, as in credentials-binding's
// SecretPatterns$MaskingOutputStream.
const maskText = "****"

// quotedLiterals reads a pattern that SecretPatterns.getAggregateSecretPattern
// made: alternatives, each quoted by java.util.regex.Pattern.quote. An empty
// pattern has none. Anything else is not ok: text that we can't mask exactly
// must not be printed.
//
//	\Qone\E|\Qtwo\E        a literal that contains \E:  \Qa\E\\E\Qb\E
func quotedLiterals(pattern string) (literals []string, ok bool) {
	if pattern == "" {
		return nil, true
	}
	for {
		var lit strings.Builder
		for {
			rest, found := strings.CutPrefix(pattern, `\Q`)
			if !found {
				return nil, false
			}
			text, after, found := strings.Cut(rest, `\E`)
			if !found {
				return nil, false
			}
			lit.WriteString(text)
			if pattern, found = strings.CutPrefix(after, `\\E`); !found {
				pattern = after
				break
			}
			lit.WriteString(`\E`)
		}
		if lit.Len() == 0 {
			return nil, false
		}
		literals = append(literals, lit.String())
		if pattern == "" {
			return literals, true
		}
		if pattern, ok = strings.CutPrefix(pattern, "|"); !ok {
			return nil, false
		}
	}
}

// masker replaces literals as java.util.regex does for an alternation: the
// leftmost match, and of several at one place the first alternative.
type masker struct {
	byFirst [256][][]byte
	longest int
}

// newMasker hides the literals as the charset writes them and as UTF-8 does,
// which a step's output may have been converted to. e nil is UTF-8.
func newMasker(literals []string, e encoding.Encoding) *masker {
	m := &masker{}
	add := func(b []byte) {
		m.byFirst[b[0]] = append(m.byFirst[b[0]], b)
		m.longest = max(m.longest, len(b))
	}
	for _, l := range literals {
		add([]byte(l))
		if e == nil {
			continue
		}
		// What the charset can't express never occurs in its text.
		if b, err := e.NewEncoder().Bytes([]byte(l)); err == nil && string(b) != l {
			add(b)
		}
	}
	return m
}

// singleByte reports whether each byte of the charset is one character.
func singleByte(e encoding.Encoding) bool {
	switch e.(type) {
	case *charmap.Charmap, asciiOnly:
		return true
	}
	return false
}

// mask appends b with its secrets replaced to dst and returns what of b it did
// not look at: without final the last bytes, which may begin a secret.
func (m *masker) mask(dst, b []byte, final bool) (out, rest []byte) {
	from := 0
scan:
	for i := 0; i < len(b); {
		if !final && len(b)-i < m.longest {
			return append(dst, b[from:i]...), b[i:]
		}
		for _, l := range m.byFirst[b[i]] {
			if bytes.HasPrefix(b[i:], l) {
				dst = append(append(dst, b[from:i]...), maskText...)
				i += len(l)
				from = i
				continue scan
			}
		}
		i++
	}
	return append(dst, b[from:]...), nil
}

// maxMaskedLine is how much of a line without end is kept back. A longer one is
// masked piece by piece: secrets across two pieces are found all the same.
const maxMaskedLine = 64 << 10

// maskSink hides secrets, line by line as upstream: one that a process writes in
// two pieces is found as long as no newline is in between.
type maskSink struct {
	next  textSink
	m     *masker
	limit int    // of a line that is kept back
	line  []byte // the unfinished line
	out   []byte
}

func newMaskSink(next textSink, m *masker) *maskSink {
	return &maskSink{next: next, m: m, limit: max(maxMaskedLine, 2*m.longest)}
}

func (s *maskSink) Write(p []byte) (int, error) {
	s.out = s.out[:0]
	for rest := p; len(rest) > 0; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			s.line = append(s.line, rest...)
			break
		}
		line := rest[:i+1]
		if len(s.line) > 0 {
			line = append(s.line, line...)
			s.line = line[:0]
		}
		s.out, _ = s.m.mask(s.out, line, true)
		rest = rest[i+1:]
	}
	if len(s.line) > s.limit {
		var rest []byte
		s.out, rest = s.m.mask(s.out, s.line, false)
		s.line = append(s.line[:0], rest...)
	}
	if len(s.out) > 0 {
		if _, err := s.next.Write(s.out); err != nil {
			return 0, err
		}
	}
	if cap(s.out) > 4*maxMaskedLine {
		s.out = nil
	}
	if len(s.line) == 0 && cap(s.line) > maxMaskedLine {
		s.line = nil
	}
	return len(p), nil
}

func (s *maskSink) held() int    { return len(s.line) }
func (s *maskSink) Flush() error { return s.next.Flush() }

func (s *maskSink) Finish() error {
	if len(s.line) > 0 {
		out, _ := s.m.mask(nil, s.line, true)
		s.line = nil
		if _, err := s.next.Write(out); err != nil {
			return err
		}
	}
	return s.next.Finish()
}
