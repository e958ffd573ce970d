package replay

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"sort"
	"strings"
)

// compareContent compares what went through a stream. Of an archive the
// entries count, not the bytes.
func compareContent(c *comparison, path string, want, got []byte) {
	if a, err := entriesOf(want); err == nil {
		b, err := entriesOf(got)
		if err != nil {
			c.differ(path, "an archive", err)
			return
		}
		c.texts(path+" entries", a, b)
		return
	}
	c.texts(path, string(want), string(got))
}

// entriesOf lists the entries of a tar (plain or gzip) or zip, one a line.
func entriesOf(b []byte) (string, error) {
	if bytes.HasPrefix(b, []byte("PK\x03\x04")) || bytes.HasPrefix(b, []byte("PK\x05\x06")) {
		return zipEntries(b)
	}
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return "", err
		}
		if b, err = io.ReadAll(z); err != nil {
			return "", err
		}
	} else if len(b) < 512 || !strings.HasPrefix(string(b[257:]), "ustar") {
		return "", fmt.Errorf("no archive")
	}
	var lines []string
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return "", err
		}
		lines = append(lines, fmt.Sprintf("%s %c %o size %d link %q sha256 %x", h.Name, h.Typeflag, h.Mode&0o7777, h.Size, h.Linkname, sha256.Sum256(data)))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n"), nil
}

func zipEntries(b []byte) (string, error) {
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return "", err
	}
	var lines []string
	for _, f := range r.File {
		lines = append(lines, fmt.Sprintf("%s %s %d %x", f.Name, f.Mode(), f.UncompressedSize64, f.CRC32))
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n"), nil
}
