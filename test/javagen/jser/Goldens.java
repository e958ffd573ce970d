import java.io.ByteArrayOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.NotSerializableException;
import java.io.ObjectOutputStream;
import java.io.ObjectStreamClass;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.regex.Pattern;
import java.util.zip.GZIPOutputStream;

/**
 * Writes the golden vectors of remoting/jser: one line of JSON each, with the
 * stream and Java's own description of what it wrote.
 *
 * <pre>javac -d /tmp/goldens *.java && java -cp /tmp/goldens Goldens ../../../remoting/jser/testdata/goldens.jsonl.gz</pre>
 */
public final class Goldens {
    private final Writer out;

    private Goldens(Writer out) {
        this.out = out;
    }

    static byte[] bytes(int n) {
        byte[] b = new byte[n];
        for (int i = 0; i < n; i++) {
            b[i] = (byte) (i * 7 + i / 256);
        }
        return b;
    }

    public static void main(String[] args) throws Exception {
        try (Writer w = new OutputStreamWriter(new GZIPOutputStream(new FileOutputStream(args[0])), StandardCharsets.US_ASCII)) {
            Goldens g = new Goldens(w);
            g.primitives();
            g.strings();
            g.arrays();
            g.objects();
            g.custom();
            g.classes();
            g.graphs();
            g.annotated();
            g.streams();
            g.collections();
            g.values();
            g.throwables();
        }
    }

    private interface Writing {
        void to(ObjectOutputStream out) throws IOException;
    }

    private void put(String name, Object o) throws IOException {
        put(name, o, o);
    }

    private void put(String name, Object o, Object described) throws IOException {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        ObjectOutputStream s = name.startsWith("annotated") ? new Annotating(b) : new ObjectOutputStream(b);
        s.writeObject(o);
        s.flush();
        line(name, b, Describe.of(described));
    }

    private void many(String name, String want, Writing writing) throws IOException {
        ByteArrayOutputStream b = new ByteArrayOutputStream();
        try (ObjectOutputStream s = new ObjectOutputStream(b)) {
            writing.to(s);
        }
        line(name, b, want);
    }

    private void line(String name, ByteArrayOutputStream b, String want) throws IOException {
        out.write("{\"name\":\"" + name + "\",\"want\":\"" + want.replace("\\", "\\\\").replace("\"", "\\\"") + "\",\"b64\":\""
            + Base64.getEncoder().encodeToString(b.toByteArray()) + "\"}\n");
    }

    private void primitives() throws IOException {
        put("null", null);
        put("boolean true", true);
        put("boolean false", false);
        put("byte", (byte) -1);
        put("char", '\u20ac');
        put("short", (short) -2);
        put("int", 0x7fffffff);
        put("long", -3L);
        put("float", 1.5f);
        put("float NaN", Float.intBitsToFloat(0xffc12345));
        put("double", Double.MIN_VALUE);
        put("double infinity", Double.NEGATIVE_INFINITY);
        put("all primitive fields", new Samples.Prims());
    }

    private void strings() throws IOException {
        put("string empty", "");
        put("string one byte", "a");
        put("string ascii", "hello \"world\" \\");
        put("string NUL", "a\0b");
        put("string 0x7f 0x80 0x7ff 0x800", "\u007f\u0080\u07ff\u0800");
        put("string BMP", "gr\u00fc\u00df \u20ac \uffff");
        put("string supplementary", "a\ud83d\ude00b\ud800\udc00\udbff\udfff");
        put("string lone high", "a\ud83db");
        put("string lone low", "\ude00");
        put("string swapped", "\ude00\ud83d");
        put("string high high low", "\ud83d\ud83d\ude00");
        put("string ends in high", "x\ud83d");
        put("string 65535 bytes", "x".repeat(65535));
        put("string 65536 bytes", "y".repeat(65536));
        put("string long wide", "\u20ac".repeat(30000) + "\ud83d\ude00");
        put("string 65535 bytes NUL", "\0".repeat(32767) + "z");
        put("string 65536 bytes NUL", "\0".repeat(32768));
    }

