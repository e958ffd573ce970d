import java.io.Externalizable;
import java.io.IOException;
import java.io.ObjectInput;
import java.io.ObjectInputStream;
import java.io.ObjectOutput;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.util.function.Function;

/** The classes of our own that occur in the golden vectors. */
final class Samples {
    private Samples() {}

    static class Prims implements Serializable {
        private static final long serialVersionUID = 1;
        boolean z = true;
        byte b = -128;
        char c = '\uffff';
        short s = -32768;
        int i = Integer.MIN_VALUE;
        long j = Long.MIN_VALUE;
        float f = Float.intBitsToFloat(0x7fc00001); // the payload of a NaN is not written
        double d = -0.0;
        transient int skipped = 5;
    }

    static class Node implements Serializable {
        private static final long serialVersionUID = 2;
        Object a;
        Object b;
        int[] numbers;

        Node() {}

        Node(Object a, Object b) {
            this.a = a;
            this.b = b;
        }
    }

    static class Sub extends Node {
        private static final long serialVersionUID = 3;
        String a = "hides Node.a";
        long extra = 7;
    }

    /** A serializable class below one that is not. */
    static class Plain {
        int lost = 3;
    }

    static class BelowPlain extends Plain implements Serializable {
        private static final long serialVersionUID = 4;
        String kept = "kept";
    }

    static class NoFields implements Serializable {
        private static final long serialVersionUID = 5;
    }

    /** Without an explicit serialVersionUID. */
    static class Implicit implements Serializable {
        protected int x = 1;
        String y = "y";
    }

    /** defaultWriteObject, then block data and objects. */
    static class WithDefaults implements Serializable, Describe.Extra {
        private static final long serialVersionUID = 6;
        String name = "with";
        int n = 9;
        transient byte[] block = {0, 0, 1, 2, 0, 3, 'a', 'b', 'c'};
        transient Object object = "after the block";

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.writeInt(258);
            out.writeUTF("abc");
            out.writeObject(object);
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            in.defaultReadObject();
            block = new byte[9];
            in.readFully(block);
            object = in.readObject();
        }

        @Override public Object[] extra() {
            return new Object[] {block, object};
        }
    }

    /** Fields in the descriptor that are never written, as hudson.remoting.RemoteInputStream does. */
    static class WithoutDefaults implements Serializable, Describe.Extra, Describe.NoDefaults {
        private static final long serialVersionUID = 7;
        boolean autoUnexport = true;
        boolean greedy = true;
        transient byte[] block = {1, 0, 0, 0, 42};

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.write(block);
        }

        private void readObject(ObjectInputStream in) throws IOException {
            block = new byte[5];
            in.readFully(block);
        }

        @Override public Object[] extra() {
            return new Object[] {block};
        }
    }

    /** The same with object fields, and an object as the first thing written. */
    static class WithoutDefaultsRefs implements Serializable, Describe.Extra, Describe.NoDefaults {
        private static final long serialVersionUID = 8;
        Object in;
        Object out;
        transient byte[] block = {0, 5};

        private void writeObject(ObjectOutputStream o) throws IOException {
            o.writeShort(5);
        }

        private void readObject(ObjectInputStream in) throws IOException {
            block = new byte[2];
            in.readFully(block);
        }

        @Override public Object[] extra() {
            return new Object[] {block};
        }
    }

    /** Numbers in the descriptor, and an object that is written in their place. */
    static class WithoutDefaultsNumber implements Serializable, Describe.Extra, Describe.NoDefaults {
        private static final long serialVersionUID = 9;
        long number;
        transient Object object = "in place of the number";

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.writeObject(object);
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            object = in.readObject();
        }

        @Override public Object[] extra() {
            return new Object[] {object};
        }
    }

    /** A writeObject that writes nothing at all. */
    static class WritesNothing implements Serializable, Describe.NoDefaults {
        private static final long serialVersionUID = 10;
        String unused = "unused";

        private void writeObject(ObjectOutputStream out) {}

        private void readObject(ObjectInputStream in) {}
    }

    static class Big implements Serializable, Describe.Extra {
        private static final long serialVersionUID = 11;
        final int size;
        transient byte[] block;

        Big(int size) {
            this.size = size;
            block = Goldens.bytes(size);
        }

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
            out.write(block);
        }

        private void readObject(ObjectInputStream in) throws IOException, ClassNotFoundException {
            in.defaultReadObject();
            block = new byte[size];
            in.readFully(block);
        }

        @Override public Object[] extra() {
            return new Object[] {block};
        }
    }

    /** Blocks that a flush in between keeps apart. */
    static class Flushing extends Big {
        private static final long serialVersionUID = 12;

        Flushing() {
            super(4);
        }

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.writeInt(1);
            out.flush();
            out.writeInt(2);
        }

        private void readObject(ObjectInputStream in) throws IOException {
            in.readLong();
        }

        @Override public Object[] extra() {
            return new Object[] {block, new byte[] {0, 0, 0, 1, 0, 0, 0, 2}};
        }
    }

    public static class External implements Externalizable, Describe.Extra {
        private static final long serialVersionUID = 13;
        transient byte[] block = {0, 0, 0, 8};
        transient Object object = "external";

        @Override public void writeExternal(ObjectOutput out) throws IOException {
            out.write(block);
            out.writeObject(object);
        }

        @Override public void readExternal(ObjectInput in) throws IOException, ClassNotFoundException {
            block = new byte[4];
            in.readFully(block);
            object = in.readObject();
        }

        @Override public Object[] extra() {
            return new Object[] {block, object};
        }
    }

    /** Replaced while it is written; the stream shows only the replacement. */
    static class Replaced implements Serializable {
        private static final long serialVersionUID = 14;

        private Object writeReplace() {
            return new Node("replacement", null);
        }
    }

    enum Color {
        RED, GREEN
    }

    enum Shape {
        ROUND {
            @Override int corners() {
                return 0;
            }
        },
        SQUARE {
            @Override int corners() {
                return 4;
            }
        };

        abstract int corners();
    }

    record Point(int x, long y, String label, Object more) implements Serializable {}

    interface Greeter {
        String greet(String name);
    }

    interface Other {}

    /** Like hudson.remoting.RemoteInvocationHandler: defaultWriteObject and nothing else. */
    static class Handler implements InvocationHandler, Serializable {
        private static final long serialVersionUID = 15;
        int oid = 42;
        boolean userProxy = true;
        Throwable origin;

        private void writeObject(ObjectOutputStream out) throws IOException {
            out.defaultWriteObject();
        }

        @Override public Object invoke(Object proxy, Method method, Object[] args) {
            return null;
        }
    }

    /** A handler that is itself externalizable. */
    public static class OddHandler extends External implements InvocationHandler {
        private static final long serialVersionUID = 16;

        @Override public Object invoke(Object proxy, Method method, Object[] args) {
            return null;
        }
    }

    static class Failure extends IllegalStateException {
        private static final long serialVersionUID = 17;
        final int code;

        Failure(String message, int code) {
            super(message);
            this.code = code;
        }
    }

    /** Like hudson.EnvVars. */
    static class OwnMap extends java.util.TreeMap<String, String> {
        private static final long serialVersionUID = 18;
        Color platform = Color.RED;
    }

    interface SerializableFunction<A, B> extends Function<A, B>, Serializable {}
}
