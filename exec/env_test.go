package exec

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The files under testdata were written by Java 17 running the classes of
// Jenkins core on these inputs.
func golden[T any](t *testing.T, name string, each func(t *testing.T, c T)) {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	require.NoError(t, err)
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	n := 0
	for ; s.Scan(); n++ {
		var c T
		require.NoError(t, json.Unmarshal(s.Bytes(), &c), s.Text())
		t.Run(fmt.Sprint(n+1), func(t *testing.T) { each(t, c) })
	}
	require.NoError(t, s.Err())
	require.NotZero(t, n)
}

func list(t *testing.T, env []string) *EnvVars {
	t.Helper()
	e, err := FromList(env)
	require.NoError(t, err)
	return e
}

func TestEnvVarsAsJava(t *testing.T) {
	type row struct{ Base, Over, Expanding, Plain, Resolved []string }
	golden(t, "env.jsonl", func(t *testing.T, c row) {
		base, over := list(t, c.Base), list(t, c.Over)

		e := base.Clone()
		e.OverrideExpandingAll(over)
		require.Equal(t, c.Expanding, e.Environ(), "base %q over %q", c.Base, c.Over)

		e, err := Inherit(base, c.Over)
		require.NoError(t, err)
		require.Equal(t, c.Expanding, e.Environ())

		e = base.Clone()
		e.OverrideAll(over)
		require.Equal(t, c.Plain, e.Environ(), "base %q over %q", c.Base, c.Over)

		e = over.Clone()
		e.ResolveReferences()
		require.Equal(t, c.Resolved, e.Environ(), "of %q", c.Over)
	})
}

func TestExpandAsJava(t *testing.T) {
	e := list(t, []string{"A=1", "b.c=dot", "EMPTY=", "D=$A", "Path=/bin", "_x9=u", "9=nine"})
	type row struct{ Text, Want string }
	golden(t, "expand.jsonl", func(t *testing.T, c row) {
		require.Equal(t, c.Want, e.Expand(c.Text), "%q", c.Text)
	})
}

func TestGetenvAsJava(t *testing.T) {
	type row struct{ Environ, Want []string }
	golden(t, "getenv.jsonl", func(t *testing.T, c row) {
		require.Equal(t, c.Want, FromEnviron(c.Environ).Environ(), "%q", c.Environ)
	})
}

func TestEchoLineAsJava(t *testing.T) {
	type row struct {
		Dir, Want string
		Argv      []string
		Masks     []bool
	}
	golden(t, "cmd.jsonl", func(t *testing.T, c row) {
		require.Equal(t, c.Want, EchoLine(c.Dir, c.Argv, c.Masks))
	})
}

func TestMaskedCommandLineHidesWhatMasksDoNotReach(t *testing.T) {
	require.Equal(t, "$ a ******** ********", MaskedCommandLine([]string{"a", "b c", "d"}, []bool{false}))
}

func TestEnvVars(t *testing.T) {
	e := NewEnvVars()
	e.Put("Path", "/bin")
	e.Put("PATH", "/usr/bin")
	e.Put("b", "2")
	e.Put("A", "1")
	v, ok := e.Get("path")
	require.True(t, ok)
	require.Equal(t, "/usr/bin", v)
	require.Equal(t, []string{"A=1", "b=2", "Path=/usr/bin"}, e.Environ())
	require.Equal(t, 3, e.Len())

	c := e.Clone()
	c.Remove("B")
	c.Put("new", "x")
	require.Equal(t, []string{"A=1", "b=2", "Path=/usr/bin"}, e.Environ())
	require.Equal(t, []string{"A=1", "new=x", "Path=/usr/bin"}, c.Environ())

	_, err := FromList([]string{"ok=1", "secret"})
	require.EqualError(t, err, "exec: environment entry 1 has no '='")
	_, err = Inherit(e, []string{"secret"})
	require.Error(t, err)
	require.Equal(t, []string{"=x=1", "A=b=c"}, FromEnviron([]string{"A=b=c", "=x=1", "broken", ""}).Environ())
	require.Equal(t, []string{"A=1"}, FromEnviron([]string{"A=1", "A=2"}).Environ(), "of equal names the first counts")
}