    private void arrays() throws IOException {
        put("byte[]", bytes(300));
        put("byte[] empty", new byte[0]);
        put("boolean[]", new boolean[] {true, false, true});
        put("char[]", new char[] {'a', '\0', '\ud83d'});
        put("short[]", new short[] {1, -1});
        put("int[]", new int[] {1, -1, Integer.MAX_VALUE});
        put("int[] empty", new int[0]);
        put("long[]", new long[] {1, Long.MIN_VALUE});
        put("float[]", new float[] {1f, Float.NaN});
        put("double[]", new double[] {1d, -0.0});
        put("String[]", new String[] {"a", null, "", "bc", "bc"});
        put("String[] empty", new String[0]);
        put("Object[]", new Object[] {1, "two", 3L, null, new byte[] {4}, new Object[0]});
        put("int[][]", new int[][] {{1, 2}, {}, null, {3}});
        put("int[][][]", new int[2][1][3]);
        put("String[][]", new String[][] {{"a"}, {}});
        put("byte[][]", new byte[][] {{1}, {2, 3}});
        put("Color[]", new Samples.Color[] {Samples.Color.RED, Samples.Color.GREEN, Samples.Color.RED});
        put("Number[]", new Number[] {1, 2L, 3.0});
    }

    private void objects() throws IOException {
        put("no fields", new Samples.NoFields());
        put("implicit suid", new Samples.Implicit());
        put("hidden field", new Samples.Sub());
        put("below a class that is not serializable", new Samples.BelowPlain());
        put("enum", Samples.Color.GREEN);
        put("enum with body", Samples.Shape.SQUARE);
        put("enums", new Object[] {Samples.Shape.ROUND, Samples.Shape.ROUND, Samples.Color.RED, TimeUnit.SECONDS});
        put("record", new Samples.Point(1, 2, "label", new Samples.Point(3, 4, null, null)));
        put("writeReplace", new Samples.Replaced(), new Samples.Node("replacement", null));
        int captured = 5;
        List<String> list = new ArrayList<>(List.of("captured"));
        put("lambda", (Samples.SerializableFunction<String, String>) s -> s + captured + list);
        put("method reference", (Samples.SerializableFunction<String, Integer>) Integer::valueOf);
        put("constructor reference", (Samples.SerializableFunction<String, Object>) StringBuilder::new);
    }

    private void custom() throws IOException {
        put("writeObject with defaults", new Samples.WithDefaults());
        put("writeObject without defaults", new Samples.WithoutDefaults());
        put("writeObject without defaults refs", new Samples.WithoutDefaultsRefs());
        put("writeObject without defaults number", new Samples.WithoutDefaultsNumber());
        put("writeObject writes nothing", new Samples.WritesNothing());
        put("writeObject mixed", new Object[] {
            new Samples.WithDefaults(), new Samples.WithoutDefaults(), new Samples.WithoutDefaultsRefs(), new Samples.WithDefaults(),
            new Samples.WithoutDefaults(), "end"});
        put("externalizable", new Samples.External());
        put("externalizable in array", new Object[] {new Samples.External(), "next", new Samples.External()});
        for (int n : new int[] {0, 1, 255, 256, 1023, 1024, 1025, 2048, 5000}) {
            put("block data " + n, new Samples.Big(n));
        }
        put("block data flushed", new Samples.Flushing());
    }

