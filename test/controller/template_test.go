package controller

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

// Unchanged, a template is encoded to the very bytes that were recorded.
func TestTemplatesKeepTheirBytes(t *testing.T) {
	require.NotEmpty(t, templates())
	for name, x := range templates() {
		o, err := decodeObject(x.raw)
		require.NoError(t, err, name)
		b, err := jser.Encode(o)
		require.NoError(t, err, name)
		require.Equal(t, x.raw, b, name)
		if x.payload == nil {
			continue
		}
		var plain jser.Encoder
		plain.Annotate = func(d *jser.ClassDesc) []byte {
			if len(d.Annotation) != 1 {
				return nil
			}
			return d.Annotation[0].(jser.Block)
		}
		b, err = plain.Encode(x.callable())
		require.NoError(t, err, name)
		require.Equal(t, x.payload, b, name)

		payload, err := x.encode(x.callable())
		require.NoError(t, err, name)
		require.Len(t, payload, len(x.payload), name)
	}
}

func TestUserRequestAroundPayload(t *testing.T) {
	for name, x := range templates() {
		if x.payload == nil {
			continue
		}
		o, err := decodeObject(x.command(7, 9, []byte("payload")))
		require.NoError(t, err, name)
		require.EqualValues(t, 7, o.Int("id"), name)
		require.EqualValues(t, 9, o.Int("lastIoId"), name)
		b, _ := jser.Bytes(o.Get("request"))
		require.Equal(t, "payload", string(b), name)
		require.NotNil(t, o.Obj("createdAt"), "%s keeps the stack trace of its sender", name)
		_, known := loaderName(o.Obj("classLoaderProxy").Obj("h").Int("oid"))
		require.True(t, known, name)
	}
}

func TestEncodeNamesOurLoaders(t *testing.T) {
	x := templates()["GetAgentInfo"]
	b, err := x.encode(x.callable())
	require.NoError(t, err)
	var oids []int32
	_, err = jser.Decode(b, jser.Options{OnClassDesc: func(d *jser.ClassDesc) error {
		if tag := d.Annotation[0].(jser.Block); len(tag) == 8 {
			oids = append(oids, int32(binary.BigEndian.Uint32(tag[4:])))
		}
		return nil
	}})
	require.NoError(t, err)
	require.Contains(t, oids, loaderOIDs["PluginClassLoader for durable-task"])
	require.Contains(t, oids, loaderOIDs["Jenkins v2.541.2"])
}

func TestChunk(t *testing.T) {
	want := encodePlain(jser.New(chunkDesc, nil, int32(3), int32(5), int32(0), jser.ByteArray([]byte("data"))))
	require.Equal(t, want, chunk(nil, 3, 5, []byte("data")))
}

func TestLineCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		parts []string
		err   string
	}{
		"whole":      {[]string{"a 000001\na 000002\n"}, ""},
		"cut":        {[]string{"a 00", "0001\na 0000", "02", "\n"}, ""},
		"missing":    {[]string{"a 000001\n"}, "1 lines"},
		"unfinished": {[]string{"a 000001\na 000002\nx"}, "2 lines and 1 bytes"},
		"twice":      {[]string{"a 000001\na 000001\n"}, "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewLineCheck("a ", 2)
			for _, p := range tc.parts {
				_, _ = c.Write([]byte(p))
			}
			if tc.err == "" {
				require.NoError(t, c.Done())
			} else {
				require.ErrorContains(t, c.Done(), tc.err)
			}
		})
	}
}

func TestJars(t *testing.T) {
	_, _, err := Jars(t.TempDir() + "/*.jar")
	require.ErrorContains(t, err, "*.jar")
	require.True(t, bytes.HasPrefix(encodeJDK(nil), jser.Header))
}
