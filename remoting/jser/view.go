package jser

import "encoding/binary"

// Field returns the named field of an object; fields of subclasses hide those
// of superclasses. It reports false when no class of the object has it.
func (o *Object) Field(name string) (Value, bool) {
	if o == nil {
		return nil, false
	}
	for i := len(o.Data) - 1; i >= 0; i-- {
		cd := &o.Data[i]
		for j := range cd.Values {
			if cd.Desc.Fields[j].Name == name {
				return cd.Values[j], true
			}
		}
	}
	return nil, false
}

// Get is Field without the report: nil when the field is absent.
func (o *Object) Get(name string) Value {
	v, _ := o.Field(name)
	return v
}

// Str returns a string field; "" when it is null or absent.
func (o *Object) Str(name string) string {
	s, _ := o.Get(name).(string)
	return s
}

// Int returns an int field, 0 when it is absent.
func (o *Object) Int(name string) int32 {
	i, _ := o.Get(name).(int32)
	return i
}

// Long returns a long field, 0 when it is absent.
func (o *Object) Long(name string) int64 {
	i, _ := o.Get(name).(int64)
	return i
}

// Bool returns a boolean field, false when it is absent.
func (o *Object) Bool(name string) bool {
	b, _ := o.Get(name).(bool)
	return b
}

// Obj returns an object field, nil when it is null, absent or no *Object.
func (o *Object) Obj(name string) *Object {
	v, _ := o.Get(name).(*Object)
	return v
}

// Extra returns what the named class of o's hierarchy wrote beyond its fields.
func (o *Object) Extra(class string) []Value {
	for i := range o.Data {
		if o.Data[i].Desc.Name == class {
			return o.Data[i].Extra
		}
	}
	return nil
}

// Name is the class name of any node, "" for null and primitives.
func Name(v Value) string {
	switch v := v.(type) {
	case string:
		return "java.lang.String"
	case *Object:
		return v.Class.String()
	case *Array:
		return v.Class.Name
	case *Enum:
		return v.Class.Name
	case *Class, *ClassDesc:
		return "java.lang.Class"
	}
	return ""
}

// Bytes returns the content of a byte[].
func Bytes(v Value) ([]byte, bool) {
	a, ok := v.(*Array)
	if !ok || a == nil {
		return nil, false
	}
	b, ok := a.Elems.([]byte)
	return b, ok
}

// Values returns the elements of an Object[] of any class; nil, true for null.
func Values(v Value) ([]Value, bool) {
	if v == nil {
		return nil, true
	}
	a, ok := v.(*Array)
	if !ok {
		return nil, false
	}
	vs, ok := a.Elems.([]Value)
	return vs, ok
}

// Strings returns the elements of a list, set or array of strings. A null
// element is an error; a null list gives nil.
func Strings(v Value) ([]string, error) {
	vs, err := List(v)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range vs {
		s, ok := e.(string)
		if !ok {
			return nil, &TypeError{"a string", e}
		}
		out = append(out, s)
	}
	return out, nil
}

// Unbox returns the Go value of a java.lang.Integer, Long, Boolean, …; other
// values are returned as they are.
func Unbox(v Value) Value {
	o, ok := v.(*Object)
	if !ok || len(o.Data) == 0 {
		return v
	}
	switch o.Class.Name {
	case "java.lang.Integer", "java.lang.Long", "java.lang.Boolean", "java.lang.Short", "java.lang.Byte",
		"java.lang.Character", "java.lang.Float", "java.lang.Double":
		return o.Get("value")
	}
	return v
}

// List returns the elements of any java.util list, set or object array that
// occurs on the wire; nil for null.
func List(v Value) ([]Value, error) {
	for range 16 { // wrappers can wrap wrappers, but not without end
		switch x := v.(type) {
		case nil:
			return nil, nil
		case *Array:
			if vs, ok := x.Elems.([]Value); ok {
				return vs, nil
			}
			return nil, &TypeError{"a list", v}
		case *Object:
			inner, elems, ok := listOf(x)
			if !ok {
				return nil, &TypeError{"a list", v}
			}
			if inner == nil {
				return elems, nil
			}
			v = inner
		default:
			return nil, &TypeError{"a list", v}
		}
	}
	return nil, &TypeError{"a list nested less deeply", v}
}

// listOf returns either the elements or the collection that o wraps.
func listOf(o *Object) (inner Value, elems []Value, ok bool) {
	switch n := o.Class.Name; n {
	case "java.util.ArrayList", "java.util.LinkedList", "java.util.concurrent.CopyOnWriteArrayList",
		"java.util.HashSet", "java.util.ArrayDeque", "java.util.PriorityQueue":
		return nil, elements(o.Extra(n)), true
	case "java.util.LinkedHashSet":
		return nil, elements(o.Extra("java.util.HashSet")), true
	case "java.util.TreeSet":
		// writeObject: the comparator (an object), then size and elements.
		e := elements(o.Extra(n))
		if len(e) == 0 {
			return nil, nil, false
		}
		return nil, e[1:], true
	case "java.util.CollSer":
		if t := o.Int("tag") & 0xff; t == 3 {
			return nil, nil, false
		}
		return nil, elements(o.Extra(n)), true
	case "java.util.Vector", "java.util.Stack":
		vs, fine := Values(o.Get("elementData"))
		k := int(o.Int("elementCount"))
		if !fine || k < 0 || k > len(vs) {
			return nil, nil, false
		}
		return nil, vs[:k], true
	case "java.util.Arrays$ArrayList":
		return o.Get("a"), nil, o.Get("a") != nil
	case "java.util.Collections$EmptyList", "java.util.Collections$EmptySet":
		return nil, nil, true
	case "java.util.Collections$SingletonList", "java.util.Collections$SingletonSet":
		return nil, []Value{o.Get("element")}, true
	case "java.util.Collections$UnmodifiableList", "java.util.Collections$UnmodifiableRandomAccessList",
		"java.util.Collections$UnmodifiableSet", "java.util.Collections$UnmodifiableCollection",
		"java.util.Collections$UnmodifiableSortedSet",
		"java.util.Collections$SynchronizedList", "java.util.Collections$SynchronizedRandomAccessList",
		"java.util.Collections$SynchronizedSet", "java.util.Collections$SynchronizedCollection":
		return o.Get("c"), nil, o.Get("c") != nil
	case "java.util.concurrent.CopyOnWriteArraySet":
		return o.Get("al"), nil, o.Get("al") != nil
	case "java.util.EnumSet$SerializationProxy":
		return o.Get("elements"), nil, o.Get("elements") != nil
	}
	// Guava's collections serialize as {elements: Object[]}.
	if v, found := o.Field("elements"); found && v != nil {
		return v, nil, true
	}
	return nil, nil, false
}

