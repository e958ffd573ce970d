package jser

import "encoding/binary"

// need makes n more bytes available at pos.
func (d *Decoder) need(n int) error {
	if n <= len(d.buf)-d.pos {
		return nil
	}
	if d.r == nil {
		return &SyntaxError{int64(len(d.buf)), "the stream ends early"}
	}
	return d.fill(n)
}

func (d *Decoder) take(n int) ([]byte, error) {
	if err := d.need(n); err != nil {
		return nil, err
	}
	b := d.buf[d.pos : d.pos+n]
	d.pos += n
	return b, nil
}

func (d *Decoder) byte() (byte, error) {
	if err := d.need(1); err != nil {
		return 0, err
	}
	b := d.buf[d.pos]
	d.pos++
	return b, nil
}

func (d *Decoder) uint16() (uint16, error) {
	b, err := d.take(2)
	if err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint16(b), nil
}

func (d *Decoder) int32() (int32, error) {
	b, err := d.take(4)
	if err != nil {
		return 0, err
	}
	return int32(binary.BigEndian.Uint32(b)), nil
}

func (d *Decoder) int64() (int64, error) {
	b, err := d.take(8)
	if err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(b)), nil
}

// spend charges an estimate of the memory that a node takes.
func (d *Decoder) spend(n int64) error {
	d.memory += n
	if d.memory > d.lim.Memory {
		return d.limit("memory", d.memory, d.lim.Memory)
	}
	return nil
}

func (d *Decoder) addHandle(v Value) (int, error) {
	if len(d.handles) >= d.lim.Handles {
		return 0, d.limit("handles", int64(len(d.handles))+1, int64(d.lim.Handles))
	}
	if d.handles == nil {
		d.handles = make([]Value, 0, min(64, 4+d.left()/16))
	}
	d.handles = append(d.handles, v)
	return len(d.handles) - 1, d.spend(16)
}

func (d *Decoder) enter() error {
	d.depth++
	if d.depth > d.lim.Depth {
		return d.limit("depth", int64(d.depth), int64(d.lim.Depth))
	}
	return nil
}
