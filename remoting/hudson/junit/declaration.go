package junit

import (
	"io"
	"strings"
)

// declaration reads "<?xml …?>" if the document starts with one.
func (s *scanner) declaration() error {
	if !s.has("<?xml") || !s.has("<?xml ") && !s.has("<?xml\t") && !s.has("<?xml\n") && !s.has("<?xml\r") {
		if s.has("<?xml") && s.end-s.pos == len("<?xml") {
			return s.endedEarly()
		}
		return nil
	}
	s.pos += len("<?xml")
	var version, encoding string
	last := -1
	order := []string{"version", "encoding", "standalone"}
	for {
		space := s.skipSpace()
		if s.skip("?>") {
			break
		}
		k := last + 1
		for k < len(order) && !s.has(order[k]) {
			k++
		}
		if k == len(order) {
			question := s.skip("?")
			if _, ok := s.peek(); !ok && last < 0 {
				return s.endedEarly()
			} else if !ok {
				return s.ended(eofInMarkup)
			}
			if question {
				return s.fail(`The XML declaration must end with "?>".`)
			}
			return s.fail("A pseudo attribute name is expected.")
		}
		name := order[k]
		s.pos += len(name)
		value, err := s.pseudoValue(name)
		if err != nil && last < 0 && s.err == io.EOF {
			return s.endedEarly()
		}
		if err != nil {
			return err
		}
		switch {
		case !space:
			return s.fail("White space is required before the %s pseudo attribute in the XML declaration.", name)
		case last < 0 && k > 0:
			return s.fail("The version is required in the XML declaration.")
		case k == 0 && value != "1.0" && value != "1.1":
			return s.fail(`XML version "%s" is not supported, only XML 1.0 is supported.`, value)
		case k == 0:
			version = value
		case k == 1:
			encoding = value
		case value != "yes" && value != "no":
			return s.fail(`The standalone document declaration value must be "yes" or "no", not "%s".`, value)
		default:
			s.dtd.standalone = value == "yes"
		}
		last = k
	}
	if version == "" {
		return s.fail("The version is required in the XML declaration.")
	}
	s.v11 = version == "1.1"
	if encoding != "" && !validEncodingName(encoding) {
		return s.fail(`Invalid encoding name "%s".`, encoding)
	}
	if s.unknown != nil {
		return s.unknown
	}
	if u := strings.ToUpper(encoding); s.oneByte && (strings.HasPrefix(u, "UTF-16") || strings.HasPrefix(u, "ISO-10646-UCS")) {
		return s.fail("Content is not allowed in prolog.")
	}
	return nil
}

// endedEarly reports an end before the version is known. Xerces has no position
// then.
func (s *scanner) endedEarly() error {
	if s.err != io.EOF {
		return s.ended(eofInProlog)
	}
	return &documentError{text: eofInProlog, located: true, line: -1, col: -1}
}

func (s *scanner) pseudoValue(name string) (string, error) {
	s.skipSpace()
	if !s.skip("=") {
		if _, ok := s.peek(); !ok {
			return "", s.ended(eofInMarkup)
		}
		return "", s.fail(`The ' = ' character must follow "%s" in the XML declaration.`, name)
	}
	s.skipSpace()
	quote, ok := s.peek()
	switch {
	case !ok:
		return "", s.ended(eofInMarkup)
	case quote != '"' && quote != '\'':
		return "", s.fail(`The value following "%s" in the XML declaration must be a quoted string.`, name)
	}
	s.pos++
	var v []byte
	for {
		c, ok := s.peek()
		switch {
		case !ok:
			return "", s.ended(eofInMarkup)
		case c == quote:
			s.pos++
			return string(v), nil
		case len(v) > 4096:
			return "", s.fail(`The closing quote in the value following "%s" in the XML declaration is missing.`, name)
		}
		v = append(v, c)
		s.pos++
	}
}

func validEncodingName(n string) bool {
	for i := 0; i < len(n); i++ {
		c := n[i]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')) {
			return false
		}
	}
	return n != ""
}