    private void classes() throws IOException {
        put("class String", String.class);
        put("class not serializable", Object.class);
        put("class interface", Runnable.class);
        put("class int", int.class);
        put("class void", void.class);
        put("class int[]", int[].class);
        put("class String[][]", String[][].class);
        put("class enum", Samples.Color.class);
        put("class enum constant body", Samples.Shape.ROUND.getClass());
        put("class record", Samples.Point.class);
        put("class proxy", proxy(new Samples.Handler()).getClass());
        put("class externalizable", Samples.External.class);
        put("descriptor", ObjectStreamClass.lookup(Samples.Prims.class));
        put("descriptor and object", new Object[] {ObjectStreamClass.lookup(Samples.Implicit.class), new Samples.Implicit()});
        put("classes", new Object[] {String.class, String.class, new Samples.Node(Samples.Node.class, Integer.class)});
        put("proxy", proxy(new Samples.Handler()));
        put("proxy odd handler", proxy(new Samples.OddHandler()));
        put("proxies", new Object[] {proxy(new Samples.Handler()), proxy(new Samples.Handler()), Proxy.newProxyInstance(
            Goldens.class.getClassLoader(), new Class<?>[] {Samples.Other.class}, new Samples.Handler())});
    }

    private static Object proxy(java.lang.reflect.InvocationHandler h) {
        return Proxy.newProxyInstance(Goldens.class.getClassLoader(), new Class<?>[] {Samples.Greeter.class, Samples.Other.class}, h);
    }

    private void graphs() throws IOException {
        Samples.Node self = new Samples.Node();
        self.a = self;
        put("cycle of one", self);
        Samples.Node a = new Samples.Node();
        Samples.Node b = new Samples.Node(a, "b");
        a.a = b;
        a.numbers = new int[] {1};
        b.numbers = a.numbers;
        put("cycle of two", a);
        Object[] array = new Object[2];
        array[0] = array;
        array[1] = "x";
        put("array in itself", array);
        List<Object> list = new ArrayList<>();
        list.add(list);
        put("list in itself", list);
        String s = new String("shared");
        put("shared string", new Object[] {s, s, new String("shared"), s, "", ""});
        String one = new String("1");
        put("shared one byte string", new Object[] {one, one});
        Integer boxed = 1000;
        put("shared boxed", new Object[] {boxed, boxed, 1000L});
        Samples.Node n = new Samples.Node("only once", null);
        put("shared object", new Samples.Node(n, new Object[] {n, n}));
        put("signature as value", new Object[] {new Samples.Node(), "Ljava/lang/Object;", "[I"});
        Samples.Node deep = null;
        for (int i = 0; i < 400; i++) {
            deep = new Samples.Node(deep, null);
        }
        put("deep", deep);
    }

    /** Annotates classes with a loader number as hudson.remoting.MultiClassLoaderSerializer does. */
    static final class Annotating extends ObjectOutputStream {
        private boolean introduced;

        Annotating(ByteArrayOutputStream b) throws IOException {
            super(b);
        }

        private void annotate(Class<?> c) throws IOException {
            if (c.getClassLoader() == null) {
                writeInt(-3);
            } else if (introduced) {
                writeInt(0);
            } else {
                introduced = true;
                writeInt(-2);
                writeInt(77);
            }
        }

        @Override protected void annotateClass(Class<?> c) throws IOException {
            annotate(c);
        }

        @Override protected void annotateProxyClass(Class<?> c) throws IOException {
            annotate(c);
        }
    }

    private void annotated() throws IOException {
        put("annotated jdk", new ArrayList<>(List.of(1, 2L)));
        put("annotated own", new Samples.Node(new Samples.Prims(), Samples.Color.RED));
        put("annotated sub", new Samples.Sub());
        put("annotated proxy", proxy(new Samples.Handler()));
        put("annotated class", new Object[] {Samples.Node.class, int[].class, String.class});
        put("annotated lambda", (Samples.SerializableFunction<String, String>) x -> x);
    }

