package jser

import (
	"bytes"
	"errors"
	"io"
	"math/rand"
	"slices"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// fuzzLimits are small, so that a few bytes of input can reach each of them.
var fuzzLimits = Limits{Depth: 60, Handles: 2000, String: 1 << 16, Array: 1 << 16, Memory: 1 << 20}

func addSeeds(f *testing.F) {
	for _, g := range goldens(f) {
		if len(g.B64) < 4096 {
			f.Add(g.B64)
		}
	}
	seen := map[string]bool{}
	fixtureStreams(f, func(name string, b []byte) {
		_, class, _ := bytes.Cut([]byte(name), []byte(" "))
		if seen[string(class)] || len(b) > 8192 {
			return
		}
		seen[string(class)] = true
		f.Add(b)
		if v, err := Decode(b, Options{NoDefaults: noDefaults}); err == nil {
			inner(v, func(in []byte) { f.Add(in) })
		}
	})
}

// requireOrderly fails unless err is one of the two errors for bad input.
func requireOrderly(t *testing.T, b []byte, err error) {
	var syntax *SyntaxError
	var limit *LimitError
	switch {
	case errors.As(err, &syntax):
		require.True(t, syntax.Offset >= 0 && syntax.Offset <= int64(len(b)), "offset %d of %d", syntax.Offset, len(b))
	case errors.As(err, &limit):
		require.Greater(t, limit.Want, limit.Max, limit.What)
	default:
		t.Fatalf("unexpected error %v", err)
	}
	require.Less(t, len(err.Error()), 1000)
}

// views calls every view on a node; none may panic or run away.
func views(v Value) {
	_, _ = List(v)
	_, _ = Map(v)
	_, _ = Strings(v)
	_, _ = StringMap(v)
	_, _ = ThrowableMessage(v)
	_, _ = Values(v)
	_, _ = Bytes(v)
	_, _, _, _ = Unbox(v), Name(v), Describe(v), Format(v, 20)
	if o, ok := v.(*Object); ok {
		o.Get("x")
		BlockInt32(o.Extra("java.util.ArrayList"), 0)
		for _, cd := range o.Data {
			for _, f := range cd.Values {
				_, _ = List(f)
				_, _ = Map(f)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		start := time.Now()
		d := NewDecoder(b, Options{Limits: fuzzLimits})
		_, err := d.ReadFirst()
		skipping := NewDecoder(b, Options{Limits: fuzzLimits, Skip: func(*ClassDesc) bool { return true }})
		_, skipErr := skipping.ReadFirst()
		if err == nil && skipErr != errSkipped {
			require.NoError(t, skipErr)
			require.Equal(t, d.pos, skipping.pos)
			require.Equal(t, len(d.handles), len(skipping.handles))
		}
		require.LessOrEqual(t, len(d.handles), fuzzLimits.Handles)
		require.LessOrEqual(t, d.pos, len(b))
		if err != nil {
			requireOrderly(t, b, err)
		}
		v, n, err := DecodePrefix(b, Options{Limits: fuzzLimits, NoDefaults: noDefaults})
		if err != nil {
			requireOrderly(t, b, err)
		} else {
			require.LessOrEqual(t, n, len(b))
			views(v)
		}
		require.Less(t, time.Since(start), 5*time.Second)
	})
}

// noDefaultsFound reports whether an object of v left out its defaults: when
// what its class wrote instead begins with an object, that can look like a field.
func noDefaultsFound(v Value, seen map[any]bool) bool {
	switch v := v.(type) {
	case *Array:
		vs, ok := v.Elems.([]Value)
		if !ok || seen[v] {
			return false
		}
		seen[v] = true
		return slices.ContainsFunc(vs, func(e Value) bool { return noDefaultsFound(e, seen) })
	case *Enum:
		return noDefaultsFound(v.Class, seen)
	case *Class:
		return noDefaultsFound(v.Desc, seen)
	case *ClassDesc:
		if v == nil || seen[v] {
			return false
		}
		seen[v] = true
		return noDefaultsFound(v.Super, seen) || slices.ContainsFunc(v.Annotation, func(e Value) bool { return noDefaultsFound(e, seen) })
	case *Object:
		if seen[v] {
			return false
		}
		seen[v] = true
		for _, cd := range v.Data {
			if cd.Values == nil && len(cd.Desc.Fields) > 0 && cd.Desc.Flags&FlagWriteMethod != 0 {
				return true
			}
			for _, e := range append(cd.Values[:len(cd.Values):len(cd.Values)], cd.Extra...) {
				if noDefaultsFound(e, seen) {
					return true
				}
			}
		}
		return noDefaultsFound(v.Class, seen)
	}
	return false
}

func FuzzRoundTrip(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		opt := Options{Limits: fuzzLimits}
		v, err := NewDecoder(b, opt).ReadFirst()
		if err != nil {
			return
		}
		out, err := Encode(v)
		require.NoError(t, err)
		require.LessOrEqual(t, len(out), 2*len(b), "what is written grows")
		if noDefaultsFound(v, map[any]bool{}) {
			return
		}
		again, err := Decode(out, opt)
		require.NoError(t, err)
		require.Equal(t, Format(v, 0), Format(again, 0))
		twice, err := Encode(again)
		require.NoError(t, err)
		require.Equal(t, out, twice)
	})
}

func FuzzStream(f *testing.F) {
	addSeeds(f)
	for _, g := range goldens(f) {
		if g.many() {
			f.Add(append(g.B64, g.B64[4:]...))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(r io.Reader) (all [][]byte, err error) {
			s := NewStream(r, Options{Limits: fuzzLimits})
			for {
				one, err := s.Next()
				if err != nil {
					return all, err
				}
				all = append(all, one)
			}
		}
		whole, err1 := read(bytes.NewReader(b))
		small, err2 := read(iotest.OneByteReader(bytes.NewReader(b)))
		require.Equal(t, whole, small)
		require.Equal(t, err1.Error(), err2.Error())
		total := 0
		for _, one := range whole {
			d := NewDecoder(one, Options{Limits: fuzzLimits})
			if _, err := d.ReadFirst(); err == nil {
				require.Equal(t, len(one), d.Offset())
			} else {
				requireOrderly(t, one, err)
			}
			total += len(one) - len(Header)
		}
		require.LessOrEqual(t, total, len(b))
	})
}

// Random damage to good streams: an orderly error, or a value that can be used.
func TestMutationsOfGoldens(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	for _, g := range goldens(t) {
		if len(g.B64) > 4096 {
			continue
		}
		for range 300 {
			b := bytes.Clone(g.B64)
			for range 1 + rnd.Intn(3) {
				at := rnd.Intn(len(b))
				switch rnd.Intn(4) {
				case 0:
					b[at] = byte(rnd.Intn(256))
				case 1:
					b[at] = byte(tcNull + rnd.Intn(15))
				case 2:
					b = append(b[:at], b[min(len(b), at+1+rnd.Intn(4)):]...)
					if len(b) == 0 {
						b = []byte{0}
					}
				default:
					b = append(b[:at:at], append([]byte{byte(rnd.Intn(256))}, b[at:]...)...)
				}
			}
			v, err := Decode(b, Options{Limits: fuzzLimits})
			if err != nil {
				requireOrderly(t, b, err)
				continue
			}
			views(v)
			_, err = Encode(v)
			require.NoError(t, err)
		}
	}
}
