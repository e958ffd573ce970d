package jser

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// Encoder writes one stream. It is not safe for concurrent use.
type Encoder struct {
	// Annotate returns the block data that follows a class descriptor
	// (ObjectOutputStream.annotateClass). nil writes none.
	Annotate func(*ClassDesc) []byte

	buf     []byte
	handles map[any]int32       // pointers of nodes, and type signatures as typeName
	strings map[stringKey]int32 // all strings but the empty one, which has no identity in Go
	next    int32
	depth   int
}

// typeName keys the signature strings of fields: Java interns them, so the
// second one in a stream is a reference.
type typeName string

// stringKey tells strings apart as Java does, by identity: the Decoder gives
// each TC_STRING an address of its own. So a string that the stream shares is
// shared again when it is written, and a hostile stream that refers to one long
// string a million times does not grow.
type stringKey struct {
	data *byte
	len  int
}

// Encode writes v as a complete stream.
func Encode(v Value) ([]byte, error) {
	var e Encoder
	return e.Encode(v)
}

// Encode writes v as a complete stream, header included.
func (e *Encoder) Encode(v Value) ([]byte, error) {
	e.buf = append(make([]byte, 0, 256), Header...)
	e.handles, e.strings, e.next, e.depth = nil, nil, 0, 0
	if err := e.value(v); err != nil {
		return nil, err
	}
	return e.buf, nil
}

func (e *Encoder) put16(v uint16) { e.buf = binary.BigEndian.AppendUint16(e.buf, v) }
func (e *Encoder) put32(v uint32) { e.buf = binary.BigEndian.AppendUint32(e.buf, v) }
func (e *Encoder) put64(v uint64) { e.buf = binary.BigEndian.AppendUint64(e.buf, v) }
func (e *Encoder) put(b ...byte)  { e.buf = append(e.buf, b...) }
func (e *Encoder) shortUTF(s string) error {
	at := len(e.buf)
	e.put(0, 0)
	e.buf = appendMUTF8(e.buf, s)
	n := len(e.buf) - at - 2
	if n > math.MaxUint16 {
		return fmt.Errorf("jser: name of %d bytes is over 65535", n)
	}
	binary.BigEndian.PutUint16(e.buf[at:], uint16(n))
	return nil
}

func (e *Encoder) assign(key any) {
	if e.handles == nil {
		e.handles = make(map[any]int32, 16)
	}
	e.handles[key] = e.next
	e.next++
}

// back writes a reference if the node was written before.
func (e *Encoder) back(key any) bool {
	h, ok := e.handles[key]
	if ok {
		e.put(tcReference)
		e.put32(uint32(baseHandle + h))
	}
	return ok
}

func (e *Encoder) value(v Value) error {
	e.depth++
	defer func() { e.depth-- }()
	if e.depth > 10_000 {
		return fmt.Errorf("jser: objects nested deeper than 10000")
	}
	switch v := v.(type) {
	case nil:
		e.put(tcNull)
		return nil
	case string:
		if !e.backString(v) {
			e.string(v)
		}
		return nil
	case *ClassDesc:
		if v == nil {
			e.put(tcNull)
			return nil
		}
		return e.classDesc(v)
	case *Object:
		if v == nil {
			e.put(tcNull)
			return nil
		}
		return e.object(v)
	case *Array:
		if v == nil {
			e.put(tcNull)
			return nil
		}
		return e.array(v)
	case *Enum:
		if v == nil {
			e.put(tcNull)
			return nil
		}
		if e.back(v) {
			return nil
		}
		if v.Class == nil {
			return errors.New("jser: an enum constant without a class")
		}
		e.put(tcEnum)
		if err := e.classDesc(v.Class); err != nil {
			return err
		}
		e.assign(v)
		e.string(v.Name) // never a reference: ObjectOutputStream.writeEnum
		return nil
	case *Class:
		if v == nil {
			e.put(tcNull)
			return nil
		}
		if e.back(v) {
			return nil
		}
		if v.Desc == nil {
			return errors.New("jser: a class object without a descriptor")
		}
		e.put(tcClass)
		if err := e.classDesc(v.Desc); err != nil {
			return err
		}
		e.assign(v)
		return nil
	}
	return fmt.Errorf("jser: a %T is no object", v)
}

// backString writes a reference if this very string was written before.
func (e *Encoder) backString(s string) bool {
	if len(s) == 0 || len(e.strings) == 0 {
		return false
	}
	h, ok := e.strings[stringKey{unsafe.StringData(s), len(s)}]
	if ok {
		e.put(tcReference)
		e.put32(uint32(baseHandle + h))
	}
	return ok
}

func (e *Encoder) string(s string) {
	at := len(e.buf)
	e.put(tcString, 0, 0)
	e.buf = appendMUTF8(e.buf, s)
	n := len(e.buf) - at - 3
	if n > math.MaxUint16 {
		e.buf = append(e.buf[:at], tcLongString)
		e.put64(uint64(n))
		e.buf = appendMUTF8(e.buf, s)
	} else {
		binary.BigEndian.PutUint16(e.buf[at+1:], uint16(n))
	}
	if len(s) > 0 {
		if e.strings == nil {
			e.strings = make(map[stringKey]int32, 16)
		}
		e.strings[stringKey{unsafe.StringData(s), len(s)}] = e.next
	}
	e.next++
}

