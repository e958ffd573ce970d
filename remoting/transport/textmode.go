package transport

import (
	"encoding/base64"
	"fmt"
	"io"
)

// textReader decodes the text mode: base64 in groups of four, where padding
// may come in the middle of the stream, wherever the other end flushed
// (hudson.remoting.BinarySafeStream).
type textReader struct {
	r    io.Reader
	raw  [4096]byte
	have int    // undecoded characters in raw
	out  []byte // decoded, not yet handed out
	buf  [3072]byte
	err  error
}

func newTextReader(r io.Reader) *textReader { return &textReader{r: r} }

func (t *textReader) Read(p []byte) (int, error) {
	for len(t.out) == 0 {
		if t.err != nil {
			return 0, t.err
		}
		n, err := t.r.Read(t.raw[t.have:])
		t.have += n
		if decodeErr := t.decode(); decodeErr != nil {
			t.err = decodeErr
		} else if err != nil {
			if err == io.EOF && t.have > 0 {
				err = io.ErrUnexpectedEOF
			}
			t.err = err
		}
	}
	n := copy(p, t.out)
	t.out = t.out[n:]
	return n, nil
}

// decode turns all whole groups of raw into out.
func (t *textReader) decode() error {
	whole := t.have &^ 3
	n := 0
	for at := 0; at < whole; at += 4 {
		g := t.raw[at : at+4]
		var v uint32
		pad := 0
		for i, c := range g {
			d := base64Digit(c)
			if c == '=' && i >= 2 {
				pad++
			} else if d < 0 || pad > 0 {
				t.out = t.buf[:n]
				return fmt.Errorf("transport: text mode: %q is not base64", g)
			}
			v = v<<6 | uint32(max(d, 0))
		}
		t.buf[n], t.buf[n+1], t.buf[n+2] = byte(v>>16), byte(v>>8), byte(v)
		n += 3 - pad
	}
	copy(t.raw[:], t.raw[whole:t.have])
	t.have -= whole
	t.out = t.buf[:n]
	return nil
}

func base64Digit(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case 'a' <= c && c <= 'z':
		return int(c-'a') + 26
	case '0' <= c && c <= '9':
		return int(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return -1
}

// textWriter encodes; every Write ends in a whole group, padded if need be, as
// Java does on flush.
type textWriter struct {
	w   io.Writer
	buf []byte
}

func (t *textWriter) Write(p []byte) (int, error) {
	t.buf = base64.StdEncoding.AppendEncode(t.buf[:0], p)
	if _, err := t.w.Write(t.buf); err != nil {
		return 0, err
	}
	return len(p), nil
}
