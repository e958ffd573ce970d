import java.io.File;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Enumeration;
import java.util.List;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.GZIPOutputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveEntry;
import org.apache.commons.compress.archivers.tar.TarArchiveInputStream;
import org.apache.commons.compress.archivers.tar.TarArchiveOutputStream;
import org.apache.commons.compress.archivers.tar.TarConstants;
import org.apache.commons.compress.archivers.zip.ZipArchiveEntry;
import org.apache.commons.compress.archivers.zip.ZipArchiveOutputStream;
import org.apache.commons.compress.archivers.zip.ZipFile;
import org.apache.tools.tar.TarEntry;
import org.apache.tools.tar.TarInputStream;
import org.apache.tools.tar.TarOutputStream;
import org.apache.tools.zip.ZipEntry;
import org.apache.tools.zip.ZipOutputStream;

/** Archives for the tests of remoting/hudson/archive: see README.md. */
public class ArchiveTable {
    static final String LONG = "n".repeat(60);
    static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    /** The tree: name, permissions, seconds, then the text of a file, "/" for a directory, or "-> target". */
    static final String[][] TREE = {
        {"a.txt", "644", "1000000000", "one\n"}, {"run.sh", "755", "1700000000", "#!/bin/sh\n"}, {"secret", "600", "1", ""},
        {"ro", "444", "2000000001", "r"}, {"old", "644", "-5", "before 1970"}, {"dir", "750", "1234567890", "/"},
        {"dir/512", "644", "1000000000", "x".repeat(512)}, {"dir/513", "640", "1000000000", "y".repeat(513)},
        {"dir/" + "m".repeat(95), "644", "1000000000", "99"}, {"dir/" + "m".repeat(96), "644", "1000000000", "100"}, {"dir/" + "m".repeat(97), "644", "1000000000", "101"},
        {LONG, "755", "1000000000", "/"}, {LONG + "/" + LONG, "755", "1000000000", "/"}, {LONG + "/" + LONG + "/" + LONG + "/f", "644", "1000000000", "deep"},
        {"u/" + "ü".repeat(60), "644", "1000000000", "cut between bytes"}, {"u/" + "e".repeat(95) + "😀tail", "644", "1000000000", "cut in a pair"},
        {"sp ace/new\nline", "644", "1000000000", "odd"}, {"✓", "644", "1000000000", "check"},
        {"link", "", "", "-> a.txt"}, {"broken", "", "", "-> " + "t".repeat(120)}, {"dirlink", "", "", "-> dir"}, {LONG + "/" + "k".repeat(50), "", "", "-> ../a.txt"},
    };

    public static void main(String[] args) throws Exception {
        if (args[0].equals("list")) {
            for (int i = 1; i < args.length; i++) list(args[i]);
            return;
        }
        File dir = new File(args[1]);
        dir.mkdirs();
        File tree = new File(dir, "tree");
        for (String[] e : TREE) {
            Path p = tree.toPath().resolve(e[0]);
            Files.createDirectories(p.getParent());
            if (e[3].startsWith("-> ")) Files.createSymbolicLink(p, Path.of(e[3].substring(3)));
            else if (e[3].equals("/")) Files.createDirectories(p);
            else Files.writeString(p, e[3]);
        }
        for (String[] e : TREE) {
            if (e[1].isEmpty()) continue;
            Path p = tree.toPath().resolve(e[0]);
            Files.setPosixFilePermissions(p, permissions(e[1]));
        }
        for (int i = TREE.length - 1; i >= 0; i--) {
            if (!TREE[i][1].isEmpty()) Files.setLastModifiedTime(tree.toPath().resolve(TREE[i][0]), FileTime.fromMillis(Long.parseLong(TREE[i][2]) * 1000));
        }
        try (PrintStream tsv = new PrintStream(new File(dir, "tree.jsonl"), StandardCharsets.UTF_8)) {
            for (String[] e : TREE) tsv.println("[" + quote(e[0]) + "," + quote(e[1]) + "," + quote(e[2]) + "," + quote(e[3]) + "]");
        }
        headers(new File(dir, "headers.jsonl"));
        antTar(tree, new File(dir, "ant.tar.gz"));
        antZip(tree, new File(dir, "ant.zip"));
        commonsTar(new File(dir, "commons.tar.gz"));
        commonsZip(new File(dir, "commons.zip"));
    }

    static java.util.Set<PosixFilePermission> permissions(String octal) {
        StringBuilder b = new StringBuilder();
        for (char c : octal.toCharArray()) for (int bit = 2; bit >= 0; bit--) b.append((c - '0' >> bit & 1) == 1 ? "xwr".charAt(bit) : '-');
        return PosixFilePermissions.fromString(b.toString());
    }

