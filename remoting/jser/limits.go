package jser

import "fmt"

// Limits bound what one stream may cost its reader. The zero value of a field
// means its default.
type Limits struct {
	Depth   int   // nested objects; default 1000
	Handles int   // objects, strings and descriptors that can be referred to; default 4 000 000
	String  int   // bytes of one string on the wire; default 128 MiB
	Array   int   // elements of one array; default 256 Mi
	Memory  int64 // estimated bytes of all nodes; default 512 MiB
}

func (l Limits) withDefaults() Limits {
	if l.Depth <= 0 {
		l.Depth = 1000
	}
	if l.Handles <= 0 {
		l.Handles = 4_000_000
	}
	if l.String <= 0 {
		l.String = 128 << 20
	}
	if l.Array <= 0 {
		l.Array = 256 << 20
	}
	if l.Memory <= 0 {
		l.Memory = 512 << 20
	}
	return l
}

// SyntaxError says that a stream is not what the protocol allows.
type SyntaxError struct {
	Offset int64 // bytes from the start of the stream
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("jser: %s at offset %d", e.Msg, e.Offset)
}

// LimitError says that a stream is larger than the reader's Limits allow.
type LimitError struct {
	Offset int64  // bytes from the start of the stream
	What   string // "depth", "handles", "string", "array", "interfaces" or "memory"
	Want   int64
	Max    int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("jser: %s limit: %d is over %d at offset %d", e.What, e.Want, e.Max, e.Offset)
}

// TypeError says that a node is not what a typed view expected.
type TypeError struct {
	Want string
	Got  Value
}

func (e *TypeError) Error() string {
	return fmt.Sprintf("jser: %s expected, found %s", e.Want, Describe(e.Got))
}
