package exec

import "strings"

// Expand replaces what hudson.Util.replaceMacro replaces, the matches of
//
//	\$([A-Za-z0-9_]+|\{[A-Za-z0-9_.]+\}|\$)
//
// "$$" becomes "$"; a name that lookup does not know stays as it is written.
// What was put in is not looked at again. Time is linear in len(s).
func Expand(s string, lookup func(name string) (string, bool)) string {
	i := strings.IndexByte(s, '$')
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for {
		b.WriteString(s[:i])
		s = s[i:]
		name, n := macro(s)
		switch {
		case n == 0:
			b.WriteByte('$')
			n = 1
		case name == "$":
			b.WriteByte('$')
		default:
			if v, ok := lookup(name); ok {
				b.WriteString(v)
			} else {
				b.WriteString(s[:n])
			}
		}
		s = s[n:]
		if i = strings.IndexByte(s, '$'); i < 0 {
			b.WriteString(s)
			return b.String()
		}
	}
}

// macro reads the macro at the start of s, which begins with '$': its name and
// its length, 0 when there is none.
func macro(s string) (name string, n int) {
	if len(s) < 2 {
		return "", 0
	}
	if s[1] == '$' {
		return "$", 2
	}
	if s[1] == '{' {
		i := 2
		for i < len(s) && (isNameByte(s[i]) || s[i] == '.') {
			i++
		}
		if i == 2 || i == len(s) || s[i] != '}' {
			return "", 0
		}
		return s[2:i], i + 1
	}
	i := 1
	for i < len(s) && isNameByte(s[i]) {
		i++
	}
	if i == 1 {
		return "", 0
	}
	return s[1:i], i
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}
