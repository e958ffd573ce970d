package jser

import (
	"errors"
	"io"
	"math"
	"slices"
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
	suspect []string // distinct classes that may have skipped theirs, in the order of the stream
}

// maxRetries bounds how often DecodePrefix reads a stream again.
const maxRetries = 4

// Decode reads the one object of a complete stream, header included. Data
// after it is an error.
func Decode(stream []byte, opt Options) (Value, error) {
	v, n, err := DecodePrefix(stream, opt)
	if err != nil {
		return nil, err
	}
	if n != len(stream) {
		return nil, &SyntaxError{int64(n), "data after the end of the object"}
	}
	return v, nil
}

// DecodePrefix reads the first object of a stream, header included, and
// reports how many bytes it took.
//
// A class with a writeObject of its own may skip its default fields, and when
// the field comes first that looks like data, only a failure further on shows
// it. Then the stream is read again, at most maxRetries times, each time with
// one suspected class read as if it had skipped them; such a reading counts
// only if it takes the whole stream.
func DecodePrefix(stream []byte, opt Options) (Value, int, error) {
	var seen []*ClassDesc
	hook := opt.OnClassDesc
	if hook != nil {
		opt.OnClassDesc = func(c *ClassDesc) error { seen = append(seen, c); return nil }
	}
	v, n, err := decodeAgain(stream, opt, &seen)
	if err != nil {
		return nil, 0, err
	}
	for _, c := range seen {
		if err := hook(c); err != nil {
			return nil, 0, err
		}
	}
	return v, n, nil
}

// decodeAgain reads a stream up to 1+1+maxRetries times.
func decodeAgain(stream []byte, opt Options, seen *[]*ClassDesc) (Value, int, error) {
	d := NewDecoder(stream, opt)
	v, err := d.ReadFirst()
	if err == errSkipped {
		opt.Skip, *seen = nil, nil
		d = NewDecoder(stream, opt)
		v, err = d.ReadFirst()
	}
	if err == nil {
		return v, d.pos, nil
	}
	if !worthRetrying(err) {
		return nil, 0, err
	}
	opt.Skip = nil
	for i, tries := len(d.suspect)-1, 0; i >= 0 && tries < maxRetries; i, tries = i-1, tries+1 {
		*seen = nil
		again := NewDecoder(stream, opt)
		again.skip = d.suspect[i]
		if v, err2 := again.ReadFirst(); err2 == nil && again.pos == len(stream) {
			return v, again.pos, nil
		}
	}
	return nil, 0, err
}

// worthRetrying holds for errors that reading data as fields can lead to. A
// stream that cost all it may is not read again.
func worthRetrying(err error) bool {
	var syntax *SyntaxError
	var limit *LimitError
	switch {
	case errors.As(err, &syntax):
		return true
	case errors.As(err, &limit):
		return limit.What == "array" || limit.What == "string" || limit.What == "interfaces"
	}
	return false
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
			d.handles = d.handles[:0]
			continue
		}
		return d.content(tc)
	}
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
	d.handles = d.handles[:0]
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

