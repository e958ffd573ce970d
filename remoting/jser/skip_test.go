package jser

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func skipSource(c *ClassDesc) bool { return c.Name == "hudson.remoting.Command$Source" }

// Skipping an object changes nothing but that object.
func TestSkipInFixtures(t *testing.T) {
	seen := map[string]int{}
	checked, whole := 0, 0
	fixtureStreams(t, func(name string, b []byte) {
		if seen[name]++; seen[name] > 5 {
			return
		}
		full, err := Decode(b, Options{})
		require.NoError(t, err)
		v, err := Decode(b, Options{Skip: skipSource})
		require.NoError(t, err)
		o := v.(*Object)
		source := o.Obj("createdAt")
		if source == nil {
			return
		}
		checked++
		if source.Data != nil { // what follows refers to something in the stack trace
			whole++
			require.Equal(t, Format(full, 0), Format(v, 0), name)
			return
		}
		full.(*Object).Obj("createdAt").Data = nil
		want, got := Format(full, 0), Format(v, 0)
		require.Equal(t, want, got, name)
	})
	t.Logf("%d commands, %d had to be read whole", checked, whole)
	require.Greater(t, checked, 300)
	require.Less(t, whole, checked/20)
}

// Every golden can be skipped as a whole: it ends where it ends otherwise. A
// later reference into a skipped object makes Decode read everything.
func TestSkipGoldens(t *testing.T) {
	all := func(*ClassDesc) bool { return true }
	for _, g := range goldens(t) {
		if g.many() || g.Name == "writeObject without defaults number" {
			continue
		}
		v, n, err := DecodePrefix(g.B64, Options{Skip: all})
		require.NoError(t, err, g.Name)
		require.Equal(t, len(g.B64), n, g.Name)
		require.Equal(t, Name(mustDecode(t, g.B64)), Name(v), g.Name)
		for cut := 0; cut < len(g.B64); cut += 1 + len(g.B64)/500 {
			_, _, err := DecodePrefix(g.B64[:cut], Options{Skip: all})
			require.Error(t, err, g.Name)
			requireOrderly(t, g.B64[:cut], err)
		}
	}

	desc := Serializable("a.B", 1, nil, Ref("x", "java.lang.Object"))
	shared := "a shared string"
	stream, err := Encode(ObjectArray(New(desc, shared), shared, "end"))
	require.NoError(t, err)
	d := NewDecoder(stream, Options{Skip: all})
	_, err = d.ReadFirst()
	require.ErrorIs(t, err, errSkipped)
	calls := 0
	v, err := Decode(stream, Options{Skip: all, OnClassDesc: func(*ClassDesc) error { calls++; return nil }})
	require.NoError(t, err)
	require.Equal(t, `[Ljava.lang.Object;[a.B{x="a shared string"}, "a shared string", "end"]`, describe(v))
	require.Equal(t, 2, calls)
}

func mustDecode(t *testing.T, b []byte) Value {
	v, err := Decode(b, Options{})
	require.NoError(t, err)
	return v
}
