package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Archiver is what WriteTree fills: a TarWriter or a ZipWriter. It is also an ant.Visitor.
type Archiver interface {
	// Visit adds a file or directory, links followed: what is at path, under the name rel.
	Visit(path, rel string) error
	// VisitSymlink adds a link with the given target.
	VisitSymlink(path, target, rel string) error
	// UnderstandsSymlink tells a scanner whether VisitSymlink is wanted for links.
	UnderstandsSymlink() bool
	// Count is the number of entries so far.
	Count() int
	// Close ends the archive; the stream below stays open. It must be called after errors too.
	Close() error
}

// WriteTree runs a scan that feeds a and closes a, like the try block of hudson.FilePath$Archive. The result is the
// number of entries. After an error the archive's end may be missing.
func WriteTree(a Archiver, scan func(a Archiver) error) (int, error) {
	err := scan(a)
	if closed := a.Close(); err == nil {
		err = closed
	}
	return a.Count(), err
}

// TarWriter writes tar as hudson.util.io.TarArchiver does.
type TarWriter struct {
	out      *bufio.Writer
	below    io.Closer // compression, if any
	written  int64     // bytes of tar
	buf      []byte
	rec      [recordSize]byte
	count    int
	unclosed bool
	closed   bool
	now      func() time.Time
}

// TarOptions are the settings of a TarWriter.
type TarOptions struct {
	Gzip bool // TarCompression.GZIP
}

const bufferSize = 128 << 10

// NewTarWriter returns a writer to w. With Gzip a second goroutine compresses and writes to w; it ends with Close.
func NewTarWriter(w io.Writer, opts TarOptions) *TarWriter {
	t := &TarWriter{buf: make([]byte, bufferSize), now: time.Now}
	if opts.Gzip {
		z := newCompressor(w)
		w, t.below = z, z
	}
	t.out = bufio.NewWriterSize(w, bufferSize)
	return t
}

// UnderstandsSymlink is true: links are archived as links.
func (t *TarWriter) UnderstandsSymlink() bool { return true }

// Count returns the number of entries written.
func (t *TarWriter) Count() int { return t.count }

// Visit adds a file or directory.
//
// A file that has grown since it was looked at is cut at its old size; one that has shrunk, or cannot be read, is a
// *Failure with Java's text, one that is gone an *fs.PathError. After a failure in the middle of a file nothing more
// can be written.
func (t *TarWriter) Visit(path, rel string) error {
	src, err := openSource(path, false)
	if err != nil {
		return err
	}
	defer src.Close()
	return t.add(src, path, rel)
}

func (t *TarWriter) add(src *source, path, rel string) error {
	h := tarHeader{
		name:  rel,
		mode:  int64(src.info.Mode().Perm()),
		mtime: src.info.ModTime().UnixMilli() / 1000,
		flag:  flagFile,
	}
	if src.info.IsDir() {
		h.name += "/"
		h.flag = flagDir
		return t.entry(h)
	}
	h.size = src.size()
	if err := t.header(h); err != nil {
		return err
	}
	t.unclosed = true
	n, err := t.copy(src, h.size)
	if errors.As(err, new(writeError)) {
		return &Failure{ClassIO, "Error writing to tar file from: " + path, err}
	}
	if n < h.size {
		return &Failure{ClassIO, fmt.Sprintf("entry '%s' closed at '%d' before the '%d' bytes specified in the header were written",
			strings.TrimLeft(h.name, "/"), n, h.size), err}
	}
	t.unclosed = false
	if err := t.pad(recordSize); err != nil {
		return err
	}
	if src.failed != nil {
		return src.failed // nothing to read, but Java would have tried to open it
	}
	t.count++
	return nil
}

// writeError marks errors of the stream below.
type writeError struct{ error }

func (w writeError) Unwrap() error { return w.error }

// copy writes size bytes of a file, or as many as there are.
func (t *TarWriter) copy(src *source, size int64) (n int64, err error) {
	if src.failed != nil && size > 0 {
		return 0, src.failed
	}
	for n < size {
		k, err := src.Read(t.buf[:min(size-n, int64(len(t.buf)))])
		if _, werr := t.write(t.buf[:k]); werr != nil {
			return n, writeError{werr}
		}
		n += int64(k)
		if err == io.EOF {
			return n, nil
		} else if err != nil {
			return n, err
		}
	}
	return n, nil
}

