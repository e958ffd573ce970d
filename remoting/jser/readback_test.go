package jser

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const javaSources = "../../test/javagen/jser"

// readBack gives streams to test/javagen/jser/ReadBack.java and returns what
// Java says it understood, by name.
func readBack(t *testing.T, streams map[string][]byte) map[string]string {
	for _, tool := range []string{"javac", "java"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED, NOTHING IS PROVEN: %s is not installed, so Java can't read what Go wrote (install a JDK 17)", tool)
		}
	}
	sources, err := filepath.Glob(javaSources + "/*.java")
	require.NoError(t, err)
	dir := t.TempDir()
	out, err := exec.Command("javac", append([]string{"-d", dir}, sources...)...).CombinedOutput()
	require.NoError(t, err, string(out))

	var in bytes.Buffer
	for name, b := range streams {
		fmt.Fprintf(&in, "%s\t%s\n", name, base64.StdEncoding.EncodeToString(b))
	}
	cmd := exec.Command("java", "-XX:TieredStopAtLevel=1", "-cp", dir, "ReadBack")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err = cmd.Output()
	require.NoError(t, err)
	got := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, text, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		got[name] = text
	}
	return got
}

func bean(c *ClassDesc, values ...Value) *Object { return New(c, values...) }

// What Go writes is what Java reads: every constructor, graphs of every kind of
// node, and every golden after a round trip.
func TestJavaReadsBack(t *testing.T) {
	nodeDesc := Serializable("Samples$Node", 2, nil,
		Ref("a", "java.lang.Object"), Ref("b", "java.lang.Object"), Ref("numbers", "[I"))
	handlerDesc := Custom("Samples$Handler", 15, nil, Prim("oid", 'I'), Prim("userProxy", 'Z'), Ref("origin", "java.lang.Throwable"))
	pointDesc := Serializable("Samples$Point", 0, nil,
		Prim("x", 'I'), Prim("y", 'J'), Ref("label", "java.lang.String"), Ref("more", "java.lang.Object"))
	withDesc := Custom("Samples$WithDefaults", 6, nil, Prim("n", 'I'), Ref("name", "java.lang.String"))
	withoutDesc := Custom("Samples$WithoutDefaults", 7, nil, Prim("autoUnexport", 'Z'), Prim("greedy", 'Z'))
	externalDesc := &ClassDesc{Name: "Samples$External", SUID: 13, Flags: FlagExternalizable | FlagBlockData}
	failureDesc := Serializable("Samples$Failure", 17, IllegalStateExceptionClass, Prim("code", 'I'))
	treeSub := Serializable("Samples$OwnMap", 18, TreeMapClass(), Ref("platform", "Samples$Color"))
	color := EnumClass("Samples$Color")
	red := &Enum{Class: color, Name: "RED"}
	proxies := ProxyClass("Samples$Greeter", "Samples$Other")
	shared := "shared " + fmt.Sprint(1)
	cycle := bean(nodeDesc, nil, "x", nil)
	cycle.Data[0].Values[0] = cycle
	inner := Throwable(IOExceptionClass, "inner", nil)
	stringMap := map[string]string{"b": "2", "A": "1", "é": "3"}

	var many []Entry
	var manyWant []string
	for i := range 100 {
		k := fmt.Sprintf("key%03d", i)
		many = append(many, Entry{k, Integer(int32(i))})
		manyWant = append(manyWant, fmt.Sprintf(`"%s"=int:%d`, k, i))
	}
	manyText := "{" + strings.Join(manyWant, ", ") + "}"

	cases := []struct {
		name string
		v    Value
		want string
	}{
		{"null", nil, "null"},
		{"string", "grüß \x00 😀", `"gr\u00fc\u00df \u0000 \ud83d\ude00"`},
		{"string of bad UTF-8", "a\xffb", `"a\ufffdb"`},
		{"Integer", Integer(-5), "int:-5"},
		{"Long", Long(1 << 40), "long:1099511627776"},
		{"Boolean", Boolean(true), "boolean:true"},
		{"ByteArray", ByteArray([]byte{0, 255}), "bytes:00ff"},
		{"CharArray", CharArray([]uint16{97, 0xd83d}), "[C[char:97, char:55357]"},
		{"IntArray", IntArray([]int32{1, -1}), "[I[int:1, int:-1]"},
		{"LongArray", LongArray([]int64{1, -1}), "[J[long:1, long:-1]"},
		{"StringArray", StringArray("a", "b"), `[Ljava.lang.String;["a", "b"]`},
		{"StringArray empty", StringArray(), `[Ljava.lang.String;[]`},
		{"ObjectArray", ObjectArray("a", nil, Integer(1)), `[Ljava.lang.Object;["a", null, int:1]`},
		{"ObjectArray empty", ObjectArray(), `[Ljava.lang.Object;[]`},
		{"URI", URI("file:/tmp/a"), "java.net.URI(file:/tmp/a)"},
		{"ArrayList", ArrayList("a", nil), `["a", null]`},
		{"ArrayList empty", ArrayList(), `[]`},
		{"EmptyList", EmptyList(), `[]`},
		{"EmptyMap", EmptyMap(), `{}`},
		{"HashSet", HashSet("b", "a"), `["a", "b"]`},
		{"HashSet empty", HashSet(), `[]`},
		{"LinkedHashSet", LinkedHashSet("b", "a"), `["b", "a"]`},
		{"Vector", Vector("b", "a"), `["b", "a"]`},
		{"Vector empty", Vector(), `[]`},
		{"ListOf", ListOf("b", "a"), `["b", "a"]`},
		{"ListOf empty", ListOf(), `[]`},
		{"ListOf one", ListOf("b"), `["b"]`},
		{"SetOf", SetOf("b", "a", "c"), `["a", "b", "c"]`},
		{"MapOf", MapOf(Entry{"b", "2"}, Entry{"a", Integer(1)}), `{"a"=int:1, "b"="2"}`},
		{"MapOf empty", MapOf(), `{}`},
		{"HashMap", HashMap(Entry{"b", "2"}, Entry{nil, Integer(1)}), `{"b"="2", null=int:1}`},
		{"HashMap empty", HashMap(), `{}`},
		{"HashMap large", HashMap(many...), manyText},
		{"LinkedHashMap large", LinkedHashMap(many...), manyText},
		{"MapOf large", MapOf(many...), manyText},
		{"LinkedHashMap", LinkedHashMap(Entry{"b", "2"}, Entry{"a", nil}), `{"b"="2", "a"=null}`},
		{"TreeMap", TreeMap(stringMap), `{"A"="1", "b"="2", "\u00e9"="3"}`},
		{"TreeMap subclass", &Object{Class: treeSub, Data: []ClassData{TreeMapData(map[string]string{"PATH": "p", "Home": "h", "a": "x"}, true),
			{Desc: treeSub, Values: []Value{red}}}}, `{"a"="x", "Home"="h", "PATH"="p"}`},
		{"Level", Level("WARNING", 900), "java.util.logging.Level(WARNING, 900)"},
		{"LogRecord", LogRecord(LogEntry{Level: Level("INFO", 800), Time: time.Unix(1600000000, 5e6), Sequence: 9, Thread: 1, Logger: "logger",
			Message: "message {0}", Class: "Source", Method: "method"}),
			`java.util.logging.LogRecord(java.util.logging.Level(INFO, 800), 9, 1600000000005, "logger", "message {0}", "Source", "method", [], null)`},
		{"enum", red, "enum Samples$Color.RED"},
		{"enums", ObjectArray(red, red, &Enum{color, "GREEN"}), "[Ljava.lang.Object;[enum Samples$Color.RED, enum Samples$Color.RED, enum Samples$Color.GREEN]"},
		{"class", &Class{nodeDesc}, "class Samples$Node"},
		{"class not serializable", &Class{&ClassDesc{Name: "java.lang.Object"}}, "class java.lang.Object"},
		{"class int", &Class{&ClassDesc{Name: "int"}}, "class int"},
		{"class proxy", &Class{proxies}, "class proxy[Samples$Greeter, Samples$Other]"},
		{"descriptor", nodeDesc, "descriptor Samples$Node"},
		{"record", bean(pointDesc, int32(1), int64(2), "l", bean(pointDesc, int32(3), int64(4), nil, nil)),
			`Samples$Point{x=int:1, y=long:2, label="l", more=Samples$Point{x=int:3, y=long:4, label=null, more=null}}`},
		{"cycle", cycle, `Samples$Node{a=#1, b="x", numbers=null}`},
		{"shared", bean(nodeDesc, ObjectArray(shared, shared), ArrayList(cycle, cycle), IntArray([]int32{7})),
			`Samples$Node{a=[Ljava.lang.Object;["shared 1", "shared 1"], b=[Samples$Node{a=#4, b="x", numbers=null}, #4], numbers=[I[int:7]}`},
		{"custom data", &Object{withDesc, []ClassData{{withDesc, []Value{int32(1), "w"},
			[]Value{Block{0, 0, 0, 1, 0, 3, 'x', 'y', 'z'}, ArrayList("o")}}}},
			`Samples$WithDefaults{n=int:1, name="w"}+bytes:00000001000378797a+["o"]`},
		{"no defaults", &Object{withoutDesc, []ClassData{{withoutDesc, nil, []Value{Block{0, 0, 0, 0, 9}}}}},
			`Samples$WithoutDefaults{}+bytes:0000000009`},
		{"externalizable", &Object{externalDesc, []ClassData{{externalDesc, nil, []Value{Block{1, 2, 3, 4}, red}}}},
			`Samples$External{}+bytes:01020304+enum Samples$Color.RED`},
		{"proxy", Proxy(proxies, bean(handlerDesc, int32(3), false, nil)),
			`proxy[Samples$Greeter, Samples$Other](Samples$Handler{oid=int:3, userProxy=boolean:false, origin=null})`},
		{"two proxies", ObjectArray(Proxy(proxies, bean(handlerDesc, int32(3), true, inner)), Proxy(proxies, nil)),
			`[Ljava.lang.Object;[proxy[Samples$Greeter, Samples$Other](Samples$Handler{oid=int:3, userProxy=boolean:true, origin=` +
				`throwable java.io.IOException("inner", null, [Ljava.lang.Object;[])}), proxy[Samples$Greeter, Samples$Other](null)]`},
		{"Throwable", Throwable(RuntimeExceptionClass, nil, nil), `throwable java.lang.RuntimeException(null, null, [Ljava.lang.Object;[])`},
		{"Throwable cause", Throwable(ExceptionClass, "outer", inner),
			`throwable java.lang.Exception("outer", throwable java.io.IOException("inner", null, [Ljava.lang.Object;[]), [Ljava.lang.Object;[])`},
		{"Throwable field", Throwable(failureDesc, "f", nil, int32(7)), `throwable Samples$Failure("f", null, [Ljava.lang.Object;[])`},
	}
	for _, c := range []*ClassDesc{ExceptionClass, RuntimeExceptionClass, IOExceptionClass, InterruptedExceptionClass, SecurityExceptionClass,
		IllegalArgumentExceptionClass, IllegalStateExceptionClass, UnsupportedOperationExceptionClass, FileNotFoundExceptionClass,
		EOFExceptionClass, UnsupportedEncodingExceptionClass, ZipExceptionClass} {
		cases = append(cases, struct {
			name string
			v    Value
			want string
		}{c.Name, Throwable(c, "m", nil), "throwable " + c.Name + `("m", null, [Ljava.lang.Object;[])`})
	}
	for _, c := range []*ClassDesc{FileSystemExceptionClass, NoSuchFileExceptionClass, AccessDeniedExceptionClass,
		FileAlreadyExistsExceptionClass, DirectoryNotEmptyExceptionClass, NotDirectoryExceptionClass} {
		cases = append(cases, struct {
			name string
			v    Value
			want string
		}{c.Name, FileSystemException(c, "/file", "why"), "throwable " + c.Name + `("why", null, [Ljava.lang.Object;[])`})
	}

	streams := map[string][]byte{}
	for _, c := range cases {
		b, err := Encode(c.v)
		require.NoError(t, err, c.name)
		streams["go "+c.name] = b
		back, err := Decode(b, Options{})
		require.NoError(t, err, c.name)
		if c.name != "string of bad UTF-8" {
			require.Equal(t, Format(c.v, 0), Format(back, 0), c.name)
		}
	}
	gs := goldens(t)
	for _, g := range gs {
		if g.many() {
			continue
		}
		v, err := Decode(g.B64, Options{})
		require.NoError(t, err, g.Name)
		streams[g.Name], err = Encode(v)
		require.NoError(t, err, g.Name)
	}

	got := readBack(t, streams)
	for _, c := range cases {
		require.Equal(t, c.want, got["go "+c.name], c.name)
		back, err := Decode(streams["go "+c.name], Options{})
		require.NoError(t, err)
		require.Equal(t, c.want, describe(back), c.name)
	}
	for _, g := range gs {
		if !g.many() {
			require.Equal(t, g.Want, got[g.Name], g.Name)
		}
	}
	t.Logf("Java read back %d streams", len(got))
}