// elements drops the blocks (capacities and sizes) of a collection's free data.
func elements(extra []Value) []Value {
	var out []Value
	for _, v := range extra {
		if _, ok := v.(Block); !ok {
			out = append(out, v)
		}
	}
	return out
}

// Entry is one mapping of a Map view.
type Entry struct{ Key, Value Value }

// Map returns the entries of any java.util map that occurs on the wire, in
// the order of the stream; nil for null.
func Map(v Value) ([]Entry, error) {
	for range 16 {
		o, ok := v.(*Object)
		if !ok {
			if v == nil {
				return nil, nil
			}
			return nil, &TypeError{"a map", v}
		}
		switch {
		case o.Class.Is("java.util.HashMap"):
			return pairs(o, o.Extra("java.util.HashMap"))
		case o.Class.Is("java.util.TreeMap"):
			return pairs(o, o.Extra("java.util.TreeMap"))
		case o.Class.Is("java.util.Hashtable"):
			return pairs(o, o.Extra("java.util.Hashtable"))
		}
		switch o.Class.Name {
		case "java.util.CollSer":
			if o.Int("tag")&0xff != 3 {
				return nil, &TypeError{"a map", v}
			}
			return pairs(o, o.Extra("java.util.CollSer"))
		case "java.util.concurrent.ConcurrentHashMap":
			e := elements(o.Extra("java.util.concurrent.ConcurrentHashMap"))
			if k := len(e); k >= 2 && e[k-1] == nil && e[k-2] == nil { // writeObject ends with two nulls
				e = e[:k-2]
			}
			return pairs(o, e)
		case "java.util.concurrent.ConcurrentSkipListMap":
			e := elements(o.Extra("java.util.concurrent.ConcurrentSkipListMap"))
			if k := len(e); k >= 1 && e[k-1] == nil {
				e = e[:k-1]
			}
			return pairs(o, e)
		case "java.util.EnumMap":
			return pairs(o, o.Extra("java.util.EnumMap"))
		case "java.util.Collections$EmptyMap":
			return nil, nil
		case "java.util.Collections$SingletonMap":
			return []Entry{{o.Get("k"), o.Get("v")}}, nil
		case "java.util.Collections$UnmodifiableMap", "java.util.Collections$SynchronizedMap",
			"java.util.Collections$UnmodifiableSortedMap", "java.util.Collections$UnmodifiableNavigableMap":
			v = o.Get("m")
			continue
		}
		keys, found := o.Field("keys") // Guava's ImmutableMap$SerializedForm
		if !found {
			return nil, &TypeError{"a map", v}
		}
		ks, err := List(keys)
		if err != nil {
			return nil, err
		}
		vs, err := List(o.Get("values"))
		if err != nil || len(ks) != len(vs) {
			return nil, &TypeError{"a map", v}
		}
		out := make([]Entry, len(ks))
		for i := range ks {
			out[i] = Entry{ks[i], vs[i]}
		}
		return out, nil
	}
	return nil, &TypeError{"a map nested less deeply", v}
}

func pairs(o *Object, extra []Value) ([]Entry, error) {
	e := elements(extra)
	if len(e)%2 != 0 {
		return nil, &TypeError{"a map with a value for every key", o}
	}
	out := make([]Entry, len(e)/2)
	for i := range out {
		out[i] = Entry{e[2*i], e[2*i+1]}
	}
	return out, nil
}

// StringMap returns a map of strings to strings; a null value is kept as nil.
func StringMap(v Value) (map[string]*string, error) {
	es, err := Map(v)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*string, len(es))
	for _, e := range es {
		k, ok := e.Key.(string)
		if !ok {
			return nil, &TypeError{"a string", e.Key}
		}
		switch s := e.Value.(type) {
		case nil:
			out[k] = nil
		case string:
			out[k] = &s
		default:
			return nil, &TypeError{"a string", e.Value}
		}
	}
	return out, nil
}

// BlockInt32 reads a big-endian int at a byte offset of the first block in
// free data; false when there is none.
func BlockInt32(extra []Value, at int) (int32, bool) {
	if len(extra) == 0 {
		return 0, false
	}
	b, ok := extra[0].(Block)
	if !ok || at < 0 || len(b) < at+4 {
		return 0, false
	}
	return int32(binary.BigEndian.Uint32(b[at:])), true
}
