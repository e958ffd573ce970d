package junit

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// source is a window of valid UTF-8 over a report, with the position in lines
// and UTF-16 columns that Xerces would give.
//
//	buf:  [ consumed | pos … end | raw tail of an incomplete rune ]
//	        ▲ markLine/markCol describe buf[0]
type source struct {
	r        io.Reader
	buf      []byte
	pos, end int   // readable window
	raw      int   // bytes read, ≥ end
	atEOF    bool  // r is exhausted
	err      error // why the window ends before the input does

	markLine, markCol int
	afterCR           bool
	ascii             bool  // declared US-ASCII: bytes above 0x7f are errors
	unknown           error // the declared encoding does not exist
	oneByte           bool  // ASCII characters take one byte: UTF-16 declared is a lie
}

const windowSize = 64 << 10

// declEncoding finds the encoding pseudo attribute in the first bytes of a
// document whose ASCII characters take one byte each.
var declEncoding = regexp.MustCompile(`^<\?xml[ \t\r\n][^>]*?[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z][A-Za-z0-9._-]*)["']`)

// newSource detects the character encoding as XML 1.0 appendix F does: byte
// order mark, then the bytes of "<?", then the declaration.
func newSource(r io.Reader) *source {
	br := bufio.NewReaderSize(r, 4096)
	s := &source{buf: make([]byte, windowSize), markLine: 1, markCol: 1}
	head, _ := br.Peek(1024)
	var enc encoding.Encoding
	switch {
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		br.Discard(3)
		head = head[3:]
		fallthrough
	default:
		s.oneByte = true
		if m := declEncoding.FindSubmatch(head); m != nil {
			enc = s.declared(string(m[1]))
		}
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		br.Discard(2)
		enc = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		br.Discard(2)
		enc = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case bytes.HasPrefix(head, []byte{0, '<', 0, '?'}):
		enc = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	case bytes.HasPrefix(head, []byte{'<', 0, '?', 0}):
		enc = unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case bytes.HasPrefix(head, []byte{0x4C, 0x6F, 0xA7, 0x94}):
		enc = charmap.CodePage037
	}
	s.r = br
	if enc != nil {
		s.r = transform.NewReader(br, enc.NewDecoder())
	}
	return s
}

// declared maps the name in an XML declaration; nil is UTF-8. IANA names first:
// the HTML table would take ISO-8859-1 for windows-1252. A name that nobody knows
// is an error once the declaration turns out to be well-formed.
func (s *source) declared(name string) encoding.Encoding {
	upper := strings.ToUpper(name)
	switch upper {
	case "UTF-8", "UTF8":
		return nil
	case "US-ASCII", "ASCII", "ISO646-US", "ANSI_X3.4-1968":
		s.ascii = true
		return nil
	}
	if strings.HasPrefix(upper, "UTF-16") || strings.HasPrefix(upper, "ISO-10646-UCS") {
		// One byte a character so far, so the declaration lies; the document
		// becomes unreadable right behind it, which scanDeclaration reports.
		return nil
	}
	enc, err := ianaindex.IANA.Encoding(name)
	if err != nil || enc == nil {
		enc, err = htmlindex.Get(name)
	}
	if err != nil || enc == nil {
		s.unknown = &documentError{
			text:  name,
			cause: &Throwable{Class: ClassUnsupportedCode, Message: name},
		}
		return nil
	}
	return enc
}

