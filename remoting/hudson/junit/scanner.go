package junit

import (
	"fmt"
	"io"
	"strings"
)

// events receives a document in order. Bytes and attributes are valid during
// the call only. An error stops the scan and comes back from scan unchanged.
type events interface {
	start(local string, a *attrs) error
	text(b []byte) error
	end() error
}

// scanner is a streaming, namespace-aware XML 1.0/1.1 parser: well-formedness
// as Xerces checks it, with its words and positions (XMLMessages_en), and no
// tree. Names and attribute values of one start tag are all that it holds.
type scanner struct {
	*source
	ev     events
	lim    Limits
	v11    bool
	a      attrs
	open   []openElement
	ns     []binding
	names  map[string]string // interned names
	nsSeen map[nsName]bool
	dtd    dtd
	lit    []byte // scratch for names and literals

	one            [4]byte // scratch for single characters
	inAttr, inElem string  // the attribute being read, for messages
	dup            string  // an attribute that the tag names twice
}

type openElement struct {
	raw string // as written, prefix included
	ns  int    // len(scanner.ns) before this element
}

type binding struct{ prefix, uri string }

type nsName struct{ uri, local string }

// scanDocument reads the document r to its end and reports to ev. The error is
// a *documentError when the document is at fault.
func scanDocument(r io.Reader, ev events, lim Limits) error {
	s := &scanner{source: newSource(r), ev: ev, lim: lim, names: map[string]string{}}
	if err := s.declaration(); err != nil {
		return err
	}
	if err := s.prolog(); err != nil {
		return err
	}
	for len(s.open) > 0 {
		if err := s.content(); err != nil {
			return err
		}
	}
	return s.trailing()
}

// fail reports a fatal error at the read position.
func (s *scanner) fail(format string, args ...any) error {
	e := &documentError{text: fmt.Sprintf(format, args...), located: true}
	e.line, e.col = s.where()
	return e
}

// ended reports why no byte is left where one is needed: a bad byte, a read
// error, or the plain end, for which eof is the text.
func (s *scanner) ended(eof string) error {
	if de, ok := s.err.(*documentError); ok {
		e := *de
		e.line, e.col = s.where()
		return &e
	}
	return s.fail("%s", eof)
}

const (
	eofInMarkup = "XML document structures must start and end within the same entity."
	eofInProlog = "Premature end of file."
)

// prolog reads up to and including the start tag of the root element.
func (s *scanner) prolog() error {
	const bad = "The markup in the document preceding the root element must be well-formed."
	for {
		s.skipSpace()
		c, ok := s.peek()
		if !ok {
			return s.ended(eofInProlog)
		}
		if c == '&' {
			s.pos++
			return s.fail("Reference is not allowed in prolog.")
		}
		if c != '<' {
			return s.fail("Content is not allowed in prolog.")
		}
		s.pos++
		var err error
		switch c, ok = s.peek(); {
		case !ok:
			return s.ended(eofInMarkup)
		case c == '?':
			s.pos++
			err = s.instruction()
		case c == '!':
			s.pos++
			switch {
			case s.skip("DOCTYPE"):
				err = s.doctype()
			case s.has("-"):
				err = s.comment()
			default:
				return s.fail(bad)
			}
		case s.atName():
			return s.startTag()
		default:
			return s.fail(bad)
		}
		if err != nil {
			return err
		}
	}
}

// trailing reads what may follow the root element.
func (s *scanner) trailing() error {
	for {
		s.skipSpace()
		c, ok := s.peek()
		if !ok {
			if s.err == io.EOF {
				return nil
			}
			return s.ended(eofInProlog)
		}
		if c != '<' {
			return s.fail("Content is not allowed in trailing section.")
		}
		s.pos++
		var err error
		switch {
		case s.skip("?"):
			err = s.instruction()
		case s.skip("!"):
			err = s.comment()
		default:
			s.skip("/")
			return s.fail("The markup in the document following the root element must be well-formed.")
		}
		if err != nil {
			return err
		}
	}
}

// content reads a run of text, or one piece of markup.
func (s *scanner) content() error {
	if err := s.chars(stopText); err != nil {
		return err
	}
	c, ok := s.peek()
	if !ok {
		return s.ended(eofInMarkup)
	}
	s.pos++
	if c == '&' {
		return s.reference(false)
	}
	// c is '<'.
	switch c, ok = s.peek(); {
	case !ok:
		return s.ended(eofInMarkup)
	case c == '/':
		s.pos++
		return s.endTag()
	case c == '?':
		s.pos++
		return s.instruction()
	case c == '!':
		s.pos++
		switch {
		case s.has("-"):
			return s.comment()
		case s.skip("[CDATA["):
			return s.cdata()
		}
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
	case s.atName():
		return s.startTag()
	}
	return s.fail("The content of elements must consist of well-formed character data or markup.")
}

