package jser

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// node decodes the golden of that name.
func node(t *testing.T, name string) Value {
	for _, g := range goldens(t) {
		if g.Name == name {
			return mustDecode(t, g.B64)
		}
	}
	t.Fatalf("no golden %q", name)
	return nil
}

func TestFieldViews(t *testing.T) {
	o := node(t, "hidden field").(*Object)
	require.Equal(t, "hides Node.a", o.Str("a"))
	require.Equal(t, int64(7), o.Long("extra"))
	v, ok := o.Field("b")
	require.True(t, ok)
	require.Nil(t, v)
	_, ok = o.Field("none")
	require.False(t, ok)
	require.Nil(t, o.Get("none"))
	require.Nil(t, o.Obj("a"), "a string is no object")
	require.Zero(t, o.Int("extra"), "a long is no int")

	p := node(t, "all primitive fields").(*Object)
	require.True(t, p.Bool("z"))
	require.Equal(t, int32(-1<<31), p.Int("i"))
	_, ok = p.Field("skipped")
	require.False(t, ok, "transient")

	var none *Object
	require.Nil(t, none.Get("x"))
	n, ok := BlockInt32(node(t, "ArrayList").(*Object).Extra("java.util.ArrayList"), 0)
	require.True(t, ok)
	require.Equal(t, int32(3), n)
	_, ok = BlockInt32(nil, 0)
	require.False(t, ok)
}

func TestUnbox(t *testing.T) {
	for name, want := range map[string]Value{
		"boolean true": true, "byte": int8(-1), "char": uint16(0x20ac), "short": int16(-2), "int": int32(0x7fffffff), "long": int64(-3),
		"float": float32(1.5), "string ascii": `hello "world" \`, "null": nil,
	} {
		require.Equal(t, want, Unbox(node(t, name)), name)
	}
}

func TestStringViews(t *testing.T) {
	for _, name := range []string{"ArrayList", "Arrays.asList", "LinkedHashSet", "TreeSet", "List.of", "unmodifiableList", "wrapped twice",
		"CopyOnWriteArrayList", "Vector", "ArrayDeque", "ConcurrentLinkedQueue", "LinkedBlockingQueue", "ConcurrentSkipListSet"} {
		got, err := Strings(node(t, name))
		require.NoError(t, err, name)
		require.Equal(t, []string{"a", "b", "c"}, got, name)
	}
	got, err := Strings(nil)
	require.NoError(t, err)
	require.Nil(t, got)
	for _, name := range []string{"ArrayList null", "int[]", "string ascii", "HashMap", "Map.of", "proxy"} {
		_, err := Strings(node(t, name))
		var typ *TypeError
		require.ErrorAs(t, err, &typ, name)
	}

	m, err := StringMap(node(t, "Properties"))
	require.NoError(t, err)
	require.Equal(t, "v", *m["k"])
	m, err = StringMap(node(t, "Map.of"))
	require.NoError(t, err)
	require.Len(t, m, 3)
	m, err = StringMap(HashMap(Entry{"k", nil}))
	require.NoError(t, err)
	require.Contains(t, m, "k")
	require.Nil(t, m["k"])
	for _, name := range []string{"HashMap nulls", "HashMap", "ArrayList", "List.of"} {
		_, err = StringMap(node(t, name))
		require.Error(t, err, name)
	}
}

// Classes that extend a collection are that collection.
func TestViewsOfSubclasses(t *testing.T) {
	list := ArrayList("a")
	sub := Serializable("x.MyList", 1, list.Class)
	vs, err := List(&Object{Class: sub, Data: append(list.Data, ClassData{Desc: sub})})
	require.NoError(t, err)
	require.Equal(t, []Value{"a"}, vs)
	m := LinkedHashMap(Entry{"k", "v"})
	sub = Serializable("x.MyMap", 1, m.Class)
	es, err := Map(&Object{Class: sub, Data: append(m.Data, ClassData{Desc: sub})})
	require.NoError(t, err)
	require.Equal(t, []Entry{{"k", "v"}}, es)
}

func TestThrowableMessage(t *testing.T) {
	text, ok := ThrowableMessage(node(t, "exception message"))
	require.True(t, ok)
	require.Equal(t, "java.io.IOException: no space left", text)
	text, ok = ThrowableMessage(node(t, "exception"))
	require.True(t, ok)
	require.Equal(t, "java.lang.Exception", text)
	_, ok = ThrowableMessage(node(t, "ArrayList"))
	require.False(t, ok)
}

// TreeMapData sorts as Java does, otherwise Java would not find its keys.
func TestTreeMapOrder(t *testing.T) {
	for name, ignoreCase := range map[string]bool{"TreeMap order": false, "TreeMap order ignoring case": true} {
		v := node(t, name)
		want, err := Map(v)
		require.NoError(t, err)
		m := map[string]string{}
		for _, e := range want {
			m[e.Key.(string)] = e.Value.(string)
		}
		desc := TreeMapClass()
		got, err := Map(&Object{Class: desc, Data: []ClassData{TreeMapData(m, ignoreCase)}})
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
}

func TestCollectionsOfNothing(t *testing.T) {
	for _, name := range []string{"emptyList", "emptySet", "List.of empty", "ArrayList empty", "HashSet empty", "EnumSet empty"} {
		vs, err := List(node(t, name))
		require.NoError(t, err, name)
		require.Empty(t, vs, name)
	}
	for _, name := range []string{"emptyMap", "Map.of empty", "HashMap empty", "ConcurrentHashMap empty"} {
		es, err := Map(node(t, name))
		require.NoError(t, err, name)
		require.Empty(t, es, name)
	}
}
