package junit

// attrs are the attributes of one start tag.
type attrs struct {
	list []attr
	buf  []byte // all values, one behind the other
}

type attr struct {
	raw, prefix, local string
	from, to           int // value in buf
}

// get returns the value of the first attribute with that local name, whatever
// its namespace, as dom4j's attributeValue(String) does; nil if there is none.
func (a *attrs) get(local string) *string {
	for i := range a.list {
		if t := &a.list[i]; t.local == local && !t.isNamespace() {
			v := string(a.buf[t.from:t.to])
			return &v
		}
	}
	return nil
}

func (t *attr) isNamespace() bool { return t.prefix == "xmlns" || t.raw == "xmlns" }

func (a *attrs) value(t *attr) string { return string(a.buf[t.from:t.to]) }

// atName reports whether a name starts here.
func (s *scanner) atName() bool {
	r, n := s.rune()
	return n > 0 && (r == ':' || isNameStart(r))
}

// name reads an NCName; "" if there is none.
func (s *scanner) name() (string, error) {
	s.lit = s.lit[:0]
	if r, n := s.rune(); n == 0 || !isNameStart(r) {
		return "", nil
	}
	for {
		r, n := s.rune()
		if n == 0 || !isNameChar(r) {
			return s.intern(s.lit), nil
		}
		s.lit = append(s.lit, s.buf[s.pos:s.pos+n]...)
		s.pos += n
		if len(s.lit) > s.lim.MaxName {
			return "", s.fail("A name is longer than %d bytes, the limit of this agent.", s.lim.MaxName)
		}
	}
}

// colonName reads a Name, which may hold colons.
func (s *scanner) colonName() (string, error) {
	n, err := s.name()
	for err == nil && (n != "" || s.has(":")) && s.skip(":") {
		s.lit = s.lit[:0]
		for r, w := s.rune(); w > 0 && isNameChar(r) && len(s.lit) < s.lim.MaxName; r, w = s.rune() {
			s.lit = append(s.lit, s.buf[s.pos:s.pos+w]...)
			s.pos += w
		}
		if n += ":" + string(s.lit); len(n) > s.lim.MaxName {
			return "", s.fail("A name is longer than %d bytes, the limit of this agent.", s.lim.MaxName)
		}
	}
	return n, err
}

// intern keeps one copy of each short name, for a bounded number of names.
func (s *scanner) intern(b []byte) string {
	if v, ok := s.names[string(b)]; ok {
		return v
	}
	v := string(b)
	if len(v) <= 64 && len(s.names) < 1024 {
		s.names[v] = v
	}
	return v
}

// qname reads a qualified name. atName was true.
func (s *scanner) qname() (raw, prefix, local string, err error) {
	if s.skip(":") { // Xerces takes ":a" for a name without a prefix
		local, err = s.name()
		return ":" + local, "", ":" + local, err
	}
	if local, err = s.name(); err != nil || !s.skip(":") {
		return local, "", local, err
	}
	prefix = local
	if local, err = s.name(); err != nil {
		return "", "", "", err
	}
	raw = prefix + ":" + local
	if local == "" {
		for r, n := s.rune(); n > 0 && isNameChar(r) && len(raw) < s.lim.MaxName; r, n = s.rune() {
			raw += string(r)
			s.pos += n
		}
		return "", "", "", s.fail(`Element or attribute "%s" do not match QName production: QName::=(NCName:)?NCName.`, raw)
	}
	return s.intern([]byte(raw)), prefix, local, nil
}

// startTag reads a start tag behind '<'.
func (s *scanner) startTag() error {
	raw, prefix, local, err := s.qname()
	if err != nil {
		return err
	}
	if len(s.open) >= s.lim.MaxDepth {
		return s.fail("Elements are nested deeper than %d, the limit of this agent.", s.lim.MaxDepth)
	}
	s.a.list, s.a.buf = s.a.list[:0], s.a.buf[:0]
	if cap(s.a.buf) > 1<<20 {
		s.a.buf = nil
	}
	s.open = append(s.open, openElement{raw: raw, ns: len(s.ns)})
	empty := false
	s.dup = ""
	var seen map[string]bool
	for {
		space := s.skipSpace()
		c, ok := s.peek()
		if !ok {
			return s.ended(eofInMarkup)
		}
		if c == '>' {
			s.pos++
			break
		}
		if c == '/' {
			s.pos++
			if s.skip(">") {
				empty = true
				break
			}
		}
		if c == '/' || !space || !s.atName() {
			if _, ok := s.peek(); !ok {
				return s.ended(eofInMarkup)
			}
			return s.fail(`Element type "%s" must be followed by either attribute specifications, ">" or "/>".`, raw)
		}
		if seen, err = s.attribute(raw, seen); err != nil {
			return err
		}
	}
	if err := s.resolve(raw, prefix); err != nil {
		return err
	}
	if err := s.ev.start(local, &s.a); err != nil {
		return err
	}
	if empty {
		return s.pop()
	}
	return nil
}

