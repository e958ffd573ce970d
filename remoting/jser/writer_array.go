package jser

import (
	"fmt"
	"math"
)

func (e *Encoder) array(a *Array) error {
	if e.back(a) {
		return nil
	}
	if a.Class == nil || len(a.Class.Name) < 2 || a.Class.Name[0] != '[' || !elemsMatch(a.Class.Name[1], a.Elems) {
		return fmt.Errorf("jser: class %s can't be that of an array of %T", a.Class, a.Elems)
	}
	e.put(tcArray)
	if err := e.classDesc(a.Class); err != nil {
		return err
	}
	e.assign(a)
	switch s := a.Elems.(type) {
	case []byte:
		e.put32(uint32(len(s)))
		e.put(s...)
	case []bool:
		e.put32(uint32(len(s)))
		for _, x := range s {
			if x {
				e.put(1)
			} else {
				e.put(0)
			}
		}
	case []uint16:
		writeAll(e, s, e.put16)
	case []int16:
		writeAll(e, s, func(x int16) { e.put16(uint16(x)) })
	case []int32:
		writeAll(e, s, func(x int32) { e.put32(uint32(x)) })
	case []int64:
		writeAll(e, s, func(x int64) { e.put64(uint64(x)) })
	case []float32:
		writeAll(e, s, func(x float32) { e.put32(math.Float32bits(x)) })
	case []float64:
		writeAll(e, s, func(x float64) { e.put64(math.Float64bits(x)) })
	case []Value:
		e.put32(uint32(len(s)))
		for _, x := range s {
			if err := e.value(x); err != nil {
				return err
			}
		}
	}
	return nil
}

// elemsMatch reports whether elems is how Array keeps elements of that type.
func elemsMatch(typ byte, elems any) (ok bool) {
	switch typ {
	case 'B':
		_, ok = elems.([]byte)
	case 'Z':
		_, ok = elems.([]bool)
	case 'C':
		_, ok = elems.([]uint16)
	case 'S':
		_, ok = elems.([]int16)
	case 'I':
		_, ok = elems.([]int32)
	case 'J':
		_, ok = elems.([]int64)
	case 'F':
		_, ok = elems.([]float32)
	case 'D':
		_, ok = elems.([]float64)
	case 'L', '[':
		_, ok = elems.([]Value)
	}
	return ok
}

func writeAll[T any](e *Encoder, s []T, put func(T)) {
	e.put32(uint32(len(s)))
	for _, x := range s {
		put(x)
	}
}
