package archive

import (
	"archive/zip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
)

// ReadZip unpacks a zip that comes as a stream: into a temporary file first, as hudson.FilePath.unzip does, because the
// directory of a zip is at its end. See ReadZipFile.
func ReadZip(ctx context.Context, r io.Reader, dir string, opts ReadOptions) (entries int, err error) {
	tmp, err := os.CreateTemp("", "tmpzip*.tmp")
	if err != nil {
		return 0, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err := io.CopyBuffer(tmp, struct{ io.Reader }{r}, make([]byte, bufferSize)); err != nil {
		return 0, err
	}
	return ReadZipFile(ctx, tmp.Name(), dir, opts)
}

// ReadZipFile unpacks a zip file into dir, as hudson.FilePath.unzip does, and returns the number of entries. Permissions
// are set if the zip was made on Unix; links in a zip become files that hold their target. Options Name and Gzip are
// not used.
//
// Errors: *Failure with Java's texts, *fs.PathError, *LimitError, the context's.
func ReadZipFile(ctx context.Context, file, dir string, opts ReadOptions) (entries int, err error) {
	t, err := newTree(dir, opts.Log, opts.Limits)
	if err != nil {
		return 0, err
	}
	defer t.close()
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	t.meter.packed = info.Size
	limited := &directoryReader{r: f, left: t.meter.limits.Directory}
	z, err := zip.NewReader(limited, info.Size())
	if limited.exceeded {
		return 0, &LimitError{"bytes of directory", t.meter.limits.Directory}
	} else if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return 0, &Failure{ClassZip, "archive is not a ZIP archive", err}
	}
	limited.left = -1
	z.RegisterDecompressor(zip.Deflate, inflateOneByOne())
	x := zipExtractor{tree: t, file: file, opts: opts}
	for _, e := range z.File {
		if err := ctx.Err(); err != nil {
			return entries, err
		}
		if err := t.meter.entry(); err != nil {
			return entries, err
		}
		if err := x.entry(e); err != nil {
			return entries, err
		}
		entries++
	}
	return entries, nil
}

// inflateOneByOne returns a decompressor for entries that are read one after the other, which keeps its window.
func inflateOneByOne() zip.Decompressor {
	var inflate io.ReadCloser
	return func(r io.Reader) io.ReadCloser {
		if inflate == nil {
			inflate = flate.NewReader(r)
		} else if err := inflate.(flate.Resetter).Reset(r, nil); err != nil {
			return flate.NewReader(r)
		}
		return inflate
	}
}

// directoryReader stops the reading of a zip's directory at a number of bytes.
type directoryReader struct {
	r        io.ReaderAt
	left     int64 // below 0: no end
	exceeded bool
}

func (d *directoryReader) ReadAt(p []byte, off int64) (int, error) {
	if d.left >= 0 {
		if int64(len(p)) > d.left {
			d.exceeded = true
			return 0, io.ErrUnexpectedEOF
		}
		d.left -= int64(len(p))
	}
	return d.r.ReadAt(p, off)
}

type zipExtractor struct {
	*tree
	file string
	opts ReadOptions
}

func (x *zipExtractor) entry(e *zip.File) error {
	name := x.name(e)
	rel, ok := x.inside(name)
	if !ok {
		return failure("Zip %s contains illegal file name that breaks out of the target directory: %s", x.file, name)
	}
	if strings.HasSuffix(name, "/") {
		return x.mkdir(rel)
	}
	if e.Flags&1 != 0 {
		return &Failure{Class: ClassZip, Text: "unsupported feature encryption used in entry " + name}
	}
	data, err := e.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return &Failure{Class: ClassZip, Text: fmt.Sprintf("Found unsupported compression method %d", e.Method)}
	} else if err != nil {
		return zipFailure(err)
	}
	defer data.Close()
	mode, err := unixMode(e)
	if _, werr := x.tree.file(rel, data, mode, modified(e)); werr != nil {
		return zipFailure(werr)
	}
	return err
}

// unixMode returns the permissions of an entry, 0 if it has none. More than permissions is an error, after the file was
// written, as in hudson.Util.modeToPermissions.
func unixMode(e *zip.File) (fs.FileMode, error) {
	if e.CreatorVersion>>8 != zipUnix {
		return 0, nil
	}
	mode := e.ExternalAttrs >> 16 & 0o7777
	if mode&^0o777 != 0 {
		return 0, failure("Invalid mode: %d", mode)
	}
	return fs.FileMode(mode), nil
}

