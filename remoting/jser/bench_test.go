package jser

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchCommands are a call of a real pipeline, its payload, and the reply.
func benchCommands(b *testing.B) map[string][]byte {
	out := map[string][]byte{}
	fixtureStreams(b, func(name string, s []byte) {
		f := strings.Fields(name)
		if f[0] != "03-pipeline-sh" {
			return
		}
		class := f[1]
		switch class {
		case "hudson.remoting.UserRequest":
			if len(s) > len(out["UserRequest"]) && len(s) < 20000 {
				out["UserRequest"] = s
			}
		case "hudson.remoting.Response":
			out["Response"] = s
		case "hudson.remoting.ProxyOutputStream$Chunk":
			out["Chunk"] = s
		}
	})
	v, err := Decode(out["UserRequest"], Options{})
	require.NoError(b, err)
	out["payload"], _ = Bytes(v.(*Object).Get("request"))
	return out
}

func BenchmarkDecode(b *testing.B) {
	for name, stream := range benchCommands(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(stream, Options{NoDefaults: noDefaults}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The stack trace that says where a command was made is most of it.
func BenchmarkDecodeSkipping(b *testing.B) {
	for name, stream := range benchCommands(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(stream, Options{NoDefaults: noDefaults, Skip: skipSource}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkStream(b *testing.B) {
	for name, stream := range benchCommands(b) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			r := bytes.NewReader(stream)
			for b.Loop() {
				r.Reset(stream)
				if _, err := NewStream(r, Options{}).Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, stream := range benchCommands(b) {
		v, err := Decode(stream, Options{NoDefaults: noDefaults})
		require.NoError(b, err)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
