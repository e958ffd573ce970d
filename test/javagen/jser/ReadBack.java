import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.ObjectInputStream;
import java.io.ObjectStreamClass;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.StringJoiner;

/**
 * Reads lines "name TAB base64 of an object stream" and prints for each "name
 * TAB what Java understood": the descriptions of its objects, or the exception.
 */
public final class ReadBack {
    /** Reads the loader annotations of streams whose name starts with "annotated", like remoting. */
    static final class Annotated extends ObjectInputStream {
        Annotated(InputStream in) throws IOException {
            super(in);
        }

        @Override protected Class<?> resolveClass(ObjectStreamClass c) throws IOException, ClassNotFoundException {
            if (readInt() == -2) {
                readInt();
            }
            return super.resolveClass(c);
        }

        @Override protected Class<?> resolveProxyClass(String[] names) throws IOException, ClassNotFoundException {
            if (readInt() == -2) {
                readInt();
            }
            return super.resolveProxyClass(names);
        }
    }

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        for (String line; (line = in.readLine()) != null;) {
            String[] f = line.split("\t", 2);
            System.out.println(f[0] + "\t" + understand(f[0], Base64.getDecoder().decode(f[1])));
        }
    }

    static String understand(String name, byte[] stream) {
        ByteArrayInputStream raw = new ByteArrayInputStream(stream);
        StringJoiner out = new StringJoiner(" ; ");
        try {
            ObjectInputStream in = name.startsWith("annotated") ? new Annotated(raw) : new ObjectInputStream(raw);
            do {
                out.add(Describe.of(in.readObject()));
            } while (raw.available() > 0);
        } catch (Throwable t) {
            out.add("FAILED " + t);
        }
        return out.toString();
    }
}