// attribute reads name, '=' and value. seen holds the names once there are many.
func (s *scanner) attribute(elem string, seen map[string]bool) (map[string]bool, error) {
	if len(s.a.list) >= s.lim.MaxAttributes {
		return seen, s.fail(`JAXP00010002: Element "%s" has more than "%d" attributes, "%d" is the limit imposed by the JDK.`, elem, s.lim.MaxAttributes, s.lim.MaxAttributes)
	}
	var t attr
	var err error
	if t.raw, t.prefix, t.local, err = s.qname(); err != nil {
		return seen, err
	}
	s.skipSpace()
	if !s.skip("=") {
		if _, ok := s.peek(); !ok {
			return seen, s.ended(eofInMarkup)
		}
		return seen, s.fail(`Attribute name "%s" associated with an element type "%s" must be followed by the ' = ' character.`, t.raw, elem)
	}
	s.skipSpace()
	quote, ok := s.peek()
	switch {
	case !ok:
		return seen, s.ended(eofInMarkup)
	case quote != '"' && quote != '\'':
		return seen, s.fail(`Open quote is expected for attribute "%s" associated with an  element type  "%s".`, t.raw, elem)
	}
	s.pos++
	t.from = len(s.a.buf)
	s.inAttr, s.inElem = t.raw, elem
	if err := s.attrValue(quote); err != nil {
		return seen, err
	}
	t.to = len(s.a.buf)
	const many = 16
	dup := seen[t.raw]
	if seen == nil {
		for i := range s.a.list {
			dup = dup || s.a.list[i].raw == t.raw
		}
	}
	if dup && s.dup == "" {
		s.dup = t.raw // reported behind the tag, where Xerces looks for it
	}
	s.a.list = append(s.a.list, t)
	if seen == nil && len(s.a.list) == many {
		seen = map[string]bool{}
		for i := range s.a.list {
			seen[s.a.list[i].raw] = true
		}
	} else if seen != nil {
		seen[t.raw] = true
	}
	return seen, s.bind(&t)
}

// attrValue reads a value up to its closing quote, white space made spaces.
func (s *scanner) attrValue(quote byte) error {
	for {
		if _, ok := s.peek(); !ok {
			return s.ended(eofInMarkup)
		}
		if int64(len(s.a.buf)) > s.lim.MaxRetained {
			return errRetained(s.lim.MaxRetained)
		}
		b := s.buf[s.pos:s.end]
		i := 0
		for i < len(b) && stops[b[i]]&stopValue == 0 {
			i++
		}
		s.a.buf = append(s.a.buf, b[:i]...)
		s.pos += i
		if i == len(b) {
			continue
		}
		switch c := b[i]; c {
		case quote:
			s.pos++
			return nil
		case '"', '\'':
			s.a.buf = append(s.a.buf, c)
			s.pos++
		case '\t', '\n':
			s.a.buf = append(s.a.buf, ' ')
			s.pos++
		case '\r':
			s.a.buf = append(s.a.buf, ' ')
			s.pos++
			s.skip("\n")
		case '&':
			s.pos++
			if err := s.reference(true); err != nil {
				return err
			}
		case '<':
			return s.fail(`The value of attribute "%s" associated with an element type "%s" must not contain the '<' character.`, s.inAttr, s.inElem)
		default:
			r, n := s.rune()
			if !isChar(r, false) {
				return s.fail(`An invalid XML character (Unicode: 0x%x) was found in the value of attribute "%s" and element is "%s".`, r, s.inAttr, s.inElem)
			}
			s.a.buf = append(s.a.buf, s.buf[s.pos:s.pos+n]...)
			s.pos += n
		}
	}
}

// bind takes note of a namespace declaration.
func (s *scanner) bind(t *attr) error {
	if !t.isNamespace() {
		return nil
	}
	uri := s.a.value(t)
	if t.prefix == "" {
		s.ns = append(s.ns, binding{"", uri})
		return nil
	}
	if t.local == "xmlns" {
		return s.fail(`The prefix "xmlns" cannot be bound to any namespace explicitly; neither can the namespace for "xmlns" be bound to any prefix explicitly.`)
	}
	if uri == "" && !s.v11 {
		return s.fail(`The value of the attribute "prefix="xmlns",localpart="%s",rawname="%s"" is invalid. Prefixed namespace bindings may not be empty.`, t.local, t.raw)
	}
	s.ns = append(s.ns, binding{t.local, uri})
	return nil
}

// lookup finds the namespace of a prefix.
func (s *scanner) lookup(prefix string) (string, bool) {
	if prefix == "xml" {
		return "http://www.w3.org/XML/1998/namespace", true
	}
	for i := len(s.ns) - 1; i >= 0; i-- {
		if s.ns[i].prefix == prefix {
			return s.ns[i].uri, s.ns[i].uri != ""
		}
	}
	return "", false
}

// resolve checks the prefixes of a start tag.
func (s *scanner) resolve(raw, prefix string) error {
	if prefix != "" {
		if _, ok := s.lookup(prefix); !ok {
			return s.fail(`The prefix "%s" for element "%s" is not bound.`, prefix, raw)
		}
	}
	clear(s.nsSeen)
	for i := range s.a.list {
		t := &s.a.list[i]
		if t.prefix == "" || t.isNamespace() {
			continue
		}
		uri, ok := s.lookup(t.prefix)
		if !ok {
			return s.fail(`The prefix "%s" for attribute "%s" associated with an element type "%s" is not bound.`, t.prefix, t.raw, raw)
		}
		if s.nsSeen == nil {
			s.nsSeen = map[nsName]bool{}
		}
		key := nsName{uri, t.local}
		if s.nsSeen[key] {
			return s.fail(`Attribute "%s" bound to namespace "%s" was already specified for element "%s".`, t.local, uri, raw)
		}
		s.nsSeen[key] = true
	}
	if s.dup != "" {
		return s.fail(`Attribute "%s" was already specified for element "%s".`, s.dup, raw)
	}
	return nil
}
