package jser

import (
	"encoding/binary"
	"math"
)

// readClassDesc reads a descriptor, a reference to one, or null.
func (d *Decoder) readClassDesc() (*ClassDesc, error) {
	tc, err := d.byte()
	if err != nil {
		return nil, err
	}
	switch tc {
	case tcNull:
		return nil, nil
	case tcReference:
		v, err := d.reference()
		if err != nil {
			return nil, err
		}
		desc, ok := v.(*ClassDesc)
		if !ok {
			return nil, d.syntax("reference to something that is no class descriptor")
		}
		return desc, nil
	case tcClassDesc, tcProxyClassDesc:
		if err := d.enter(); err != nil {
			return nil, err
		}
		defer func() { d.depth-- }()
		return d.classDesc(tc)
	}
	d.pos--
	return nil, d.syntax("a class descriptor is expected")
}

func (d *Decoder) classDesc(tc byte) (*ClassDesc, error) {
	c := &ClassDesc{}
	if err := d.spend(160); err != nil {
		return nil, err
	}
	var err error
	if tc == tcProxyClassDesc {
		err = d.proxyInfo(c)
	} else {
		err = d.classInfo(c)
	}
	if err != nil {
		return nil, err
	}
	if c.Annotation, err = d.annotation(); err != nil {
		return nil, err
	}
	// The superclass comes after the annotation, so a hook that counts class
	// loaders sees them in the order in which the writer introduced them.
	if d.opt.OnClassDesc != nil {
		if err := d.opt.OnClassDesc(c); err != nil {
			return nil, err
		}
	}
	super, err := d.readClassDesc()
	if err != nil {
		return nil, err
	}
	n := 1
	for s := super; s != nil; s = s.Super {
		if s == c || n > 128 {
			return nil, d.syntax("class " + short(c.String()) + " has too many superclasses or is its own")
		}
		n++
	}
	c.Super = super
	return c, nil
}

func (d *Decoder) proxyInfo(c *ClassDesc) error {
	c.Proxy, c.Flags = true, FlagSerializable
	if _, err := d.addHandle(c); err != nil {
		return err
	}
	n, err := d.int32()
	if err != nil {
		return err
	}
	// java.io.ObjectInputStream: a proxy class has at most 65535 interfaces.
	if n < 0 {
		return d.syntax("a negative number of interfaces")
	}
	if n > math.MaxUint16 {
		return d.limit("interfaces", int64(n), math.MaxUint16)
	}
	if int(n)*2 > d.left() {
		return d.syntax("more interfaces than the stream can hold")
	}
	for range n {
		s, err := d.shortUTF()
		if err != nil {
			return err
		}
		c.Interfaces = append(c.Interfaces, s)
	}
	return nil
}

func (d *Decoder) classInfo(c *ClassDesc) error {
	var err error
	if c.Name, err = d.shortUTF(); err != nil {
		return err
	}
	if c.SUID, err = d.int64(); err != nil {
		return err
	}
	if _, err := d.addHandle(c); err != nil {
		return err
	}
	if c.Flags, err = d.byte(); err != nil {
		return err
	}
	if c.Flags&FlagSerializable != 0 && c.Flags&FlagExternalizable != 0 {
		return d.syntax("class " + short(c.Name) + " is both serializable and externalizable")
	}
	n, err := d.uint16()
	if err != nil {
		return err
	}
	if int(n)*3 > d.left() {
		return d.syntax("more fields than the stream can hold")
	}
	if n > 0 {
		c.Fields = make([]Field, 0, min(int(n), 64))
	}
	for range n {
		f, err := d.fieldInfo(c)
		if err != nil {
			return err
		}
		c.Fields = append(c.Fields, f)
	}
	return nil
}

func (d *Decoder) fieldInfo(c *ClassDesc) (f Field, err error) {
	if err := d.spend(56); err != nil {
		return f, err
	}
	if f.Type, err = d.byte(); err != nil {
		return f, err
	}
	if f.Name, err = d.shortUTF(); err != nil {
		return f, err
	}
	switch f.Type {
	case 'B', 'C', 'D', 'F', 'I', 'J', 'S', 'Z':
	case 'L', '[':
		tc, err := d.byte()
		if err != nil {
			return f, err
		}
		var v Value
		switch tc {
		case tcString, tcLongString, tcReference:
			if v, err = d.content(tc); err != nil {
				return f, err
			}
		}
		sig, ok := v.(string)
		if !ok {
			return f, d.syntax("field " + short(f.Name) + " of " + short(c.Name) + " has no type")
		}
		f.Signature = sig
	default:
		return f, d.syntax("field " + short(f.Name) + " of " + short(c.Name) + " has an unknown type")
	}
	return f, nil
}

// left is how many bytes the stream can still have: of a stream that is not in
// memory only its limits are known.
func (d *Decoder) left() int {
	if d.r != nil {
		return math.MaxInt32
	}
	return len(d.buf) - d.pos
}