// signature writes the type of a field. Java interns these strings, so equal
// ones are the same.
func (e *Encoder) signature(s string) {
	k := typeName(s)
	if e.back(k) || e.backString(s) {
		return
	}
	e.string(s)
	e.handles[k] = e.next - 1
}

func (e *Encoder) classDesc(c *ClassDesc) error {
	if c == nil {
		e.put(tcNull)
		return nil
	}
	if e.back(c) {
		return nil
	}
	if len(c.Interfaces) > math.MaxUint16 || len(c.Fields) > math.MaxUint16 {
		return fmt.Errorf("jser: class %.100s has more than 65535 interfaces or fields", c)
	}
	if c.Proxy {
		e.put(tcProxyClassDesc)
		e.assign(c)
		e.put32(uint32(len(c.Interfaces)))
		for _, n := range c.Interfaces {
			if err := e.shortUTF(n); err != nil {
				return err
			}
		}
	} else {
		e.put(tcClassDesc)
		if err := e.shortUTF(c.Name); err != nil {
			return err
		}
		e.put64(uint64(c.SUID))
		e.assign(c)
		e.put(c.Flags)
		e.put16(uint16(len(c.Fields)))
		for _, f := range c.Fields {
			e.put(f.Type)
			if err := e.shortUTF(f.Name); err != nil {
				return err
			}
			if f.Type == 'L' || f.Type == '[' {
				e.signature(f.Signature)
			}
		}
	}
	if e.Annotate != nil {
		if b := e.Annotate(c); b != nil {
			e.blocks(b)
		}
	} else if err := e.extra(c.Annotation); err != nil {
		return err
	}
	e.put(tcEndBlockData)
	return e.classDesc(c.Super)
}

// blocks writes free data as ObjectOutputStream does: up to 255 bytes as
// TC_BLOCKDATA, in pieces of at most 1024.
func (e *Encoder) blocks(b []byte) {
	for len(b) > 0 {
		n := min(len(b), 1024)
		if n <= 255 {
			e.put(tcBlockData, byte(n))
		} else {
			e.put(tcBlockDataLong)
			e.put32(uint32(n))
		}
		e.put(b[:n]...)
		b = b[n:]
	}
}

func (e *Encoder) extra(vs []Value) error {
	for _, v := range vs {
		if b, ok := v.(Block); ok {
			e.blocks(b)
			continue
		}
		if err := e.value(v); err != nil {
			return err
		}
	}
	return nil
}

func (e *Encoder) object(o *Object) error {
	if e.back(o) {
		return nil
	}
	if o.Class == nil {
		return errors.New("jser: an object without a class")
	}
	e.put(tcObject)
	if err := e.classDesc(o.Class); err != nil {
		return err
	}
	e.assign(o)
	if o.Class.Flags&FlagExternalizable != 0 {
		for _, cd := range o.Data {
			if err := e.extra(cd.Extra); err != nil {
				return err
			}
		}
		e.put(tcEndBlockData)
		return nil
	}
	for _, cd := range o.Data {
		if cd.Desc.Flags&FlagSerializable == 0 {
			continue
		}
		custom := cd.Desc.Flags&FlagWriteMethod != 0
		// Only a writeObject method can leave out the fields or write more.
		if len(cd.Values) != len(cd.Desc.Fields) && !(custom && cd.Values == nil) {
			return fmt.Errorf("jser: %s has %d fields, %d values given", cd.Desc, len(cd.Desc.Fields), len(cd.Values))
		}
		if !custom && len(cd.Extra) > 0 {
			return fmt.Errorf("jser: %s has no writeObject method, but data beyond its fields", cd.Desc)
		}
		for i, v := range cd.Values {
			if err := e.field(cd.Desc, cd.Desc.Fields[i], v); err != nil {
				return err
			}
		}
		if custom {
			if err := e.extra(cd.Extra); err != nil {
				return err
			}
			e.put(tcEndBlockData)
		}
	}
	return nil
}

func (e *Encoder) field(c *ClassDesc, f Field, v Value) error {
	ok := true
	switch f.Type {
	case 'Z':
		var b bool
		if b, ok = v.(bool); b {
			e.put(1)
		} else {
			e.put(0)
		}
	case 'B':
		var x int8
		x, ok = v.(int8)
		e.put(byte(x))
	case 'C':
		var x uint16
		x, ok = v.(uint16)
		e.put16(x)
	case 'S':
		var x int16
		x, ok = v.(int16)
		e.put16(uint16(x))
	case 'I':
		var x int32
		x, ok = v.(int32)
		e.put32(uint32(x))
	case 'J':
		var x int64
		x, ok = v.(int64)
		e.put64(uint64(x))
	case 'F':
		var x float32
		x, ok = v.(float32)
		e.put32(math.Float32bits(x))
	case 'D':
		var x float64
		x, ok = v.(float64)
		e.put64(math.Float64bits(x))
	default:
		return e.value(v)
	}
	if !ok {
		return fmt.Errorf("jser: field %s.%s of type %c can't hold a %T", c, f.Name, f.Type, v)
	}
	return nil
}
