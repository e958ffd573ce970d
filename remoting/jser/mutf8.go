package jser

import "unicode/utf8"

// isPlain reports whether b is the same in modified UTF-8 and in ASCII.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c-1 >= 0x7F { // 0, or above 0x7F
			return false
		}
	}
	return true
}

// decodeMUTF8 turns Java's modified UTF-8 (java.io.DataInput) into UTF-8. It
// reports the index of the first bad byte, or -1.
func decodeMUTF8(b []byte) (string, int) {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c < 0x80:
			// A bare zero byte is not what a writer emits, but java.io reads it.
			out = append(out, c)
			i++
		case c&0xE0 == 0xC0:
			if i+1 >= len(b) || b[i+1]&0xC0 != 0x80 {
				return "", i
			}
			out = appendUnit(out, uint16(c&0x1F)<<6|uint16(b[i+1]&0x3F))
			i += 2
		case c&0xF0 == 0xE0:
			if i+2 >= len(b) || b[i+1]&0xC0 != 0x80 || b[i+2]&0xC0 != 0x80 {
				return "", i
			}
			u := unit3(b[i:])
			if isHigh(u) && i+5 < len(b) && b[i+3]&0xF0 == 0xE0 && b[i+4]&0xC0 == 0x80 && b[i+5]&0xC0 == 0x80 {
				if lo := unit3(b[i+3:]); isLow(lo) {
					r := rune(u-0xD800)<<10 + rune(lo-0xDC00) + 0x10000
					out = utf8.AppendRune(out, r)
					i += 6
					continue
				}
			}
			out = appendUnit(out, u)
			i += 3
		default:
			return "", i
		}
	}
	return string(out), -1
}

func unit3(b []byte) uint16 {
	return uint16(b[0]&0x0F)<<12 | uint16(b[1]&0x3F)<<6 | uint16(b[2]&0x3F)
}

func isHigh(u uint16) bool { return u >= 0xD800 && u < 0xDC00 }
func isLow(u uint16) bool  { return u >= 0xDC00 && u < 0xE000 }

// appendUnit appends one UTF-16 unit; a lone surrogate keeps its three bytes,
// which utf8.AppendRune would replace.
func appendUnit(out []byte, u uint16) []byte {
	switch {
	case u < 0x80:
		return append(out, byte(u))
	case u < 0x800:
		return append(out, 0xC0|byte(u>>6), 0x80|byte(u&0x3F))
	default:
		return append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6&0x3F), 0x80|byte(u&0x3F))
	}
}

// appendMUTF8 appends s in modified UTF-8. Bytes that are no UTF-8 become
// U+FFFD, as in a Java String made of them.
func appendMUTF8(out []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < 0x80 {
			if c == 0 {
				out = append(out, 0xC0, 0x80)
			} else {
				out = append(out, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			if isSurrogateForm(s[i:]) {
				out = append(out, s[i:i+3]...)
				i += 3
				continue
			}
			out = appendUnit(out, 0xFFFD)
		case r >= 0x10000:
			r -= 0x10000
			out = appendUnit(out, uint16(0xD800+r>>10))
			out = appendUnit(out, uint16(0xDC00+r&0x3FF))
		default:
			out = append(out, s[i:i+n]...)
		}
		i += n
	}
	return out
}

func isSurrogateForm(s string) bool {
	return len(s) >= 3 && s[0] == 0xED && s[1] >= 0xA0 && s[1] <= 0xBF && s[2]&0xC0 == 0x80
}
