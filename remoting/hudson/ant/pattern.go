package ant

import (
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// deepMatch is the pattern element that stands for any number of directories, none included.
const deepMatch = "**"

// element is one piece of a pattern between slashes.
type element struct {
	text  string
	deep  bool // it is "**"
	wild  bool // it holds * or ?
	quest bool // it holds ?
	ascii bool
	units []uint16 // UTF-16, set only if needed: not ascii, or quest
}

// pattern is one normalized Ant pattern. The zero value matches only the empty path.
type pattern struct {
	text     string // normalized: '/' as separator, a trailing '/' became "/**"
	elements []element
	wild     bool
	hasDeep  bool
}

// normalize does what DirectoryScanner.normalizePattern does on Unix.
func normalize(text string) string {
	text = strings.ReplaceAll(text, `\`, "/")
	if strings.HasSuffix(text, "/") {
		text += deepMatch
	}
	return text
}

// splitPath cuts a path at slashes, empty pieces left out; an absolute path starts with the piece "/"
// (SelectorUtils.tokenizePathAsArray).
func splitPath(path string) []string {
	var pieces []string
	if strings.HasPrefix(path, "/") {
		pieces = append(pieces, "/")
	}
	for piece := range strings.SplitSeq(path, "/") {
		if piece != "" {
			pieces = append(pieces, piece)
		}
	}
	return pieces
}

// compile reads a pattern that was normalized.
func compile(text string) pattern {
	p := pattern{text: text, wild: hasWildcards(text)}
	for _, piece := range splitPath(text) {
		e := newElement(piece)
		p.hasDeep = p.hasDeep || e.deep
		p.elements = append(p.elements, e)
	}
	return p
}

func newElement(text string) element {
	e := element{
		text:  text,
		deep:  text == deepMatch,
		wild:  hasWildcards(text),
		quest: strings.ContainsRune(text, '?'),
		ascii: isASCII(text),
	}
	e.units = utf16.Encode([]rune(text))
	return e
}

func hasWildcards(text string) bool { return strings.ContainsAny(text, "*?") }

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// matches reports whether one path element fits (SelectorUtils.match): '*' is any run of UTF-16 units, '?' exactly one.
func (e *element) matches(name string, caseSensitive bool) bool {
	switch {
	case e.text == "*" || e.deep:
		return true
	case caseSensitive && !e.wild:
		return e.text == name
	case caseSensitive && !e.quest, e.ascii && isASCII(name):
		return matchBytes(e.text, name, caseSensitive)
	}
	return matchUnits(e.units, utf16.Encode([]rune(name)), caseSensitive)
}

// matchBytes is the wildcard match on bytes: right for ASCII, and for any UTF-8 as long as there is no '?' and no folding.
func matchBytes(pat, name string, caseSensitive bool) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pat) && pat[p] == '*':
			star, mark = p, n
			p++
		case p < len(pat) && (pat[p] == '?' || pat[p] == name[n] || !caseSensitive && upperASCII(pat[p]) == upperASCII(name[n])):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pat) && pat[p] == '*' {
		p++
	}
	return p == len(pat)
}

func upperASCII(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - ('a' - 'A')
	}
	return c
}

// matchUnits is the wildcard match on UTF-16 units: matchBytes again, since one
// generic function for both took 1.3 to 2 times as long for bytes.
func matchUnits(pat, name []uint16, caseSensitive bool) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pat) && pat[p] == '*':
			star, mark = p, n
			p++
		case p < len(pat) && (pat[p] == '?' || pat[p] == name[n] || !caseSensitive && upperUnit(pat[p]) == upperUnit(name[n])):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pat) && pat[p] == '*' {
		p++
	}
	return p == len(pat)
}

// upperUnit is Character.toUpperCase(char): one unit to one unit, halves of surrogate pairs untouched.
func upperUnit(u uint16) uint16 {
	if utf16.IsSurrogate(rune(u)) {
		return u
	}
	if up := unicode.ToUpper(rune(u)); up <= 0xFFFF {
		return uint16(up)
	}
	return u
}

// matchPath reports whether the whole path fits (SelectorUtils.matchPath).
func (p *pattern) matchPath(path []string, caseSensitive bool) bool {
	if n := len(p.elements); n > 0 && len(path) > 0 {
		// most patterns fail on their last element: ask it first
		last := &p.elements[n-1]
		if !last.deep && !last.matches(path[len(path)-1], caseSensitive) {
			return false
		}
	}
	i, n, star, mark := 0, 0, -1, 0
	for n < len(path) {
		switch {
		case i < len(p.elements) && p.elements[i].deep:
			star, mark = i, n
			i++
		case i < len(p.elements) && p.elements[i].matches(path[n], caseSensitive):
			i++
			n++
		case star >= 0:
			mark++
			i, n = star+1, mark
		default:
			return false
		}
	}
	for i < len(p.elements) && p.elements[i].deep {
		i++
	}
	return i == len(p.elements)
}

// matchStart reports whether something below path, or path itself, may fit (SelectorUtils.matchPatternStart).
func (p *pattern) matchStart(path []string, caseSensitive bool) bool {
	i := 0
	for i < len(p.elements) && i < len(path) {
		if p.elements[i].deep {
			return true
		}
		if !p.elements[i].matches(path[i], caseSensitive) {
			return false
		}
		i++
	}
	return i == len(path)
}

// Match reports whether a relative path, with '/' between its elements, fits one Ant pattern. As in a file mask, '\' in
// the pattern is a separator and a trailing one means "/**". A pattern without wildcards must be equal to the path.
func Match(pat, path string, caseSensitive bool) bool {
	p := compile(normalize(pat))
	if !p.wild {
		if caseSensitive {
			return p.text == path
		}
		return upperJava(p.text) == upperJava(path)
	}
	return p.matchPath(splitPath(path), caseSensitive)
}

// compareNames orders strings as Java's String.compareTo does: by UTF-16 unit. That differs from the order of bytes
// only between U+E000..U+FFFF and what is above.
func compareNames(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return int(rank(a[i])) - int(rank(b[i]))
		}
	}
	return len(a) - len(b)
}

// rank moves the lead bytes of 4-byte UTF-8 (surrogate pairs in UTF-16) below those of U+E000..U+FFFF.
func rank(c byte) byte {
	switch {
	case c == 0xEE || c == 0xEF:
		return c + 5
	case c >= 0xF0 && c <= 0xF4:
		return c - 2
	}
	return c
}

// compareEntries orders two names of one directory so that walking them in that order, directories with all they hold,
// gives full paths in compareNames order: a directory compares as its name with a slash.
func compareEntries(a string, aDir bool, b string, bDir bool) int {
	n := min(len(a), len(b))
	if a[:n] != b[:n] {
		return compareNames(a[:n], b[:n])
	}
	return int(rank(after(a, aDir, n))) - int(rank(after(b, bDir, n)))
}

// after is the byte at n of a name, of the slash behind a directory's name, or of nothing.
func after(name string, dir bool, n int) byte {
	if n < len(name) {
		return name[n]
	}
	if dir {
		return '/'
	}
	return 0
}
