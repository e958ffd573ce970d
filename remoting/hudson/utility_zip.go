package hudson

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/archive"
	"github.com/footman-ci/footman/remoting/jser"
)

// maxZipText bounds what unzip with read: true may return, in bytes.
const maxZipText = 256 << 20

// maxZipDirectory bounds the central directory, which is held in memory.
const maxZipDirectory = 256 << 20

// zipEnd is the signature of the end of a zip.
var zipEnd = []byte("PK\x05\x06")

// openZip is the constructor of java.util.zip.ZipFile, with its complaints.
// names are decoded with the charset.
func openZip(path, charset string) (z *zip.Reader, names []string, done func() error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, nil, err
	}
	if fi.Size() == 0 {
		return nil, nil, nil, remoting.Errorf(remoting.ZipExceptionClass, "zip file is empty")
	}
	limited := &cappedReaderAt{r: f, left: maxZipDirectory}
	if z, err = zip.NewReader(limited, fi.Size()); err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		if limited.left < 0 {
			return nil, nil, nil, &archive.LimitError{What: "bytes of directory", Limit: maxZipDirectory}
		}
		return nil, nil, nil, remoting.Errorf(remoting.ZipExceptionClass, "%s", notZip(f, fi.Size()))
	}
	limited.left = 1 << 62
	names = make([]string, len(z.File))
	for i, e := range z.File {
		switch {
		case e.Flags&1 != 0:
			return nil, nil, nil, remoting.Errorf(remoting.ZipExceptionClass, "invalid CEN header (encrypted entry)")
		case e.Method != zip.Store && e.Method != zip.Deflate:
			return nil, nil, nil, remoting.Errorf(remoting.ZipExceptionClass, "invalid CEN header (bad compression method: %d)", e.Method)
		}
		names[i] = e.Name
		if e.NonUTF8 {
			if names[i], err = decodeText([]byte(e.Name), charset); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	return z, names, f.Close, nil
}

// notZip words why a file is no zip.
func notZip(f io.ReaderAt, size int64) string {
	tail := make([]byte, min(size, 22+0xffff))
	if n, err := f.ReadAt(tail, size-int64(len(tail))); (err == nil || err == io.EOF) && bytes.Contains(tail[:n], zipEnd) {
		return "invalid CEN header (bad signature)"
	}
	return "zip END header not found"
}

// cappedReaderAt fails after a number of bytes.
type cappedReaderAt struct {
	r    io.ReaderAt
	left int64
}

func (c *cappedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if c.left -= int64(len(p)); c.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return c.r.ReadAt(p, off)
}

// zipData words the errors of an entry's data as java.util.zip does. It does
// not look at checksums when it unpacks.
func zipData(err error) error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(err, zip.ErrChecksum):
		return nil
	case errors.As(err, &corrupt):
		return remoting.Errorf(remoting.ZipExceptionClass, "invalid deflated data at offset %d", int64(corrupt))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return remoting.Errorf(remoting.EOFClass, "Unexpected end of ZLIB input stream")
	case errors.Is(err, zip.ErrFormat):
		return remoting.Errorf(remoting.ZipExceptionClass, "ZipFile invalid LOC header (bad signature)")
	}
	return err
}

// unzipStep is UnZipFileCallable.invoke: null, or with read a TreeMap of the
// texts.
func (a *Agent) unzipStep(ctx context.Context, c *callable.Call) (jser.Value, error) {
	read := c.Object.Bool("read")
	to := boundsOf(c)
	if !read {
		if err := mkdirs(to.dir); err != nil {
			return nil, err
		}
		to = boundsOf(c)
	}
	log, err := newStepLog(ctx, c)
	if err != nil {
		return nil, err
	}
	defer log.close()
	charset := c.Object.Str("charset")
	if _, err := charsetByName(charset); err != nil {
		return nil, remoting.Errorf(unsupportedCharsetClass, "%s", charset)
	}
	z, names, done, err := openZip(c.Path, charset)
	if err != nil {
		return nil, err
	}
	defer done()
	log.printf("Extracting from %s", c.Path)
	x := &unzipping{c: c, to: to, log: log, quiet: c.Object.Bool("quiet"), left: a.allowance()}
	if read {
		x.texts = map[string]string{}
		x.left.bytes = min(x.left.bytes, maxZipText)
		x.left.maxBytes = x.left.bytes
	}
	for i, e := range z.File {
		if err := x.entry(ctx, e, names[i]); err != nil {
			return nil, err
		}
	}
	if read {
		log.printf("Read: %d files", x.count)
		return jser.TreeMap(x.texts), nil
	}
	log.printf("Extracted: %d files", x.count)
	return nil, nil
}

