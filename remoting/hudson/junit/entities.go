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
		return s.emit(utf8.AppendRune(nil, r), inAttr)
	}
	if _, ok := s.peek(); !ok {
		return s.ended(eofInMarkup)
	}
	name, err := s.name()
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
		return s.emit([]byte{c}, inAttr)
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
	digits := []byte{}
	v := 0
	for {
		c, ok := s.peek()
		if !ok {
			return 0, s.ended(eofInMarkup)
		}
		d := hexDigit(c)
		if d < 0 || d > 9 && !hex {
			break
		}
		if v <= utf8.MaxRune {
			v = v * map[bool]int{false: 10, true: 16}[hex]
			v += d
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
		return b[end+1:], s.emit(utf8.AppendRune(nil, r), inAttr)
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
		return b[n+1:], s.emit([]byte{c}, inAttr)
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

const badDTD = "The markup declarations contained or pointed to by the document type declaration must be well-formed."

// doctype reads a document type declaration behind "<!DOCTYPE".
func (s *scanner) doctype() error {
	if s.dtd.seen {
		return s.fail("Already seen doctype.")
	}
	s.dtd.seen = true
	if !s.skipSpace() {
		return s.fail(`White space is required after "<!DOCTYPE" in the document type declaration.`)
	}
	if !s.atName() {
		return s.fail("The root element type must appear after \"<!DOCTYPE\" in the document type declaration.")
	}
	if _, _, _, err := s.qname(); err != nil {
		return err
	}
	s.skipSpace()
	external, err := s.externalID()
	if err != nil {
		return err
	}
	s.dtd.external = external
	s.skipSpace()
	if s.skip("[") {
		if err := s.subset(); err != nil {
			return err
		}
		s.skipSpace()
	}
	if !s.skip(">") {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInProlog)
		}
		return s.fail("The document type declaration for root element type must end with '>'.")
	}
	return nil
}

// externalID reads SYSTEM or PUBLIC with their literals, if there.
func (s *scanner) externalID() (bool, error) {
	n := 1
	if s.skip("PUBLIC") {
		n = 2
	} else if !s.skip("SYSTEM") {
		return false, nil
	}
	for ; n > 0; n-- {
		s.skipSpace()
		if _, err := s.literal(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// literal reads a quoted string of the DTD into s.lit.
func (s *scanner) literal() ([]byte, error) {
	quote, ok := s.peek()
	if !ok {
		return nil, s.ended(eofInProlog)
	}
	if quote != '"' && quote != '\'' {
		return nil, s.fail(badDTD)
	}
	s.pos++
	s.lit = s.lit[:0]
	for {
		c, ok := s.peek()
		switch {
		case !ok:
			return nil, s.ended(eofInProlog)
		case c == quote:
			s.pos++
			return s.lit, nil
		}
		if s.dtd.size++; s.dtd.size > maxDTD {
			return nil, s.fail("The document type declaration is longer than %d bytes, the limit of this agent.", maxDTD)
		}
		s.lit = append(s.lit, c)
		s.pos++
	}
}

// subset reads the internal subset behind '['.
func (s *scanner) subset() error {
	for {
		s.skipSpace()
		c, ok := s.peek()
		var err error
		switch {
		case !ok:
			return s.ended(eofInProlog)
		case c == ']':
			s.pos++
			return nil
		case c == '%':
			return s.fail("Parameter entity references are not expanded by this agent.")
		case s.skip("<?"):
			err = s.instruction()
		case s.skip("<!"):
			switch {
			case s.has("-"):
				err = s.comment()
			case s.skip("ENTITY"):
				err = s.entityDecl()
			case s.skip("ELEMENT"), s.skip("ATTLIST"), s.skip("NOTATION"):
				err = s.skipDecl()
			default:
				if _, ok := s.peek(); !ok {
					return s.ended(eofInProlog)
				}
				return s.fail(badDTD)
			}
		default:
			return s.fail(badDTD)
		}
		if err != nil {
			return err
		}
	}
}

// skipDecl drops a declaration up to its '>'.
func (s *scanner) skipDecl() error {
	for {
		c, ok := s.peek()
		switch {
		case !ok:
			return s.ended(eofInProlog)
		case c == '>':
			s.pos++
			return nil
		case c == '"' || c == '\'':
			if _, err := s.literal(); err != nil {
				return err
			}
		default:
			s.pos++
		}
	}
}

// entityDecl reads an entity declaration behind "<!ENTITY".
func (s *scanner) entityDecl() error {
	s.skipSpace()
	parameter := s.skip("%")
	s.skipSpace()
	name, err := s.name()
	if err != nil {
		return err
	}
	if name == "" {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInProlog)
		}
		return s.fail(badDTD)
	}
	s.skipSpace()
	e := entity{}
	if e.external, err = s.externalID(); err != nil {
		return err
	}
	if !e.external {
		value, err := s.literal()
		if err != nil {
			return err
		}
		if e.text, err = s.entityValue(value); err != nil {
			return err
		}
	}
	if s.dtd.size += len(name) + 64; s.dtd.size > maxDTD {
		return s.fail("The document type declaration is longer than %d bytes, the limit of this agent.", maxDTD)
	}
	if _, known := s.dtd.entities[name]; !known && !parameter { // the first one counts
		if s.dtd.entities == nil {
			s.dtd.entities = map[string]entity{}
		}
		s.dtd.entities[name] = e
	}
	return s.skipDecl()
}

// entityValue makes replacement text of a literal: line ends normalized,
// character references expanded, general references left for later.
func (s *scanner) entityValue(lit []byte) ([]byte, error) {
	lit = bytes.ReplaceAll(lit, []byte("\r\n"), []byte("\n"))
	lit = bytes.ReplaceAll(lit, []byte("\r"), []byte("\n"))
	var out []byte
	for i := 0; i < len(lit); {
		r, n := utf8.DecodeRune(lit[i:])
		switch {
		case !isChar(r, false):
			return nil, s.fail("An invalid XML character (Unicode: 0x%x) was found in the literal entity value.", r)
		case r == '%':
			return nil, s.fail("Parameter entity references are not expanded by this agent.")
		case r == '&' && i+1 < len(lit) && lit[i+1] == '#':
			end := bytes.IndexByte(lit[i:], ';')
			if end < 0 {
				return nil, s.fail("The character reference must end with the ';' delimiter.")
			}
			c, ok := charRefValue(string(lit[i+1:i+end]), s.v11)
			if !ok {
				return nil, s.fail(`Character reference "%s" is an invalid XML character.`, lit[i:i+end])
			}
			out = utf8.AppendRune(out, c)
			i += end + 1
			continue
		}
		out = append(out, lit[i:i+n]...)
		i += n
	}
	return out, nil
}
