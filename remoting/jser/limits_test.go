package jser

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire builds hostile streams.
type wire struct{ bytes.Buffer }

func newWire() *wire {
	w := &wire{}
	w.Write(Header)
	return w
}

func (w *wire) u16(v int) *wire { w.Write(binary.BigEndian.AppendUint16(nil, uint16(v))); return w }
func (w *wire) u32(v int) *wire { w.Write(binary.BigEndian.AppendUint32(nil, uint32(v))); return w }
func (w *wire) u64(v int64) *wire {
	w.Write(binary.BigEndian.AppendUint64(nil, uint64(v)))
	return w
}
func (w *wire) b(bs ...byte) *wire { w.Write(bs); return w }
func (w *wire) utf(s string) *wire { w.u16(len(s)); w.WriteString(s); return w }
func (w *wire) desc(name string, flags byte, fields int) *wire {
	return w.b(tcClassDesc).utf(name).u64(1).b(flags).u16(fields)
}
func (w *wire) end() *wire { return w.b(tcEndBlockData, tcNull) }

func limitOf(t *testing.T, err error) string {
	var limit *LimitError
	require.True(t, errors.As(err, &limit), "%v", err)
	return limit.What
}

func TestLimits(t *testing.T) {
	array := func(name string, n int) *wire {
		return newWire().b(tcArray).desc(name, FlagSerializable, 0).end().u32(n)
	}
	deep := newWire()
	for range 2000 {
		deep.b(tcArray)
		if deep.Len() < 10 {
			deep.desc("[Ljava.lang.Object;", FlagSerializable, 0).end()
		} else {
			deep.b(tcReference).u32(baseHandle)
		}
		deep.u32(1)
	}
	supers := newWire().b(tcObject)
	for range 2000 {
		supers.desc("a.B", FlagSerializable, 0).b(tcEndBlockData)
	}
	annotations := newWire()
	for range 2000 {
		annotations.desc("a.B", FlagSerializable, 0)
	}
	strs := array("[Ljava.lang.String;", 1000)
	for range 1000 {
		strs.b(tcString).utf("")
	}
	nulls := array("[Ljava.lang.String;", 5000)
	nulls.Write(bytes.Repeat([]byte{tcNull}, 5000))
	// Each reference to the class costs a few bytes and makes all its superclasses' data.
	fan := newWire().b(tcArray).desc("[La.B;", FlagSerializable, 0).end().u32(20000).b(tcObject)
	for range 100 {
		fan.desc("a.B", FlagSerializable, 0).b(tcEndBlockData)
	}
	fan.b(tcNull)
	for range 19999 {
		fan.b(tcObject, tcReference).u32(baseHandle + 2)
	}
	manyInterfaces := newWire().b(tcProxyClassDesc).u32(65535)
	for range 65535 {
		manyInterfaces.utf("")
	}
	manyInterfaces.end()

	cases := []struct {
		name   string
		w      *wire
		limits Limits
		want   string // the limit, "" when the stream is simply wrong, "ok" when it is fine
	}{
		{"array in array", deep, Limits{}, "depth"},
		{"superclasses", supers, Limits{}, "depth"},
		{"superclasses but deep enough", supers, Limits{Depth: 5000}, ""},
		{"annotations", annotations, Limits{}, "depth"},
		{"handles", strs, Limits{Handles: 500}, "handles"},
		{"handles enough", strs, Limits{Handles: 1002}, "ok"},
		{"memory of nulls", nulls, Limits{Memory: 50_000}, "memory"},
		{"memory of class data", fan, Limits{Memory: 20 << 20}, "memory"},
		{"string", newWire().b(tcString).utf("12345"), Limits{String: 4}, "string"},
		{"string fits", newWire().b(tcString).utf("1234"), Limits{String: 4}, "ok"},
		{"long string", newWire().b(tcLongString).u64(1 << 40), Limits{}, "string"},
		{"long string negative", newWire().b(tcLongString).u64(-1), Limits{}, ""},
		{"long string lies", newWire().b(tcLongString).u64(100 << 20), Limits{}, ""},
		{"class name", newWire().desc("abcdefgh", FlagSerializable, 0).end(), Limits{String: 4}, "string"},
		{"array", array("[B", 300<<20), Limits{}, "array"},
		{"array negative", array("[B", -1), Limits{}, ""},
		{"array lies byte", array("[B", 200<<20), Limits{}, ""},
		{"array lies long", array("[J", 200<<20), Limits{}, ""},
		{"array lies Object", array("[Ljava.lang.Object;", 200<<20), Limits{}, ""},
		{"array configured", array("[B", 5).b(1, 2, 3, 4, 5), Limits{Array: 4}, "array"},
		{"array memory", array("[B", 5000).b(make([]byte, 5000)...), Limits{Memory: 4000}, "memory"},
		{"fields lie", newWire().desc("a.B", FlagSerializable, 65535).b('I'), Limits{}, ""},
		{"fields memory", newWire().desc("a.B", FlagSerializable, 1000).b(bytes.Repeat([]byte{'I', 0, 1, 'x'}, 1000)...), Limits{Memory: 10_000}, "memory"},
		{"interfaces lie", newWire().b(tcProxyClassDesc).u32(65535), Limits{}, ""},
		{"interfaces negative", newWire().b(tcProxyClassDesc).u32(-1), Limits{}, ""},
		{"interfaces too many", newWire().b(tcProxyClassDesc).u32(65536), Limits{}, "interfaces"},
		{"interfaces 65535", manyInterfaces, Limits{}, "ok"},
		{"interfaces memory", manyInterfaces, Limits{Memory: 100_000}, "memory"},
		{"block lies", newWire().b(tcObject).desc("a.B", FlagSerializable|FlagWriteMethod, 0).end().b(tcBlockDataLong).u32(200 << 20), Limits{}, ""},
		{"block negative", newWire().b(tcObject).desc("a.B", FlagSerializable|FlagWriteMethod, 0).end().b(tcBlockDataLong).u32(-1), Limits{}, ""},
		{"block too long", newWire().b(tcObject).desc("a.B", FlagSerializable|FlagWriteMethod, 0).end().b(tcBlockDataLong).u32(300 << 20), Limits{}, "array"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			v, err := Decode(c.w.Bytes(), Options{Limits: c.limits})
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64<<20), "allocated for %d bytes of input", c.w.Len())
			switch c.want {
			case "ok":
				require.NoError(t, err)
				_, err = Encode(v)
				require.NoError(t, err)
				require.LessOrEqual(t, len(Describe(v)), 300)
			case "":
				var syntax *SyntaxError
				require.True(t, errors.As(err, &syntax), "%v", err)
			default:
				require.Equal(t, c.want, limitOf(t, err))
			}
			// The same stream piecemeal, where the length of the input is unknown.
			_, err = NewStream(&slowZeros{head: c.w.Bytes(), left: 1 << 20}, Options{Limits: c.limits}).Next()
			switch c.want {
			case "ok":
				require.NoError(t, err)
			case "memory": // a stream builds no nodes, and stops only when it buffers too much
			default:
				require.Error(t, err)
			}
		})
	}
}