// VisitSymlink adds a link. Its permissions are those of what it points to, its time is now.
func (t *TarWriter) VisitSymlink(path, target, rel string) error {
	h := tarHeader{name: rel, mode: defaultFileMode, mtime: t.now().Unix(), flag: flagSymlink, link: target}
	if info, err := os.Stat(path); err == nil {
		h.mode = int64(info.Mode().Perm())
	}
	return t.entry(h)
}

// entry writes an entry without data.
func (t *TarWriter) entry(h tarHeader) error {
	if err := t.header(h); err != nil {
		return err
	}
	t.count++
	return nil
}

// header writes the record of an entry, and before it what does not fit: a long name, then a long link.
func (t *TarWriter) header(h tarHeader) error {
	if t.closed || t.unclosed {
		return failure("Stream has already been finished")
	}
	h.name = strings.TrimLeft(h.name, "/")
	if err := t.long(h.name, flagLongName, h.mtime); err != nil {
		return err
	}
	if err := t.long(h.link, flagLongLink, h.mtime); err != nil {
		return err
	}
	h.put(&t.rec)
	_, err := t.write(t.rec[:])
	return err
}

func (t *TarWriter) long(name string, flag byte, mtime int64) error {
	if len(name) < nameLen {
		return nil
	}
	if mtime < 0 || mtime > 0o77777777777 {
		mtime = 0
	}
	h := tarHeader{name: longLink, mode: defaultFileMode, size: int64(len(name)) + 1, mtime: mtime, flag: flag}
	h.put(&t.rec)
	if _, err := t.write(t.rec[:]); err != nil {
		return err
	}
	if _, err := t.write(append([]byte(name), 0)); err != nil {
		return err
	}
	return t.pad(recordSize)
}

func (t *TarWriter) write(p []byte) (int, error) {
	n, err := t.out.Write(p)
	t.written += int64(n)
	return n, err
}

// zeros is a block of padding.
var zeros [blockSize]byte

// pad fills up to a multiple of size.
func (t *TarWriter) pad(size int64) error {
	if rest := t.written % size; rest != 0 {
		_, err := t.write(zeros[:size-rest])
		return err
	}
	return nil
}

// Close writes the end of the archive: two empty records, filled up to a whole block. If a file was left unfinished
// nothing is written, as in Java, where the controller then does not see the end of the stream.
func (t *TarWriter) Close() error {
	if t.closed {
		return nil
	}
	t.closed = true
	if t.unclosed {
		if z, ok := t.below.(*compressor); ok {
			z.abort()
		}
		return failure("This archives contains unclosed entries.")
	}
	_, err := t.write(zeros[:2*recordSize])
	if err == nil {
		err = t.pad(blockSize)
	}
	if err == nil {
		err = t.out.Flush()
	}
	if t.below != nil {
		if closed := t.below.Close(); err == nil {
			err = closed
		}
	}
	return err
}

// source is a file to be archived. Exactly one of file and failed is set for files.
type source struct {
	info   fs.FileInfo
	file   *os.File
	failed error // why it could not be opened, although it is there
}

// openSource opens what is at path, without waiting for FIFOs, and looks at it. The error is an *fs.PathError.
func openSource(path string, noFollow bool) (*source, error) {
	f, err := openNonblock(path, noFollow)
	if err != nil {
		info, serr := os.Stat(path)
		if serr != nil {
			var pe *fs.PathError
			if errors.As(serr, &pe) {
				pe.Op = "open"
			}
			return nil, serr
		}
		return &source{info: info, failed: err}, nil
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &source{info: info, file: f}, nil
}

// size is the number of bytes to expect: none for a FIFO or device.
func (s *source) size() int64 {
	if s.info.Mode().IsRegular() {
		return s.info.Size()
	}
	return 0
}

func (s *source) Read(p []byte) (int, error) {
	if s.file == nil || !s.info.Mode().IsRegular() {
		return 0, io.EOF
	}
	return s.file.Read(p)
}

func (s *source) Close() {
	if s.file != nil {
		s.file.Close()
	}
}
