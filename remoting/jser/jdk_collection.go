package jser

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

var (
	arrayListDesc = Custom("java.util.ArrayList", 8683452581122892189, nil, Prim("size", 'I'))
	hashMapDesc   = Custom("java.util.HashMap", 362498820763181265, nil, Prim("loadFactor", 'F'), Prim("threshold", 'I'))
	linkedMapDesc = Serializable("java.util.LinkedHashMap", 3801124242820219131, hashMapDesc, Prim("accessOrder", 'Z'))
	hashSetDesc   = Custom("java.util.HashSet", -5024744406713321676, nil)
	treeMapDesc   = Custom("java.util.TreeMap", 919286545866124006, nil, Ref("comparator", "java.util.Comparator"))
	noCaseDesc    = Serializable("java.lang.String$CaseInsensitiveComparator", 8575799808933029326, nil)
	emptyListDesc = Serializable("java.util.Collections$EmptyList", 8842843931221139166, nil)
	emptyMapDesc  = Serializable("java.util.Collections$EmptyMap", 6428348081105594320, nil)
	vectorDesc    = Custom("java.util.Vector", -2767605614048989439, nil,
		Prim("capacityIncrement", 'I'), Prim("elementCount", 'I'), Ref("elementData", "[Ljava.lang.Object;"))
	linkedSetDesc = Serializable("java.util.LinkedHashSet", -2851667679971038690, hashSetDesc)
	collSerDesc   = Custom("java.util.CollSer", 6309168927139932177, nil, Prim("tag", 'I'))
)

// TreeMapClass is the descriptor of java.util.TreeMap, for subclasses.
func TreeMapClass() *ClassDesc { return treeMapDesc }

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
	return &Object{Class: hashSetDesc, Data: []ClassData{hashSetData(vs)}}
}

// LinkedHashSet makes a java.util.LinkedHashSet in insertion order.
func LinkedHashSet(vs ...Value) *Object {
	return &Object{Class: linkedSetDesc, Data: []ClassData{hashSetData(vs), {Desc: linkedSetDesc}}}
}

func hashSetData(vs []Value) ClassData {
	b := binary.BigEndian.AppendUint32(nil, uint32(buckets(len(vs))))
	b = binary.BigEndian.AppendUint32(b, 0x3F400000) // load factor 0.75f
	b = binary.BigEndian.AppendUint32(b, uint32(len(vs)))
	return ClassData{Desc: hashSetDesc, Extra: append([]Value{Block(b)}, vs...)}
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
	threshold := n * 3 / 4
	if len(es) == 0 {
		threshold = 0 // no table yet
	}
	return ClassData{Desc: hashMapDesc, Values: []Value{float32(0.75), threshold}, Extra: flatten(Block(b), es)}
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

// EmptyMap is java.util.Collections.emptyMap().
func EmptyMap() *Object { return New(emptyMapDesc) }

// Vector makes a java.util.Vector.
func Vector(vs ...Value) *Object {
	return &Object{Class: vectorDesc, Data: []ClassData{{Desc: vectorDesc, Values: []Value{int32(0), int32(len(vs)), ObjectArray(vs...)}}}}
}

// ListOf makes what List.of writes (java.util.CollSer, JDK 9 and later). No
// element may be null.
func ListOf(vs ...Value) *Object { return collSer(collSerList, vs) }

// SetOf makes what Set.of writes. No element may be null or occur twice.
func SetOf(vs ...Value) *Object { return collSer(collSerSet, vs) }

// MapOf makes what Map.of writes. No key or value may be null.
func MapOf(es ...Entry) *Object {
	return collSer(collSerMap, flatten(nil, es)[1:])
}

// collSer counts its elements, of a map its keys and values.
func collSer(tag int32, vs []Value) *Object {
	head := Block(binary.BigEndian.AppendUint32(nil, uint32(len(vs))))
	return &Object{Class: collSerDesc, Data: []ClassData{{Desc: collSerDesc, Values: []Value{tag}, Extra: append([]Value{head}, vs...)}}}
}