// slowZeros gives its head and then left zero bytes.
type slowZeros struct {
	head []byte
	left int
}

func (z *slowZeros) Read(p []byte) (int, error) {
	if len(z.head) > 0 {
		n := copy(p, z.head)
		z.head = z.head[n:]
		return n, nil
	}
	if z.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), z.left)
	clear(p[:n])
	z.left -= n
	return n, nil
}

func TestSyntaxErrorsAndOffsets(t *testing.T) {
	object := func() *wire { return newWire().b(tcObject).desc("a.B", FlagSerializable, 0) }
	cases := []struct {
		name   string
		w      *wire
		offset int64
		msg    string
	}{
		{"empty", &wire{}, 0, "ends early"},
		{"no header", (&wire{}).b(0xAC, 0xED, 0, 4, tcNull), 0, "AC ED 00 05"},
		{"header only", newWire(), 4, "ends early"},
		{"type code", newWire().b(0x6F), 4, "unknown type code"},
		{"type code above", newWire().b(0x7F), 4, "unknown type code"},
		{"block at the top", newWire().b(tcBlockData, 0), 5, "block data"},
		{"trailing", newWire().b(tcNull, tcNull), 5, "after the end"},
		{"reference", newWire().b(tcReference).u32(baseHandle), 9, "not written"},
		{"reference below", newWire().b(tcReference).u32(0), 9, "not written"},
		{"object without class", newWire().b(tcObject, tcNull), 6, "without a class"},
		{"enum without class", newWire().b(tcEnum, tcNull), 6, "without a class"},
		{"class without descriptor", newWire().b(tcClass, tcNull), 6, "without a descriptor"},
		{"array without class", newWire().b(tcArray, tcNull), 6, "array without a class"},
		{"descriptor is a string", newWire().b(tcObject, tcString).utf("x"), 5, "class descriptor is expected"},
		{"bad modified UTF-8", newWire().b(tcString, 0, 3, 'a', 0xC0, 'b'), 8, "UTF-8"},
		{"UTF-8 of four bytes", newWire().b(tcString, 0, 4, 0xF0, 0x9F, 0x98, 0x80), 7, "UTF-8"},
		{"cut UTF-8", newWire().b(tcString, 0, 2, 0xE2, 0x82), 7, "UTF-8"},
		{"reset inside", object().end().b(tcReset), 0, ""},
		{"field without type", newWire().desc("a.B", FlagSerializable, 1).b('L').utf("f").b(tcNull).end(), 0, "has no type"},
		{"field of unknown type", newWire().desc("a.B", FlagSerializable, 1).b('Q').utf("f").end(), 0, "unknown type"},
		{"array of unknown type", newWire().b(tcArray).desc("[Q", FlagSerializable, 0).end().u32(0), 0, "unknown element type"},
		{"array class without brackets", newWire().b(tcArray).desc("a.B", FlagSerializable, 0).end().u32(0), 0, "array class"},
		{"serializable and externalizable", newWire().desc("a.B", FlagSerializable|FlagExternalizable, 0).end(), 0, "both"},
		{"externalizable without blocks", newWire().b(tcObject).desc("a.B", FlagExternalizable, 0).end(), 0, "without block data"},
		{"its own superclass", newWire().desc("a.B", FlagSerializable, 0).b(tcEndBlockData, tcReference).u32(baseHandle), 0, "its own"},
		{"enum name", newWire().b(tcEnum).desc("a.B", FlagSerializable|FlagEnum, 0).end().b(tcNull), 0, "without a name"},
	}
	for _, c := range cases {
		_, err := Decode(c.w.Bytes(), Options{})
		if c.msg == "" {
			require.Error(t, err, c.name)
			continue
		}
		var syntax *SyntaxError
		require.True(t, errors.As(err, &syntax), "%s: %v", c.name, err)
		require.ErrorContains(t, err, c.msg, c.name)
		if c.offset != 0 {
			require.Equal(t, c.offset, syntax.Offset, c.name)
		}
	}
}

