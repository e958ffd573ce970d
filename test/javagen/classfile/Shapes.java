import java.io.Externalizable;
import java.io.IOException;
import java.io.ObjectInput;
import java.io.ObjectOutput;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Supplier;

/** Serializable classes of every shape that enters into a default serialVersionUID. */
public class Shapes implements Serializable {
    static class Empty implements Serializable {}

    public static class Public implements Serializable {}

    protected static class Protected implements Serializable {}

    private static class Private implements Serializable {}

    public final class Inner implements Serializable {
        int x;
    }

    public abstract static class Abstract implements Serializable {
        protected abstract int size();

        abstract void run() throws IOException;
    }

    static class Fields implements Serializable {
        public int a;
        protected long b;
        private String c;
        byte[] d;
        static int e;
        private static int f;
        transient int g;
        private transient int h;
        volatile Object i;
        final boolean j = true;
        static final String K = "constant";
        public static final List<String> L = new ArrayList<>();
        double[][] m;
        Shapes n;
    }

    static class Methods extends Fields implements Comparable<Methods>, Runnable {
        Methods() {}

        protected Methods(int a, String b) {}

        private Methods(long[] c) {}

        public Methods(Methods d, Object... e) {}

        @Override public int compareTo(Methods o) {
            return 0;
        }

        @Override public void run() {}

        public synchronized void sync(int... varargs) {}

        private void hidden() {}

        static void helper() {}

        protected final native int nothing(String s);

        strictfp double strict(double d) {
            return d;
        }

        <T extends Comparable<T>> T generic(List<? super T> l) throws IOException {
            return null;
        }

        void overload(int a) {}

        void overload(Integer a) {}

        String overload(String a) {
            return a;
        }
    }

    static class Initializer implements Serializable {
        static {
            System.getProperty("x");
        }
    }

    static class Asserting implements Serializable {
        void check(int x) {
            assert x > 0;
        }
    }

    static class Lambdas implements Serializable {
        Supplier<String> s = () -> "x";
        Comparator<String> c = String::compareTo;
        Runnable r = (Runnable & Serializable) () -> {};
    }

    static class Access implements Serializable {
        private int secret;

        class Deep implements Serializable {
            int peek() {
                return secret++;
            }
        }
    }

    static class Switching implements Serializable {
        int of(Color c) {
            switch (c) {
                case RED:
                    return 1;
                default:
                    return 2;
            }
        }
    }

    static class Explicit implements Serializable {
        private static final long serialVersionUID = 42;
    }

    static class ExplicitNegative implements Serializable {
        public static final long serialVersionUID = -8742448824652078965L;
    }

    static class ExplicitInt implements Serializable {
        static final int serialVersionUID = -7;
    }

    static class ExplicitByte implements Serializable {
        static final byte serialVersionUID = -1;
    }

    static class ExplicitChar implements Serializable {
        static final char serialVersionUID = '\uffff';
    }

    /** Not final, so it does not count. */
    static class NotFinal implements Serializable {
        static long serialVersionUID = 42;
    }

    /** Not static, so it does not count. */
    static class NotStatic implements Serializable {
        final long serialVersionUID = 42;
    }

    /** Not a number that widens to long. */
    static class OfDouble implements Serializable {
        static final double serialVersionUID = 42;
    }

    /** Only its initializer knows. */
    static class Computed implements Serializable {
        static final long serialVersionUID = Long.parseLong("42");
    }

    interface Marker extends Serializable {}

    interface WithMethod extends Serializable {
        void call();
    }

    interface WithDefault extends WithMethod, Marker {
        int CONSTANT = "x".length();

        default void call() {}
    }

    public interface PublicMarker extends Serializable, Comparable<String> {}

    static class Implementing implements WithDefault, PublicMarker, Marker, Cloneable {
        @Override public int compareTo(String o) {
            return 0;
        }
    }

    public static class External implements Externalizable {
        @Override public void writeExternal(ObjectOutput out) {}

        @Override public void readExternal(ObjectInput in) {}
    }

    enum Color {
        RED, GREEN {
            @Override public String toString() {
                return "green";
            }
        }
    }

    static class Failure extends IOException {
        Failure(String message) {
            super(message);
        }
    }

    static class \u00dcml\u00e4ut implements Serializable {
        int \u20ac;
        int a\ud835\udc00;
    }

    /** The shape of hudson.model.Slave.GetClockDifference3. */
    static final class ClockDifference implements Serializable {
        private final long remoteTime = System.currentTimeMillis();
        private final long startTime;

        ClockDifference(long startTime) {
            this.startTime = startTime;
        }
    }

    static Object anonymous() {
        return new Serializable() {
            int x;
        };
    }

    static Object local(final int captured) {
        class Local implements Serializable {
            int get() {
                return captured;
            }
        }
        return new Local();
    }
}

class TopLevel implements Serializable {
    List<String> names;
}

final class TopLevelFinal extends TopLevel {}

class Generic<T extends Serializable> implements Serializable {
    T value;

    T get() {
        return value;
    }
}

class GenericChild extends Generic<String> {
    @Override String get() {
        return value;
    }
}
