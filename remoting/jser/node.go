package jser

import "strings"

// Type codes of the stream, java.io.ObjectStreamConstants.
const (
	tcNull           = 0x70
	tcReference      = 0x71
	tcClassDesc      = 0x72
	tcObject         = 0x73
	tcString         = 0x74
	tcArray          = 0x75
	tcClass          = 0x76
	tcBlockData      = 0x77
	tcEndBlockData   = 0x78
	tcReset          = 0x79
	tcBlockDataLong  = 0x7A
	tcException      = 0x7B
	tcLongString     = 0x7C
	tcProxyClassDesc = 0x7D
	tcEnum           = 0x7E

	baseHandle = 0x7E0000
)

// Flags of a class descriptor, java.io.ObjectStreamConstants.SC_*.
const (
	FlagWriteMethod    = 0x01
	FlagSerializable   = 0x02
	FlagExternalizable = 0x04
	FlagBlockData      = 0x08
	FlagEnum           = 0x10
)

// Header is what every stream starts with: magic and version.
var Header = []byte{0xAC, 0xED, 0x00, 0x05}

// Value is a node or a primitive: nil, string, *Object, *Array, *Enum, *Class,
// *ClassDesc, Block, bool, int8, uint16 (char), int16, int32, int64, float32 or
// float64.
type Value any

// Block is free data that a writeObject or writeExternal method wrote, or a
// class annotation. Adjacent blocks of a stream are read as one.
type Block []byte

// Field is one serializable field of a class descriptor. Type is the first
// character of Signature: B C D F I J S Z, L or [.
type Field struct {
	Name      string
	Type      byte
	Signature string // of object fields, such as "Ljava/lang/String;"
}

// ClassDesc is a class descriptor (java.io.ObjectStreamClass). A dynamic proxy
// class has Proxy set and Interfaces instead of Name, SUID and Fields.
type ClassDesc struct {
	Name       string
	SUID       int64 // serialVersionUID
	Flags      byte
	Fields     []Field
	Super      *ClassDesc
	Proxy      bool
	Interfaces []string

	// Annotation is what ObjectOutputStream.annotateClass wrote.
	Annotation []Value
	// Mark is free for the user of the codec; remoting keeps the oid of the
	// class loader there, 0 when there is none.
	Mark int32
}

// ClassData is what one class of an object's hierarchy wrote.
type ClassData struct {
	Desc   *ClassDesc
	Values []Value // parallel to Desc.Fields; nil if the class skipped its defaults
	Extra  []Value // what writeObject or writeExternal added
}

// Object is an instance of any class that is neither array, enum, string nor
// class. Data is ordered superclass first, as on the wire.
type Object struct {
	Class *ClassDesc
	Data  []ClassData
}

// Array is a Java array. Elems is []byte for byte[], []uint16 for char[],
// []int16, []int32, []int64, []bool, []float32, []float64, or []Value.
type Array struct {
	Class *ClassDesc
	Elems any
}

// Enum is an enum constant.
type Enum struct {
	Class *ClassDesc
	Name  string
}

// Class is a java.lang.Class object.
type Class struct {
	Desc *ClassDesc
}

// hierarchy lists d and its superclasses, topmost superclass first.
func (d *ClassDesc) hierarchy(dst []*ClassDesc) []*ClassDesc {
	n := 0
	for c := d; c != nil; c = c.Super {
		n++
	}
	for range n {
		dst = append(dst, nil)
	}
	i := len(dst) - 1
	for c := d; c != nil; c = c.Super {
		dst[i] = c
		i--
	}
	return dst
}

// String is the class name, or "proxy[A, B]" for a proxy class.
func (d *ClassDesc) String() string {
	if d == nil {
		return "null"
	}
	if !d.Proxy {
		return d.Name
	}
	return "proxy[" + strings.Join(d.Interfaces, ", ") + "]"
}

// Is reports whether d or one of its superclasses has that name.
func (d *ClassDesc) Is(name string) bool {
	for c := d; c != nil; c = c.Super {
		if c.Name == name {
			return true
		}
	}
	return false
}