    /** Single records with extreme numbers. */
    static void headers(File out) throws Exception {
        long[][] numbers = {{0644, 0, 0}, {0777, 077777777777L, 077777777777L}, {0, 1L << 33, -1}, {07777777, 1L << 40, Long.MIN_VALUE / 1000}, {1, Long.MAX_VALUE, 1L << 34}};
        try (PrintStream o = new PrintStream(out, StandardCharsets.UTF_8)) {
            for (long[] n : numbers) {
                TarEntry e = new TarEntry("name", TarConstants.LF_NORMAL);
                e.setMode((int) n[0]);
                e.setSize(n[1]);
                e.setModTime(n[2] * 1000);
                java.io.ByteArrayOutputStream bytes = new java.io.ByteArrayOutputStream();
                TarOutputStream tar = new TarOutputStream(bytes, 512, "UTF-8"); // blocks of one record
                tar.setBigNumberMode(TarOutputStream.BIGNUMBER_STAR);
                tar.putNextEntry(e);
                if (n[1] > 0) tar.write(new byte[512]); // the record goes out with the next one
                else tar.closeEntry();
                if (n[1] == 0) tar.close();
                byte[] record = java.util.Arrays.copyOf(bytes.toByteArray(), 512);
                StringBuilder hex = new StringBuilder();
                for (byte b : record) hex.append(String.format("%02x", b));
                o.println("{\"mode\":" + n[0] + ",\"size\":" + n[1] + ",\"mtime\":" + e.getModTime().getTime() / 1000 + ",\"hex\":\"" + hex + "\"}");
            }
        }
    }

    /** With the settings of Jenkins: star numbers, GNU long names. Links get the time 1e9 instead of now. */
    static void antTar(File tree, File out) throws Exception {
        try (OutputStream o = new GZIPOutputStream(Files.newOutputStream(out.toPath()))) {
            TarOutputStream tar = new TarOutputStream(o, "UTF-8");
            tar.setBigNumberMode(TarOutputStream.BIGNUMBER_STAR);
            tar.setLongFileMode(TarOutputStream.LONGFILE_GNU);
            for (String[] e : TREE) {
                File f = new File(tree, e[0]);
                TarEntry te;
                if (e[3].startsWith("-> ")) {
                    te = new TarEntry(e[0], TarConstants.LF_SYMLINK);
                    if (f.exists()) te.setMode(mode(f));
                    te.setLinkName(e[3].substring(3));
                    te.setModTime(1000000000000L);
                    tar.putNextEntry(te);
                } else if (f.isDirectory()) {
                    te = new TarEntry(e[0] + "/");
                    te.setMode(mode(f));
                    te.setModTime(Files.getLastModifiedTime(f.toPath()).toMillis());
                    tar.putNextEntry(te);
                } else {
                    te = new TarEntry(e[0]);
                    te.setMode(mode(f));
                    te.setModTime(Files.getLastModifiedTime(f.toPath()).toMillis());
                    te.setSize(f.length());
                    tar.putNextEntry(te);
                    tar.write(Files.readAllBytes(f.toPath()));
                }
                tar.closeEntry();
            }
            tar.close();
        }
    }

    static void antZip(File tree, File out) throws Exception {
        try (OutputStream o = Files.newOutputStream(out.toPath())) {
            ZipOutputStream zip = new ZipOutputStream(o);
            zip.setEncoding("UTF-8");
            for (String[] e : TREE) {
                File f = new File(tree, e[0]);
                if (!f.exists()) continue;
                ZipEntry ze = new ZipEntry("pre/" + e[0] + (f.isDirectory() ? "/" : ""));
                if (f.isDirectory()) ze.setExternalAttributes(1 << 4);
                ze.setUnixMode(mode(f));
                ze.setTime(Files.getLastModifiedTime(f.toPath()).toMillis());
                zip.putNextEntry(ze);
                if (f.isFile()) zip.write(Files.readAllBytes(f.toPath()));
                zip.closeEntry();
            }
            zip.close();
        }
    }

    static int mode(File f) throws Exception {
        int m = 0;
        for (PosixFilePermission p : Files.getPosixFilePermissions(f.toPath())) m |= 1 << (8 - p.ordinal());
        return m;
    }

    /** What others may send: pax headers, hard links, a FIFO, long names of both kinds. */
    static void commonsTar(File out) throws Exception {
        try (TarArchiveOutputStream tar = new TarArchiveOutputStream(new GZIPOutputStream(Files.newOutputStream(out.toPath())), "UTF-8")) {
            tar.setBigNumberMode(TarArchiveOutputStream.BIGNUMBER_POSIX);
            tar.setAddPaxHeadersForNonAsciiNames(true);
            for (int mode : new int[] {TarArchiveOutputStream.LONGFILE_POSIX, TarArchiveOutputStream.LONGFILE_GNU}) {
                tar.setLongFileMode(mode);
                String top = mode == TarArchiveOutputStream.LONGFILE_POSIX ? "pax/" : "gnu/";
                put(tar, new TarArchiveEntry(top), "");
                put(tar, new TarArchiveEntry(top + LONG + "/" + LONG + "/ü✓😀"), "long");
                TarArchiveEntry e = new TarArchiveEntry(top + "hard", TarConstants.LF_LINK);
                e.setLinkName(top + LONG + "/" + LONG + "/ü✓😀");
                put(tar, e, "");
                e = new TarArchiveEntry(top + "sym", TarConstants.LF_SYMLINK);
                e.setLinkName("/" + "z".repeat(200));
                put(tar, e, "");
                put(tar, new TarArchiveEntry(top + "fifo", TarConstants.LF_FIFO), "");
                e = new TarArchiveEntry(top + "owned");
                e.setIds(3000000, 4000000);
                e.setMode(04755);
                put(tar, e, "setuid is dropped");
                put(tar, new TarArchiveEntry("/abs/" + top + "x", true), "absolute");
            }
        }
    }