// A wrong guess about defaults costs at most maxRetries readings more, and is
// made once for a class, however many objects it has.
func TestRetriesAreBounded(t *testing.T) {
	w := newWire().b(tcArray).desc("[Ljava.lang.Object;", FlagSerializable, 0).end().u32(300)
	handle := baseHandle + 2 // after the array's descriptor and the array
	for i := range 100 {
		name := "a.B" + strings.Repeat("x", i)
		w.b(tcObject).desc(name, FlagSerializable|FlagWriteMethod, 1).b('J').utf("f").end()
		w.u64(0x7474747474747474).b(tcEndBlockData)
		w.b(tcObject, tcReference).u32(handle).u64(0x7474747474747474).b(tcEndBlockData)
		handle += 3
	}
	w.b(0x01)
	d := NewDecoder(w.Bytes(), Options{})
	_, err := d.ReadFirst()
	require.Error(t, err)
	require.Len(t, d.suspect, 64)
	require.NotEqual(t, d.suspect[0], d.suspect[1])

	calls, decoded := 0, 0
	_, err = Decode(w.Bytes(), Options{
		OnClassDesc: func(*ClassDesc) error { calls++; return nil },
		Skip:        func(*ClassDesc) bool { decoded++; return false },
	})
	require.Error(t, err)
	require.LessOrEqual(t, decoded, 201*(1+maxRetries))
	require.Zero(t, calls, "the hook sees only what was read in the end")
}

