package hudson

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/hudson/archive"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerUtility adds what the plugin pipeline-utility-steps sends. The other
// steps of the plugin (findFiles, readJSON, …) use callables of FilePath.
//
//	zip, tar      directory ─▶ ZipItFileCallable, TarItFileCallable ─▶ field destination
//	unzip, untar  file ─▶ UnZipFileCallable, UnTarFileCallable ─▶ files below destination, or a map
//	              with test: true only a verdict
func registerUtility(t *callable.Table, a *Agent) {
	const (
		plugin = "org.jenkinsci.plugins.pipeline.utility.steps."
		source = "pipeline-utility-steps"
	)
	register := func(class, since string, run callable.Func, accepts func(*callable.Call) error, fs ...string) {
		t.Register(callable.Entry{Class: plugin + class, Source: source + since, Run: run, Accepts: accepts,
			Fields: append(fs, "destination", "allowExtractionOutsideDestination")})
	}
	register("zip.ZipStepExecution$ZipItFileCallable", "", packTree, nil, "glob", "exclude", "overwrite", "defaultExcludes")
	register("tar.TarStepExecution$TarItFileCallable", " 2.11.0", packTree, nil, "glob", "exclude", "overwrite", "defaultExcludes", "compress")
	register("zip.UnZipStepExecution$UnZipFileCallable", "", a.unzipStep, knownListener, "listener", "glob", "read", "quiet", "charset")
	register("zip.UnZipStepExecution$TestZipFileCallable", "", testZip, knownListener, "listener")
	register("tar.UnTarStepExecution$UnTarFileCallable", " 2.11.0", a.untarStep, knownListener, "listener", "glob", "quiet", "keepPermissions")
	register("tar.UnTarStepExecution$TestTarFileCallable", " 2.11.0", testTar, knownListener, "listener")
	register("fs.ComputeHashCallable", " 2.9.0", computeHash, nil, "hashAlgorithm")
	register("fs.FileSha1Step$ExecutionImpl$ComputeSha1", " 1.5 to 2.8", computeHash, nil)
	register("fs.TeeStep$CreateRemoteStreamCallable", " 2.17.0", appendStream, nil)
	register("fs.TeeStep$1", " 2.0 to 2.16", appendStream, nil) // the only anonymous class of the step
}

// knownListener refuses a callable whose field listener would print in a way
// that we don't know.
func knownListener(c *callable.Call) error {
	_, err := parseListener(c.Object.Get("listener"))
	return err
}

// packTree is ZipItFileCallable.invoke and TarItFileCallable.invoke.
func packTree(ctx context.Context, c *callable.Call) (jser.Value, error) {
	dest := archiveFile(c, "destination")
	if _, err := os.Stat(dest); err == nil && c.Object.Bool("overwrite") {
		if err := os.Remove(dest); err != nil {
			return nil, err
		}
	}
	out, err := create(dest)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	scanner := ant.New(c.Object.Str("glob"), c.Object.Str("exclude"))
	if d, ok := c.Object.Field("defaultExcludes"); ok {
		scanner.DefaultExcludes = d == true
	}
	names, err := scanner.ScanContext(ctx, c.Path)
	if err != nil {
		return nil, archiveError(err)
	}
	var w archive.Archiver
	if gz, tar := c.Object.Field("compress"); tar {
		w = archive.NewTarWriter(out, archive.TarOptions{Gzip: gz == true})
	} else {
		w = archive.NewZipWriter(out, archive.ZipOptions{})
	}
	self, err := out.Stat()
	if err != nil {
		return nil, err
	}
	n, err := archive.WriteTree(w, func(w archive.Archiver) error {
		for _, rel := range names {
			if err := ctx.Err(); err != nil {
				return context.Cause(ctx)
			}
			path := canonicalFile(filepath.Join(c.Path, rel))
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			if os.SameFile(fi, self) {
				continue // the archive itself
			}
			if err := w.Visit(path, rel); err != nil {
				return err
			}
		}
		return nil
	})
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, archiveError(err)
	}
	return jser.Integer(int32(n)), nil
}

// canonicalFile is java.io.File.getCanonicalPath: links are resolved as far as
// the path exists.
func canonicalFile(path string) string {
	path, rest := filepath.Clean(path), ""
	for at := path; ; {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		if target, err := os.Readlink(at); err == nil { // a link to nothing
			if !filepath.IsAbs(target) {
				target = filepath.Join(filepath.Dir(at), target)
			}
			return filepath.Join(target, rest)
		}
		up := filepath.Dir(at)
		if up == at {
			return path
		}
		rest = filepath.Join(filepath.Base(at), rest)
		at = up
	}
}

// bounds finds the place of an entry below the destination.
type bounds struct {
	dir   string // FilePath.remote
	real  string // canonical
	loose bool   // allowExtractionOutsideDestination
}

