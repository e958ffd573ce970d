import java.io.File;
import java.io.PrintStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.tools.ant.BuildException;
import org.apache.tools.ant.DirectoryScanner;
import org.apache.tools.ant.Project;
import org.apache.tools.ant.types.FileSet;
import org.apache.tools.ant.types.selectors.SelectorUtils;

/** Prints what Ant answers, one JSON object a line: see README.md. The argument is a directory to work in. */
public class AntTable {
    static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

    /** Entries of a tree: "d path", "f path", "l path target", "p path" (FIFO), "s path" (socket), "x path" (directory of mode 0). */
    static final Map<String, String[][]> TREES = new LinkedHashMap<>();
    static {
        TREES.put("plain", new String[][] {
            {"f", "a.txt"}, {"f", "b.TXT"}, {"f", "A.txt2"}, {"f", "x"}, {"f", "x-y"}, {"f", "x.y"}, {"f", "x0"}, {"d", "empty"},
            {"f", "dir/a.txt"}, {"f", "dir/b.log"}, {"f", "dir/sub/a.txt"}, {"f", "dir/sub/deep/er/a.txt"}, {"f", "dir/sub-2/c.txt"},
            {"f", "dir.d/z"}, {"f", "dir0"}, {"f", "build/libs/app.jar"}, {"f", "build/libs/app-sources.jar"}, {"f", "build/tmp/x.class"},
            {"f", ".git/config"}, {"f", ".gitignore"}, {"f", "dir/.git/config"}, {"f", "dir/.svn/entries"}, {"f", "dir/CVS/Root"}, {"f", "CVS"},
            {"f", "back~"}, {"f", "#auto#"}, {"f", ".#lock"}, {"f", "%tmp%"}, {"f", "._mac"}, {"f", "dir/.DS_Store"}, {"f", "vssver.scc"},
            {"f", ".hidden"}, {"f", ".hg/x"}, {"f", ".hgtags"}, {"f", "dir/SCCS/s"}, {"f", ".bzr/x"},
            {"f", "sp ace/a b.txt"}, {"f", " lead"}, {"f", "trail "}, {"f", "com,ma"}, {"f", "new\nline"}, {"f", "tab\there"}, {"f", "back\\slash"},
            {"f", "star*"}, {"f", "quest?"}, {"f", "[br]"}, {"f", "{cu}"}, {"f", "dollar$"}, {"f", "quo'te\""},
            {"f", "ünï/✓.txt"}, {"f", "ünï/Ü.TXT"}, {"f", "emoji😀"}, {"f", "emoji\uFF21"}, {"f", "emoji\uE000"}, {"f", "straße"}, {"f", "STRASSE"}, {"f", "ﬁn"}, {"f", "ıd"},
            {"f", "Case/File.Java"}, {"f", "CASE2/ONE"}, {"f", "case2/two"}, {"f", "n1/n2/n3/n4/n5/n6/leaf.txt"}, {"f", "n1/x/n1/x/n1/leaf.txt"},
        });
        TREES.put("links", new String[][] {
            {"f", "a/one.txt"}, {"f", "a/b/two.txt"}, {"l", "file", "a/one.txt"}, {"l", "dirlink", "a"}, {"l", "dangling", "nowhere"},
            {"l", "self", "self"}, {"l", "a/up", ".."}, {"l", "a/b/dot", "."}, {"d", "empty"}, {"l", "emptylink", "empty"},
            {"l", "etc", "/dev/null"}, {"p", "fifo"}, {"p", "a/fifo.txt"}, {"s", "sock"}, {"f", "c/three.txt"}, {"l", "c/back", "../a/b"},
        });
        TREES.put("twoloops", new String[][] {{"f", "f.txt"}, {"l", "p", "."}, {"f", "d/g.txt"}, {"l", "d/q", "../d"}});
        TREES.put("unreadable", new String[][] {
            {"f", "ok/a.txt"}, {"f", "no/a.txt"}, {"x", "no"}, {"f", "no-1"}, {"f", "no.d/a"}, {"d", "ok/no"}, {"x", "ok/no"}, {"f", "ok/no0"},
        });
    }

