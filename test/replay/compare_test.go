package replay

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/footman-ci/footman/remoting/jser"
)

// difference is one place in which our agent did not do what the recorded one
// did.
type difference struct {
	n         int    // recorded command
	class     string // callable or method
	path      string // of the value inside the answer
	want, got string
}

func (d difference) String() string {
	return fmt.Sprintf("command %d, %s, %s:\n\twant %s\n\tgot  %s", d.n, d.class, d.path, d.want, d.got)
}

// comparison walks a recorded value and ours side by side.
type comparison struct {
	n     int
	class string
	names *names
	// pair is called for each object of the agent that both sides name.
	pair func(recorded, ours int32, handler *jser.Object)
	seen map[[2]any]bool
	// plain says that our value stands in the command's own stream, which has
	// no class-loader tags.
	plain bool

	found []difference
}

func (c *comparison) differ(path string, want, got any) {
	c.found = append(c.found, difference{c.n, c.class, path, fmt.Sprint(want), fmt.Sprint(got)})
}

func show(v jser.Value) string {
	s := strings.ReplaceAll(jser.Format(v, 200), "\n", " ⏎")
	if len(s) > 600 {
		s = s[:600] + "…"
	}
	return s
}

// responses compares two answers to the same request.
func (c *comparison) responses(want, got *jser.Object) {
	wv, wt, err := result(want)
	if err != nil {
		c.differ("recording", "a readable answer", err)
		return
	}
	gv, gt, err := result(got)
	if o, _ := got.Get("returnValue").(*jser.Object); o == nil || !strings.HasPrefix(o.Class.Name, "hudson.remoting.UserRequest$") {
		c.plain = true
	}
	if want.Get("createdAt") != nil && got.Get("createdAt") == nil {
		c.differ("createdAt", "a stack trace", nil)
	}
	switch {
	case err != nil:
		c.differ("answer", "a readable answer", err)
	case wt == nil && gt != nil:
		text, _ := jser.ThrowableMessage(gt)
		c.differ("answer", show(wv), "throws "+text+" file="+gt.Str("file"))
	case wt != nil && gt == nil:
		c.differ("answer", "throws "+wt.Class.Name+": "+wt.Str("detailMessage")+" file="+wt.Str("file"), show(gv))
	case wt != nil:
		c.throwables("exception", wt, gt)
		if !c.plain {
			c.proxies(want, got)
		}
	default:
		if c.class == "hudson.FilePath$ListFilter" { // File.listFiles: in the file system's order
			c.sortByRemote(wv, func(s string) string { return s })
			c.sortByRemote(gv, c.names.theirs)
		}
		c.values("value", wv, gv)
	}
}

// sortByRemote sorts a list of FilePath.
func (c *comparison) sortByRemote(v jser.Value, norm func(string) string) {
	list, _ := v.(*jser.Object)
	if list == nil {
		return
	}
	remote := func(v jser.Value) string {
		o, _ := v.(*jser.Object)
		if o == nil {
			return "" // the sizes in front
		}
		return norm(o.Str("remote"))
	}
	for i := range list.Data {
		slices.SortStableFunc(list.Data[i].Extra, func(a, b jser.Value) int { return strings.Compare(remote(a), remote(b)) })
	}
}

// proxies compares what a controller falls back to when it can't read the
// exception itself.
func (c *comparison) proxies(want, got *jser.Object) {
	proxy := func(resp *jser.Object) *jser.Object {
		b, ok := jser.Bytes(resp.Obj("returnValue").Get("proxyResponse"))
		if !ok {
			return nil
		}
		v, _ := decodePayload(b)
		t, _ := v.(*jser.Object)
		return t
	}
	w, g := proxy(want), proxy(got)
	if w == nil || g == nil {
		if w != g {
			c.differ("proxyResponse", show(orNil(w)), show(orNil(g)))
		}
		return
	}
	if w.Class.Name != g.Class.Name {
		c.differ("proxyResponse.class", w.Class, g.Class)
	}
	c.values("proxyResponse.detailMessage", w.Get("detailMessage"), g.Get("detailMessage"))
}

