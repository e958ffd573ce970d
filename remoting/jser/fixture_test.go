package jser

import (
	"bufio"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// noDefaults is the table that remoting gives to the decoder.
var noDefaults = map[string]bool{
	"hudson.remoting.Pipe": true, "hudson.remoting.RemoteInputStream": true, "hudson.util.StreamTaskListener": true,
}

// fixtureStreams calls f for every command of every recorded session; its name
// is the session, the class of the command, and that of the callable in it.
func fixtureStreams(t testing.TB, f func(name string, stream []byte)) {
	files, err := filepath.Glob("../../test/testdata/fixtures/*/session.jsonl.gz")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		fd, err := os.Open(file)
		require.NoError(t, err)
		z, err := gzip.NewReader(fd)
		require.NoError(t, err)
		s := bufio.NewScanner(z)
		s.Buffer(nil, 64<<20)
		for s.Scan() {
			var c struct {
				Class, Callable string
				B64             string
			}
			require.NoError(t, json.Unmarshal(s.Bytes(), &c))
			b, err := base64.StdEncoding.DecodeString(c.B64)
			require.NoError(t, err)
			f(strings.TrimSpace(filepath.Base(filepath.Dir(file))+" "+c.Class+" "+c.Callable), b)
		}
		require.NoError(t, s.Err())
		require.NoError(t, fd.Close())
	}
}

// inner lists the streams inside byte arrays of a decoded command.
func inner(v Value, found func([]byte)) {
	o, ok := v.(*Object)
	if !ok {
		return
	}
	for _, cd := range o.Data {
		for _, f := range cd.Values {
			if b, ok := Bytes(f); ok && len(b) > 4 && string(b[:4]) == string(Header) {
				found(b)
			}
			if in, ok := f.(*Object); ok && in != o && in.Class.Name != "hudson.remoting.Command$Source" {
				inner(in, found)
			}
		}
	}
}

// Every stream that a real Jenkins and the official agent exchanged is read,
// written and read again: both readings agree, and the writing is identical
// to the byte unless the original refers back to a string by handle.
func TestFixturesRoundTrip(t *testing.T) {
	opt := Options{NoDefaults: noDefaults}
	total, same := 0, 0
	var check func(name string, b []byte, depth int)
	check = func(name string, b []byte, depth int) {
		v, err := Decode(b, opt)
		require.NoError(t, err, name)
		out, err := Encode(v)
		require.NoError(t, err, name)
		total++
		if string(out) == string(b) {
			same++
		}
		again, err := Decode(out, opt)
		require.NoError(t, err, name)
		require.Equal(t, Format(v, 0), Format(again, 0), name)
		if depth < 3 {
			inner(v, func(in []byte) { check(name+" inner", in, depth+1) })
		}
	}
	fixtureStreams(t, func(name string, b []byte) { check(name, b, 0) })
	t.Logf("%d streams, %d written back to the byte", total, same)
	require.Greater(t, total, 15000)
	require.Greater(t, same, 5000)
}

// Every truncation of every distinct kind of recorded stream is an error.
func TestTruncationIsAnError(t *testing.T) {
	opt := Options{NoDefaults: noDefaults}
	seen := map[string]bool{}
	fixtureStreams(t, func(name string, b []byte) {
		_, kind, _ := strings.Cut(name, " ")
		if seen[kind] || len(b) > 64<<10 {
			return
		}
		seen[kind] = true
		try := func(b []byte) {
			step := 1 + len(b)/1024
			for n := 0; n < len(b); n += step {
				_, err := NewDecoder(b[:n], opt).ReadFirst()
				require.Error(t, err, name)
				var syntax *SyntaxError
				require.True(t, errors.As(err, &syntax), "%s: %v", name, err)
			}
		}
		try(b)
		v, err := Decode(b, opt)
		require.NoError(t, err)
		inner(v, try)
	})
	t.Logf("%d kinds of streams", len(seen))
}
