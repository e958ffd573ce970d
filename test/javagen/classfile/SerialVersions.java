import java.io.File;
import java.io.FileOutputStream;
import java.io.ObjectStreamClass;
import java.io.PrintStream;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Base64;
import java.util.zip.GZIPOutputStream;

/**
 * Prints for each class file of a directory: name, what ObjectStreamClass says
 * is its serialVersionUID ("-" if it has none), and the class file in base64.
 *
 * <pre>
 * javac -encoding UTF-8 -d /tmp/c Shapes.java Records.java SerialVersions.java
 * java -cp /tmp/c SerialVersions /tmp/c ../../../remoting/classfile/testdata/java17.txt.gz
 * javac -encoding UTF-8 --release 8 -d /tmp/c8 Shapes.java SerialVersions.java
 * java -cp /tmp/c8 SerialVersions /tmp/c8 ../../../remoting/classfile/testdata/java8.txt.gz
 * </pre>
 */
public final class SerialVersions {
    private SerialVersions() {}

    public static void main(String[] args) throws Exception {
        File[] files = new File(args[0]).listFiles((dir, name) -> name.endsWith(".class"));
        Arrays.sort(files);
        try (PrintStream out = new PrintStream(new GZIPOutputStream(new FileOutputStream(args[1])), false, "UTF-8")) {
            for (File f : files) {
                Class<?> c = Class.forName(f.getName().replaceFirst("\\.class$", ""), false, SerialVersions.class.getClassLoader());
                ObjectStreamClass s = ObjectStreamClass.lookup(c);
                out.println(c.getName() + "\t" + (s == null ? "-" : s.getSerialVersionUID()) + "\t"
                    + (c.getSuperclass() == null ? "-" : c.getSuperclass().getName()) + "\t"
                    + Base64.getEncoder().encodeToString(Files.readAllBytes(f.toPath())));
            }
        }
    }
}
