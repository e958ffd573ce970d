package replay

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

// A recorded answer compared with itself differs in nothing; changed in any
// one string, number, class or length, it differs.
func TestComparisonSeesEveryChange(t *testing.T) {
	s, err := loadSession("22-error-paths")
	require.NoError(t, err)
	n := &names{recorded: s.recorded, started: s.recorded}
	compare := func(want, got jser.Value) []difference {
		c := comparison{names: n, pair: func(int32, int32, *jser.Object) {}}
		c.values("value", want, got)
		return c.found
	}
	load := func(c *command) jser.Value {
		v, thrown, err := result(c.obj)
		require.NoError(t, err)
		if thrown != nil {
			return thrown
		}
		return v
	}
	changes := 0
	for _, c := range s.commands {
		if c.Dir != "a2c" || c.Class != cResponse {
			continue
		}
		require.Empty(t, compare(load(c), load(c)), c.For)
		for i := 0; ; i++ {
			got := load(c)
			what := change(got, i)
			if what == "" {
				break
			}
			changes++
			require.NotEmpty(t, compare(load(c), got), "command %d, %s: changing %s is not seen", c.N, c.For, what)
		}
	}
	t.Logf("%d changes seen", changes)
	require.Greater(t, changes, 200)
}

// change alters the i-th thing below v that answers are compared by, and says
// what it was.
func change(v jser.Value, i int) (what string) {
	k := 0
	origins := map[*jser.Object]bool{}
	walk(v, func(o *jser.Object) {
		name := o.Class.String()
		if l := o.Obj("suppressedExceptions"); l != nil {
			origins[l] = true
		}
		if origins[o] {
			return
		}
		if name == cHandler { // where a proxy was made is nobody's business
			walk(o.Get("origin"), func(o *jser.Object) { origins[o] = true })
		}
		if what != "" || name == cHandler || name == "java.lang.StackTraceElement" || o.Class.Proxy {
			return
		}
		if k == i {
			d := *o.Class
			d.Name, what = d.Name+"X", "the class "+name
			o.Class = &d
		}
		k++
		for x := range o.Data {
			cd := &o.Data[x]
			if cd.Desc.Name == "java.util.HashMap" || cd.Desc.Name == "java.util.ArrayList" {
				continue // capacities
			}
			for y, f := range cd.Values {
				field := cd.Desc.Fields[y].Name
				if field == "stackTrace" || field == "suppressedExceptions" || field == "cause" {
					continue
				}
				if r, ok := changed(f); ok {
					if k == i {
						cd.Values[y], what = r, name+"."+field
					}
					k++
				}
			}
		}
	})
	return what
}

func changed(v jser.Value) (jser.Value, bool) {
	switch v := v.(type) {
	case string:
		return v + "x", true
	case bool:
		return !v, true
	case int32:
		return v + 1, true
	case int64:
		return v + 1<<40, true
	}
	return nil, false
}
