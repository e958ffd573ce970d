package archive

import (
	"archive/zip"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
)

const (
	zipUnix      = 3       // "made by" in the upper byte of a version
	zipUTF8      = 1 << 11 // general purpose bit: names are UTF-8
	dosReadOnly  = 1
	dosDirectory = 1 << 4
)

// ZipWriter writes zip as hudson.util.io.ZipArchiver does: names in UTF-8 with the bit that says so, deflate, permissions
// in the upper half of the external attributes, local time without a zone. Links are followed.
//
// Directories are stored without data, where Java writes two bytes of compressed nothing.
type ZipWriter struct {
	z        *zip.Writer
	prefix   string
	noFollow bool
	buf      []byte
	count    int
	failed   bool
	closed   bool
}

// ZipOptions are the settings of a ZipWriter.
type ZipOptions struct {
	Prefix   string // goes before each name, with a slash between (ZipArchiverFactory.prefix)
	NoFollow bool   // LinkOption.NOFOLLOW_LINKS among ZipArchiverFactory.openOptions: a link cannot be opened
}

// NewZipWriter returns a writer to w.
func NewZipWriter(w io.Writer, opts ZipOptions) *ZipWriter {
	z := zip.NewWriter(w)
	var deflate *flate.Writer // its tables are big: one for all entries, which come one after the other
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (_ io.WriteCloser, err error) {
		if deflate == nil {
			deflate, err = flate.NewWriter(w, gzipLevel)
		} else {
			deflate.Reset(w)
		}
		return deflate, err
	})
	prefix := opts.Prefix
	if strings.TrimSpace(prefix) == "" {
		prefix = ""
	} else if !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return &ZipWriter{z: z, prefix: prefix, noFollow: opts.NoFollow, buf: make([]byte, bufferSize)}
}

// UnderstandsSymlink is false: links are archived as what they point to.
func (z *ZipWriter) UnderstandsSymlink() bool { return false }

// VisitSymlink is Visit.
func (z *ZipWriter) VisitSymlink(path, _, rel string) error { return z.Visit(path, rel) }

// Count returns the number of entries written.
func (z *ZipWriter) Count() int { return z.count }

// Visit adds a file, up to its end even if it has grown, or a directory. Errors of the file are *fs.PathError.
func (z *ZipWriter) Visit(path, rel string) error {
	src, err := openSource(path, z.noFollow)
	if err != nil {
		return err
	}
	defer src.Close()
	mode := uint32(src.info.Mode().Perm())
	h := &zip.FileHeader{
		Name:           z.prefix + strings.ReplaceAll(rel, `\`, "/"),
		Method:         zip.Deflate,
		Flags:          zipUTF8,
		CreatorVersion: zipUnix << 8,
		ExternalAttrs:  mode << 16,
	}
	if mode&0o200 == 0 {
		h.ExternalAttrs |= dosReadOnly
	}
	h.ModifiedDate, h.ModifiedTime = dosTime(src.info.ModTime()) //nolint:staticcheck // no zone, as Java
	if src.info.IsDir() {
		h.Name += "/"
		h.ExternalAttrs |= dosDirectory
		h.Method = zip.Store
	}
	w, err := z.z.CreateHeader(h)
	if err != nil {
		z.failed = true
		return err
	}
	if !src.info.IsDir() {
		if src.failed != nil {
			return src.failed
		}
		for {
			n, err := src.Read(z.buf)
			if _, err := w.Write(z.buf[:n]); err != nil {
				z.failed = true
				return err
			}
			if err == io.EOF {
				break
			} else if err != nil {
				return err
			}
		}
	}
	z.count++
	return nil
}

// Close writes the directory of the archive.
func (z *ZipWriter) Close() error {
	if z.closed {
		return nil
	}
	z.closed = true
	if z.failed {
		return errors.New("archive: zip not ended, as it could not be written")
	}
	return z.z.Close()
}

// dosTime is the local time in steps of two seconds. What is before 1980 gets the bytes that Ant gives it
// (ZipUtil.DOS_TIME_MIN): meant as the start of that year, they end up in the wrong field.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.Local()
	switch {
	case t.Year() < 1980:
		return 0, 0x2100
	case t.Year() > 2107:
		t = time.Date(2107, 12, 31, 23, 59, 58, 0, time.Local)
	}
	date = uint16(t.Day() + int(t.Month())<<5 + (t.Year()-1980)<<9)
	clock = uint16(t.Second()/2 + t.Minute()<<5 + t.Hour()<<11)
	return date, clock
}
