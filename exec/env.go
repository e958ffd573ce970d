package exec

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// EnvVars is an environment as hudson.EnvVars keeps it: a sorted map whose keys
// compare without case and keep the case of the first key that was put, on Unix
// too. So Path and PATH are one variable.
//
// The zero value is not usable; take NewEnvVars, FromEnviron or FromList. Only
// Get, Expand, Len and Clone may run concurrently.
type EnvVars struct {
	vars   map[string]envVar // by folded key
	sorted []string          // folded keys in order, removed ones too; nil = to be made again
}

type envVar struct{ key, value string }

// NewEnvVars returns an empty environment.
func NewEnvVars() *EnvVars { return &EnvVars{vars: map[string]envVar{}} }

// FromMap returns the variables of m. Where two keys of m differ only in case,
// the one that sorts first gives the key, the last one the value.
func FromMap(m map[string]string) *EnvVars {
	e := NewEnvVars()
	for _, k := range slices.Sorted(maps.Keys(m)) {
		e.Put(k, m[k])
	}
	return e
}

// FromList reads "KEY=value" entries as hudson.Launcher.inherit(String[]) does:
// put in order, the key ends at the first '='. An entry without '=' is an error
// (the value is not part of its text).
func FromList(env []string) (*EnvVars, error) {
	e := NewEnvVars()
	for i, s := range env {
		k, v, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("exec: environment entry %d has no '='", i)
		}
		e.Put(k, v)
	}
	return e, nil
}

// FromEnviron takes over a process environment ("KEY=value", as os.Environ
// gives it) as hudson.EnvVars.masterEnvVars does with System.getenv(). Entries
// without '=' are dropped. When two names differ only in case (http_proxy,
// HTTP_PROXY), Java keeps one of them, chosen by the iteration order of its
// HashMap; the same one is kept here.
func FromEnviron(environ []string) *EnvVars {
	e := NewEnvVars()
	for _, v := range javaGetenvOrder(environ) {
		e.Put(v.key, v.value)
	}
	return e
}

// Inherit is the environment of a launch: base overridden with env, with
// references expanded (hudson.Launcher.inherit). base is left alone.
func Inherit(base *EnvVars, env []string) (*EnvVars, error) {
	over, err := FromList(env)
	if err != nil {
		return nil, err
	}
	e := base.Clone()
	e.OverrideExpandingAll(over)
	return e, nil
}

// Clone returns an independent copy.
func (e *EnvVars) Clone() *EnvVars {
	return &EnvVars{vars: maps.Clone(e.vars), sorted: e.sorted}
}

// Len returns the number of variables.
func (e *EnvVars) Len() int { return len(e.vars) }

// Get returns the value of key, compared without case, and whether it is there.
func (e *EnvVars) Get(key string) (string, bool) {
	v, ok := e.vars[foldKey(key)]
	return v.value, ok
}

// Put sets key to value. When the key exists in another case, that case stays.
func (e *EnvVars) Put(key, value string) {
	f := foldKey(key)
	old, ok := e.vars[f]
	if ok {
		key = old.key
	} else {
		e.sorted = nil
	}
	e.vars[f] = envVar{key, value}
}

// Remove deletes key, compared without case.
func (e *EnvVars) Remove(key string) {
	delete(e.vars, foldKey(key))
}

// Override is hudson.EnvVars.override: an empty value removes the variable; a
// key NAME+SUFFIX puts the value and ':' before the value of NAME, or becomes
// NAME when there is none; everything else is a Put.
func (e *EnvVars) Override(key, value string) {
	if value == "" {
		e.Remove(key)
		return
	}
	if i := strings.IndexByte(key, '+'); i > 0 {
		key = key[:i]
		if old, ok := e.Get(key); ok {
			value += ":" + old
		}
	}
	e.Put(key, value)
}

// OverrideAll overrides with every variable of all, in its order.
func (e *EnvVars) OverrideAll(all *EnvVars) {
	for k, v := range all.All() {
		e.Override(k, v)
	}
}

// OverrideExpandingAll overrides with every variable of all, expanding its value
// first; a variable comes after those it refers to, NAME+SUFFIX come last
// (hudson.EnvVars.overrideExpandingAll). Cycles are cut where upstream cuts
// them: at the reference to a variable that e already has, else at the first of
// the cycle. It returns the cycles that were cut, names only, for a log line.
func (e *EnvVars) OverrideExpandingAll(all *EnvVars) (cycles []string) {
	order, cycles := overrideOrder(e, all)
	for _, k := range order {
		v, _ := all.Get(k)
		e.Override(k, e.Expand(v))
	}
	return cycles
}

// ResolveReferences expands every value against the map itself, in order, so
// later ones see earlier results (hudson.EnvVars.resolve).
func (e *EnvVars) ResolveReferences() {
	for _, f := range e.keys() {
		if v, ok := e.vars[f]; ok {
			v.value = e.Expand(v.value)
			e.vars[f] = v
		}
	}
}

// Expand replaces $NAME, ${NAME} and $$ in s (hudson.Util.replaceMacro). Unknown
// names stay as they are.
func (e *EnvVars) Expand(s string) string { return Expand(s, e.Get) }

// All yields the variables in the order of Java's CASE_INSENSITIVE_ORDER.
func (e *EnvVars) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, f := range e.keys() {
			if v, ok := e.vars[f]; ok && !yield(v.key, v.value) {
				return
			}
		}
	}
}

// Environ returns "KEY=value" entries in the order of All.
func (e *EnvVars) Environ() []string {
	out := make([]string, 0, len(e.vars))
	for k, v := range e.All() {
		out = append(out, k+"="+v)
	}
	return out
}

func (e *EnvVars) keys() []string {
	if e.sorted == nil {
		e.sorted = slices.Sorted(maps.Keys(e.vars))
	}
	return e.sorted
}

// foldKey maps keys that java.lang.String.CASE_INSENSITIVE_ORDER calls equal to
// one string, and its order to the order of bytes: each character goes to upper
// case, then to lower case. Bytes that are not UTF-8 stay.
func foldKey(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf {
			return foldRunes(s)
		} else if 'A' <= c && c <= 'Z' {
			return foldASCII(s, i)
		}
	}
	return s
}

func foldASCII(s string, from int) string {
	b := []byte(s)
	for i := from; i < len(b); i++ {
		switch c := b[i]; {
		case c >= utf8.RuneSelf:
			return foldRunes(s)
		case 'A' <= c && c <= 'Z':
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func foldRunes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			b.WriteByte(s[i])
		} else {
			b.WriteRune(unicode.ToLower(unicode.ToUpper(r)))
		}
		i += n
	}
	return b.String()
}
