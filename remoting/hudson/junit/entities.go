package junit

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// dtd is what a document type declaration leaves behind: internal general
// entities, and whether undeclared ones may be declared in a place that is not
// read.
type dtd struct {
	seen       bool
	external   bool // has an external subset
	standalone bool
	entities   map[string]entity
	size       int

	expansions int
	expanded   int64
}

type entity struct {
	text     []byte // replacement text, character references expanded
	external bool
}

// maxDTD bounds the literals of one document type declaration, in bytes;
// maxEntityDepth the references inside references.
const (
	maxDTD         = 1 << 20
	maxEntityDepth = 256
)

var predefined = map[string]byte{"amp": '&', "lt": '<', "gt": '>', "quot": '"', "apos": '\''}

// reference reads a reference behind '&' and passes on what it stands for, to
// the attribute buffer or as text.
func (s *scanner) reference(inAttr bool) error {
	if s.skip("#") {
		r, err := s.charRef()
		if err != nil {
			return err
		}
		return s.emit(utf8.AppendRune(s.one[:0], r), inAttr)
	}
	if _, ok := s.peek(); !ok {
		return s.ended(eofInMarkup)
	}
	name, err := s.colonName()
	if err != nil {
		return err
	}
	if name == "" {
		return s.fail("The entity name must immediately follow the '&' in the entity reference.")
	}
	if !s.skip(";") {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
		return s.fail(`The reference to entity "%s" must end with the ';' delimiter.`, name)
	}
	if c, ok := predefined[name]; ok {
		return s.emit(append(s.one[:0], c), inAttr)
	}
	return s.expand(name, inAttr, nil)
}

func (s *scanner) emit(b []byte, inAttr bool) error {
	if inAttr {
		s.a.buf = append(s.a.buf, b...)
		return nil
	}
	return s.ev.text(b)
}

// charRef reads a character reference behind "&#".
func (s *scanner) charRef() (rune, error) {
	hex := s.skip("x")
	base := 10
	if hex {
		base = 16
	}
	var digits []byte
	v := 0
	for {
		c, ok := s.peek()
		if !ok {
			return 0, s.ended(eofInMarkup)
		}
		d := hexDigit(c)
		if d < 0 || d >= base {
			break
		}
		if v <= utf8.MaxRune {
			v = v*base + d
		}
		if len(digits) < 1024 {
			digits = append(digits, c)
		}
		s.pos++
	}
	prefix := "&#"
	if hex {
		prefix = "&#x"
	}
	if len(digits) == 0 {
		kind := "decimal"
		if hex {
			kind = "hexadecimal"
		}
		return 0, s.fail(`A %s representation must immediately follow the "%s" in a character reference.`, kind, prefix)
	}
	if !s.skip(";") {
		return 0, s.fail("The character reference must end with the ';' delimiter.")
	}
	if v > utf8.MaxRune || !isChar(rune(v), s.v11) {
		return 0, s.fail(`Character reference "%s%s" is an invalid XML character.`, prefix, digits)
	}
	return rune(v), nil
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// expand passes on the replacement text of a general entity. path names the
// entities being expanded, outermost first.
func (s *scanner) expand(name string, inAttr bool, path []string) error {
	e, ok := s.dtd.entities[name]
	switch {
	case !ok && s.dtd.external && !s.dtd.standalone:
		return nil // perhaps declared in the external subset, which reads as empty
	case !ok:
		return s.fail(`The entity "%s" was referenced, but not declared.`, name)
	case e.external && inAttr:
		return s.fail(`The external entity reference "&%s;" is not permitted in an attribute value.`, name)
	case e.external:
		return nil
	}
	path = append(path, name)
	if len(path) > maxEntityDepth {
		return s.fail("Entities are nested deeper than %d, the limit of this agent.", maxEntityDepth)
	}
	for _, p := range path[:len(path)-1] {
		if p == name {
			return s.fail(`Recursive entity reference "%s". (Reference path: %s),`, name, strings.Join(path, " -> "))
		}
	}
	if s.dtd.expansions++; s.dtd.expansions > s.lim.MaxExpansions {
		return s.fail(`JAXP00010001: The parser has encountered more than "%d" entity expansions in this document; this is the limit imposed by the JDK.`, s.lim.MaxExpansions)
	}
	if s.dtd.expanded += int64(len(e.text)); s.dtd.expanded > s.lim.MaxEntityText {
		return s.fail(`JAXP00010004: The accumulated size of entities is "%d" that exceeded the "%d" limit set by "FEATURE_SECURE_PROCESSING".`, s.dtd.expanded, s.lim.MaxEntityText)
	}
	for b := e.text; len(b) > 0; {
		i := bytes.IndexAny(b, "<&")
		if i < 0 {
			i = len(b)
		}
		if i > 0 {
			run := b[:i]
			if inAttr {
				run = bytes.Map(func(r rune) rune {
					if r == '\t' || r == '\n' || r == '\r' {
						return ' '
					}
					return r
				}, run)
			}
			if err := s.emit(run, inAttr); err != nil {
				return err
			}
			b = b[i:]
			continue
		}
		if b[0] == '<' && inAttr {
			return s.fail(`The value of attribute "%s" associated with an element type "%s" must not contain the '<' character.`, s.inAttr, s.inElem)
		}
		if b[0] == '<' {
			return s.fail(`The entity "%s" contains markup, which this agent does not expand.`, name)
		}
		var err error
		if b, err = s.innerReference(b[1:], inAttr, path); err != nil {
			return err
		}
	}
	return nil
}

// innerReference passes on the reference that b starts with, its '&' taken off,
// and returns the rest of b.
func (s *scanner) innerReference(b []byte, inAttr bool, path []string) ([]byte, error) {
	end := bytes.IndexByte(b, ';')
	if len(b) > 0 && b[0] == '#' && end > 0 {
		r, ok := charRefValue(string(b[:end]), s.v11)
		if !ok {
			return nil, s.fail(`Character reference "&%s" is an invalid XML character.`, b[:end])
		}
		return b[end+1:], s.emit(utf8.AppendRune(s.one[:0], r), inAttr)
	}
	n := nameLen(b)
	if n == 0 {
		return nil, s.fail("The entity name must immediately follow the '&' in the entity reference.")
	}
	ref := string(b[:n])
	if n != end {
		return nil, s.fail(`The reference to entity "%s" must end with the ';' delimiter.`, ref)
	}
	if c, ok := predefined[ref]; ok {
		return b[n+1:], s.emit(append(s.one[:0], c), inAttr)
	}
	return b[n+1:], s.expand(ref, inAttr, path)
}

// charRefValue decodes "#10" and "#xA".
func charRefValue(ref string, v11 bool) (rune, bool) {
	digits, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return 0, false
	}
	base := 10
	if d, hex := strings.CutPrefix(digits, "x"); hex {
		digits, base = d, 16
	}
	v := 0
	for i := 0; i < len(digits); i++ {
		d := hexDigit(digits[i])
		if d < 0 || d >= base {
			return 0, false
		}
		if v = v*base + d; v > utf8.MaxRune {
			return 0, false
		}
	}
	return rune(v), digits != "" && isChar(rune(v), v11)
}

// nameLen is the length of the name that b starts with.
func nameLen(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if i == 0 && !isNameStart(r) || !isNameChar(r) {
			return i
		}
		i += n
	}
	return len(b)
}
