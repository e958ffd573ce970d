package jser

import (
	"cmp"
	"unicode"
	"unicode/utf16"
)

// CompareUTF16 orders strings as java.lang.String.compareTo: by UTF-16 units.
func CompareUTF16(a, b string) int {
	return compareUnits(a, b, func(u uint16) uint16 { return u })
}

// CompareIgnoreCase orders strings as String.CASE_INSENSITIVE_ORDER: each unit
// is upper-cased, then lower-cased, without regard to the locale.
func CompareIgnoreCase(a, b string) int {
	return compareUnits(a, b, func(u uint16) uint16 {
		if u < 0x80 {
			if u >= 'A' && u <= 'Z' {
				u += 'a' - 'A'
			}
			return u
		}
		return foldUnit(u)
	})
}

func foldUnit(u uint16) uint16 {
	r := unicode.ToLower(unicode.ToUpper(rune(u)))
	if r > 0xFFFF {
		return u
	}
	return uint16(r)
}

func compareUnits(a, b string, fold func(uint16) uint16) int {
	if ascii(a) && ascii(b) {
		for i := 0; i < len(a) && i < len(b); i++ {
			if c := cmp.Compare(fold(uint16(a[i])), fold(uint16(b[i]))); c != 0 {
				return c
			}
		}
		return cmp.Compare(len(a), len(b))
	}
	ua, ub := utf16.Encode([]rune(a)), utf16.Encode([]rune(b))
	for i := 0; i < len(ua) && i < len(ub); i++ {
		if c := cmp.Compare(fold(ua[i]), fold(ub[i])); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(ua), len(ub))
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
