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
		return v.Class.String()
	case *Enum:
		return v.Class.String()
	case *Class:
		return "java.lang.Class"
	case *ClassDesc:
		return "java.io.ObjectStreamClass"
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
