package jser

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"unicode/utf16"
)

// describe is the twin of test/javagen/jser/Describe.java: one line that says
// what Java objects the nodes stand for.
func describe(v Value) string {
	d := describer{seen: map[any]int{}}
	return d.value(v)
}

type describer struct{ seen map[any]int }

// units are the UTF-16 units of a node's string, lone surrogates included.
func units(s string) []uint16 {
	var out []uint16
	for i := 0; i < len(s); {
		if isSurrogateForm(s[i:]) {
			out = append(out, unit3([]byte(s[i:i+3])))
			i += 3
			continue
		}
		n := i + 1
		for n < len(s) && s[n]&0xC0 == 0x80 {
			n++
		}
		out = append(out, utf16.Encode([]rune(s[i:n]))...)
		i = n
	}
	return out
}

func quote(s string) string {
	var b strings.Builder
	us := units(s)
	b.WriteByte('"')
	for _, u := range us[:min(60, len(us))] {
		if u >= 0x20 && u < 0x7f && u != '"' && u != '\\' {
			b.WriteByte(byte(u))
		} else {
			fmt.Fprintf(&b, "\\u%04x", u)
		}
	}
	b.WriteByte('"')
	if len(us) > 60 {
		h := int32(0)
		for _, u := range us {
			h = 31*h + int32(u)
		}
		fmt.Fprintf(&b, "~%d~%d", len(us), h)
	}
	return b.String()
}

func hexOf(b []byte) string {
	if len(b) <= 64 {
		return fmt.Sprintf("bytes:%x", b)
	}
	h := int32(1)
	for _, x := range b {
		h = 31*h + int32(int8(x))
	}
	return fmt.Sprintf("bytes~%d~%d", len(b), h)
}

func (d *describer) value(v Value) string {
	switch v := Unbox(v).(type) {
	case nil:
		return "null"
	case string:
		return quote(v)
	case bool:
		return fmt.Sprint("boolean:", v)
	case int8:
		return fmt.Sprint("byte:", v)
	case uint16:
		return fmt.Sprint("char:", v)
	case int16:
		return fmt.Sprint("short:", v)
	case int32:
		return fmt.Sprint("int:", v)
	case int64:
		return fmt.Sprint("long:", v)
	case float32:
		return fmt.Sprintf("float:%x", math.Float32bits(v))
	case float64:
		return fmt.Sprintf("double:%x", math.Float64bits(v))
	case Block:
		return hexOf(v)
	case *Enum:
		return "enum " + v.Class.Name + "." + v.Name
	case *Class:
		return "class " + v.Desc.String()
	case *ClassDesc:
		return "descriptor " + v.Name
	case *Array:
		if b, ok := v.Elems.([]byte); ok {
			return hexOf(b)
		}
		if n, ok := d.again(v); ok {
			return n
		}
		return v.Class.Name + d.array(v)
	case *Object:
		return d.object(v)
	}
	return fmt.Sprintf("unknown %T", v)
}

func (d *describer) again(v any) (string, bool) {
	if n, ok := d.seen[v]; ok {
		return fmt.Sprint("#", n), true
	}
	d.seen[v] = len(d.seen) + 1
	return "", false
}

