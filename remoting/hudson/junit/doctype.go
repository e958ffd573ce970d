package junit

import (
	"bytes"
	"unicode/utf8"
)

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