// chars passes on text up to the next byte that stop does not allow, with line
// ends made "\n". It returns at '<' and '&' (stopText) or at "]]>" (stopCDATA).
func (s *scanner) chars(stop uint8) error {
	for {
		if _, ok := s.peek(); !ok {
			return nil
		}
		b := s.buf[s.pos:s.end]
		i := 0
		for i < len(b) && stops[b[i]]&stop == 0 {
			i++
		}
		if i > 0 {
			if err := s.ev.text(b[:i]); err != nil {
				return err
			}
			s.pos += i
			continue
		}
		switch c := b[0]; c {
		case '<', '&':
			return nil
		case ']':
			if s.has("]]>") {
				if stop == stopCDATA {
					return nil
				}
				s.pos += 3
				return s.fail(`The character sequence "]]>" must not appear in content unless used to mark the end of a CDATA section.`)
			}
			if err := s.single(']'); err != nil {
				return err
			}
			s.pos++
		case '\r':
			s.pos++
			if !s.has("\n") {
				if err := s.single('\n'); err != nil {
					return err
				}
			}
		default:
			r, n := s.rune()
			if !isChar(r, false) {
				place := "element content of the document"
				if stop == stopCDATA {
					place = "CDATA section"
				}
				return s.fail("An invalid XML character (Unicode: 0x%x) was found in the %s.", r, place)
			}
			if err := s.ev.text(s.buf[s.pos : s.pos+n]); err != nil {
				return err
			}
			s.pos += n
		}
	}
}

// single passes on one ASCII character of text.
func (s *scanner) single(c byte) error {
	s.one[0] = c
	return s.ev.text(s.one[:1])
}

func (s *scanner) cdata() error {
	if err := s.chars(stopCDATA); err != nil {
		return err
	}
	if !s.skip("]]>") {
		return s.ended(eofInMarkup)
	}
	return nil
}

// comment reads a comment behind "<!".
func (s *scanner) comment() error {
	if !s.skip("--") {
		s.skip("-")
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
		return s.fail(`Comment must start with "<!--".`)
	}
	if err := s.skipTo("--", "comment"); err != nil {
		return err
	}
	if !s.skip(">") {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
		return s.fail(`The string "--" is not permitted within comments.`)
	}
	return nil
}

// skipTo drops characters up to and including lit.
func (s *scanner) skipTo(lit, place string) error {
	for {
		c, ok := s.peek()
		switch {
		case !ok:
			return s.ended(eofInMarkup)
		case c == lit[0] && s.skip(lit):
			return nil
		case c < 0x20 || c == 0xEF:
			r, n := s.rune()
			if !isChar(r, false) {
				return s.fail("An invalid XML character (Unicode: 0x%x) was found in the %s.", r, place)
			}
			s.pos += n
		default:
			s.pos++
		}
	}
}

// instruction reads a processing instruction behind "<?".
func (s *scanner) instruction() error {
	target, err := s.colonName()
	if err != nil {
		return err
	}
	if target == "" {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
		return s.fail("The processing instruction must begin with the name of the target.")
	}
	if strings.EqualFold(target, "xml") {
		return s.fail(`The processing instruction target matching "[xX][mM][lL]" is not allowed.`)
	}
	if s.skip("?>") {
		return nil
	}
	if !s.skipSpace() {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
		return s.fail("White space is required between the processing instruction target and data.")
	}
	return s.skipTo("?>", "processing instruction")
}

// endTag reads an end tag behind "</".
func (s *scanner) endTag() error {
	e := s.open[len(s.open)-1]
	if !s.skip(e.raw) {
		return s.fail(`The element type "%s" must be terminated by the matching end-tag "</%s>".`, e.raw, e.raw)
	}
	s.skipSpace()
	if !s.skip(">") {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
		return s.fail(`The end-tag for element type "%s" must end with a '>' delimiter.`, e.raw)
	}
	return s.pop()
}

func (s *scanner) pop() error {
	e := s.open[len(s.open)-1]
	s.ns = s.ns[:e.ns]
	s.open = s.open[:len(s.open)-1]
	return s.ev.end()
}
