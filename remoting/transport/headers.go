package transport

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Keys of the JNLP4-connect headers (org.jenkinsci.remoting.engine.JnlpConnectionState).
const (
	jnlpName   = "Node-Name"
	jnlpSecret = "Secret-Key"
	jnlpCookie = "JnlpAgentProtocol.cookie"
)

// jnlpHeader is one entry. The wire knows null values; nothing of ours needs
// one, so null is read as absent.
type jnlpHeader struct{ key, value string }

// maxJNLPHeaders bounds the entries we accept; a controller sends one.
const maxJNLPHeaders = 256

// formatHeaders writes the JSON object of a JNLP4-connect header exchange.
// Only control characters, quotes and backslashes are escaped, as
// org.jenkinsci.remoting.protocol.impl.ConnectionHeaders does.
func formatHeaders(headers []jnlpHeader) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, h := range headers {
		if i > 0 {
			b.WriteByte(',')
		}
		writeJSONString(&b, h.key)
		b.WriteByte(':')
		writeJSONString(&b, h.value)
	}
	b.WriteByte('}')
	return b.String()
}

func writeJSONString(b *strings.Builder, s string) {
	short := map[rune]byte{'\b': 'b', '\t': 't', '\f': 'f', '\n': 'n', '\r': 'r', '"': '"', '\\': '\\'}
	b.WriteByte('"')
	for _, r := range s {
		if c, ok := short[r]; ok {
			b.WriteByte('\\')
			b.WriteByte(c)
		} else if r < 0x20 {
			fmt.Fprintf(b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}

// parseHeaders reads such an object: flat, string to string or null, nothing
// but white space behind it. The last of several equal keys wins.
func parseHeaders(text string) (map[string]string, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("transport: JNLP4-connect headers are not UTF-8")
	}
	p := headerParser{s: text}
	m := p.object()
	if p.err != "" {
		return nil, fmt.Errorf("transport: JNLP4-connect headers: at byte %d: %s", p.at, p.err)
	}
	return m, nil
}

type headerParser struct {
	s   string
	at  int
	err string // the first failure sticks
}

func (p *headerParser) fail(what string) {
	if p.err == "" {
		p.err = what
	}
}

// next skips white space (with \f and \b, which Java takes for it) and returns
// the byte there without consuming it, 0 at the end.
func (p *headerParser) next() byte {
	for p.at < len(p.s) && strings.IndexByte(" \t\n\r\f\b", p.s[p.at]) >= 0 {
		p.at++
	}
	if p.at == len(p.s) {
		return 0
	}
	return p.s[p.at]
}

func (p *headerParser) want(c byte) {
	if p.err != "" {
		return
	}
	if p.next() != c || p.at == len(p.s) {
		p.fail(fmt.Sprintf("expected %q", c))
		return
	}
	p.at++
}

func (p *headerParser) object() map[string]string {
	m := map[string]string{}
	p.want('{')
	if p.next() == '}' {
		p.at++
		p.end()
		return m
	}
	for n := 0; p.err == ""; n++ {
		if n == maxJNLPHeaders {
			p.fail("too many headers")
			break
		}
		key := p.text()
		p.want(':')
		if p.next() == 'n' {
			p.word("null")
			delete(m, key)
		} else {
			m[key] = p.text()
		}
		if p.next() != ',' {
			p.want('}')
			p.end()
			break
		}
		p.at++
	}
	return m
}

func (p *headerParser) end() {
	if p.next(); p.at < len(p.s) {
		p.fail("text behind the object")
	}
}

func (p *headerParser) word(w string) {
	if !strings.HasPrefix(p.s[p.at:], w) {
		p.fail("expected a string or null")
		return
	}
	p.at += len(w)
}

func (p *headerParser) text() string {
	p.want('"')
	var b strings.Builder
	for p.err == "" {
		if p.at == len(p.s) {
			p.fail("the string does not end")
			break
		}
		c := p.s[p.at]
		p.at++
		switch c {
		case '"':
			return b.String()
		case '\\':
			b.WriteRune(p.escape())
		default:
			b.WriteByte(c)
		}
	}
	return ""
}

func (p *headerParser) escape() rune {
	if p.at == len(p.s) {
		p.fail("the string does not end")
		return 0
	}
	c := p.s[p.at]
	p.at++
	switch c {
	case '"', '\\', '/':
		return rune(c)
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'u':
		r := p.hex4()
		if utf16.IsSurrogate(r) {
			return p.lowSurrogate(r)
		}
		return r
	}
	p.fail("unknown escape")
	return 0
}

// lowSurrogate completes a pair; half of one becomes U+FFFD.
func (p *headerParser) lowSurrogate(high rune) rune {
	if !strings.HasPrefix(p.s[p.at:], `\u`) {
		return utf8.RuneError
	}
	back := p.at
	p.at += 2
	r := utf16.DecodeRune(high, p.hex4())
	if r == utf8.RuneError {
		p.at = back
	}
	return r
}

func (p *headerParser) hex4() rune {
	if len(p.s)-p.at < 4 {
		p.fail("unicode escape of less than four digits")
		return 0
	}
	var r rune
	for _, c := range []byte(p.s[p.at : p.at+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			p.fail("unicode escape with another character than a hex digit")
			return 0
		}
	}
	p.at += 4
	return r
}
