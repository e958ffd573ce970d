// Package ant finds files by Apache Ant's patterns, the way the Java agent does for stash, archiveArtifacts,
// fingerprint, findFiles, junit and every other step that takes a file mask.
//
//	"a/**, b/*.txt"  ──split──►  patterns ──►  roots (what stands before the first wildcard)
//	                                            │
//	                              walk ◄────────┘   goes down only where a pattern could still match
//	                               │  file: included? excluded?      (Pattern, in UTF-16 units as Java)
//	                               ▼
//	        Scan → sorted names     Walk → the same names, one by one     DirScanner → Visitor (archives)
//
// The reference is org.apache.tools.ant.DirectoryScanner of Ant 1.10.15, which Jenkins 2.541 bundles, with the
// set-up of hudson.Util.createFileSet; the table in testdata is what that very jar answered. Peculiarities that are
// kept on purpose:
//
//   - whatever cannot be listed counts as a file: broken links, FIFOs, sockets, and directories without read
//     permission (but see Scanner.Walk for the directories named by a pattern);
//   - a pattern without wildcards names a regular file exactly: "./a", "a//b" and "../a" match nothing;
//   - "a.txt/" means "a.txt/**", which matches the file a.txt only if another pattern causes its directory to be read;
//   - a link to a directory above itself is followed five times, not for ever;
//   - results are in the order of Java's String.compareTo.
//
// Different on purpose: a directory that vanishes during the walk is left out (Java may call it a file), and file
// names that are not valid UTF-8 keep their bytes.
//
// All functions may be called concurrently; nothing is shared between calls.
package ant
