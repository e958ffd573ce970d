package junit

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxDuration is one year in seconds, the upper bound of every duration.
const maxDuration = 365 * 24 * 60 * 60

// clampDuration keeps d in [0, one year]; NaN stays NaN as Math.min has it.
func clampDuration(d float32) float32 {
	switch {
	case d != d:
		return d
	case d > maxDuration:
		return maxDuration
	case d > 0:
		return d
	}
	return 0
}

// timeToFloat is hudson.tasks.junit.TimeToFloat: commas dropped, then
// Float.parseFloat, then the longest prefix that java.text.DecimalFormat reads,
// else 0.
func timeToFloat(s *string) float32 {
	if s == nil {
		return 0
	}
	t := strings.ReplaceAll(*s, ",", "")
	if f, ok := parseJavaFloat(t); ok {
		return f
	}
	return float32(decimalPrefix(t))
}

// parseJavaFloat is Float.parseFloat: trimmed of chars up to U+0020, an optional
// type suffix, "NaN" and "Infinity" in exactly that spelling, hexadecimal only
// with an exponent, no underscores.
func parseJavaFloat(s string) (float32, bool) {
	s = strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })
	body := strings.TrimLeft(s, "+-")
	if len(s)-len(body) > 1 {
		return 0, false
	}
	switch body {
	case "NaN":
		return float32(math.NaN()), true
	case "Infinity":
		if s[0] == '-' {
			return float32(math.Inf(-1)), true
		}
		return float32(math.Inf(1)), true
	case "":
		return 0, false
	}
	if c := s[len(s)-1] | 0x20; c == 'f' || c == 'd' {
		// In "0x1p3f" the f is a suffix as well: digits may not follow p there.
		if !isHex(body) || strings.ContainsAny(body, "pP") {
			s = s[:len(s)-1]
		}
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9', c == '.', c == '+', c == '-', c == 'e', c == 'E':
		case isHex(body) && (c == 'x' || c == 'X' || c == 'p' || c == 'P' || c|0x20 >= 'a' && c|0x20 <= 'f'):
		default:
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 32)
	if err != nil {
		if ne, ok := err.(*strconv.NumError); !ok || ne.Err != strconv.ErrRange {
			return 0, false
		}
	}
	return float32(f), true
}

func isHex(s string) bool {
	return len(s) > 1 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')
}

// decimalPrefix reads the prefix that new DecimalFormat() (pattern
// "#,##0.###", English symbols) accepts; text after it is ignored. No number at
// the start gives 0.
func decimalPrefix(s string) float64 {
	neg := strings.HasPrefix(s, "-")
	if neg {
		s = s[1:]
	}
	var f float64
	if strings.HasPrefix(s, "NaN") {
		return math.NaN()
	} else if strings.HasPrefix(s, "∞") {
		f = math.Inf(1)
	} else {
		digits, rest, n := decimalDigits(s)
		if n == 0 {
			return 0
		}
		if strings.HasPrefix(rest, "E") {
			e := rest[1:]
			sign := ""
			if strings.HasPrefix(e, "-") {
				sign, e = "-", e[1:]
			}
			if exp, _, n := wholeDigits(e); n > 0 {
				digits += "e" + sign + exp
			}
		}
		f, _ = strconv.ParseFloat(digits, 64)
	}
	if neg {
		f = -f
	}
	return f
}

// decimalDigits takes digits with at most one '.', returned in ASCII.
func decimalDigits(s string) (digits, rest string, n int) {
	whole, rest, n := wholeDigits(s)
	if !strings.HasPrefix(rest, ".") {
		return whole, rest, n
	}
	frac, rest, m := wholeDigits(rest[1:])
	return "0" + whole + "." + frac + "0", rest, n + m
}

func wholeDigits(s string) (digits, rest string, n int) {
	var b []byte
	for i, r := range s {
		d := int(r - '0')
		if d < 0 || d > 9 {
			if !unicode.Is(unicode.Nd, r) {
				return string(b), s[i:], n
			}
			// Nd blocks are runs of ten that start at a digit zero.
			zero := r
			for unicode.Is(unicode.Nd, zero-1) && r-zero < 9 {
				zero--
			}
			d = int(r - zero)
		}
		b = append(b, byte('0'+d))
		n++
	}
	return string(b), "", n
}

