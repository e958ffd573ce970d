package wire

import (
	"encoding/binary"
	"fmt"
)

// Type codes of the Java Object Serialization stream protocol that can occur
// in a capability.
const (
	tcNull         = 0x70
	tcClassDesc    = 0x72
	tcObject       = 0x73
	tcString       = 0x74
	tcEndBlockData = 0x78

	scSerializable = 0x02
	maxCapFields   = 32
)

// capDecoder walks over one serialized capability. The first failure sticks.
// It is not a general reader: a capability is read before anything is known of
// the peer, so the less is understood here the better.
type capDecoder struct {
	b   []byte
	at  int
	err error
}

type capField struct {
	kind byte
	name string
}

func (d *capDecoder) decode() (mask Capability) {
	d.expect("stream header", 0xAC, 0xED, 0x00, 0x05, tcObject, tcClassDesc)
	if name := d.text(); d.err == nil && name != capabilityClass {
		d.fail("class %q instead of %s", name, capabilityClass)
	}
	d.take(8) // serialVersionUID: names matter, not numbers
	if f := d.u8(); d.err == nil && f != scSerializable {
		d.fail("class flags %#x", f)
	}
	fields := d.fields()
	d.expect("end of the class descriptor", tcEndBlockData, tcNull)
	found := false
	for _, f := range fields {
		v := d.value(f)
		if f.name == "mask" && f.kind == 'J' && len(v) == 8 {
			mask, found = Capability(binary.BigEndian.Uint64(v)), true
		}
	}
	if d.err == nil && !found {
		d.fail("no field long mask")
	}
	return mask
}

func (d *capDecoder) fields() []capField {
	n := int(d.u16())
	if d.err == nil && n > maxCapFields {
		d.fail("%d fields", n)
	}
	var fields []capField
	for i := 0; i < n && d.err == nil; i++ {
		f := capField{kind: d.u8(), name: d.text()}
		if f.kind == 'L' || f.kind == '[' { // the type of the field, as a string object
			d.expect("field type", tcString)
			d.text()
		}
		fields = append(fields, f)
	}
	return fields
}

func (d *capDecoder) value(f capField) []byte {
	switch f.kind {
	case 'B', 'Z':
		return d.take(1)
	case 'C', 'S':
		return d.take(2)
	case 'I', 'F':
		return d.take(4)
	case 'J', 'D':
		return d.take(8)
	case 'L', '[':
		switch tc := d.u8(); {
		case d.err != nil || tc == tcNull:
		case tc == tcString:
			d.text()
		default:
			d.fail("value of field %q has type code %#x", f.name, tc)
		}
	default:
		d.fail("field %q of kind %q", f.name, f.kind)
	}
	return nil
}

func (d *capDecoder) take(n int) []byte {
	if d.err != nil {
		return nil
	}
	if len(d.b)-d.at < n {
		d.err = ErrIncomplete
		return nil
	}
	v := d.b[d.at : d.at+n]
	d.at += n
	return v
}

func (d *capDecoder) u8() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *capDecoder) u16() uint16 {
	if v := d.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (d *capDecoder) text() string { return string(d.take(int(d.u16()))) }

func (d *capDecoder) expect(what string, want ...byte) {
	for _, w := range want {
		if got := d.u8(); d.err == nil && got != w {
			d.fail("%s: byte %#02x instead of %#02x", what, got, w)
		}
	}
}

func (d *capDecoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("wire: this is not a capability: at byte %d: %s", d.at, fmt.Sprintf(format, args...))
	}
}

func appendJavaString(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
