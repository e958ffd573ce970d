package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCallablesSeen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(companionDir(dir, "remoting"), seenFile)
	list := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := runApp(t.Context(), newApp(&out, &out), append([]string{"callables", "-seen", "-workDir", dir}, args...))
		return out.String(), err
	}
	_, err := list()
	require.ErrorContains(t, err, "has seen no controller yet")

	for range 2 { // a restart repeats nothing
		s := newSeen(path)
		s.note("b.Native", "native")
		s.note("c.Foreign", "relayed")
		s.note("a.Refused (lambda)", "refused")
		s.note("bad\nname", "native")
		s.note("a.Native", "native")
	}
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 4, strings.Count(string(b), "\n"))
	require.NoError(t, os.WriteFile(path, append(b, "cut of"...), 0o666))

	text, err := list()
	require.NoError(t, err)
	require.Regexp(t, `(?s)^refused +\S+  a.Refused \(lambda\)\nrelayed +\S+  c.Foreign\nnative +\S+  a.Native\nnative +\S+  b.Native\n$`, text)
	text, err = list("-json")
	require.NoError(t, err)
	require.Contains(t, text, `"route": "relayed"`)
}