func boundsOf(c *callable.Call) *bounds {
	dir := archiveFile(c, "destination")
	return &bounds{dir: dir, real: canonicalFile(dir), loose: c.Object.Bool("allowExtractionOutsideDestination")}
}

// child is FilePath.child and AbstractFileCallable.isDescendantOfDestination.
func (b *bounds) child(name string) (path string, inside bool) {
	if strings.HasPrefix(name, "/") {
		path = filepath.Clean(name)
	} else {
		path = filepath.Join(b.dir, name)
	}
	if strings.ContainsRune(name, 0) {
		return path, false
	}
	rel, err := filepath.Rel(b.real, canonicalFile(path))
	return path, b.loose || err == nil && filepath.IsLocal(rel)
}

// outOfBounds is the exception for an entry that leaves the destination.
func outOfBounds(path string) error {
	return remoting.Errorf(remoting.FileNotFoundClass, "%s is out of bounds!", path)
}

// stepLog prints for a step; as with a PrintStream errors are swallowed.
type stepLog struct{ w *listenerWriter }

func newStepLog(ctx context.Context, c *callable.Call) (*stepLog, error) {
	w, err := openListener(ctx, c)
	return &stepLog{w}, err
}

func (s *stepLog) printf(format string, args ...any) { _ = s.w.println(fmt.Sprintf(format, args...)) }
func (s *stepLog) close()                            { _ = s.w.finish() }

// globbed reports whether an entry is wanted.
func globbed(c *callable.Call, name string) bool {
	glob := c.Object.Str("glob")
	return strings.TrimSpace(glob) == "" || ant.Match(glob, strings.TrimSuffix(name, "/"), true)
}

// allowance bounds what an archive unpacks to.
type allowance struct{ entries, bytes, maxEntries, maxBytes int64 }

func (a *Agent) allowance() *allowance {
	// The defaults are those of package archive.
	out := &allowance{entries: 10e6, bytes: 1 << 40}
	for _, l := range []struct {
		set  int64
		left *int64
	}{{a.ArchiveLimits.Entries, &out.entries}, {a.ArchiveLimits.Bytes, &out.bytes}} {
		switch {
		case l.set > 0:
			*l.left = l.set
		case l.set < 0:
			*l.left = 1 << 62
		}
	}
	out.maxEntries, out.maxBytes = out.entries, out.bytes
	return out
}

func (l *allowance) entry() error {
	if l.entries--; l.entries < 0 {
		return &archive.LimitError{What: "entries", Limit: l.maxEntries}
	}
	return nil
}

// copy copies an entry.
func (l *allowance) copy(ctx context.Context, w io.Writer, r io.Reader) error {
	n, err := io.CopyBuffer(onlyWriter{w}, io.LimitReader(contextReader{ctx, r}, l.bytes+1), make([]byte, copyBuffer))
	if l.bytes -= n; l.bytes < 0 {
		return &archive.LimitError{What: "bytes unpacked", Limit: l.maxBytes}
	}
	return err
}

// contextReader ends reading with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// digests are the algorithms of java.security.MessageDigest in every JDK.
var digests = map[string]func() hash.Hash{
	"MD5": md5.New, "SHA": sha1.New, "SHA1": sha1.New, "SHA-1": sha1.New,
	"SHA-224": sha256.New224, "SHA-256": sha256.New, "SHA-384": sha512.New384, "SHA-512": sha512.New,
	"SHA-512/224": sha512.New512_224, "SHA-512/256": sha512.New512_256,
	"SHA3-224": func() hash.Hash { return sha3.New224() }, "SHA3-256": func() hash.Hash { return sha3.New256() },
	"SHA3-384": func() hash.Hash { return sha3.New384() }, "SHA3-512": func() hash.Hash { return sha3.New512() },
}

// computeHash answers null for what is no file.
func computeHash(ctx context.Context, c *callable.Call) (jser.Value, error) {
	if fi, err := os.Stat(c.Path); err != nil || !fi.Mode().IsRegular() {
		return nil, nil
	}
	name := "SHA1"
	if n, ok := c.Object.Field("hashAlgorithm"); ok {
		name, _ = n.(string)
	}
	digest := digests[strings.ToUpper(name)]
	if digest == nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "%s MessageDigest not available", name)
	}
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, fileNotFound(c.Path, err)
	}
	defer f.Close()
	h := digest()
	if _, err := io.CopyBuffer(onlyWriter{h}, contextReader{ctx, f}, make([]byte, copyBuffer)); err != nil {
		return nil, err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// appendStream gives the controller a stream to the end of a file (the step tee).
func appendStream(_ context.Context, c *callable.Call) (jser.Value, error) {
	dir := filepath.Dir(c.Path)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "Failed to create directory %s", dir)
	}
	f, err := os.OpenFile(c.Path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	return remoting.OutputStream(c.Channel.ExportWriter(f)), nil
}