// fill makes at least one more byte readable; false at the end or at s.err.
func (s *source) fill() bool {
	if s.err != nil {
		return false
	}
	if s.pos > 0 {
		s.markLine, s.markCol, s.afterCR = advance(s.buf[:s.pos], s.markLine, s.markCol, s.afterCR)
		copy(s.buf, s.buf[s.pos:s.raw])
		s.raw -= s.pos
		s.end -= s.pos
		s.pos = 0
	}
	if s.raw == len(s.buf) {
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	for before := s.end; s.end == before; {
		if s.atEOF {
			if s.raw > s.end {
				_, s.err = checkUTF8(s.buf[s.end:s.raw], true)
			} else {
				s.err = io.EOF
			}
			return false
		}
		n, err := s.r.Read(s.buf[s.raw:])
		s.raw += n
		if err == io.EOF {
			s.atEOF = true
		} else if err != nil {
			s.err = &documentError{text: err.Error(), cause: &Throwable{Class: ClassIO, Message: err.Error()}}
			return false
		}
		if n > 0 && !s.validate() {
			return s.end > before
		}
	}
	return true
}

// validate moves end over whole valid runes; false when a bad byte stopped it.
func (s *source) validate() bool {
	fresh := s.buf[s.end:s.raw]
	if s.ascii {
		for i, c := range fresh {
			if c >= utf8.RuneSelf {
				s.end += i
				s.err = malformedBytes(fmt.Sprintf("Byte \"%d\" is not a member of the (7-bit) ASCII character set.", c))
				return false
			}
		}
		s.end = s.raw
		return true
	}
	n, err := checkUTF8(fresh, false)
	s.end += n
	s.err = err
	return err == nil
}

// checkUTF8 returns how many bytes of b are whole valid runes, and the error of
// the byte after them in the words of Xerces' UTF8Reader. An incomplete rune at
// the end is an error only when last is set.
func checkUTF8(b []byte, last bool) (int, error) {
	if utf8.Valid(b) {
		return len(b), nil
	}
	i := 0
	for i < len(b) {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		if r, n := utf8.DecodeRune(b[i:]); r != utf8.RuneError || n > 1 {
			i += n
			continue
		}
		return i, badSequence(b[i:], last)
	}
	return i, nil
}

func badSequence(b []byte, last bool) error {
	size := 0
	switch c := b[0]; {
	case c&0xE0 == 0xC0 && c&0x1E != 0:
		size = 2
	case c&0xF0 == 0xE0:
		size = 3
	case c&0xF8 == 0xF0:
		size = 4
	default:
		return malformedBytes("Invalid byte 1 of 1-byte UTF-8 sequence.")
	}
	for k := 1; k < size; k++ {
		if k >= len(b) {
			if !last {
				return nil
			}
			return malformedBytes(fmt.Sprintf("Expected byte %d of %d-byte UTF-8 sequence.", k+1, size))
		}
		c := b[k]
		bad := c&0xC0 != 0x80
		if k == 1 {
			bad = bad || b[0] == 0xED && c >= 0xA0 || b[0] == 0xE0 && c&0x20 == 0 || b[0] == 0xF0 && c&0x30 == 0
		}
		if bad {
			return malformedBytes(fmt.Sprintf("Invalid byte %d of %d-byte UTF-8 sequence.", k+1, size))
		}
		if high := (int(b[0])<<2 | int(c)>>4&3) & 0x1F; k == 1 && size == 4 && high > 0x10 {
			return malformedBytes(fmt.Sprintf("High surrogate bits in UTF-8 sequence must not exceed 0x10 but found 0x%x.", high))
		}
	}
	return malformedBytes("Invalid byte 1 of 1-byte UTF-8 sequence.")
}

func malformedBytes(text string) error {
	return &documentError{text: text, located: true, cause: &Throwable{Class: ClassMalformedBytes, Message: text}}
}

// advance moves a position over b. "\r\n" is one line end; columns are UTF-16
// units.
func advance(b []byte, line, col int, afterCR bool) (int, int, bool) {
	if len(b) == 0 {
		return line, col, afterCR
	}
	ends := bytes.Count(b, []byte{'\n'})
	if cr := bytes.Count(b, []byte{'\r'}); cr > 0 {
		ends += cr - bytes.Count(b, []byte{'\r', '\n'})
	}
	if afterCR && b[0] == '\n' {
		ends--
	}
	if last := bytes.LastIndexAny(b, "\r\n"); last >= 0 {
		b, col = b[last:], 1
		afterCR = b[0] == '\r' && len(b) == 1
		b = b[1:]
	} else {
		afterCR = false
	}
	return line + ends, col + utf16Len(b), afterCR
}

// where is the position of the next unread byte.
func (s *source) where() (line, col int) {
	line, col, _ = advance(s.buf[:s.pos], s.markLine, s.markCol, s.afterCR)
	return line, col
}

// peek returns the next byte without consuming it.
func (s *source) peek() (byte, bool) {
	if s.pos == s.end && !s.fill() {
		return 0, false
	}
	return s.buf[s.pos], true
}

// has reports whether the unread input starts with lit.
func (s *source) has(lit string) bool {
	for s.end-s.pos < len(lit) {
		if !bytes.HasPrefix([]byte(lit), s.buf[s.pos:s.end]) || !s.fill() {
			return false
		}
	}
	return string(s.buf[s.pos:s.pos+len(lit)]) == lit
}

// skip consumes lit if it is next.
func (s *source) skip(lit string) bool {
	if !s.has(lit) {
		return false
	}
	s.pos += len(lit)
	return true
}

// skipSpace consumes white space and reports whether there was any.
func (s *source) skipSpace() bool {
	any := false
	for {
		c, ok := s.peek()
		if !ok || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return any
		}
		s.pos++
		any = true
	}
}

// rune returns the next rune and its length without consuming it. Windows end
// between runes, so it is never cut.
func (s *source) rune() (rune, int) {
	if _, ok := s.peek(); !ok {
		return utf8.RuneError, 0
	}
	return utf8.DecodeRune(s.buf[s.pos:s.end])
}

// documentError is org.dom4j.DocumentException: the report is not readable as
// XML. With located the text is that of a SAXParseException at line and col; line
// -1 is Xerces' answer when it does not know.
type documentError struct {
	text      string
	located   bool
	line, col int
	cause     *Throwable
}

func (e *documentError) Error() string { return "junit: " + e.message() }

// message is DocumentException.getMessage.
func (e *documentError) message() string {
	if e.located {
		return fmt.Sprintf("Error on line %d of document  : %s", e.line, e.text)
	}
	return e.text
}

// trace is what printStackTrace writes, without the frames.
func (e *documentError) trace() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", ClassDocument, e.message())
	switch {
	case e.located && e.line < 0:
		fmt.Fprintf(&b, "Caused by: %s; %s\n", ClassSAXParse, e.text)
	case e.located:
		fmt.Fprintf(&b, "Caused by: %s; lineNumber: %d; columnNumber: %d; %s\n", ClassSAXParse, e.line, e.col, e.text)
	}
	for c := e.cause; c != nil; c = c.Cause {
		fmt.Fprintf(&b, "Caused by: %s: %s\n", c.Class, c.Message)
	}
	return b.String()
}

// throwable is the exception as a cause of another.
func (e *documentError) throwable() *Throwable {
	t := &Throwable{Class: ClassDocument, Message: e.message(), Cause: e.cause}
	if e.located {
		t.Cause = &Throwable{Class: ClassSAXParse, Message: e.text, Cause: e.cause}
	}
	return t
}