    private void streams() throws IOException {
        Samples.Node n = new Samples.Node("n", null);
        many("many objects", Describe.of(n) + " ; " + Describe.of(n) + " ; " + Describe.of("end"), s -> {
            s.writeObject(n);
            s.writeObject(n);
            s.writeObject("end");
        });
        many("many reset", Describe.of(n) + " ; " + Describe.of(n) + " ; " + Describe.of(null), s -> {
            s.writeObject(n);
            s.reset();
            s.reset();
            s.writeObject(n);
            s.reset();
            s.writeObject(null);
        });
        many("many unshared", Describe.of(n) + " ; " + Describe.of(n), s -> {
            s.writeUnshared(n);
            s.writeUnshared(n);
        });
        many("failed exception", "FAILED java.io.WriteAbortedException: writing aborted; java.io.NotSerializableException: java.lang.Object", s -> {
            try {
                s.writeObject(new Samples.Node("fine", new Object()));
                throw new AssertionError();
            } catch (NotSerializableException expected) {
                s.flush();
            }
        });
    }

    private void collections() throws IOException {
        List<String> abc = Arrays.asList("a", "b", "c");
        put("ArrayList", new ArrayList<>(abc));
        put("ArrayList empty", new ArrayList<>());
        put("ArrayList null", new ArrayList<>(Arrays.asList(null, 1, null)));
        put("LinkedList", new LinkedList<>(abc));
        put("Arrays.asList", abc);
        put("Vector", new Vector<>(abc));
        Stack<String> stack = new Stack<>();
        stack.push("bottom");
        stack.push("top");
        put("Stack", stack);
        put("ArrayDeque", new ArrayDeque<>(abc));
        put("PriorityQueue", new PriorityQueue<>(Arrays.asList("c", "a", "b")));
        put("PriorityQueue comparator", new PriorityQueue<>(String.CASE_INSENSITIVE_ORDER));
        put("CopyOnWriteArrayList", new CopyOnWriteArrayList<>(abc));
        put("CopyOnWriteArraySet", new CopyOnWriteArraySet<>(abc));
        put("HashSet", new HashSet<>(abc));
        put("HashSet empty", new HashSet<>());
        put("LinkedHashSet", new LinkedHashSet<>(abc));
        put("TreeSet", new TreeSet<>(abc));
        TreeSet<String> noCase = new TreeSet<>(String.CASE_INSENSITIVE_ORDER);
        noCase.addAll(Arrays.asList("b", "A", "c"));
        put("TreeSet comparator", noCase);
        put("ConcurrentSkipListSet", new ConcurrentSkipListSet<>(abc));
        put("ConcurrentHashMap.newKeySet", ConcurrentHashMap.newKeySet());
        put("LinkedBlockingQueue", new LinkedBlockingQueue<>(abc));
        put("ConcurrentLinkedQueue", new ConcurrentLinkedQueue<>(abc));
        put("ConcurrentLinkedDeque", new ConcurrentLinkedDeque<>(abc));
        put("EnumSet", EnumSet.of(TimeUnit.DAYS, TimeUnit.SECONDS));
        put("EnumSet empty", EnumSet.noneOf(Samples.Shape.class));
        put("List.of", List.of("a", "b", "c"));
        put("List.of empty", List.of());
        put("List.of one", List.of("a"));
        put("Set.of", Set.of("a", "b", "c"));
        put("Map.of", Map.of("a", "1", "b", "2", "c", "3"));
        put("Map.of empty", Map.of());
        put("toUnmodifiableList with null", java.util.stream.Stream.of("a", null).toList());
        put("emptyList", Collections.emptyList());
        put("emptySet", Collections.emptySet());
        put("emptyMap", Collections.emptyMap());
        put("singletonList", Collections.singletonList("a"));
        put("singleton", Collections.singleton(null));
        put("singletonMap", Collections.singletonMap("k", 1));
        put("nCopies", Collections.nCopies(3, "x"));
        put("unmodifiableList random access", Collections.unmodifiableList(new ArrayList<>(abc)));
        put("unmodifiableList", Collections.unmodifiableList(new LinkedList<>(abc)));
        put("unmodifiableSet", Collections.unmodifiableSet(new HashSet<>(abc)));
        put("unmodifiableSortedSet", Collections.unmodifiableSortedSet(new TreeSet<>(abc)));
        put("unmodifiableNavigableSet", Collections.unmodifiableNavigableSet(new TreeSet<>(abc)));
        put("unmodifiableCollection", Collections.unmodifiableCollection(new ArrayList<>(abc)));
        put("synchronizedList", Collections.synchronizedList(new ArrayList<>(abc)));
        put("synchronizedList linked", Collections.synchronizedList(new LinkedList<>(abc)));
        put("synchronizedSet", Collections.synchronizedSet(new HashSet<>(abc)));
        put("synchronizedSortedSet", Collections.synchronizedSortedSet(new TreeSet<>(abc)));
        put("synchronizedCollection", Collections.synchronizedCollection(new ArrayList<>(abc)));
        put("checkedList", Collections.checkedList(new ArrayList<>(abc), String.class));
        Set<String> fromMap = Collections.newSetFromMap(new HashMap<>());
        fromMap.add("a");
        put("newSetFromMap", fromMap);
        put("wrapped twice", Collections.unmodifiableList(Collections.synchronizedList(new ArrayList<>(abc))));
        maps();
    }

