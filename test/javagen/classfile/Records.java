import java.io.Serializable;

/** Left out when the class files are compiled for Java 8. */
final class Records {
    private Records() {}

    record Point(int x, long y) implements Serializable {}

    record ExplicitRecord(int x) implements Serializable {
        private static final long serialVersionUID = 9;
    }
}
