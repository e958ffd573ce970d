package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/hudson/ant"
)

// TestStashIsTheOfficialAgents unpacks what the official agent stashed in fixture 07 (unzipped here) and stashes it
// again: the same files in the same order, byte for byte.
func TestStashIsTheOfficialAgents(t *testing.T) {
	for i, c := range []struct {
		includes, excludes string
		defaultExcludes    bool
		count              int
	}{
		{"d/**", "d/skip/**, **/*.tmp", true, 10},
		{"d/**", "", false, 13},
		{"nothing/**", "", true, 0},
		{"**", "", true, 34},
	} {
		want := gunzipped(t, fmt.Sprintf("testdata/stash-07-%d.tar.gz", i+1))
		dir := t.TempDir()
		n, err := ReadTar(context.Background(), bytes.NewReader(want), dir, ReadOptions{})
		require.NoError(t, err)
		require.Equal(t, c.count, n)

		var out bytes.Buffer
		w := NewTarWriter(&out, TarOptions{})
		w.now = func() time.Time { return linkTime(t, want) }
		n, err = WriteTree(w, func(a Archiver) error {
			g := ant.Glob{Includes: c.includes, Excludes: &c.excludes, DefaultExcludes: c.defaultExcludes}
			return g.Scan(context.Background(), dir, a)
		})
		require.NoError(t, err)
		require.Equal(t, c.count, n)
		require.Equal(t, hex.Dump(want), hex.Dump(out.Bytes()))
	}
}

// linkTime is when the first link of a tar was archived.
func linkTime(t *testing.T, data []byte) time.Time {
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return time.Time{}
		}
		require.NoError(t, err)
		if h.Typeflag == tar.TypeSymlink {
			return h.ModTime
		}
	}
}
