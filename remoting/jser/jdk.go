package jser

import "strings"

// The descriptors below carry the serialVersionUID and field order of the JDK
// (8 to 25 agree on these). They are shared: never change one.

// Ref is an object field of the given class, such as "java.lang.String"; array
// classes are given as signature.
func Ref(name, class string) Field {
	if strings.HasPrefix(class, "[") {
		return Field{Name: name, Type: '[', Signature: class}
	}
	return Field{Name: name, Type: 'L', Signature: "L" + strings.ReplaceAll(class, ".", "/") + ";"}
}

// Prim is a field of primitive type Z B C S I J F or D.
func Prim(name string, typ byte) Field { return Field{Name: name, Type: typ} }

// Serializable makes the descriptor of an ordinary serializable class. Fields
// must be in canonical order: primitives by name, then references by name.
func Serializable(name string, suid int64, super *ClassDesc, fields ...Field) *ClassDesc {
	return &ClassDesc{Name: name, SUID: suid, Flags: FlagSerializable, Super: super, Fields: fields}
}

// Custom is Serializable for a class with a writeObject method.
func Custom(name string, suid int64, super *ClassDesc, fields ...Field) *ClassDesc {
	d := Serializable(name, suid, super, fields...)
	d.Flags |= FlagWriteMethod
	return d
}

// EnumClass makes the descriptor of an enum type.
func EnumClass(name string) *ClassDesc {
	return &ClassDesc{Name: name, Flags: FlagSerializable | FlagEnum, Super: enumDesc}
}

// ArrayClass makes the descriptor of an array class, such as "[Lhudson.FilePath;".
// Readers do not check the serialVersionUID of arrays.
func ArrayClass(name string, suid int64) *ClassDesc { return Serializable(name, suid, nil) }

var (
	enumDesc    = &ClassDesc{Name: "java.lang.Enum", Flags: FlagSerializable | FlagEnum}
	numberDesc  = Serializable("java.lang.Number", -8742448824652078965, nil)
	integerDesc = Serializable("java.lang.Integer", 1360826667806852920, numberDesc, Prim("value", 'I'))
	longDesc    = Serializable("java.lang.Long", 4290774380558885855, numberDesc, Prim("value", 'J'))
	booleanDesc = Serializable("java.lang.Boolean", -3665804199014368530, nil, Prim("value", 'Z'))
	byteArray   = ArrayClass("[B", -5984413125824719648)
	charArray   = ArrayClass("[C", -5753798564021173076)
	intArray    = ArrayClass("[I", 5600894804908749477)
	longArray   = ArrayClass("[J", 8655923659555304851)
	stringArray = ArrayClass("[Ljava.lang.String;", -5921575005990323385)
	objectArray = ArrayClass("[Ljava.lang.Object;", -8012369246846506644)
	proxyDesc   = Serializable("java.lang.reflect.Proxy", -2222568056686623797, nil, Ref("h", "java.lang.reflect.InvocationHandler"))
	uriDesc     = Custom("java.net.URI", -6052424284110960213, nil, Ref("string", "java.lang.String"))
)

// New makes an object of a class whose hierarchy writes only fields. values
// are in the order of the fields, superclass first.
func New(c *ClassDesc, values ...Value) *Object {
	o := &Object{Class: c}
	var stack [8]*ClassDesc
	for _, d := range c.hierarchy(stack[:0]) {
		n := len(d.Fields)
		o.Data = append(o.Data, ClassData{Desc: d, Values: values[:n:n]})
		values = values[n:]
	}
	return o
}

// Integer boxes an int.
func Integer(v int32) *Object { return New(integerDesc, v) }

// Long boxes a long.
func Long(v int64) *Object { return New(longDesc, v) }

// Boolean boxes a boolean.
func Boolean(v bool) *Object { return New(booleanDesc, v) }

// IntArray makes an int[]. It keeps v.
func IntArray(v []int32) *Array { return &Array{Class: intArray, Elems: v} }

// LongArray makes a long[]. It keeps v.
func LongArray(v []int64) *Array { return &Array{Class: longArray, Elems: v} }

// ByteArray makes a byte[]. It keeps b.
func ByteArray(b []byte) *Array { return &Array{Class: byteArray, Elems: b} }

// CharArray makes a char[] of UTF-16 units.
func CharArray(u []uint16) *Array { return &Array{Class: charArray, Elems: u} }

// StringArray makes a String[].
func StringArray(ss ...string) *Array {
	vs := make([]Value, len(ss))
	for i, s := range ss {
		vs[i] = s
	}
	return &Array{Class: stringArray, Elems: vs}
}

// ObjectArray makes an Object[].
func ObjectArray(vs ...Value) *Array {
	if vs == nil {
		vs = []Value{}
	}
	return &Array{Class: objectArray, Elems: vs}
}

// ProxyClass makes the descriptor of a dynamic proxy class with these
// interfaces.
func ProxyClass(interfaces ...string) *ClassDesc {
	return &ClassDesc{Proxy: true, Flags: FlagSerializable, Interfaces: interfaces, Super: proxyDesc}
}

// Proxy makes an instance of a ProxyClass whose calls go to handler, an object
// of a class that implements java.lang.reflect.InvocationHandler.
func Proxy(c *ClassDesc, handler Value) *Object {
	return &Object{Class: c, Data: []ClassData{{Desc: proxyDesc, Values: []Value{handler}}, {Desc: c}}}
}

// URI makes a java.net.URI.
func URI(s string) *Object {
	return &Object{Class: uriDesc, Data: []ClassData{{Desc: uriDesc, Values: []Value{s}}}}
}