    static final String[] INCLUDES = {
        "", ",", " ", ", ,", "**", "*", "**/*", "*.txt", "**/*.txt", "**/a.txt", "a.txt", "dir", "dir/", "dir/**", "dir/*", "dir/*/*", "dir/**/a.txt",
        "**/sub/**", "**/sub", "**/sub/*", "dir\\sub\\a.txt", "dir\\**\\*.txt", "?", "x?y", "x*", "?????", "**/?.txt", "emoji?", "emoji??", "emoji*", "*?", "**/*?*",
        "a.txt, b.TXT", "a.txt,b.TXT , dir/b.log", "a.txt b.TXT", "sp ace/**", "sp ace/a b.txt", " lead", "*lead", "trail*", "com,ma", "com?ma", "new?line", "**/*\n*", "back?slash",
        "A.TXT", "DIR/A.txt", "DIR/**", "**/*.TXT", "case/*", "CASE/FILE.java", "case2/*", "Case2/*", "CASE2/one", "ünï/*", "ÜNÏ/ü.txt", "**/✓*", "STRASSE", "straße", "FIN", "ID", "stra?e", "i?",
        "a.txt/", "a.txt/**", "a.txt/**,*.zip", "a.txt,a.txt/**", "x/**", "./a.txt", "../x", "dir/../a.txt", "dir//a.txt", "dir//*.txt", "dir/./a.txt", "/a.txt", "/**", "**/", "//", "/",
        "build/libs/*.jar", "build/libs/*.jar,build/**/x.class", "build/libs/app.jar,build/libs/app.jar", "dir/**,dir/sub/**", "build/**,dir/*.log,x", "nothing/**", "nothing", "dir0/**", "dir.d/,dir/,dir0",
        "star*", "star?", "[br]", "{cu}", "quest?", "dollar$", "***", "a**", "**a.txt", "**/**", "**/**/**/a.txt", "dir/**/**", "**/n?/**", "n1/**/leaf.txt", "n1/**/n1/**/leaf.txt", "**/x/n1/*", "n1/*/n3/**", "**/n3/**/n6/*",
        ".git/**", "**/.git/**", ".gitignore", "**/CVS", "**/*~", "#auto#", ".*",
        "file", "dirlink", "dirlink/**", "dirlink/b/two.txt", "dirlink/*", "dangling", "dang*", "self", "sel*", "a/**", "a/up/**", "a/up/c/*", "a/b/dot/two.txt", "a/b/dot/**", "**/two.txt", "**/one.txt", "empty", "empty/**", "emptylink/**", "**/fifo*", "fifo", "sock", "soc*", "etc", "et*", "c/back/**", "c/**",
        "p/p/p/f.txt", "p/**/f.txt", "**/f.txt", "**/g.txt", "d/q/q/q/q/q/q/q/g.txt",
        "no", "no/**", "no/a.txt", "no/*", "n*/*", "ok/**", "ok/no/**", "ok/no", "ok/*", "no*", "ok/**,no-1",
    };
    static final String[] EXCLUDES = {"", "**/*.txt", "dir/**", "**/sub/**, **/*.log", "a.txt", "A.TXT", "dir/sub/", "**", "*", "a/b/**", "**/up/**,p/p/p/**,**/q/q/q/**", "  ,", "/**"};

    static File work;

