package jser

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Describe names a node in a few words, for messages.
func Describe(v Value) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case Block:
		return fmt.Sprintf("%d bytes of block data", len(v))
	case *Class:
		return "the class " + short(v.Desc.String())
	case *Array, *Enum, *Object, *ClassDesc:
		return "a " + short(Name(v))
	}
	return fmt.Sprintf("a primitive %T", v)
}

// short cuts a name that a stream gave, for messages.
func short(name string) string {
	if len(name) > 200 {
		return fmt.Sprintf("%.200s… (%d bytes)", name, len(name))
	}
	return name
}

// Format prints a node as indented text, for people and for comparisons in
// tests. Objects that were printed before appear as #n. Stack traces are only
// left out. Strings and byte arrays are cut at limit bytes and other primitive
// arrays at limit elements; 0 means never. The text as a whole ends once it is
// longer than 64 MiB, whatever the node.
func Format(v Value, limit int) string {
	p := printer{seen: map[any]int{}, limit: limit}
	p.value(v, 0)
	return p.b.String()
}

// maxFormat bounds the text of Format: nodes can refer to one long string often,
// and lie deep.
const maxFormat = 64 << 20

type printer struct {
	b     strings.Builder
	seen  map[any]int
	limit int
}

func (p *printer) line(depth int, label string) {
	p.b.WriteByte('\n')
	p.b.WriteString(strings.Repeat("  ", depth))
	p.b.WriteString(label)
}

// again prints a reference to a node that was printed, or numbers a new one.
func (p *printer) again(key any) bool {
	if n, ok := p.seen[key]; ok {
		fmt.Fprintf(&p.b, "#%d", n)
		return true
	}
	p.seen[key] = len(p.seen) + 1
	return false
}

func (p *printer) full() bool { return p.b.Len() > maxFormat }

func (p *printer) value(v Value, depth int) {
	if p.full() {
		return
	}
	switch v := v.(type) {
	case nil:
		p.b.WriteString("null")
	case string:
		p.text(v)
	case Block:
		p.bytes("block", v)
	case *Enum:
		p.b.WriteString(v.Class.String() + "." + v.Name)
	case *Class:
		p.b.WriteString("class " + v.Desc.String())
	case *ClassDesc:
		p.b.WriteString("descriptor " + v.String())
	case *Array:
		p.array(v, depth)
	case *Object:
		p.object(v, depth)
	default:
		fmt.Fprint(&p.b, v)
	}
}

func (p *printer) text(s string) {
	if p.limit > 0 && len(s) > p.limit {
		p.b.WriteString(strconv.Quote(s[:p.limit]) + fmt.Sprintf("… (%d)", len(s)))
		return
	}
	p.b.WriteString(strconv.Quote(s))
}

func (p *printer) bytes(what string, b []byte) {
	if p.limit > 0 && len(b) > p.limit {
		fmt.Fprintf(&p.b, "%s[%d] %x…", what, len(b), b[:p.limit])
		return
	}
	fmt.Fprintf(&p.b, "%s[%d] %x", what, len(b), b)
}

func (p *printer) array(a *Array, depth int) {
	if a.Class == nil {
		p.b.WriteString("array without class")
		return
	}
	if a.Class.Name == "[Ljava.lang.StackTraceElement;" {
		p.b.WriteString("stack trace")
		return
	}
	if b, ok := a.Elems.([]byte); ok {
		p.bytes("byte", b)
		return
	}
	vs, ok := a.Elems.([]Value)
	if !ok {
		p.primitives(a)
		return
	}
	if p.again(a) {
		return
	}
	fmt.Fprintf(&p.b, "%s[%d]", a.Class.Name, len(vs))
	for _, e := range vs {
		if p.full() {
			p.b.WriteString("…")
			return
		}
		p.line(depth+1, "- ")
		p.value(e, depth+1)
	}
}

func (p *printer) primitives(a *Array) {
	all := reflect.ValueOf(a.Elems)
	if all.Kind() != reflect.Slice {
		fmt.Fprintf(&p.b, "%s %v", a.Class.Name, a.Elems)
		return
	}
	n := all.Len()
	if p.limit > 0 && n > p.limit {
		fmt.Fprintf(&p.b, "%s[%d] %v…", a.Class.Name, n, all.Slice(0, p.limit))
		return
	}
	fmt.Fprintf(&p.b, "%s[%d] %v", a.Class.Name, n, a.Elems)
}

func (p *printer) object(o *Object, depth int) {
	if p.again(o) {
		return
	}
	p.b.WriteString(o.Class.String())
	for _, cd := range o.Data {
		if p.full() {
			p.b.WriteString("…")
			return
		}
		for i, v := range cd.Values {
			p.line(depth+1, cd.Desc.Fields[i].Name+" = ")
			p.value(v, depth+1)
		}
		for _, v := range cd.Extra {
			if p.full() {
				break
			}
			p.line(depth+1, "+ ")
			p.value(v, depth+1)
		}
	}
}
