package hudson

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// gzipMagic is what the step looks at to tell tgz from tar.
const gzipMagic = "\x1f\x8b"

// tarStream reads the entries of a tar as commons-compress does: data that ends
// within a header is the end of the archive.
type tarStream struct {
	*tar.Reader
}

// next returns nil at the end. Global headers are not entries.
func (t tarStream) next() (*tar.Header, error) {
	for {
		h, err := t.Next()
		switch {
		case err == nil && h.Typeflag == tar.TypeXGlobalHeader:
		case err == nil, errors.Is(err, tar.ErrInsecurePath):
			return h, nil
		case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil
		case errors.Is(err, tar.ErrHeader):
			return nil, remoting.Errorf(remoting.IOExceptionClass, "Error detected parsing the header")
		default:
			return nil, err
		}
	}
}

// isTarDir is TarArchiveEntry.isDirectory.
func isTarDir(h *tar.Header) bool { return h.Typeflag == tar.TypeDir || strings.HasSuffix(h.Name, "/") }

// untarStep is UnTarFileCallable.invoke. Links become empty files.
func (a *Agent) untarStep(ctx context.Context, c *callable.Call) (jser.Value, error) {
	log, err := newStepLog(ctx, c)
	if err != nil {
		return nil, err
	}
	defer log.close()
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, fileNotFound(c.Path, err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, copyBuffer)
	magic, err := in.Peek(2)
	if err != nil && err != io.EOF {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "Error reading tar/tgz file: %v", remoting.FileReason(err))
	}
	if len(magic) == 0 {
		log.printf("File is empty.")
	}
	var r io.Reader = in
	if string(magic) == gzipMagic {
		if z, err := gzip.NewReader(in); err == nil {
			z.Multistream(false) // GzipCompressorInputStream reads the first member
			r = z
		}
	}
	if err := mkdirs(archiveFile(c, "destination")); err != nil {
		return nil, err
	}
	log.printf("Extracting from %s", c.Path)
	to, left, count := boundsOf(c), a.allowance(), 0
	for t := (tarStream{tar.NewReader(r)}); ; {
		h, err := t.next()
		if err != nil {
			return nil, tarData(err)
		}
		if h == nil {
			break
		}
		if !globbed(c, h.Name) {
			continue
		}
		if err := left.entry(); err != nil {
			return nil, err
		}
		path, inside := to.child(h.Name)
		if !inside {
			return nil, outOfBounds(path)
		}
		if isTarDir(h) {
			err = mkdirs(path)
		} else {
			count++
			if !c.Object.Bool("quiet") {
				log.printf("Extracting: %s -> %s", h.Name, path)
			}
			err = writeEntry(ctx, left, path, t)
		}
		if err == nil && c.Object.Bool("keepPermissions") {
			err = chmodFile(path, h.Mode)
		}
		if err != nil {
			return nil, err
		}
	}
	log.printf("Extracted: %d files", count)
	return nil, nil
}

func writeEntry(ctx context.Context, left *allowance, path string, r io.Reader) error {
	f, err := create(path)
	if err != nil {
		return err
	}
	return errors.Join(tarData(left.copy(ctx, f, r)), f.Close())
}

// chmodFile is FilePath.chmod.
func chmodFile(path string, mode int64) error {
	if mode &= 0o7777; mode&^0o777 != 0 {
		return remoting.Errorf(remoting.IOExceptionClass, "Invalid mode: %d", mode)
	}
	return os.Chmod(path, fs.FileMode(mode))
}

// tarData words broken data as commons-compress does.
func tarData(err error) error {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return remoting.Errorf(remoting.IOExceptionClass, "Truncated TAR archive")
	case errors.Is(err, gzip.ErrChecksum):
		return remoting.Errorf(remoting.IOExceptionClass, "Gzip-compressed data is corrupt (CRC32 error)")
	}
	return err
}

// testTar is TestTarFileCallable.invoke.
func testTar(ctx context.Context, c *callable.Call) (jser.Value, error) {
	log, err := newStepLog(ctx, c)
	if err != nil {
		return nil, err
	}
	defer log.close()
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, fileNotFound(c.Path, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	log.printf("Checking %d bytes in %s", fi.Size(), c.Path)
	bad := checkTar(ctx, c, f)
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if bad != "" {
		log.printf("ERROR: %s", bad) // TaskListener.error
	}
	return jser.Boolean(bad == ""), nil
}

// checkTar reads a tar and says what is wrong with it, "" for nothing. A tgz is
// read twice: the compression first.
func checkTar(ctx context.Context, c *callable.Call, f *os.File) (bad string) {
	in := bufio.NewReaderSize(contextReader{ctx, f}, copyBuffer)
	magic, err := in.Peek(2)
	if err != nil && err != io.EOF {
		return "Error validating tar/tgz file: " + remoting.FileReason(err)
	}
	var r io.Reader = in
	if string(magic) == gzipMagic {
		z, err := gzip.NewReader(in)
		if err == nil {
			z.Multistream(false)
			_, err = io.Copy(io.Discard, z)
		}
		if err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		if err == nil {
			in.Reset(contextReader{ctx, f})
			err = z.Reset(in)
		}
		if err != nil {
			return "Error validating tgz file: " + tgzReason(err)
		}
		z.Multistream(false)
		r = z
	}
	to := boundsOf(c)
	for t := (tarStream{tar.NewReader(r)}); ; {
		h, err := t.next()
		if err != nil {
			return "Error validating tar file: " + tarData(err).Error()
		}
		if h == nil {
			return ""
		}
		if path, inside := to.child(h.Name); !inside && c.Object.Get("destination") != nil {
			return path + " is out of bounds!"
		}
	}
}

// tgzReason words broken gzip as commons-compress does.
func tgzReason(err error) string {
	switch {
	case errors.Is(err, gzip.ErrChecksum):
		return "Gzip-compressed data is corrupt (CRC32 error)"
	case errors.Is(err, gzip.ErrHeader):
		return "Input is not in the .gz format"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "Unexpected end of ZLIB input stream"
	}
	return err.Error()
}
