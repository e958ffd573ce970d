import java.io.ObjectStreamClass;
import java.io.Serializable;
import java.lang.reflect.Method;
import java.net.URI;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Prints for the serializable classes of the running JDK, in the form of
 * SerialVersions, the default serialVersionUID, also of those that declare one.
 *
 * <pre>java --add-opens java.base/java.io=ALL-UNNAMED JdkVersions.java</pre>
 */
public final class JdkVersions {
    private JdkVersions() {}

    public static void main(String[] args) throws Exception {
        Method compute = ObjectStreamClass.class.getDeclaredMethod("computeDefaultSUID", Class.class);
        compute.setAccessible(true);
        Path root = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("/modules/java.base");
        List<Path> files;
        try (Stream<Path> all = Files.walk(root)) {
            files = all.filter(p -> p.toString().endsWith(".class")).sorted().collect(Collectors.toList());
        }
        for (Path p : files) {
            String name = root.relativize(p).toString().replace('/', '.').replaceFirst("\\.class$", "");
            Class<?> c;
            try {
                c = Class.forName(name, false, ClassLoader.getSystemClassLoader());
            } catch (ClassNotFoundException | LinkageError e) {
                continue;
            }
            if (Serializable.class.isAssignableFrom(c) && !name.endsWith("-info")) {
                System.out.println(name + "\t" + compute.invoke(null, c) + "\t" + "-" + "\t"
                    + Base64.getEncoder().encodeToString(Files.readAllBytes(p)));
            }
        }
    }
}