func (d *Decoder) enum() (Value, error) {
	desc, err := d.readClassDesc()
	if err != nil {
		return nil, err
	}
	if desc == nil {
		return nil, d.syntax("an enum constant without a class")
	}
	e := &Enum{Class: desc}
	if _, err := d.addHandle(e); err != nil {
		return nil, err
	}
	tc, err := d.byte()
	if err != nil {
		return nil, err
	}
	var v Value
	switch tc {
	case tcString, tcLongString, tcReference:
		if v, err = d.content(tc); err != nil {
			return nil, err
		}
	}
	name, ok := v.(string)
	if !ok {
		return nil, d.syntax("an enum constant without a name")
	}
	e.Name = name
	return e, d.spend(48)
}

func (d *Decoder) class() (Value, error) {
	desc, err := d.readClassDesc()
	if err != nil {
		return nil, err
	}
	if desc == nil {
		return nil, d.syntax("a class object without a descriptor")
	}
	c := &Class{Desc: desc}
	_, err = d.addHandle(c)
	return c, err
}

func (d *Decoder) array() (Value, error) {
	desc, err := d.readClassDesc()
	if err != nil {
		return nil, err
	}
	if desc == nil {
		return nil, d.syntax("an array without a class")
	}
	a := &Array{Class: desc}
	if _, err := d.addHandle(a); err != nil {
		return nil, err
	}
	n, size, err := d.arrayLength(desc)
	if err != nil {
		return nil, err
	}
	switch typ := desc.Name[1]; typ {
	case 'L', '[':
		err = d.objectArray(a, n)
	default:
		var raw []byte
		if raw, err = d.bulk(n * size); err == nil {
			if err = d.spend(int64(len(raw)) + 64); err == nil {
				a.Elems = primitives(typ, raw, n)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// arrayLength reads how many elements follow, and what each takes at least.
func (d *Decoder) arrayLength(desc *ClassDesc) (n, size int, err error) {
	if len(desc.Name) < 2 || desc.Name[0] != '[' {
		return 0, 0, d.syntax("an array without an array class")
	}
	l, err := d.int32()
	if err != nil {
		return 0, 0, err
	}
	if l < 0 {
		return 0, 0, d.syntax("an array of negative length")
	}
	if int(l) > d.lim.Array {
		return 0, 0, d.limit("array", int64(l), int64(d.lim.Array))
	}
	n, size = int(l), elemSize(desc.Name[1])
	if size == 0 {
		return 0, 0, d.syntax("array class " + short(desc.Name) + " has an unknown element type")
	}
	// An element takes at least its size (an object one byte) on the wire: an
	// array can't be larger than what is left of the input.
	if n > d.left()/size {
		return 0, 0, d.syntax("array longer than the rest of the stream")
	}
	return n, size, nil
}

func elemSize(typ byte) int {
	switch typ {
	case 'B', 'Z', 'L', '[':
		return 1
	case 'C', 'S':
		return 2
	case 'I', 'F':
		return 4
	case 'J', 'D':
		return 8
	}
	return 0
}

// bulk takes many bytes; limits come first so that a stream from a reader is
// not buffered beyond what its decoder may hold.
func (d *Decoder) bulk(n int) ([]byte, error) {
	if d.memory+int64(n) > d.lim.Memory {
		return nil, d.limit("memory", d.memory+int64(n), d.lim.Memory)
	}
	return d.take(n)
}

func (d *Decoder) objectArray(a *Array, n int) error {
	elems := make([]Value, 0, min(n, 1024))
	for range n {
		tc, err := d.byte()
		if err != nil {
			return err
		}
		v, err := d.content(tc)
		if err != nil {
			return err
		}
		if err := d.spend(16); err != nil {
			return err
		}
		elems = append(elems, v)
	}
	a.Elems = elems
	return nil
}

func primitives(typ byte, raw []byte, n int) any {
	be := binary.BigEndian
	switch typ {
	case 'B':
		return append(make([]byte, 0, n), raw...)
	case 'Z':
		return each(n, func(i int) bool { return raw[i] != 0 })
	case 'C':
		return each(n, func(i int) uint16 { return be.Uint16(raw[2*i:]) })
	case 'S':
		return each(n, func(i int) int16 { return int16(be.Uint16(raw[2*i:])) })
	case 'I':
		return each(n, func(i int) int32 { return int32(be.Uint32(raw[4*i:])) })
	case 'F':
		return each(n, func(i int) float32 { return math.Float32frombits(be.Uint32(raw[4*i:])) })
	case 'J':
		return each(n, func(i int) int64 { return int64(be.Uint64(raw[8*i:])) })
	default:
		return each(n, func(i int) float64 { return math.Float64frombits(be.Uint64(raw[8*i:])) })
	}
}

func each[T any](n int, f func(int) T) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = f(i)
	}
	return out
}
