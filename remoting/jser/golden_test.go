package jser

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// golden is one vector that a JDK wrote, see test/javagen/jser/Goldens.java.
type golden struct {
	Name string
	Want string // Java's description of the object, several joined by " ; "
	B64  []byte
}

func goldens(t testing.TB) []golden {
	f, err := os.Open("testdata/goldens.jsonl.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	s := bufio.NewScanner(z)
	s.Buffer(nil, 1<<20)
	var out []golden
	for s.Scan() {
		var g golden
		require.NoError(t, json.Unmarshal(s.Bytes(), &g))
		out = append(out, g)
	}
	require.NoError(t, s.Err())
	return out
}

// many reports whether the vector is a stream of several objects.
func (g golden) many() bool {
	return strings.HasPrefix(g.Name, "many ") || strings.HasPrefix(g.Name, "failed ")
}

// notIdentical says which vectors are not written back to the byte, and why.
var notIdentical = map[string]string{
	"shared string":      "the empty string has no identity in Go: a reference to it becomes a string",
	"Locale":             "the same",
	"block data flushed": "adjacent blocks are joined",
}

func TestGoldensAreUnderstood(t *testing.T) {
	gs := goldens(t)
	require.Greater(t, len(gs), 200)
	for _, g := range gs {
		if g.many() {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			v, err := Decode(g.B64, Options{})
			require.NoError(t, err)
			require.Equal(t, g.Want, describe(v))

			out, err := Encode(v)
			require.NoError(t, err)
			if why := notIdentical[g.Name]; why != "" {
				require.NotEqual(t, g.B64, out, "now identical, no longer: %s", why)
			} else {
				require.Equal(t, g.B64, out)
			}
			again, err := Decode(out, Options{})
			require.NoError(t, err)
			require.Equal(t, g.Want, describe(again))
			require.Equal(t, Format(v, 0), Format(again, 0))
		})
	}
}

// A stream of several objects is read by one Decoder, across resets.
func TestGoldensOfManyObjects(t *testing.T) {
	for _, g := range goldens(t) {
		if !strings.HasPrefix(g.Name, "many ") {
			continue
		}
		d := NewDecoder(g.B64, Options{})
		var got []string
		v, err := d.ReadFirst()
		for err == nil {
			got = append(got, describe(v))
			if d.Offset() == len(g.B64) {
				break
			}
			v, err = d.ReadObject()
		}
		require.NoError(t, err, g.Name)
		require.Equal(t, g.Want, strings.Join(got, " ; "), g.Name)

		_, err = Decode(g.B64, Options{})
		require.ErrorContains(t, err, "after the end", g.Name)
	}
}

// After a reset each object stands for itself, and Stream cuts there.
func TestStreamCutsGoldens(t *testing.T) {
	for _, g := range goldens(t) {
		if g.Name != "many reset" && g.many() {
			continue
		}
		// A stream can't be read again on suspicion, the class must be known.
		s := NewStream(bytes.NewReader(g.B64), Options{NoDefaults: map[string]bool{"Samples$WithoutDefaultsNumber": true}})
		var got []string
		for {
			b, err := s.Next()
			if err != nil {
				require.EqualError(t, err, "EOF", g.Name)
				break
			}
			v, err := Decode(b, Options{})
			require.NoError(t, err, g.Name)
			got = append(got, describe(v))
		}
		require.Equal(t, g.Want, strings.Join(got, " ; "), g.Name)
	}
}

func TestWriterFailureNamesItsException(t *testing.T) {
	for _, g := range goldens(t) {
		if g.Name != "failed exception" {
			continue
		}
		_, err := Decode(g.B64, Options{})
		var syntax *SyntaxError
		require.True(t, errors.As(err, &syntax))
		require.ErrorContains(t, err, "java.io.NotSerializableException: java.lang.Object")
		require.Equal(t, byte(tcException), g.B64[syntax.Offset])
		return
	}
	t.Fatal("golden is missing")
}

// Class annotations are kept with the descriptor, and the hook sees every
// descriptor once, in the order of the stream.
func TestAnnotatedGoldens(t *testing.T) {
	seen := 0
	for _, g := range goldens(t) {
		if !strings.HasPrefix(g.Name, "annotated") {
			continue
		}
		seen++
		introduced := false
		classes := map[*ClassDesc]bool{}
		_, err := Decode(g.B64, Options{OnClassDesc: func(c *ClassDesc) error {
			require.False(t, classes[c])
			classes[c] = true
			require.Len(t, c.Annotation, 1, "%s %s", g.Name, c)
			b := c.Annotation[0].(Block)
			switch tag := int32(binary.BigEndian.Uint32(b)); tag {
			case -3:
				require.Len(t, b, 4)
				require.True(t, strings.HasPrefix(c.Name, "java.") || strings.HasPrefix(c.Name, "[L") || c.Name == "[I", c.Name)
			case -2:
				require.False(t, introduced)
				introduced = true
				require.Equal(t, int32(77), int32(binary.BigEndian.Uint32(b[4:])))
			case 0:
				require.True(t, introduced)
			default:
				t.Fatalf("tag %d", tag)
			}
			return nil
		}})
		require.NoError(t, err)
		stop := errors.New("stop")
		_, err = Decode(g.B64, Options{OnClassDesc: func(*ClassDesc) error { return stop }})
		require.ErrorIs(t, err, stop)
	}
	require.Greater(t, seen, 4)
}

// Every truncation of every golden is a SyntaxError that lies within it.
func TestTruncatedGoldens(t *testing.T) {
	for _, g := range goldens(t) {
		if strings.HasPrefix(g.Name, "many ") {
			continue
		}
		step := 1 + len(g.B64)/3000
		for n := 0; n < len(g.B64); n += step {
			_, err := Decode(g.B64[:n], Options{})
			var syntax *SyntaxError
			require.True(t, errors.As(err, &syntax), "%s cut at %d: %v", g.Name, n, err)
			require.LessOrEqual(t, syntax.Offset, int64(n), g.Name)
		}
	}
}