// throwables compares class, message, cause and the fields of subclasses.
// Stack traces are nobody's business.
func (c *comparison) throwables(path string, want, got *jser.Object) {
	c.classes(path, want.Class, got.Class)
	if want.Class.Name != got.Class.Name {
		c.differ(path+".detailMessage", want.Str("detailMessage"), c.names.theirs(got.Str("detailMessage")))
		return
	}
	c.values(path+".detailMessage", want.Get("detailMessage"), got.Get("detailMessage"))
	cause := func(t *jser.Object) *jser.Object {
		if w := t.Obj("cause"); w != t {
			return w
		}
		return nil
	}
	wc, gc := cause(want), cause(got)
	switch {
	case wc == nil && gc == nil:
	case wc == nil:
		c.differ(path+".cause", nil, show(gc))
	case gc == nil:
		c.differ(path+".cause", wc.Class.Name+": "+wc.Str("detailMessage"), nil)
	default:
		c.throwables(path+".cause", wc, gc)
	}
	for i := range want.Data {
		if d := want.Data[i].Desc; d.Name != "java.lang.Throwable" {
			c.classData(path, want.Data[i], got)
		}
	}
}

// classes compares what a controller looks at before it reads an object.
func (c *comparison) classes(path string, want, got *jser.ClassDesc) {
	if want.String() != got.String() {
		c.differ(path+".class", want, got)
		return
	}
	enum := want.Flags&jser.FlagEnum != 0
	if want.SUID != got.SUID && !enum && !strings.HasPrefix(want.Name, "[") {
		c.differ(path+".serialVersionUID", want.SUID, got.SUID)
	}
	if want.Mark != got.Mark && !c.plain {
		c.differ(path+".loader of "+want.String(), want.Mark, got.Mark)
	}
}

func (c *comparison) values(path string, want, got jser.Value) {
	switch w := want.(type) {
	case nil:
		if got != nil {
			c.differ(path, "null", show(got))
		}
	case string:
		g, ok := got.(string)
		if !ok {
			c.differ(path, show(want), show(got))
			return
		}
		if a, b := text(w), text(c.names.theirs(g)); a != b {
			c.differ(path, fmt.Sprintf("%q", cut(w)), fmt.Sprintf("%q", cut(g)))
		}
	case int64:
		if g, ok := got.(int64); !ok || (w != g && !(c.names.now(w) && c.names.now(g))) {
			c.differ(path, want, got)
		}
	case *jser.Enum:
		g, ok := got.(*jser.Enum)
		if !ok || w.Name != g.Name {
			c.differ(path, show(want), show(got))
			return
		}
		c.classes(path, w.Class, g.Class)
	case *jser.Class:
		if g, ok := got.(*jser.Class); !ok || w.Desc.Name != g.Desc.Name {
			c.differ(path, show(want), show(got))
		}
	case *jser.Array:
		c.arrays(path, w, got)
	case jser.Block:
		if g, ok := got.(jser.Block); !ok || string(g) != string(w) {
			c.differ(path, show(want), show(got))
		}
	case *jser.Object:
		g, ok := got.(*jser.Object)
		if !ok {
			c.differ(path, show(want), show(got))
			return
		}
		c.objects(path, w, g)
	default: // primitives
		if want != got {
			c.differ(path, want, got)
		}
	}
}

func cut(s string) string {
	if len(s) > 400 {
		return s[:400] + "…"
	}
	return s
}

func (c *comparison) arrays(path string, want *jser.Array, got jser.Value) {
	g, ok := got.(*jser.Array)
	if !ok {
		c.differ(path, show(want), show(got))
		return
	}
	c.classes(path, want.Class, g.Class)
	wv, isObjects := want.Elems.([]jser.Value)
	gv, _ := g.Elems.([]jser.Value)
	wb, isBytes := want.Elems.([]byte)
	gb, _ := g.Elems.([]byte)
	switch {
	case isBytes:
		c.texts(path, string(wb), string(gb))
	case !isObjects:
		if w, g := fmt.Sprint(want.Elems), fmt.Sprint(g.Elems); w != g {
			c.differ(path, w, g)
		}
	case len(wv) != len(gv):
		c.differ(path+".length", show(want), show(got))
	default:
		for i := range wv {
			c.values(fmt.Sprintf("%s[%d]", path, i), wv[i], gv[i])
		}
	}
}

// texts compares the bytes of a stream or a byte[]; texts are normalised.
func (c *comparison) texts(path, want, got string) {
	if want == got {
		return
	}
	want, got = text(want), text(c.names.theirs(got))
	if interleaved(want, got) {
		return
	}
	w, g := strings.SplitAfter(want, "\n"), strings.SplitAfter(got, "\n")
	for i := 0; i < len(w) || i < len(g); i++ {
		a, b := "(end)", "(end)"
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			c.differ(fmt.Sprintf("%s line %d of %d/%d (%d/%d bytes)", path, i+1, len(w), len(g), len(want), len(got)),
				fmt.Sprintf("%q", cut(a)), fmt.Sprintf("%q", cut(b)))
			return
		}
	}
}