func TestCyclesAreNamedWithoutValues(t *testing.T) {
	e := list(t, []string{"PATH=/usr/bin"})
	cycles := e.OverrideExpandingAll(list(t, []string{"PATH1=secret:${PATH}", "PATH=/opt:${PATH1}"}))
	require.Equal(t, []string{"PATH -> PATH1 -> PATH, cut PATH1 -> PATH"}, cycles)
	v, _ := e.Get("PATH")
	require.Equal(t, "/opt:secret:/usr/bin", v)
}

func TestHostileReferencesEnd(t *testing.T) {
	var all strings.Builder
	n := 300
	for i := range n {
		fmt.Fprintf(&all, "$V%d", i)
	}
	over := NewEnvVars()
	for i := range n {
		over.Put(fmt.Sprintf("V%d", i), all.String())
	}
	order, cycles := overrideOrder(NewEnvVars(), over)
	require.Len(t, order, n)
	require.Contains(t, cycles[len(cycles)-1], "given up")

	// A long chain is a deep recursion, not a cycle.
	over = NewEnvVars()
	for i := range 5_000 {
		over.Put(fmt.Sprintf("V%d", i), fmt.Sprintf("$V%d", i+1))
	}
	_, cycles = overrideOrder(NewEnvVars(), over)
	require.Empty(t, cycles)
}

var macroPattern = regexp.MustCompile(`\$([A-Za-z0-9_]+|\{[A-Za-z0-9_.]+\}|\$)`)

// FuzzExpand compares with the regular expression that upstream uses.
func FuzzExpand(f *testing.F) {
	for _, s := range []string{"", "$", "$$", "$A", "${A}", "${A", "$${A}", "${b.c}$b.c", "x$é"} {
		f.Add(s, "A", "v$A")
	}
	f.Fuzz(func(t *testing.T, text, key, value string) {
		lookup := func(name string) (string, bool) { return value, name == key }
		want := macroPattern.ReplaceAllStringFunc(text, func(m string) string {
			name := strings.Trim(m[1:], "{}")
			if name == "$" {
				return "$"
			}
			if v, ok := lookup(name); ok {
				return v
			}
			return m
		})
		require.Equal(t, want, Expand(text, lookup))
	})
}

// FuzzEnviron reads hostile /proc/<pid>/environ contents and environment lists.
func FuzzEnviron(f *testing.F) {
	f.Add([]byte("A=1\x00B=\x00=x\x00novalue\x00A=2\x00tail=1"), "a", "2")
	f.Add([]byte("\x00\x00=\x00"), "", "")
	f.Fuzz(func(t *testing.T, environ []byte, key, value string) {
		m := newEnvModel(map[string]string{key: value})
		got := m.matches(environ)

		entries := strings.Split(string(environ), "\x00")
		e := NewEnvVars()
		for _, s := range entries[:len(entries)-1] {
			if i := strings.IndexByte(s, '='); i > 0 {
				e.Put(s[:i], s[i+1:])
			}
		}
		v, ok := e.Get(key)
		require.Equal(t, ok && v == value, got)

		out := FromEnviron(entries).Environ()
		require.Equal(t, out, FromEnviron(out).Environ())
		if over, err := FromList(entries[:len(entries)-1]); err == nil {
			e.OverrideExpandingAll(over)
			_ = e.Environ()
		}
	})
}

func BenchmarkInherit(b *testing.B) {
	base := FromEnviron(os.Environ())
	env := []string{"PATH+X=/x", "WORKSPACE=/w", "CLASSPATH=", "BUILD_TAG=${JOB_NAME}-1", "JOB_NAME=a"}
	for range 40 {
		env = append(env, fmt.Sprintf("VAR_%d=value", len(env)))
	}
	b.ReportAllocs()
	for b.Loop() {
		e, err := Inherit(base, env)
		if err != nil {
			b.Fatal(err)
		}
		_ = e.Environ()
	}
}
