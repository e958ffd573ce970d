package jser

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

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
	enumDesc      = &ClassDesc{Name: "java.lang.Enum", Flags: FlagSerializable | FlagEnum}
	numberDesc    = Serializable("java.lang.Number", -8742448824652078965, nil)
	integerDesc   = Serializable("java.lang.Integer", 1360826667806852920, numberDesc, Prim("value", 'I'))
	longDesc      = Serializable("java.lang.Long", 4290774380558885855, numberDesc, Prim("value", 'J'))
	booleanDesc   = Serializable("java.lang.Boolean", -3665804199014368530, nil, Prim("value", 'Z'))
	byteArray     = ArrayClass("[B", -5984413125824719648)
	charArray     = ArrayClass("[C", -5753798564021173076)
	stringArray   = ArrayClass("[Ljava.lang.String;", -5921575005990323385)
	objectArray   = ArrayClass("[Ljava.lang.Object;", -8012369246846506644)
	arrayListDesc = Custom("java.util.ArrayList", 8683452581122892189, nil, Prim("size", 'I'))
	hashMapDesc   = Custom("java.util.HashMap", 362498820763181265, nil, Prim("loadFactor", 'F'), Prim("threshold", 'I'))
	linkedMapDesc = Serializable("java.util.LinkedHashMap", 3801124242820219131, hashMapDesc, Prim("accessOrder", 'Z'))
	hashSetDesc   = Custom("java.util.HashSet", -5024744406713321676, nil)
	treeMapDesc   = Custom("java.util.TreeMap", 919286545866124006, nil, Ref("comparator", "java.util.Comparator"))
	noCaseDesc    = Serializable("java.lang.String$CaseInsensitiveComparator", 8575799808933029326, nil)
	emptyListDesc = Serializable("java.util.Collections$EmptyList", 8842843931221139166, nil)
	uriDesc       = Custom("java.net.URI", -6052424284110960213, nil, Ref("string", "java.lang.String"))
)

// TreeMapClass is the descriptor of java.util.TreeMap, for subclasses.
func TreeMapClass() *ClassDesc { return treeMapDesc }

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

// URI makes a java.net.URI.
func URI(s string) *Object {
	return &Object{Class: uriDesc, Data: []ClassData{{Desc: uriDesc, Values: []Value{s}}}}
}

// ArrayList makes a java.util.ArrayList.
func ArrayList(vs ...Value) *Object {
	n := int32(len(vs))
	extra := append([]Value{Block(binary.BigEndian.AppendUint32(nil, uint32(n)))}, vs...)
	return &Object{Class: arrayListDesc, Data: []ClassData{{Desc: arrayListDesc, Values: []Value{n}, Extra: extra}}}
}

// EmptyList is java.util.Collections.emptyList().
func EmptyList() *Object { return New(emptyListDesc) }

// HashSet makes a java.util.HashSet.
func HashSet(vs ...Value) *Object {
	b := binary.BigEndian.AppendUint32(nil, uint32(buckets(len(vs))))
	b = binary.BigEndian.AppendUint32(b, 0x3F400000) // load factor 0.75f
	b = binary.BigEndian.AppendUint32(b, uint32(len(vs)))
	return &Object{Class: hashSetDesc, Data: []ClassData{{Desc: hashSetDesc, Extra: append([]Value{Block(b)}, vs...)}}}
}

// buckets is the table size of a HashMap with n entries at load factor 0.75.
func buckets(n int) int32 {
	b := 16
	if n > 12 {
		b = 1 << bits.Len(uint(n*4/3))
	}
	return int32(b)
}

func hashMapData(es []Entry) ClassData {
	n := buckets(len(es))
	b := binary.BigEndian.AppendUint32(nil, uint32(n))
	b = binary.BigEndian.AppendUint32(b, uint32(len(es)))
	return ClassData{Desc: hashMapDesc, Values: []Value{float32(0.75), n * 3 / 4}, Extra: flatten(Block(b), es)}
}

func flatten(head Block, es []Entry) []Value {
	out := append(make([]Value, 0, 1+2*len(es)), head)
	for _, e := range es {
		out = append(out, e.Key, e.Value)
	}
	return out
}

// HashMap makes a java.util.HashMap.
func HashMap(es ...Entry) *Object {
	return &Object{Class: hashMapDesc, Data: []ClassData{hashMapData(es)}}
}

// LinkedHashMap makes a java.util.LinkedHashMap in insertion order.
func LinkedHashMap(es ...Entry) *Object {
	return &Object{Class: linkedMapDesc, Data: []ClassData{hashMapData(es), {Desc: linkedMapDesc, Values: []Value{false}}}}
}

// TreeMapData is what java.util.TreeMap writes for a map with string keys; the
// entries are sorted, because the reader relies on it. It is exported for
// classes that extend TreeMap.
func TreeMapData(m map[string]string, ignoreCase bool) ClassData {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	var comparator Value
	less := CompareUTF16
	if ignoreCase {
		comparator, less = New(noCaseDesc), CompareIgnoreCase
	}
	slices.SortFunc(keys, less)
	es := make([]Entry, len(keys))
	for i, k := range keys {
		es[i] = Entry{k, m[k]}
	}
	head := Block(binary.BigEndian.AppendUint32(nil, uint32(len(es))))
	return ClassData{Desc: treeMapDesc, Values: []Value{comparator}, Extra: flatten(head, es)}
}

// TreeMap makes a java.util.TreeMap<String,String> in natural order.
func TreeMap(m map[string]string) *Object {
	return &Object{Class: treeMapDesc, Data: []ClassData{TreeMapData(m, false)}}
}