// values cuts the fields of an object from a slab.
func (d *Decoder) values(n int) []Value {
	const slab = 64
	if n > slab/4 {
		return make([]Value, n)
	}
	if n > len(d.free) {
		d.free = make([]Value, slab)
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

func (d *Decoder) object() (Value, error) {
	desc, err := d.readClassDesc()
	if err != nil {
		return nil, err
	}
	if desc == nil {
		return nil, d.syntax("an object without a class")
	}
	o := &Object{Class: desc}
	if _, err := d.addHandle(o); err != nil {
		return nil, err
	}
	if d.opt.Skip != nil && d.opt.Skip(desc) {
		return o, d.skipData(desc)
	}
	if err := d.spend(64); err != nil {
		return nil, err
	}
	if desc.Flags&FlagExternalizable != 0 {
		if desc.Flags&FlagBlockData == 0 {
			return nil, d.noBlockData(desc)
		}
		extra, err := d.annotation()
		o.Data = []ClassData{{Desc: desc, Extra: extra}}
		return o, err
	}
	var stack [8]*ClassDesc
	classes := desc.hierarchy(stack[:0])
	o.Data = make([]ClassData, 0, len(classes))
	if err := d.spend(int64(len(classes)) * 64); err != nil {
		return nil, err
	}
	for _, c := range classes {
		cd, err := d.classData(c)
		o.Data = append(o.Data, cd)
		if err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (d *Decoder) noBlockData(desc *ClassDesc) error {
	return d.syntax("externalizable class " + short(desc.Name) + " without block data can not be read by others")
}

func (d *Decoder) classData(c *ClassDesc) (ClassData, error) {
	cd := ClassData{Desc: c}
	custom := c.Flags&FlagWriteMethod != 0
	if c.Flags&FlagSerializable == 0 {
		return cd, nil
	}
	skips := false
	if custom && len(c.Fields) > 0 {
		var err error
		if skips, err = d.skipsDefaults(c); err != nil {
			return cd, err
		}
	}
	if len(c.Fields) > 0 && !skips {
		cd.Values = d.values(len(c.Fields))
		if err := d.spend(int64(len(c.Fields)) * 16); err != nil {
			return cd, err
		}
		for i := range c.Fields {
			v, err := d.field(c.Fields[i].Type)
			if err != nil {
				return cd, err
			}
			cd.Values[i] = v
		}
	}
	if custom {
		extra, err := d.annotation()
		cd.Extra = extra
		return cd, err
	}
	return cd, nil
}

// skipsDefaults reports whether the writeObject of c, whose data comes next,
// leaves out the fields that c lists: because the caller knows it, or because
// what comes next can't be the first field. A reference can't begin with a
// block code, and a boolean is written as 0 or 1.
func (d *Decoder) skipsDefaults(c *ClassDesc) (bool, error) {
	if d.skip == c.Name || d.opt.NoDefaults[c.Name] {
		return true, nil
	}
	if err := d.need(1); err != nil {
		return false, err
	}
	next := d.buf[d.pos]
	switch c.Fields[0].Type {
	case 'L', '[', 'Z':
		if next == tcBlockData || next == tcBlockDataLong || next == tcEndBlockData {
			return true, nil
		}
	}
	if next >= tcNull && next <= tcEnum && len(d.suspect) < 64 && !slices.Contains(d.suspect, c.Name) {
		d.suspect = append(d.suspect, c.Name)
	}
	return false, nil
}

func (d *Decoder) field(typ byte) (Value, error) {
	switch typ {
	case 'L', '[':
		tc, err := d.byte()
		if err != nil {
			return nil, err
		}
		return d.content(tc)
	}
	return d.primitive(typ)
}

func (d *Decoder) primitive(typ byte) (Value, error) {
	switch typ {
	case 'Z':
		b, err := d.byte()
		return b != 0, err
	case 'B':
		b, err := d.byte()
		return int8(b), err
	case 'C':
		return wrap(d.uint16())
	case 'S':
		u, err := d.uint16()
		return int16(u), err
	case 'I':
		return wrap(d.int32())
	case 'J':
		return wrap(d.int64())
	case 'F':
		i, err := d.int32()
		return math.Float32frombits(uint32(i)), err
	case 'D':
		i, err := d.int64()
		return math.Float64frombits(uint64(i)), err
	}
	return nil, d.syntax("unknown field type")
}

func wrap[T any](v T, err error) (Value, error) { return v, err }

// annotation reads blocks and objects up to TC_ENDBLOCKDATA.
func (d *Decoder) annotation() ([]Value, error) {
	var out []Value
	for {
		tc, err := d.byte()
		if err != nil {
			return out, err
		}
		var n int
		switch tc {
		case tcEndBlockData:
			return out, nil
		case tcBlockData, tcBlockDataLong:
			if n, err = d.blockLength(tc); err != nil {
				return out, err
			}
		default:
			v, err := d.content(tc)
			if err != nil {
				return out, err
			}
			if err := d.spend(16); err != nil {
				return out, err
			}
			out = append(out, v)
			continue
		}
		b, err := d.bulk(n)
		if err != nil {
			return out, err
		}
		if n == 0 {
			continue
		}
		if err := d.spend(int64(n) + 40); err != nil {
			return out, err
		}
		if k := len(out) - 1; k >= 0 {
			if prev, ok := out[k].(Block); ok {
				out[k] = append(prev, b...)
				continue
			}
		}
		out = append(out, append(Block(nil), b...))
	}
}

// blockLength reads the length of a block of free data.
func (d *Decoder) blockLength(tc byte) (int, error) {
	if tc == tcBlockData {
		n, err := d.byte()
		return int(n), err
	}
	n, err := d.int32()
	if err != nil {
		return 0, err
	}
	if n < 0 {
		return 0, d.syntax("block data of negative length")
	}
	if int(n) > d.lim.Array {
		return 0, d.limit("array", int64(n), int64(d.lim.Array))
	}
	return int(n), nil
}
