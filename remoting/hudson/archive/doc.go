// Package archive writes and reads the archives that pass between Jenkins and its agents: stash and unstash, artifacts,
// workspace downloads, tool installers.
//
//	DirScanner ──Visit──► TarWriter ──blocks──► gzip (second goroutine) ──► pipe to the controller
//	           ──Visit──► ZipWriter ──────────────────────────────────────► …
//
//	pipe from the controller ──► gunzip (second goroutine) ──blocks──► ReadTar ──► tree ──► os.Root of the target
//	temporary file ──────────────────────────────────────────────────► ReadZip ──► tree
//
// Uncompressed tar is byte for byte what hudson.util.io.TarArchiver writes with Ant 1.10.15 (org.apache.tools.tar): POSIX
// headers, owner 0, GNU long names and links, base-256 numbers, blocks of 10 240 bytes; only links carry the time of
// writing. Compressed data differs from Java's, at half a per cent to four per cent more bytes and three times the speed.
//
// Reading follows FilePath.readFromTar and FilePath.unzip, with their texts. It never writes outside the target: names
// that leave it, and files behind links that do, are refused, and every step goes through os.Root, so that a link that appears
// meanwhile does not matter either. A link itself may point anywhere, as in Java (virtual environments need that).
//
// Better than Java, on purpose:
//
//   - a FIFO or a device becomes an empty file in the archive; Java waits for ever for somebody to write into it;
//   - hard links in a tar are links (Java: empty files), sparse files have their holes as zeros (Java: nonsense), and
//     the comment of "git archive" does not become a file called pax_global_header;
//   - archives that unpack to more than Limits are refused.
//
// Memory: a fixed set of buffers for each archive, about 2 MB, plus the central directory for zip. Writers and readers
// belong to one goroutine; different ones are independent.
package archive