// classData compares the fields that one class of the recorded object wrote.
func (c *comparison) classData(path string, want jser.ClassData, got *jser.Object) {
	for i, v := range want.Values {
		name := want.Desc.Fields[i].Name
		g, ok := got.Field(name)
		if !ok {
			if v != nil {
				c.differ(path+"."+name, show(v), "(no such field)")
			}
			continue
		}
		c.values(path+"."+name, v, g)
	}
}

func (c *comparison) objects(path string, want, got *jser.Object) {
	k := [2]any{want, got}
	if c.seen == nil {
		c.seen = map[[2]any]bool{}
	}
	if c.seen[k] {
		return
	}
	c.seen[k] = true
	c.classes(path, want.Class, got.Class)
	if want.Class.String() != got.Class.String() {
		return
	}
	switch want.Class.Name {
	case cHandler:
		c.pair(want.Int("oid"), got.Int("oid"), got)
		for _, f := range []string{"goingHome", "userSpace", "autoUnexportByCaller", "userProxy", "recordCreatedAt"} {
			c.values(path+"."+f, want.Get(f), got.Get(f))
		}
		if want.Get("origin") != nil && got.Get("origin") == nil {
			c.differ(path+".origin", "a stack trace", nil)
		}
		return
	case cRemoteOut, cRemoteWriter, cPipe, cRemoteIn:
		c.streams(path, want, got)
		return
	}
	if want.Class.Is("java.lang.Throwable") {
		c.throwables(path, want, got)
		return
	}
	for i := range want.Data {
		wd := want.Data[i]
		c.classData(path, wd, got)
		ge := got.Extra(wd.Desc.Name)
		switch {
		case isHashed(wd.Desc.Name):
			c.entries(path, want, got)
		case len(wd.Extra) != len(ge):
			c.differ(path+".length", show(want), show(got))
		default:
			for j := range wd.Extra {
				if _, sizes := wd.Extra[j].(jser.Block); sizes && strings.HasPrefix(wd.Desc.Name, "java.util.") {
					continue // capacity and size: the elements are compared
				}
				c.values(fmt.Sprintf("%s+%d", path, j), wd.Extra[j], ge[j])
			}
		}
	}
}

func isHashed(class string) bool {
	return class == "java.util.HashMap" || class == "java.util.HashSet" || class == "java.util.TreeMap" || class == "java.util.Hashtable"
}

// entries compares hash maps and sets whatever their order.
func (c *comparison) entries(path string, want, got *jser.Object) {
	list := func(o *jser.Object, norm func(string) string) (keys []string, vals map[string]jser.Value) {
		vals = map[string]jser.Value{}
		if es, err := jser.Map(o); err == nil {
			for _, e := range es {
				k := norm(jser.Format(e.Key, 0))
				keys, vals[k] = append(keys, k), e.Value
			}
		} else if es, err := jser.List(o); err == nil {
			for _, e := range es {
				k := norm(jser.Format(e, 0))
				keys, vals[k] = append(keys, k), nil
			}
		}
		sort.Strings(keys)
		return keys, vals
	}
	wk, wv := list(want, func(s string) string { return s })
	gk, gv := list(got, c.names.theirs)
	if strings.Join(wk, "\n") != strings.Join(gk, "\n") {
		c.differ(path+".keys", wk, gk)
	}
	for _, k := range wk {
		if g, ok := gv[k]; ok {
			c.values(path+"{"+k+"}", wv[k], g)
		}
	}
}

// streams pairs the oids of exported streams, which stand in free data.
func (c *comparison) streams(path string, want, got *jser.Object) {
	name := want.Class.Name
	we, ge := want.Extra(name), got.Extra(name)
	if len(we) != len(ge) {
		c.differ(path+".greedy", show(want), show(got))
		return
	}
	if len(we) == 2 { // greedy RemoteInputStream: a Pipe follows
		c.values(path, we[1], ge[1])
		return
	}
	at := 0
	if name == cRemoteIn || name == cPipe {
		at = 1
	}
	w, ok1 := jser.BlockInt32(we, at)
	g, ok2 := jser.BlockInt32(ge, at)
	if !ok1 || !ok2 {
		c.differ(path, show(want), show(got))
		return
	}
	c.pair(w, g, nil)
}