    static void put(TarArchiveOutputStream tar, TarArchiveEntry e, String text) throws Exception {
        byte[] data = text.getBytes(StandardCharsets.UTF_8);
        e.setSize(data.length);
        e.setModTime(1000000000000L);
        tar.putArchiveEntry(e);
        tar.write(data);
        tar.closeArchiveEntry();
    }

    static void commonsZip(File out) throws Exception {
        try (ZipArchiveOutputStream zip = new ZipArchiveOutputStream(out)) {
            zip.setEncoding("CP437");
            zip.setUseLanguageEncodingFlag(false);
            zip.setCreateUnicodeExtraFields(ZipArchiveOutputStream.UnicodeExtraFieldPolicy.ALWAYS);
            put(zip, "dir/", 040700, "", true);
            put(zip, "dir/ü.txt", 0100640, "unicode extra field", true);
            put(zip, "link", 0120777, "dir/ü.txt", true);
            put(zip, "nomode", 0, "no mode", true);
            put(zip, "/abs", 0100600, "absolute", true);
            put(zip, "stored", 0100755, "stored", false);
        }
    }

    static void put(ZipArchiveOutputStream zip, String name, int mode, String text, boolean deflate) throws Exception {
        byte[] data = text.getBytes(StandardCharsets.UTF_8);
        ZipArchiveEntry e = new ZipArchiveEntry(name);
        if (mode != 0) e.setUnixMode(mode);
        e.setLastModifiedTime(FileTime.fromMillis(1000000001000L)); // odd: kept only by the extra field
        e.setTime(FileTime.fromMillis(1000000001000L));
        if (!deflate) {
            CRC32 crc = new CRC32();
            crc.update(data);
            e.setMethod(ZipArchiveEntry.STORED);
            e.setSize(data.length);
            e.setCrc(crc.getValue());
        }
        zip.putArchiveEntry(e);
        zip.write(data);
        zip.closeArchiveEntry();
    }

    static void list(String file) throws Exception {
        OUT.println("== " + new File(file).getName());
        if (file.endsWith(".zip")) {
            try (ZipFile z = ZipFile.builder().setFile(file).get()) {
                for (ZipArchiveEntry e : Collections.list(z.getEntries()))
                    OUT.printf("commons %s %o %d %d crc=%08x%n", quote(e.getName()), e.getUnixMode(), e.getTime() / 1000, z.getInputStream(e).readAllBytes().length, e.getCrc());
            }
            try (org.apache.tools.zip.ZipFile z = new org.apache.tools.zip.ZipFile(new File(file))) {
                for (Enumeration<ZipEntry> all = z.getEntries(); all.hasMoreElements();) {
                    ZipEntry e = all.nextElement();
                    OUT.printf("ant %s %o %d %d crc=%08x%n", quote(e.getName()), e.getUnixMode(), e.getTime() / 1000, z.getInputStream(e).readAllBytes().length, e.getCrc());
                }
            }
            return;
        }
        try (TarArchiveInputStream t = new TarArchiveInputStream(in(file), "UTF-8")) {
            for (TarArchiveEntry e; (e = t.getNextEntry()) != null;)
                OUT.printf("commons %c %s %o %d %s %s%n", e.getLinkFlag(), quote(e.getName()), e.getMode(), e.getModTime().getTime() / 1000, quote(e.getLinkName()), crc(t));
        }
        try (TarInputStream t = new TarInputStream(in(file), "UTF-8")) {
            for (TarEntry e; (e = t.getNextEntry()) != null;)
                OUT.printf("ant %c %s %o %d %s %s%n", e.getLinkFlag(), quote(e.getName()), e.getMode(), e.getModTime().getTime() / 1000, quote(e.getLinkName()), crc(t));
        }
    }

    static InputStream in(String file) throws Exception {
        InputStream in = Files.newInputStream(Path.of(file));
        return file.endsWith("gz") ? new java.util.zip.GZIPInputStream(in) : in;
    }

    static String crc(InputStream in) throws Exception {
        byte[] all = in.readAllBytes();
        CRC32 crc = new CRC32();
        crc.update(all);
        return all.length + " " + Long.toHexString(crc.getValue());
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
