package jser

import (
	"errors"
	"sync"
)

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
	d := decoders.Get().(*Decoder)
	defer d.recycle()
	d.reset(stream, opt)
	v, err := d.ReadFirst()
	if err == errSkipped {
		opt.Skip, *seen = nil, nil
		d.reset(stream, opt)
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

// decoders keep their table of handles between streams: a command has a few
// hundred, most of them parts of a stack trace that nobody reads.
var decoders = sync.Pool{New: func() any { return new(Decoder) }}

// maxKeptHandles bounds the table that an idle decoder keeps.
const maxKeptHandles = 2048

func (d *Decoder) reset(stream []byte, opt Options) {
	d.forget()
	*d = Decoder{opt: opt, lim: opt.Limits.withDefaults(), buf: stream, handles: d.handles}
}

// recycle forgets the stream and all that was read from it.
func (d *Decoder) recycle() {
	d.reset(nil, Options{})
	if cap(d.handles) > maxKeptHandles {
		d.handles = nil
	}
	decoders.Put(d)
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
