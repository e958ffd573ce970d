package jser

import (
	"io"
	"unsafe"
)

// Options tune a Decoder. The zero value reads anything under default Limits.
type Options struct {
	Limits Limits
	// NoDefaults names classes whose writeObject does not write the fields that
	// their descriptor lists. The stream itself does not tell.
	NoDefaults map[string]bool
	// OnClassDesc is called for every descriptor, in the order of the stream,
	// once its annotation is read. An error ends decoding. Decode and
	// DecodePrefix call it after they read the whole object, since they may have
	// to read it twice.
	OnClassDesc func(*ClassDesc) error
	// Skip reports whether objects of a class are not wanted: they are checked
	// for their form only and come out as an Object without Data, which can't be
	// written again. remoting skips the stack trace of each command.
	Skip func(*ClassDesc) bool
}

// Decoder reads one stream. It is not safe for concurrent use.
type Decoder struct {
	opt     Options
	lim     Limits
	buf     []byte
	pos     int
	r       io.Reader // nil when buf is the whole stream
	handles []Value
	depth   int
	memory  int64
	skip    string   // class that DecodePrefix supposes to skip its defaults
	slab    []byte   // short strings, see text
	free    []Value  // values for more fields, see values
	cut     int      // size of the slab that free comes from
	suspect []string // distinct classes that may have skipped theirs, in the order of the stream
}

// NewDecoder reads a stream that is in memory as a whole.
func NewDecoder(stream []byte, opt Options) *Decoder {
	return &Decoder{opt: opt, lim: opt.Limits.withDefaults(), buf: stream}
}

// ReadFirst reads the header and the first object.
func (d *Decoder) ReadFirst() (Value, error) {
	b, err := d.take(4)
	if err != nil {
		return nil, err
	}
	if string(b) != string(Header) {
		return nil, &SyntaxError{0, "not a Java object stream (it does not start with AC ED 00 05)"}
	}
	return d.ReadObject()
}

// ReadObject reads the next object; leading TC_RESETs are obeyed.
func (d *Decoder) ReadObject() (Value, error) {
	for {
		tc, err := d.byte()
		if err != nil {
			return nil, err
		}
		if tc == tcReset {
			d.forget()
			continue
		}
		return d.content(tc)
	}
}

// forget drops all handles, as TC_RESET asks.
func (d *Decoder) forget() {
	clear(d.handles)
	d.handles = d.handles[:0]
}

// Offset is the number of bytes read so far.
func (d *Decoder) Offset() int { return d.pos }

func (d *Decoder) syntax(msg string) error { return &SyntaxError{int64(d.pos), msg} }

func (d *Decoder) limit(what string, want, max int64) error {
	return &LimitError{int64(d.pos), what, want, max}
}

// content reads the rest of an object whose type code is tc.
func (d *Decoder) content(tc byte) (Value, error) {
	switch tc {
	case tcNull:
		return nil, nil
	case tcReference:
		return d.reference()
	case tcString:
		n, err := d.uint16()
		if err != nil {
			return nil, err
		}
		return d.newString(int(n))
	case tcLongString:
		n, err := d.int64()
		if err != nil {
			return nil, err
		}
		if n < 0 {
			return nil, d.syntax("a string of negative length")
		}
		if n > int64(d.lim.String) {
			return nil, d.limit("string", n, int64(d.lim.String))
		}
		return d.newString(int(n))
	}
	if err := d.enter(); err != nil {
		return nil, err
	}
	defer func() { d.depth-- }()
	switch tc {
	case tcObject:
		return d.object()
	case tcArray:
		return d.array()
	case tcEnum:
		return d.enum()
	case tcClass:
		return d.class()
	case tcClassDesc, tcProxyClassDesc:
		return d.classDesc(tc)
	case tcReset:
		return nil, d.syntax("TC_RESET inside an object")
	case tcException:
		return nil, d.exception()
	case tcBlockData, tcBlockDataLong, tcEndBlockData:
		return nil, d.syntax("block data where an object is expected")
	}
	d.pos--
	return nil, d.syntax("unknown type code")
}

// exception reads what ObjectOutputStream.writeFatalException left: the writer
// forgot its handles and wrote the exception it met. It always returns an error.
func (d *Decoder) exception() error {
	at := int64(d.pos - 1)
	msg := "the writer failed and wrote an exception (TC_EXCEPTION) into the stream"
	d.forget()
	if tc, err := d.byte(); err == nil {
		if v, err := d.content(tc); err == nil {
			if text, ok := ThrowableMessage(v); ok {
				msg += ": " + short(text)
			}
		}
	}
	return &SyntaxError{at, msg}
}

func (d *Decoder) reference() (Value, error) {
	h, err := d.int32()
	if err != nil {
		return nil, err
	}
	i := int(h) - baseHandle
	if i < 0 || i >= len(d.handles) {
		return nil, d.syntax("reference to an object that was not written")
	}
	if d.handles[i] == skipped {
		return nil, errSkipped
	}
	return d.handles[i], nil
}

func (d *Decoder) newString(n int) (Value, error) {
	s, err := d.utf(n)
	if err != nil {
		return nil, err
	}
	_, err = d.addHandle(s)
	return s, err
}

// utf reads n bytes of modified UTF-8.
func (d *Decoder) utf(n int) (string, error) {
	if n > d.lim.String {
		return "", d.limit("string", int64(n), int64(d.lim.String))
	}
	b, err := d.take(n)
	if err != nil {
		return "", err
	}
	if err := d.spend(int64(n) + 16); err != nil {
		return "", err
	}
	if isPlain(b) {
		return d.text(b), nil
	}
	s, bad := decodeMUTF8(b)
	if bad >= 0 {
		return "", &SyntaxError{int64(d.pos - n + bad), "malformed modified UTF-8"}
	}
	return s, nil
}

// text makes a string at an address of its own, by which the Encoder tells a
// shared string from an equal one. Short strings are cut from slabs: a string
// that is kept holds on to slabSize bytes at most, not to the whole stream.
func (d *Decoder) text(b []byte) string {
	n := len(b)
	if n == 0 {
		return ""
	}
	if n > slabSize/4 {
		return string(b)
	}
	if n > cap(d.slab)-len(d.slab) {
		d.slab = make([]byte, 0, max(n, min(slabSize, d.left())))
	}
	at := len(d.slab)
	d.slab = append(d.slab, b...)
	return unsafe.String(&d.slab[at], n)
}

const slabSize = 2048

// values cuts the fields of an object from a slab. Slabs grow with the number
// of objects, since most streams have few.
func (d *Decoder) values(n int) []Value {
	if n > 16 {
		return make([]Value, n)
	}
	if n > len(d.free) {
		d.cut = min(d.cut+16, 64)
		d.free = make([]Value, d.cut)
	}
	vs := d.free[:n:n]
	d.free = d.free[n:]
	return vs
}

func (d *Decoder) shortUTF() (string, error) {
	n, err := d.uint16()
	if err != nil {
		return "", err
	}
	return d.utf(int(n))
}