    private <M extends Map<String, Object>> M fill(M m) {
        m.put("b", "2");
        m.put("a", 1);
        m.put("c", "3");
        return m;
    }

    private void maps() throws IOException {
        put("HashMap", fill(new HashMap<>()));
        put("HashMap empty", new HashMap<>());
        HashMap<String, Object> nulls = new HashMap<>();
        nulls.put(null, "v");
        nulls.put("k", null);
        put("HashMap nulls", nulls);
        HashMap<String, Object> large = new HashMap<>();
        for (int i = 0; i < 100; i++) {
            large.put("key" + i, i);
        }
        put("HashMap large", large);
        put("LinkedHashMap", fill(new LinkedHashMap<>()));
        put("LinkedHashMap access order", fill(new LinkedHashMap<>(4, 0.5f, true)));
        put("TreeMap", fill(new TreeMap<>()));
        put("TreeMap comparator", fill(new TreeMap<>(String.CASE_INSENSITIVE_ORDER)));
        put("TreeMap reversed", fill(new TreeMap<>(Collections.reverseOrder())));
        String[] keys = {"b", "A", "a1", "_", "Z", "", "\u00df", "\u00c4", "\u00e4b", "\u0131", "\u0130x", "\uffff", "\u03c3", "\u03a3a", "PATH",
            "Path2", "\ud83d\ude00", "\ue000", "k\0"};
        TreeMap<String, Object> natural = new TreeMap<>();
        TreeMap<String, Object> noCase = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
        for (String k : keys) {
            natural.put(k, "v" + k);
            if (!k.equals("\ud83d\ude00")) { // since JDK 16 the order of these is another than before
                noCase.put(k, "v" + k);
            }
        }
        put("TreeMap order", natural);
        put("TreeMap order ignoring case", noCase);
        put("Hashtable", fill(new Hashtable<>()));
        Properties defaults = new Properties();
        defaults.setProperty("d", "default");
        Properties p = new Properties(defaults);
        p.setProperty("k", "v");
        put("Properties", p);
        put("ConcurrentHashMap", fill(new ConcurrentHashMap<>()));
        put("ConcurrentHashMap empty", new ConcurrentHashMap<>());
        put("ConcurrentSkipListMap", fill(new ConcurrentSkipListMap<>()));
        put("IdentityHashMap", new IdentityHashMap<>(Map.of("k", "v")));
        EnumMap<Samples.Color, String> e = new EnumMap<>(Samples.Color.class);
        e.put(Samples.Color.GREEN, "g");
        e.put(Samples.Color.RED, null);
        put("EnumMap", e);
        put("unmodifiableMap", Collections.unmodifiableMap(fill(new HashMap<>())));
        put("unmodifiableSortedMap", Collections.unmodifiableSortedMap(fill(new TreeMap<>())));
        put("unmodifiableNavigableMap", Collections.unmodifiableNavigableMap(fill(new TreeMap<>())));
        put("synchronizedMap", Collections.synchronizedMap(fill(new HashMap<>())));
        put("synchronizedSortedMap", Collections.synchronizedSortedMap(fill(new TreeMap<>())));
        put("checkedMap", Collections.checkedMap(fill(new HashMap<>()), String.class, Object.class));
    }

