package hudson

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/footman-ci/footman/remoting"
)

// charsetByName finds a charset by any name that Java knows it by. nil means
// UTF-8. An unknown name is a java.io.UnsupportedEncodingException.
func charsetByName(name string) (encoding.Encoding, error) {
	switch strings.ToUpper(name) {
	case "", "UTF-8", "UTF8":
		return nil, nil
	case "US-ASCII", "ASCII", "ANSI_X3.4-1968", "646", "ISO646-US":
		return asciiOnly{}, nil
	case "ISO-8859-1", "ISO8859_1", "LATIN1", "ISO8859-1", "8859_1", "L1", "CP819":
		return charmap.ISO8859_1, nil
	case "UTF-16":
		// Java writes big-endian with a byte order mark and reads either.
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM), nil
	case "UTF-16BE", "UNICODEBIGUNMARKED":
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), nil
	case "UTF-16LE", "UNICODELITTLEUNMARKED":
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), nil
	}
	for _, n := range []string{name, strings.Replace(strings.ToUpper(name), "CP", "windows-", 1), strings.ReplaceAll(name, "_", "-")} {
		if e, err := ianaindex.IANA.Encoding(n); err == nil && e != nil {
			return e, nil
		}
		if e, err := ianaindex.MIME.Encoding(n); err == nil && e != nil {
			return e, nil
		}
	}
	return nil, remoting.Errorf(remoting.UnsupportedEncodingClass, "%s", name)
}

// encodeText converts UTF-8 text. What the charset can't express becomes '?',
// as with java.io.OutputStreamWriter.
func encodeText(s, charset string) ([]byte, error) {
	e, err := charsetByName(charset)
	if err != nil {
		return nil, err
	}
	if e == nil {
		return validUTF8(s), nil
	}
	if b, err := e.NewEncoder().Bytes([]byte(s)); err == nil {
		return b, nil
	}
	var out []byte
	enc := e.NewEncoder()
	for _, r := range s {
		b, err := enc.Bytes(utf8.AppendRune(nil, r))
		if err != nil {
			enc.Reset()
			b = []byte{'?'}
		}
		out = append(out, b...)
	}
	return out, nil
}

// validUTF8 writes lone surrogates as '?', as Java's UTF-8 encoder does.
func validUTF8(s string) []byte {
	if utf8.ValidString(s) {
		return []byte(s)
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			out = append(out, '?')
			for i++; i < len(s) && s[i]&0xC0 == 0x80; i++ {
			}
			continue
		}
		out = append(out, s[i:i+n]...)
		i += n
	}
	return out
}

// decodeText converts bytes of a charset to UTF-8. Malformed input becomes
// U+FFFD.
func decodeText(b []byte, charset string) (string, error) {
	e, err := charsetByName(charset)
	if err != nil {
		return "", err
	}
	if e == nil {
		return strings.ToValidUTF8(string(b), "\uFFFD"), nil
	}
	out, err := e.NewDecoder().Bytes(b)
	return string(out), err
}

// asciiOnly is US-ASCII, which x/text lacks.
type asciiOnly struct{}

func (asciiOnly) NewDecoder() *encoding.Decoder {
	return charmap.ISO8859_1.NewDecoder()
}

func (asciiOnly) NewEncoder() *encoding.Encoder {
	return &encoding.Encoder{Transformer: asciiEncoder{}}
}