// Format and the views end, however the nodes are tied together.
func TestFormatDoesNotBlowUp(t *testing.T) {
	text := strings.Repeat("x", 1<<20)
	numbers := IntArray(make([]int32, 1<<18))
	vs := make([]Value, 2000)
	for i := range vs {
		vs[i] = text
		if i%2 == 0 {
			vs[i] = numbers
		}
	}
	list := ObjectArray(vs...)
	require.Less(t, len(Format(list, 0)), maxFormat+4<<20)
	require.Less(t, len(Format(list, 10)), 1<<20)
	out, err := Encode(list)
	require.NoError(t, err)
	require.Less(t, len(out), 3<<20, "one string and one array, the rest are references")

	var deep Value
	for range 900 {
		deep = ObjectArray(deep, deep, deep)
	}
	require.Less(t, len(Format(deep, 0)), 8<<20)

	wide := &ClassDesc{Proxy: true, Interfaces: make([]string, 65535)}
	for i := range wide.Interfaces {
		wide.Interfaces[i] = "some.Interface"
	}
	require.Less(t, len(Describe(&Object{Class: wide})), 300)

	// Collections that wrap themselves.
	setDesc := Serializable("java.util.Collections$SetFromMap", 1, nil, Ref("m", "java.util.Map"))
	guava := Serializable("x.SerializedForm", 1, nil, Ref("keys", "java.lang.Object"), Ref("values", "java.lang.Object"))
	m := New(guava, nil, nil)
	set := New(setDesc, m)
	m.Data[0].Values = []Value{set, set}
	_, err = List(set)
	require.Error(t, err)
	_, err = Map(m)
	require.Error(t, err)
	wrapper := Serializable("java.util.Collections$UnmodifiableCollection", 1, nil, Ref("c", "java.util.Collection"))
	self := New(wrapper, nil)
	self.Data[0].Values[0] = self
	_, err = List(self)
	require.Error(t, err)
}

func TestEncoderRefusesWhatJavaCouldNotRead(t *testing.T) {
	plain := Serializable("a.B", 1, nil, Prim("i", 'I'))
	for name, v := range map[string]Value{
		"a Go value":           5,
		"free block":           Block{1},
		"no class":             &Object{},
		"array without class":  &Array{Elems: []byte{}},
		"array of another":     &Array{Class: byteArray, Elems: []int32{1}},
		"enum without class":   &Enum{Name: "A"},
		"class without one":    &Class{},
		"missing values":       &Object{Class: plain, Data: []ClassData{{Desc: plain}}},
		"too many values":      &Object{Class: plain, Data: []ClassData{{Desc: plain, Values: []Value{int32(1), int32(2)}}}},
		"wrong type":           New(plain, int64(1)),
		"extra without method": &Object{Class: plain, Data: []ClassData{{Desc: plain, Values: []Value{int32(1)}, Extra: []Value{"x"}}}},
		"name too long":        New(Serializable(strings.Repeat("x", 65536), 1, nil)),
	} {
		_, err := Encode(v)
		require.Error(t, err, name)
		require.Less(t, len(err.Error()), 500, name)
	}
	for _, v := range []Value{(*Object)(nil), (*Array)(nil), (*Enum)(nil), (*Class)(nil), (*ClassDesc)(nil)} {
		b, err := Encode(v)
		require.NoError(t, err)
		require.Equal(t, append(Header[:4:4], tcNull), b)
	}
}

// A class that skips a number of its own is found out even when its data, read
// as that number and what comes after it, leads to an impossible length.
func TestRetryAfterMisreadLength(t *testing.T) {
	w := newWire().b(tcObject).desc("a.B", FlagSerializable|FlagWriteMethod, 2).b('S').utf("n").b('L').utf("x").b(tcString).utf("[B").end()
	// writeObject of a string of 0x7C bytes: TC_STRING and the length's first byte
	// are read as n, the second as TC_LONGSTRING, and the text as its length.
	text := strings.Repeat("y", 0x7C)
	w.b(tcString).utf(text).b(tcEndBlockData)
	_, err := NewDecoder(w.Bytes(), Options{}).ReadFirst()
	require.Equal(t, "string", limitOf(t, err))
	v, err := Decode(w.Bytes(), Options{})
	require.NoError(t, err)
	require.Equal(t, []Value{text}, v.(*Object).Extra("a.B"))
}
