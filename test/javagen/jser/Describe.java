import java.io.File;
import java.io.ObjectStreamClass;
import java.io.ObjectStreamField;
import java.lang.invoke.SerializedLambda;
import java.lang.reflect.Array;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.net.URI;
import java.net.URL;
import java.time.Duration;
import java.time.Instant;
import java.time.LocalDate;
import java.util.*;
import java.util.concurrent.CopyOnWriteArraySet;
import java.util.concurrent.atomic.*;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.regex.Pattern;

/**
 * Describes any value of the golden vectors in one line. The Go test has a twin
 * (describe_test.go) that makes the same line from nodes.
 */
final class Describe {
    /** What a class writes beyond its fields: byte[] is block data, anything else an object. */
    interface Extra {
        Object[] extra();
    }

    /** A class whose writeObject does not write its fields. */
    interface NoDefaults {}

    private final IdentityHashMap<Object, Integer> seen = new IdentityHashMap<>();

    static String of(Object o) {
        return new Describe().value(o);
    }

    static String quote(String s) {
        StringBuilder b = new StringBuilder("\"");
        String shown = s.length() > 60 ? s.substring(0, 60) : s;
        for (char c : shown.toCharArray()) {
            if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\') {
                b.append(c);
            } else {
                b.append(String.format("\\u%04x", (int) c));
            }
        }
        b.append('"');
        if (s.length() > 60) {
            b.append("~").append(s.length()).append("~").append(s.hashCode());
        }
        return b.toString();
    }

    static String hex(byte[] bytes) {
        StringBuilder b = new StringBuilder();
        if (bytes.length > 64) {
            return "bytes~" + bytes.length + "~" + Arrays.hashCode(bytes);
        }
        for (byte x : bytes) {
            b.append(String.format("%02x", x));
        }
        return "bytes:" + b;
    }

    private String value(Object o) {
        if (o == null) {
            return "null";
        } else if (o instanceof String) {
            return quote((String) o);
        } else if (o instanceof Boolean) {
            return "boolean:" + o;
        } else if (o instanceof Byte) {
            return "byte:" + o;
        } else if (o instanceof Character) {
            return "char:" + (int) (Character) o;
        } else if (o instanceof Short) {
            return "short:" + o;
        } else if (o instanceof Integer) {
            return "int:" + o;
        } else if (o instanceof Long) {
            return "long:" + o;
        } else if (o instanceof Float) {
            return "float:" + Integer.toHexString(Float.floatToIntBits((Float) o));
        } else if (o instanceof Double) {
            return "double:" + Long.toHexString(Double.doubleToLongBits((Double) o));
        } else if (o instanceof Enum) {
            return "enum " + ((Enum<?>) o).getDeclaringClass().getName() + "." + ((Enum<?>) o).name();
        } else if (o instanceof Class) {
            return "class " + className((Class<?>) o);
        } else if (o instanceof ObjectStreamClass) {
            return "descriptor " + ((ObjectStreamClass) o).getName();
        } else if (o instanceof byte[]) {
            return hex((byte[]) o);
        }
        String jdk = jdk(o);
        if (jdk != null) {
            return jdk;
        }
        Integer n = seen.get(o);
        if (n != null) {
            return "#" + n;
        }
        seen.put(o, seen.size() + 1);
        if (o.getClass().isArray()) {
            return array(o);
        } else if (o instanceof Map) {
            return map((Map<?, ?>) o);
        } else if (o instanceof Collection) {
            return collection((Collection<?>) o);
        } else if (o instanceof Throwable) {
            Throwable t = (Throwable) o;
            return "throwable " + t.getClass().getName() + "(" + value(rawMessage(t)) + ", " + value(t.getCause()) + ", "
                + value(Arrays.asList(t.getSuppressed()).toArray()) + ")";
        } else if (Proxy.isProxyClass(o.getClass())) {
            return className(o.getClass()) + "(" + value(Proxy.getInvocationHandler(o)) + ")";
        }
        return bean(o);
    }

    private static String rawMessage(Throwable t) {
        if (t instanceof java.nio.file.FileSystemException) {
            return ((java.nio.file.FileSystemException) t).getReason(); // getMessage would add the file
        }
        return t.getMessage();
    }

    private static String className(Class<?> c) {
        if (!Proxy.isProxyClass(c)) {
            return c.getName();
        }
        StringJoiner j = new StringJoiner(", ", "proxy[", "]");
        for (Class<?> i : c.getInterfaces()) {
            j.add(i.getName());
        }
        return j.toString();
    }

    /** JDK classes with a value of their own; null for any other. */
    private String jdk(Object o) {
        String name = o.getClass().getName();
        if (o instanceof java.util.Date) {
            return name + "(" + ((java.util.Date) o).getTime() + ")";
        } else if (o instanceof File) {
            return name + "(" + quote(((File) o).getPath()) + ")";
        } else if (o instanceof URL || o instanceof URI || o instanceof UUID || o instanceof BigInteger || o instanceof BigDecimal
            || o instanceof Locale || o instanceof StringBuilder || o instanceof StringBuffer || o instanceof BitSet
            || o instanceof AtomicInteger || o instanceof AtomicLong || o instanceof AtomicBoolean) {
            return name + "(" + o + ")";
        } else if (o instanceof AtomicReference) {
            return name + "(" + value(((AtomicReference<?>) o).get()) + ")";
        } else if (o instanceof Pattern) {
            return name + "(" + quote(((Pattern) o).pattern()) + ", " + ((Pattern) o).flags() + ")";
        } else if (o instanceof Level) {
            return name + "(" + ((Level) o).getName() + ", " + ((Level) o).intValue() + ")";
        } else if (o instanceof LogRecord) {
            LogRecord r = (LogRecord) o;
            return name + "(" + value(r.getLevel()) + ", " + r.getSequenceNumber() + ", " + r.getMillis() + ", "
                + value(r.getLoggerName()) + ", " + value(r.getMessage()) + ", " + value(r.getSourceClassName()) + ", "
                + value(r.getSourceMethodName()) + ", " + texts(r.getParameters()) + ", " + value(r.getThrown()) + ")";
        } else if (o instanceof Instant) {
            return "instant(" + ((Instant) o).getEpochSecond() + ", " + ((Instant) o).getNano() + ")";
        } else if (o instanceof Duration) {
            return "duration(" + ((Duration) o).getSeconds() + ", " + ((Duration) o).getNano() + ")";
        } else if (o instanceof LocalDate) {
            return "localdate(" + o + ")";
        } else if (name.startsWith("java.time.")) {
            return "java.time";
        } else if (name.contains("$$Lambda")) {
            return lambda(o);
        } else if (o instanceof StackTraceElement) {
            StackTraceElement e = (StackTraceElement) o;
            return "at " + e.getClassName() + "." + e.getMethodName() + ":" + e.getLineNumber();
        } else if (o == String.CASE_INSENSITIVE_ORDER) {
            return "comparator";
        }
        return null;
    }

    /** A LogRecord writes its parameters as strings. */
    private static String texts(Object[] parameters) {
        StringJoiner j = new StringJoiner(", ", "[", "]");
        if (parameters != null) {
            for (Object p : parameters) {
                j.add(quote(String.valueOf(p)));
            }
        }
        return j.toString();
    }

    private String lambda(Object o) {
        try {
            Method m = o.getClass().getDeclaredMethod("writeReplace");
            m.setAccessible(true);
            SerializedLambda l = (SerializedLambda) m.invoke(o);
            StringJoiner args = new StringJoiner(", ", "[", "]");
            for (int i = 0; i < l.getCapturedArgCount(); i++) {
                args.add(value(l.getCapturedArg(i)));
            }
            return "lambda " + l.getCapturingClass() + " " + l.getFunctionalInterfaceClass() + " " + l.getFunctionalInterfaceMethodName()
                + l.getFunctionalInterfaceMethodSignature() + " " + l.getImplMethodKind() + " " + l.getImplMethodName() + " "
                + l.getInstantiatedMethodType() + " " + args;
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
    }

    private String array(Object o) {
        StringJoiner j = new StringJoiner(", ", o.getClass().getName() + "[", "]");
        for (int i = 0; i < Array.getLength(o); i++) {
            j.add(value(Array.get(o, i)));
        }
        return j.toString();
    }

    private String collection(Collection<?> c) {
        boolean ordered = !(c instanceof Set) || c instanceof SortedSet || c instanceof LinkedHashSet || c instanceof EnumSet
            || c instanceof CopyOnWriteArraySet;
        List<String> out = new ArrayList<>();
        for (Object e : c) {
            out.add(value(e));
        }
        if (!ordered) {
            Collections.sort(out);
        }
        return out.toString();
    }

    private String map(Map<?, ?> m) {
        boolean ordered = m instanceof SortedMap || m instanceof LinkedHashMap || m instanceof EnumMap;
        List<String> out = new ArrayList<>();
        for (Map.Entry<?, ?> e : m.entrySet()) {
            out.add(value(e.getKey()) + "=" + value(e.getValue()));
        }
        if (!ordered) {
            Collections.sort(out);
        }
        return "{" + String.join(", ", out) + "}";
    }

    private String bean(Object o) {
        List<Class<?>> classes = new ArrayList<>();
        for (Class<?> c = o.getClass(); c != null && java.io.Serializable.class.isAssignableFrom(c); c = c.getSuperclass()) {
            classes.add(0, c);
        }
        StringJoiner j = new StringJoiner(", ", o.getClass().getName() + "{", "}");
        try {
            for (Class<?> c : classes) {
                if (o instanceof NoDefaults) {
                    break;
                }
                for (ObjectStreamField f : ObjectStreamClass.lookup(c).getFields()) {
                    Field field = c.getDeclaredField(f.getName());
                    field.setAccessible(true);
                    j.add(f.getName() + "=" + value(field.get(o)));
                }
            }
        } catch (ReflectiveOperationException e) {
            throw new AssertionError(e);
        }
        String s = j.toString();
        if (o instanceof Extra) {
            for (Object e : ((Extra) o).extra()) {
                s += e instanceof byte[] && ((byte[]) e).length == 0 ? "" : "+" + value(e);
            }
        }
        return s;
    }
}