// name is the entry's name: from the Unicode extra field if that belongs to it, with slashes if it comes from DOS.
func (x *zipExtractor) name(e *zip.File) string {
	name := e.Name
	if e.NonUTF8 {
		if u, ok := unicodeName(e.Extra, name); ok {
			name = u
		} else if x.opts.Decode != nil {
			name = x.opts.Decode(name)
		}
	}
	if e.CreatorVersion>>8 == 0 && !strings.Contains(name, "/") {
		name = strings.ReplaceAll(name, `\`, "/")
	}
	return name
}

// inside turns a name into one relative to the target that has no links in it, so far as it exists; not ok if that is
// outside of the target (File.getCanonicalFile().startsWith).
func (x *zipExtractor) inside(name string) (string, bool) {
	rel := path.Clean(strings.TrimLeft(name, "/"))
	if !filepath.IsLocal(rel) || strings.ContainsRune(name, 0) {
		return "", false
	}
	if path.Dir(rel) == x.at && x.parent != nil {
		if info, err := x.parent.Lstat(path.Base(rel)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return rel, true // beside the last one, and that directory is held open
		}
	}
	base := canonical(x.dir)
	real, err := filepath.Rel(base, canonical(filepath.Join(base, rel)))
	if err != nil || !filepath.IsLocal(real) {
		return "", false
	}
	return filepath.ToSlash(real), true
}

// canonical resolves the links of a path as far as it exists.
func canonical(name string) string {
	rest := ""
	for at := name; ; {
		if real, err := filepath.EvalSymlinks(at); err == nil {
			return filepath.Join(real, rest)
		}
		up := filepath.Dir(at)
		if up == at {
			return name
		}
		rest = filepath.Join(filepath.Base(at), rest)
		at = up
	}
}

// extra fields: id and size, two bytes each, then the data
const (
	extraNTFS    = 0x000a
	extraTime    = 0x5455
	extraUnicode = 0x7075
)

// eachExtra calls fn for the extra fields of an entry as far as they are well formed.
func eachExtra(extra []byte, fn func(id uint16, data []byte)) {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if extra = extra[4:]; n > len(extra) {
			return
		}
		fn(id, extra[:n])
		extra = extra[n:]
	}
}

// unicodeName is Info-ZIP's UTF-8 name of an entry: version 1, checksum of the other name, name.
func unicodeName(extra []byte, name string) (unicode string, ok bool) {
	eachExtra(extra, func(id uint16, data []byte) {
		if id == extraUnicode && len(data) > 5 && data[0] == 1 &&
			binary.LittleEndian.Uint32(data[1:]) == crc32.ChecksumIEEE([]byte(name)) {
			unicode, ok = string(data[5:]), true
		}
	})
	return unicode, ok
}

// windowsEpoch is 1601-01-01 in seconds before 1970.
const windowsEpoch = 11644473600

// modified is the time of an entry as java.util.zip.ZipEntry.getLastModifiedTime: from an extra field with a zone, else
// local time.
func modified(e *zip.File) time.Time {
	d, c := int(e.ModifiedDate), int(e.ModifiedTime) //nolint:staticcheck // Modified takes them for UTC
	t := time.Date(d>>9+1980, time.Month(d>>5&15), d&31, c>>11, c>>5&63, c&31*2, 0, time.Local)
	eachExtra(e.Extra, func(id uint16, data []byte) {
		switch {
		case id == extraTime && len(data) >= 5 && data[0]&1 != 0:
			t = time.Unix(int64(int32(binary.LittleEndian.Uint32(data[1:]))), 0)
		case id == extraNTFS && len(data) >= 32 && binary.LittleEndian.Uint16(data[4:]) == 1 && binary.LittleEndian.Uint16(data[6:]) == 24:
			ticks := int64(binary.LittleEndian.Uint64(data[8:])) // 100 ns since 1601
			t = time.Unix(ticks/1e7-windowsEpoch, ticks%1e7*100)
		}
	})
	return t
}

// zipFailure words what archive/zip says about broken data.
func zipFailure(err error) error {
	switch {
	case errors.Is(err, zip.ErrChecksum):
		return &Failure{ClassZip, "CRC mismatch", err}
	case errors.Is(err, zip.ErrFormat):
		return &Failure{ClassZip, "archive is not a ZIP archive", err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &Failure{Class: ClassEOF, Text: "Unexpected end of ZLIB input stream"}
	}
	return err
}