// parseTimestamp is SuiteResult.parseTime: an ISO date-time, UTC when it names
// no offset, in epoch milliseconds; -1 when it is none. ts is not empty.
func parseTimestamp(ts string) int64 {
	if !strings.HasSuffix(ts, "Z") && !strings.Contains(ts, "+") && utf16Index(ts, '-') <= 7 {
		ts += "Z"
	}
	t, ok := parseOffsetDateTime(strings.ReplaceAll(ts, " ", ""))
	if !ok || t.After(time.UnixMilli(math.MaxInt64)) || t.Before(time.UnixMilli(math.MinInt64)) {
		return -1 // Instant.toEpochMilli throws
	}
	return t.UnixMilli()
}

// utf16Index is String.lastIndexOf for an ASCII char.
func utf16Index(s string, c byte) int {
	i := strings.LastIndexByte(s, c)
	if i < 0 {
		return i
	}
	return utf16Len([]byte(s[:i]))
}

// parseOffsetDateTime is java.time.OffsetDateTime.parse with
// ISO_OFFSET_DATE_TIME: strict, seconds optional, up to nine digits of fraction,
// offset Z or ±HH[:MM[:SS]] (JDK 9 and later).
func parseOffsetDateTime(s string) (time.Time, bool) {
	p := dateParser{s: s, ok: true}
	year := p.year()
	p.lit('-')
	month := p.two(1, 12)
	p.lit('-')
	day := p.two(1, 31)
	if p.next() != 'T' && p.next() != 't' {
		return time.Time{}, false
	}
	p.i++
	hour := p.two(0, 23)
	p.lit(':')
	minute := p.two(0, 59)
	var sec, nano int
	if p.next() == ':' {
		p.i++
		sec = p.two(0, 59)
		if p.next() == '.' {
			p.i++
			nano = p.fraction()
		}
	}
	offset := p.offset()
	if !p.ok || p.i != len(p.s) {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, sec, nano, time.UTC)
	if t.Day() != day { // February 30
		return time.Time{}, false
	}
	return t.Add(-time.Duration(offset) * time.Second), true
}

type dateParser struct {
	s  string
	i  int
	ok bool
}

func (p *dateParser) next() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

func (p *dateParser) lit(c byte) {
	if p.next() != c {
		p.ok = false
		return
	}
	p.i++
}

func (p *dateParser) digits(least, most int) int {
	n, v := 0, 0
	for n < most && p.next() >= '0' && p.next() <= '9' {
		v = v*10 + int(p.next()-'0')
		p.i++
		n++
	}
	if n < least {
		p.ok = false
	}
	return v
}

func (p *dateParser) two(lo, hi int) int {
	v := p.digits(2, 2)
	if v < lo || v > hi {
		p.ok = false
	}
	return v
}

// year is four digits, or five to nine (java.time's range) after a '+', or any
// of these after a '-' when not zero (SignStyle.EXCEEDS_PAD, strict).
func (p *dateParser) year() int {
	sign := p.next()
	if sign == '+' || sign == '-' {
		p.i++
	}
	start := p.i
	v := p.digits(4, 10)
	n := p.i - start
	switch {
	case sign == '-':
		if v == 0 {
			p.ok = false
		}
		v = -v
	case sign == '+' && n == 4, sign != '+' && n > 4:
		p.ok = false
	}
	if v > 999_999_999 || v < -999_999_999 {
		p.ok = false
	}
	return v
}

func (p *dateParser) fraction() int {
	start := p.i
	v := p.digits(0, 9)
	for n := p.i - start; n < 9; n++ {
		v *= 10
	}
	return v
}

func (p *dateParser) offset() int {
	sign := 1
	switch p.next() {
	case 'Z', 'z':
		p.i++
		return 0
	case '-':
		sign = -1
	case '+':
	default:
		p.ok = false
		return 0
	}
	p.i++
	v := p.two(0, 18) * 3600
	for _, unit := range []int{60, 1} {
		if p.next() != ':' {
			break
		}
		p.i++
		v += p.two(0, 59) * unit
	}
	if v > 18*3600 {
		p.ok = false
	}
	return sign * v
}