// unsupportedCharsetClass is java.nio.charset.UnsupportedCharsetException,
// without its field.
var unsupportedCharsetClass = jser.Serializable("java.nio.charset.UnsupportedCharsetException", 1490765524727386367, jser.IllegalArgumentExceptionClass)

// unzipping is one run of the step unzip.
type unzipping struct {
	c     *callable.Call
	to    *bounds
	log   *stepLog
	quiet bool
	left  *allowance
	texts map[string]string // nil unless read
	count int
}

func (x *unzipping) entry(ctx context.Context, e *zip.File, name string) error {
	if !globbed(x.c, name) {
		return nil
	}
	if err := x.left.entry(); err != nil {
		return err
	}
	path, inside := x.to.child(name)
	if !inside {
		return outOfBounds(path)
	}
	if strings.HasSuffix(name, "/") {
		if x.texts == nil {
			return mkdirs(path)
		}
		return nil
	}
	x.count++
	if !x.quiet && x.texts != nil {
		x.log.printf("Reading: %s", name)
	} else if !x.quiet {
		x.log.printf("Extracting: %s -> %s", name, path)
	}
	data, err := e.Open()
	if err != nil {
		return zipData(err)
	}
	defer data.Close()
	if x.texts != nil {
		var b bytes.Buffer
		if err := zipData(x.left.copy(ctx, &b, data)); err != nil {
			return err
		}
		x.texts[name], err = decodeText(b.Bytes(), "")
		return err
	}
	f, err := create(path)
	if err != nil {
		return err
	}
	return errors.Join(zipData(x.left.copy(ctx, f, data)), f.Close())
}

// testZip is TestZipFileCallable.invoke.
func testZip(ctx context.Context, c *callable.Call) (jser.Value, error) {
	log, err := newStepLog(ctx, c)
	if err != nil {
		return nil, err
	}
	defer log.close()
	bad, err := checkZip(ctx, c, log)
	var x *remoting.Exception
	if errors.As(err, &x) && x.Class == remoting.ZipExceptionClass {
		bad, err = "Error validating zip file: "+x.Message, nil
	}
	if err != nil {
		return nil, err
	}
	if bad != "" {
		log.printf("ERROR: %s", bad) // TaskListener.error
	}
	return jser.Boolean(bad == ""), nil
}

// checkZip reads a zip and says what is wrong with it, "" for nothing.
func checkZip(ctx context.Context, c *callable.Call, log *stepLog) (bad string, err error) {
	z, names, done, err := openZip(c.Path, "")
	if err != nil {
		return "", err
	}
	defer done()
	log.printf("Checking %d zipped entries in %s", len(z.File), c.Path)
	to := boundsOf(c)
	for i, e := range z.File {
		if strings.HasSuffix(names[i], "/") {
			continue
		}
		if path, inside := to.child(names[i]); !inside && c.Object.Get("destination") != nil {
			return path + " is out of bounds!", nil
		}
		data, err := e.Open()
		if err != nil {
			return "", zipData(err)
		}
		_, err = io.CopyBuffer(io.Discard, onlyReader{contextReader{ctx, data}}, make([]byte, copyBuffer))
		data.Close()
		if errors.Is(err, zip.ErrChecksum) {
			return fmt.Sprintf("Checksum error in : %s:%s", c.Path, names[i]), nil
		}
		if err := zipData(err); err != nil {
			return "", err
		}
	}
	return "", nil
}
