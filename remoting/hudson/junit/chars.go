package junit

import (
	"unicode"
	"unicode/utf8"
)

// utf16Len is String.length of valid UTF-8.
func utf16Len(b []byte) int {
	n := utf8.RuneCount(b)
	if n != len(b) {
		for _, c := range b {
			if c >= 0xF0 {
				n++
			}
		}
	}
	return n
}

// prefixUnits is the longest prefix of whole runes within units UTF-16 units.
func prefixUnits(b []byte, units int) []byte {
	for i, n := 0, 0; i < len(b); {
		w, size := runeWidth(b[i])
		if n += w; n > units {
			return b[:i]
		}
		i += size
	}
	return b
}

// suffixUnits is the longest suffix of whole runes within units UTF-16 units.
func suffixUnits(b []byte, units int) []byte {
	for i, n := len(b), 0; i > 0; {
		j := i - 1
		for j > 0 && b[j]&0xC0 == 0x80 {
			j--
		}
		w, _ := runeWidth(b[j])
		if n += w; n > units {
			return b[i:]
		}
		i = j
	}
	return b
}

// runeWidth gives UTF-16 units and UTF-8 bytes of the rune that starts with c.
func runeWidth(c byte) (units, size int) {
	switch {
	case c >= 0xF0:
		return 2, 4
	case c >= 0xE0:
		return 1, 3
	case c >= 0xC0:
		return 1, 2
	}
	return 1, 1
}

// isChar is production Char of XML 1.0; with v11 the restricted controls of XML
// 1.1 count too, which only character references may name.
func isChar(r rune, v11 bool) bool {
	switch {
	case r == '\t', r == '\n', r == '\r':
		return true
	case r < 0x20:
		return v11 && r > 0
	case r >= 0xD800 && r < 0xE000, r == 0xFFFE, r == 0xFFFF:
		return false
	}
	return r <= utf8.MaxRune
}

// isNameStart is NameStartChar without ':'.
func isNameStart(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r == '_':
		return true
	case r < 0x80:
		return false
	}
	return r != utf8.RuneError && unicode.IsLetter(r)
}

// isNameChar is NameChar without ':'.
func isNameChar(r rune) bool {
	switch {
	case isNameStart(r), r >= '0' && r <= '9', r == '-', r == '.', r == 0xB7:
		return true
	case r < 0x80:
		return false
	}
	return r != utf8.RuneError && unicode.In(r, unicode.M, unicode.Nd)
}

// Classes of bytes where a run of text or of an attribute value ends.
const (
	stopText = 1 << iota // in element content
	stopCDATA
	stopValue // in an attribute value
)

var stops = func() (t [256]uint8) {
	for c := 0; c < 0x20; c++ {
		t[c] = stopText | stopCDATA | stopValue
	}
	t['\t'], t['\n'] = stopValue, stopValue
	t['<'] = stopText | stopValue
	t['&'] = stopText | stopValue
	t[']'] = stopText | stopCDATA
	t['"'], t['\''] = stopValue, stopValue
	t[0xEF] = stopText | stopCDATA | stopValue // U+FFFE, U+FFFF
	return t
}()

// decodeUTF8 decodes as Java's decoder does: one U+FFFD for each maximal part of
// a malformed sequence.
func decodeUTF8(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r != utf8.RuneError || n > 1 {
			out = append(out, b[:n]...)
			b = b[n:]
			continue
		}
		out = append(out, "\uFFFD"...)
		b = b[malformedLen(b):]
	}
	return out
}

// malformedLen is the length of the maximal well-formed prefix of a sequence
// that is malformed, at least 1.
func malformedLen(b []byte) int {
	lo, hi, size := byte(0x80), byte(0xBF), 1
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		size = 2
	case c >= 0xE0 && c <= 0xEF:
		size = 3
		if c == 0xE0 {
			lo = 0xA0
		} else if c == 0xED {
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		size = 4
		if c == 0xF0 {
			lo = 0x90
		} else if c == 0xF4 {
			hi = 0x8F
		}
	}
	n := 1
	for n < size && n < len(b) && b[n] >= lo && b[n] <= hi {
		lo, hi = 0x80, 0xBF
		n++
	}
	return n
}
