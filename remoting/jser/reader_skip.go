package jser

import "errors"

// Skipping reads over a node without building it: nothing but its handle is
// kept. Class descriptors are always built, as later objects refer to them.

// skippedNode stands in the handle table for a node that was not built.
type skippedNode struct{}

var skipped Value = skippedNode{}

// errSkipped says that something refers to a node that was skipped, and the
// stream must be read without skipping. Decode, DecodePrefix and Stream do so.
var errSkipped = errors.New("jser: reference to a skipped object, read the stream without Options.Skip")

// skipContent reads over the rest of an object whose type code is tc.
func (d *Decoder) skipContent(tc byte) error {
	switch tc {
	case tcNull:
		return nil
	case tcReference:
		_, err := d.reference()
		if err == errSkipped {
			err = nil
		}
		return err
	case tcString:
		n, err := d.uint16()
		if err != nil {
			return err
		}
		return d.skipString(int64(n))
	case tcLongString:
		n, err := d.int64()
		if err != nil {
			return err
		}
		return d.skipString(n)
	case tcObject, tcArray, tcEnum:
	default: // descriptors, and what can't be here
		_, err := d.content(tc)
		return err
	}
	if err := d.enter(); err != nil {
		return err
	}
	desc, err := d.readClassDesc()
	if err == nil {
		_, err = d.addHandle(skipped)
	}
	if err == nil {
		switch {
		case desc == nil:
			err = d.syntax("an object without a class")
		case tc == tcArray:
			err = d.skipArray(desc)
		case tc == tcEnum:
			err = d.skipField('L')
		default:
			err = d.skipData(desc)
		}
	}
	d.depth--
	return err
}

func (d *Decoder) skipString(n int64) error {
	if n < 0 {
		return d.syntax("a string of negative length")
	}
	if n > int64(d.lim.String) {
		return d.limit("string", n, int64(d.lim.String))
	}
	if _, err := d.take(int(n)); err != nil {
		return err
	}
	_, err := d.addHandle(skipped)
	return err
}

// skipData reads over what the classes of an object wrote.
func (d *Decoder) skipData(desc *ClassDesc) error {
	if desc.Flags&FlagExternalizable != 0 {
		if desc.Flags&FlagBlockData == 0 {
			return d.noBlockData(desc)
		}
		return d.skipAnnotation()
	}
	var stack [8]*ClassDesc
	for _, c := range desc.hierarchy(stack[:0]) {
		if c.Flags&FlagSerializable == 0 {
			continue
		}
		custom, skips := c.Flags&FlagWriteMethod != 0, false
		if custom && len(c.Fields) > 0 {
			var err error
			if skips, err = d.skipsDefaults(c); err != nil {
				return err
			}
		}
		for i := range c.Fields {
			if skips {
				break
			}
			if err := d.skipField(c.Fields[i].Type); err != nil {
				return err
			}
		}
		if custom {
			if err := d.skipAnnotation(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Decoder) skipField(typ byte) error {
	size := elemSize(typ)
	if typ != 'L' && typ != '[' {
		_, err := d.take(size)
		return err
	}
	tc, err := d.byte()
	if err != nil {
		return err
	}
	return d.skipContent(tc)
}

func (d *Decoder) skipArray(desc *ClassDesc) error {
	n, size, err := d.arrayLength(desc)
	if err != nil {
		return err
	}
	switch desc.Name[1] {
	case 'L', '[':
		for range n {
			if err := d.skipField('L'); err != nil {
				return err
			}
		}
		return nil
	}
	_, err = d.bulk(n * size)
	return err
}

func (d *Decoder) skipAnnotation() error {
	for {
		tc, err := d.byte()
		if err != nil {
			return err
		}
		n := 0
		switch tc {
		case tcEndBlockData:
			return nil
		case tcBlockData, tcBlockDataLong:
			if n, err = d.blockLength(tc); err == nil {
				_, err = d.bulk(n)
			}
		default:
			err = d.skipContent(tc)
		}
		if err != nil {
			return err
		}
	}
}