    public static void main(String[] args) throws Exception {
        work = new File(args[0]);
        for (Map.Entry<String, String[][]> tree : TREES.entrySet()) {
            File base = new File(work, tree.getKey());
            build(base, tree.getValue());
            StringBuilder line = new StringBuilder("{\"tree\":").append(quote(tree.getKey())).append(",\"entries\":[");
            String sep = "";
            for (String[] e : tree.getValue()) {
                line.append(sep).append(array(e));
                sep = ",";
            }
            OUT.println(line.append("]}"));
            int n = 0;
            for (String in : INCLUDES) {
                for (String ex : EXCLUDES) {
                    // every pattern with every flag, but excludes only in turn: else the table would be 10 MB
                    if (!ex.isEmpty() && (n++ % 5) != 0) continue;
                    for (int flags = 0; flags < 8; flags++) {
                        if (!ex.isEmpty() && flags != 7 && flags != (n % 8)) continue;
                        scan(tree.getKey(), base, in, ex, (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0);
                    }
                }
                ticks(tree.getKey(), base, in);
            }
        }
        matches();
        OUT.flush();
    }

    static void build(File base, String[][] entries) throws Exception {
        base.mkdirs();
        List<File> locked = new ArrayList<>();
        for (String[] e : entries) {
            File f = new File(base, e[1]);
            if (!e[0].equals("x")) f.getParentFile().mkdirs();
            switch (e[0]) {
                case "d": f.mkdirs(); break;
                case "f": Files.write(f.toPath(), new byte[0]); break;
                case "l": Files.createSymbolicLink(f.toPath(), Path.of(e[2])); break;
                case "p": new ProcessBuilder("mkfifo", f.getPath()).inheritIO().start().waitFor(); break;
                case "s": ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(UnixDomainSocketAddress.of(f.toPath())); break;
                case "x": locked.add(f); break;
                default: throw new IllegalArgumentException(e[0]);
            }
        }
        for (File f : locked) {
            f.setReadable(false);
            f.setExecutable(false);
        }
    }

    /** Splits as hudson.Util.createFileSet: at commas only, trimmed. */
    static FileSet fileSet(File base, String in, String ex) {
        FileSet fs = new FileSet();
        fs.setDir(base);
        fs.setProject(new Project());
        for (String s : in.split(",")) if (!s.isEmpty()) fs.createInclude().setName(s.trim());
        for (String s : ex.split(",")) if (!s.isEmpty()) fs.createExclude().setName(s.trim());
        return fs;
    }

    static void scan(String tree, File base, String in, String ex, boolean defaults, boolean cs, boolean follow) {
        FileSet fs = fileSet(base, in, ex);
        fs.setDefaultexcludes(defaults);
        fs.setCaseSensitive(cs);
        fs.setFollowSymlinks(follow);
        StringBuilder line = new StringBuilder("{\"scan\":").append(array(tree, in, ex)).append(",\"flags\":\"");
        line.append(defaults ? "d" : "").append(cs ? "c" : "").append(follow ? "f" : "").append('"');
        PrintStream err = System.err;
        System.setErr(new PrintStream(PrintStream.nullOutputStream()));
        try {
            DirectoryScanner ds = fs.getDirectoryScanner(new Project());
            line.append(",\"list\":").append(list(ds.getIncludedFiles()));
        } catch (BuildException x) {
            line.append(",\"error\":").append(quote(x.getMessage().replace(work.getAbsolutePath(), "WORK")));
        } finally {
            System.setErr(err);
        }
        OUT.println(line.append('}'));
    }

    /** The number of a list of names, which is printed when it is met first. */
    static int list(String[] names) {
        String text = array(names);
        Integer n = LISTS.get(text);
        if (n == null) {
            LISTS.put(text, n = LISTS.size());
            OUT.println("{\"names\":" + text + "}");
        }
        return n;
    }

    static final Map<String, Integer> LISTS = new LinkedHashMap<>();

    /** How often isCaseSensitive() is asked: that is what the bound of FilePath.validateAntFileMask counts. */
    static void ticks(String tree, File base, String pattern) {
        int[] n = {0};
        DirectoryScanner ds = new DirectoryScanner() {
            @Override public synchronized boolean isCaseSensitive() {
                n[0]++;
                return super.isCaseSensitive();
            }
        };
        ds.setBasedir(base);
        ds.setIncludes(new String[] {pattern});
        PrintStream err = System.err;
        System.setErr(new PrintStream(PrintStream.nullOutputStream()));
        try {
            ds.scan();
        } catch (BuildException x) {
            return;
        } finally {
            System.setErr(err);
        }
        OUT.println("{\"ticks\":" + array(tree, pattern) + ",\"n\":" + n[0]
            + ",\"any\":" + (ds.getIncludedFilesCount() + ds.getIncludedDirsCount() > 0) + "}");
    }

    /** Patterns against paths, at random but always the same: 1 = matches, 3 = also with case, 0 = no. */
    static void matches() {
        Random r = new Random(4711);
        String[] pieces = {"a", "b", "ab", "aB", "abc", "a.b", "é", "É", "😀", "x😀y", "ß", "aaab", "", "A"};
        String[] wild = {"*", "**", "?", "a*", "*b", "a?c", "??", "*?b", "*a*b*", "***", "?é", "x??y", "x?y", "x*y", "*aab", "a**b", "A*", "é*"};
        String[] paths = new String[300];
        for (int i = 0; i < paths.length; i++) paths[i] = random(r, pieces, pieces);
        OUT.println("{\"paths\":" + array(paths) + "}");
        for (int i = 0; i < 1500; i++) {
            String pattern = random(r, pieces, wild);
            StringBuilder bits = new StringBuilder();
            for (String p : paths) bits.append((SelectorUtils.matchPath(pattern, p, false) ? 1 : 0) + (SelectorUtils.matchPath(pattern, p, true) ? 2 : 0));
            OUT.println("{\"pattern\":" + quote(pattern) + ",\"bits\":" + quote(bits.toString()) + "}");
        }
    }

    static String random(Random r, String[] some, String[] others) {
        StringBuilder b = new StringBuilder();
        for (int n = 1 + r.nextInt(5); n > 0; n--) {
            String[] from = r.nextBoolean() ? some : others;
            b.append(from[r.nextInt(from.length)]);
            if (n > 1) b.append('/');
        }
        return b.toString();
    }

    static String array(String... items) {
        return Arrays.stream(items).map(AntTable::quote).collect(java.util.stream.Collectors.joining(",", "[", "]"));
    }

    static String quote(String s) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : s.toCharArray()) {
            if (c == '"' || c == '\\') b.append('\\').append(c);
            else if (c < ' ') b.append(String.format("\\u%04x", (int) c));
            else b.append(c);
        }
        return b.append('"').toString();
    }
}