func (d *describer) array(a *Array) string {
	var out []string
	add := func(v Value) { out = append(out, d.value(v)) }
	switch s := a.Elems.(type) {
	case []bool:
		each(len(s), func(i int) any { add(s[i]); return nil })
	case []uint16:
		each(len(s), func(i int) any { add(s[i]); return nil })
	case []int16:
		each(len(s), func(i int) any { add(s[i]); return nil })
	case []int32:
		each(len(s), func(i int) any { add(s[i]); return nil })
	case []int64:
		each(len(s), func(i int) any { add(s[i]); return nil })
	case []float32:
		each(len(s), func(i int) any { add(s[i]); return nil })
	case []float64:
		each(len(s), func(i int) any { add(s[i]); return nil })
	case []Value:
		each(len(s), func(i int) any { add(s[i]); return nil })
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func (d *describer) object(o *Object) string {
	if s, ok := d.jdk(o); ok {
		return s
	}
	if n, ok := d.again(o); ok {
		return n
	}
	name := o.Class.String()
	sorted := strings.HasSuffix(name, "HashSet") && name != "java.util.LinkedHashSet" ||
		name == "java.util.CollSer" && o.Int("tag") != collSerList && o.Int("tag") != 4 ||
		slices.Contains([]string{"HashMap", "Hashtable", "Properties", "concurrent.ConcurrentHashMap", "IdentityHashMap"},
			strings.TrimPrefix(name, "java.util.")) ||
		strings.HasPrefix(name, "java.util.Collections$") && !strings.Contains(name, "Sorted") && !strings.Contains(name, "Navigable") &&
			(strings.HasSuffix(name, "Set") || strings.HasSuffix(name, "Map"))
	if vs, err := List(o); err == nil {
		var out []string
		for _, e := range vs {
			out = append(out, d.value(e))
		}
		if sorted {
			slices.SortFunc(out, CompareUTF16)
		}
		return "[" + strings.Join(out, ", ") + "]"
	}
	if es, err := Map(o); err == nil {
		var out []string
		for _, e := range es {
			out = append(out, d.value(e.Key)+"="+d.value(e.Value))
		}
		if sorted {
			slices.SortFunc(out, CompareUTF16)
		}
		return "{" + strings.Join(out, ", ") + "}"
	}
	switch {
	case o.Class.Is("java.lang.Throwable"):
		cause := o.Get("cause")
		if cause == Value(o) {
			cause = nil
		}
		s := "throwable " + name + "(" + d.value(o.Get("detailMessage")) + ", " + d.value(cause) + ", "
		suppressed, _ := List(o.Get("suppressedExceptions"))
		return s + d.value(ObjectArray(suppressed...)) + ")"
	case o.Class.Proxy:
		return name + "(" + d.value(o.Get("h")) + ")"
	}
	var fields []string
	extra := ""
	for _, cd := range o.Data {
		for i, v := range cd.Values {
			fields = append(fields, cd.Desc.Fields[i].Name+"="+d.value(v))
		}
	}
	for _, cd := range o.Data {
		for _, v := range cd.Extra {
			extra += "+" + d.value(v)
		}
	}
	return name + "{" + strings.Join(fields, ", ") + "}" + extra
}

// jdk describes JDK classes that have a value of their own.
func (d *describer) jdk(o *Object) (string, bool) {
	name := o.Class.Name
	be := binary.BigEndian
	text := func(format string, args ...any) (string, bool) {
		return name + "(" + fmt.Sprintf(format, args...) + ")", true
	}
	switch name {
	case "java.util.Date":
		return text("%d", int64(be.Uint64(o.Extra(name)[0].(Block))))
	case "java.io.File":
		return text("%s", quote(o.Str("path")))
	case "java.net.URL":
		port, ref := "", ""
		if p := o.Int("port"); p >= 0 {
			port = fmt.Sprint(":", p)
		}
		if r := o.Str("ref"); r != "" {
			ref = "#" + r
		}
		return text("%s://%s%s%s", o.Str("protocol"), strings.TrimSuffix(o.Str("authority"), port)+port, o.Str("file"), ref)
	case "java.net.URI":
		return text("%s", o.Str("string"))
	case "java.util.UUID":
		m, l := uint64(o.Long("mostSigBits")), uint64(o.Long("leastSigBits"))
		return text("%08x-%04x-%04x-%04x-%012x", m>>32, m>>16&0xffff, m&0xffff, l>>48, l&0xffffffffffff)
	case "java.util.Locale":
		return text("%s_%s", o.Str("language"), o.Str("country"))
	case "java.math.BigInteger":
		return text("%s", bigInt(o))
	case "java.math.BigDecimal":
		n, scale := bigInt(o.Obj("intVal")), int(o.Int("scale"))
		digits := strings.TrimPrefix(n.String(), "-")
		sign := strings.TrimSuffix(n.String(), digits)
		return text("%s%s.%s", sign, digits[:len(digits)-scale], digits[len(digits)-scale:])
	case "java.util.regex.Pattern":
		return text("%s, %d", quote(o.Str("pattern")), o.Int("flags"))
	case "java.util.logging.Level":
		return text("%s, %d", o.Str("name"), o.Int("value"))
	case "java.lang.StringBuilder":
		a := o.Extra(name)[1].(*Array).Elems.([]uint16)
		n := be.Uint32(o.Extra(name)[0].(Block))
		return text("%s", string(utf16.Decode(a[:n])))
	case "java.lang.StringBuffer":
		return text("%s", string(utf16.Decode(o.Get("value").(*Array).Elems.([]uint16)[:o.Int("count")])))
	case "java.util.BitSet":
		var set []string
		for i, w := range o.Get("bits").(*Array).Elems.([]int64) {
			for b := range 64 {
				if w>>b&1 != 0 {
					set = append(set, fmt.Sprint(i*64+b))
				}
			}
		}
		return text("{%s}", strings.Join(set, ", "))
	case "java.util.concurrent.atomic.AtomicInteger", "java.util.concurrent.atomic.AtomicLong":
		return text("%d", o.Get("value"))
	case "java.util.concurrent.atomic.AtomicBoolean":
		return text("%t", o.Int("value") != 0)
	case "java.util.concurrent.atomic.AtomicReference":
		return text("%s", d.value(o.Get("value")))
	case "java.util.logging.LogRecord":
		var params []string
		extra := o.Extra(name)
		if len(extra) > 1 {
			for _, p := range extra[1:] {
				params = append(params, quote(p.(string)))
			}
		}
		return text("%s, %d, %d, %s, %s, %s, %s, [%s], %s", d.value(o.Get("level")), o.Long("sequenceNumber"), logMillis(o),
			d.value(o.Get("loggerName")), d.value(o.Get("message")), d.value(o.Get("sourceClassName")), d.value(o.Get("sourceMethodName")),
			strings.Join(params, ", "), d.value(o.Get("thrown")))
	case "java.lang.invoke.SerializedLambda":
		return d.lambda(o), true
	case "java.time.Ser":
		return javaTime(o.Data[0].Extra[0].(Block)), true
	case "java.lang.StackTraceElement":
		return fmt.Sprintf("at %s.%s:%d", o.Str("declaringClass"), o.Str("methodName"), o.Int("lineNumber")), true
	case "java.lang.String$CaseInsensitiveComparator":
		return "comparator", true
	}
	return "", false
}

// logMillis reads the time of a LogRecord: an Instant in event.instant since
// JDK 9, milliseconds before.
func logMillis(o *Object) int64 {
	if in := o.Obj("instant"); in != nil {
		b := in.Data[0].Extra[0].(Block)
		return int64(binary.BigEndian.Uint64(b[1:]))*1000 + int64(binary.BigEndian.Uint32(b[9:])/1e6)
	}
	return o.Long("millis")
}

func bigInt(o *Object) *big.Int {
	b, _ := Bytes(o.Get("magnitude"))
	n := new(big.Int).SetBytes(b)
	if o.Int("signum") < 0 {
		n.Neg(n)
	}
	return n
}

func javaTime(b Block) string {
	be := binary.BigEndian
	switch b[0] {
	case 1:
		return fmt.Sprintf("duration(%d, %d)", int64(be.Uint64(b[1:])), be.Uint32(b[9:]))
	case 2:
		return fmt.Sprintf("instant(%d, %d)", int64(be.Uint64(b[1:])), be.Uint32(b[9:]))
	case 3:
		return fmt.Sprintf("localdate(%04d-%02d-%02d)", be.Uint32(b[1:]), b[5], b[6])
	}
	return "java.time"
}

func (d *describer) lambda(o *Object) string {
	args, _ := Values(o.Get("capturedArgs"))
	var out []string
	for _, a := range args {
		out = append(out, d.value(a))
	}
	capturing := strings.ReplaceAll(o.Get("capturingClass").(*Class).Desc.Name, ".", "/")
	return fmt.Sprintf("lambda %s %s %s%s %d %s %s [%s]", capturing, o.Str("functionalInterfaceClass"), o.Str("functionalInterfaceMethodName"),
		o.Str("functionalInterfaceMethodSignature"), o.Int("implMethodKind"), o.Str("implMethodName"), o.Str("instantiatedMethodType"),
		strings.Join(out, ", "))
}
