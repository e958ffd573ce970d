package hudson

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// kept is the end of a chain of sinks.
type kept struct{ bytes.Buffer }

func (*kept) Flush() error  { return nil }
func (*kept) Finish() error { return nil }

func TestQuotedLiterals(t *testing.T) {
	for _, c := range []struct {
		pattern string
		want    []string
		ok      bool
	}{
		{"", nil, true},
		{`\Qone\E`, []string{"one"}, true},
		{`\Qone\E|\Qtwo\E`, []string{"one", "two"}, true},
		{`\Qa|b\E|\Q\Qx\E`, []string{"a|b", `\Qx`}, true},
		{`\Qa\E\\E\Qb\E`, []string{`a\Eb`}, true},        // Pattern.quote("a\\Eb")
		{`\Q\E\\E\Q\E|\Qz\E`, []string{`\E`, "z"}, true}, // Pattern.quote("\\E")
		{`\Qend\\E`, []string{`end\`}, true},             // Pattern.quote("end\\")
		{`\Q\E`, nil, false},
		{`\Qopen`, nil, false},
		{`plain`, nil, false},
		{`\Qa\E|`, nil, false},
		{`\Qa\E.*`, nil, false},
		{`(?i)\Qa\E`, nil, false},
		{`\Qa\E\\E`, nil, false},
	} {
		got, ok := quotedLiterals(c.pattern)
		require.Equal(t, c.ok, ok, c.pattern)
		if ok {
			require.Equal(t, c.want, got, c.pattern)
		}
	}
}

// masked writes text in pieces of n bytes; limit, if not 0, is that of a line.
func masked(t testing.TB, literals []string, text string, n, limit int) string {
	m := newMasker(literals, nil)
	var out kept
	s := newMaskSink(&out, m)
	if limit > 0 {
		s.limit = limit
	}
	for b := []byte(text); len(b) > 0; b = b[min(n, len(b)):] {
		_, err := s.Write(b[:min(n, len(b))])
		require.NoError(t, err)
	}
	require.NoError(t, s.Finish())
	return out.String()
}

func TestMasking(t *testing.T) {
	for _, c := range []struct {
		literals   []string
		text, want string
	}{
		{[]string{"secret"}, "a secret b\nsecretsecret\nsecre\nt", "a **** b\n********\nsecre\nt"},
		{[]string{"ababab", "abab"}, "abababab", "****ab"},
		{[]string{"passwörd"}, "passwörd\n\xffpasswörd", "****\n\xff****"},
		{[]string{"s\n"}, "is\nno", "i****no"},
		{[]string{"hush"}, strings.Repeat("x", 200_000) + "hush" + strings.Repeat("hushy", 30_000) + "\n",
			strings.Repeat("x", 200_000) + "****" + strings.Repeat("****y", 30_000) + "\n"},
	} {
		for _, n := range []int{1, 3, 1000, 1 << 20} {
			require.True(t, masked(t, c.literals, c.text, n, 0) == c.want, "%.50q in pieces of %d", c.text, n)
		}
	}
}

func TestMaskingInOtherCharsets(t *testing.T) {
	latin1, err := charsetByName("ISO-8859-1")
	require.NoError(t, err)
	out, _ := newMasker([]string{"€uro", "café"}, latin1).mask(nil, []byte("caf\xe9 café €uro ?uro"), true)
	require.Equal(t, "**** **** **** ?uro", string(out))
	for _, cs := range []string{"UTF-16", "Shift_JIS", "GBK", "ISO-2022-JP"} {
		d := maskFilter(`\Qx\E`)
		d.Obj("filter").Data[0].Values[0] = cs
		_, err := parseListener(decorated(plainListener(remoting.OutputStream(1), nil), d))
		require.ErrorContains(t, err, cs)
	}
}

// FuzzMasking compares with a regular expression, which has Java's rules.
func FuzzMasking(f *testing.F) {
	f.Add("secret", "secre", "a secret\nsecre", 3)
	f.Add("aa", "a", strings.Repeat("a", 100), 7)
	f.Fuzz(func(t *testing.T, a, b, text string, n int) {
		if a == "" || b == "" || n <= 0 || len(text) > 1<<12 {
			t.Skip()
		}
		re, err := regexp.Compile(regexp.QuoteMeta(a) + "|" + regexp.QuoteMeta(b))
		if err != nil || !isText(a+b+text) {
			t.Skip()
		}
		var want strings.Builder
		for _, line := range strings.SplitAfter(text, "\n") {
			want.WriteString(re.ReplaceAllLiteralString(line, maskText))
		}
		require.Equal(t, want.String(), masked(t, []string{a, b}, text, n, 10))
	})
}

func isText(s string) bool { return strings.ToValidUTF8(s, "") == s }

// FuzzQuotedLiterals: what is read is what Pattern.quote would write.
func FuzzQuotedLiterals(f *testing.F) {
	f.Add(`\Qa\E\\E\Qb\E|\Qc\E`)
	f.Fuzz(func(t *testing.T, pattern string) {
		literals, ok := quotedLiterals(pattern)
		if !ok {
			return
		}
		var quoted []string
		for _, l := range literals {
			quoted = append(quoted, `\Q`+strings.ReplaceAll(l, `\E`, `\E\\E\Q`)+`\E`)
		}
		require.Equal(t, pattern, strings.Join(quoted, "|"))
	})
}

func TestUnderstoodListeners(t *testing.T) {
	stream := remoting.OutputStream(1)
	plain, buffered := plainListener(stream, "UTF-8"), bufferedReplacement(stream, 20)
	sub := plainListener(stream, nil)
	sub.Class = jser.Serializable("org.example.Listener", 1, streamListenerDesc)
	sub.Data[1].Desc = sub.Class
	withData := plainListener(stream, nil)
	withData.Class = jser.Serializable("org.example.Listener", 1, streamListenerDesc, jser.Ref("secret", "java.lang.String"))
	withData.Data[1] = jser.ClassData{Desc: withData.Class, Values: []jser.Value{"x"}}
	loop := fields(newlineListener, "delegate", nil)
	loop.Data[0].Values[0] = loop
	mask := maskFilter(`\Qx\E`)
	for _, c := range []struct {
		name   string
		v      jser.Value
		layers int // -1: refused
	}{
		{"null", nil, 0},
		{"NullTaskListener", fields(nullListener), 0},
		{"StreamBuildListener", plain, 0},
		{"subclass without data", sub, 0},
		{"subclass with data", withData, -1},
		{"unknown charset", plainListener(stream, "none"), -1},
		{"buffered", buffered, 0},
		{"LogTaskListener", fields("hudson.util.LogTaskListener", "delegate", plain), 0},
		{"adapter", fields("jenkins.util.BuildListenerAdapter", "delegate", buffered), 0},
		{"adapter of nothing", fields("jenkins.util.BuildListenerAdapter", "delegate", nil), -1},
		{"newline", fields(newlineListener, "delegate", buffered), 1},
		{"decorated", decorated(plain, mask), 1},
		{"no masking needed", decorated(plain, maskFilter("")), 0},
		{"merged", decorated(plain, fields(mergedDecorator, "original", mask, "subsequent", fields(stampDecorator))), 2},
		{"merged with unknown", decorated(plain, fields(mergedDecorator, "original", mask, "subsequent", fields("org.example.D"))), -1},
		{"merged with null", decorated(plain, fields(mergedDecorator, "original", mask, "subsequent", nil)), -1},
		{"no decorators", decorated(plain), -1},
		{"another field", fields(decoratedListener, "delegate", plain, "decorators", jser.ArrayList(mask), "filter", "x"), -1},
		{"old form", fields(decoratedListener, "delegate", plain, "decorator", fields("org.example.D")), -1},
		{"unknown", fields("org.example.Listener"), -1},
		{"itself", loop, -1},
		{"a string", "listener", -1},
		{"no stream", fields(bufferedListener, "ros", nil, "tuning", nil), -1},
	} {
		l, err := parseListener(c.v)
		if c.layers < 0 {
			require.Error(t, err, c.name)
			continue
		}
		require.NoError(t, err, c.name)
		require.Len(t, l.layers, c.layers, c.name)
	}
}

// TestPodMasking: the kubernetes plugin wraps the log of every build in a pod.
func TestPodMasking(t *testing.T) {
	decorator := func(pattern string, flags int32) *jser.Object {
		return fields("org.csanchez.jenkins.plugins.kubernetes.pipeline.SecretsMasker",
			"pattern", fields("java.util.regex.Pattern", "flags", flags, "pattern", pattern))
	}
	l := &listener{}
	require.NoError(t, l.decorate([]jser.Value{decorator(`\Qs3cret\E|\Qother\E`, 0)}, 3))
	require.Len(t, l.layers, 1)
	var out kept
	s := l.layers[0](&out)
	_, err := s.Write([]byte("a s3cret and another\n"))
	require.NoError(t, err)
	require.NoError(t, s.Finish())
	require.Equal(t, "a **** and an****\n", out.String())
	for _, bad := range []*jser.Object{decorator(`\Qs3cret\E`, 2), decorator(`s.*`, 0),
		fields("org.csanchez.jenkins.plugins.kubernetes.pipeline.SecretsMasker", "pattern", nil)} {
		require.Error(t, (&listener{}).decorate([]jser.Value{bad}, 3))
	}
}