    private void values() throws Exception {
        put("Date", new Date(1234567890123L));
        put("Date before 1970", new Date(-1));
        put("File", new java.io.File("/tmp/a b"));
        put("URL", new URL("https://user@jenkins.example:8443/a/b?q=1#frag"));
        put("URI", new URI("file:/tmp/x%20y"));
        put("UUID", new UUID(1, -2));
        put("Locale", Locale.forLanguageTag("de-CH"));
        put("BigInteger", new BigInteger("-123456789012345678901234567890"));
        put("BigInteger zero", BigInteger.ZERO);
        put("BigDecimal", new BigDecimal("-12345678901234567890.123"));
        put("BigDecimal small", new BigDecimal("1.50"));
        put("Pattern", Pattern.compile("a+\"b", Pattern.CASE_INSENSITIVE | Pattern.MULTILINE));
        put("Level", Level.WARNING);
        put("StringBuilder", new StringBuilder("sb"));
        put("StringBuffer", new StringBuffer("sbuf"));
        BitSet bits = new BitSet();
        bits.set(3);
        bits.set(70);
        put("BitSet", bits);
        put("AtomicInteger", new AtomicInteger(5));
        put("AtomicLong", new AtomicLong(6));
        put("AtomicBoolean", new AtomicBoolean(true));
        put("AtomicReference", new AtomicReference<>("ref"));
        LogRecord r = new LogRecord(Level.INFO, "message {0}");
        r.setParameters(new Object[] {"p", 2});
        r.setLoggerName("logger");
        r.setSourceClassName("Source");
        r.setSourceMethodName("method");
        r.setSequenceNumber(9);
        r.setInstant(java.time.Instant.ofEpochSecond(1600000000, 5000000));
        put("LogRecord", r);
        put("Instant", java.time.Instant.ofEpochSecond(1600000000, 123));
        put("Duration", java.time.Duration.ofSeconds(-5, 6));
        put("LocalDate", java.time.LocalDate.of(2026, 11, 21));
        put("LocalTime", java.time.LocalTime.of(1, 2, 3));
        put("LocalDateTime", java.time.LocalDateTime.of(2026, 1, 2, 3, 4, 5, 6));
        put("ZoneOffset", java.time.ZoneOffset.ofHours(2));
        put("ZonedDateTime", java.time.ZonedDateTime.of(2026, 1, 2, 3, 4, 5, 6, java.time.ZoneId.of("Europe/Berlin")));
        put("OffsetDateTime", java.time.OffsetDateTime.of(2026, 1, 2, 3, 4, 5, 6, java.time.ZoneOffset.UTC));
        put("Period", java.time.Period.of(1, 2, 3));
        put("times in a list", new ArrayList<>(List.of(java.time.Instant.EPOCH, java.time.Duration.ZERO, "end")));
    }

    private void throwables() throws IOException {
        put("exception", new Exception());
        put("exception message", new IOException("no space left"));
        put("exception cause", new RuntimeException("outer", new IOException("inner", new Error("root"))));
        put("exception null cause", new RuntimeException("outer", null));
        IOException s = new IOException("main");
        s.addSuppressed(new IllegalStateException("one"));
        s.addSuppressed(new IOException("two", new Exception()));
        put("exception suppressed", s);
        put("exception fields", new Samples.Failure("with field", 3));
        put("FileSystemException", new java.nio.file.NoSuchFileException("/a", "/b", "gone"));
        put("StackTraceElement", new StackTraceElement("app", "module", "1", "a.B", "m", "B.java", 5));
        put("StackTraceElement[]", new StackTraceElement[] {new StackTraceElement("a.B", "m", null, -2)});
        Exception a = new Exception("a");
        Exception b = new Exception("b", a);
        a.initCause(b);
        put("exception cycle", a);
    }
}
