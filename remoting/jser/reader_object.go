package jser

import (
	"math"
	"slices"
)

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
