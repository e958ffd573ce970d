package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func visit(paths ...string) func(Archiver) error {
	return func(a Archiver) error {
		for _, path := range paths {
			if err := a.Visit(path, filepath.Base(path)); err != nil {
				return err
			}
		}
		return nil
	}
}

// readAll returns name=text of all entries of a tar.
func readAll(t *testing.T, data []byte) (entries []string) {
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return entries
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		entries = append(entries, h.Name+"="+string(text))
	}
}

func TestSpecialFiles(t *testing.T) {
	dir, err := os.MkdirTemp("", "special")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	fifo, sock, missing := filepath.Join(dir, "fifo"), filepath.Join(dir, "sock"), filepath.Join(dir, "missing")
	require.NoError(t, syscall.Mkfifo(fifo, 0o644))
	l, err := net.Listen("unix", sock)
	require.NoError(t, err)
	defer l.Close()

	var out bytes.Buffer
	n, err := WriteTree(NewTarWriter(&out, TarOptions{}), visit(fifo, dir))
	require.NoError(t, err)
	require.Equal(t, 2, n)
	require.Equal(t, []string{"fifo=", filepath.Base(dir) + "/="}, readAll(t, out.Bytes()))
	require.Zero(t, out.Len()%blockSize)

	for _, w := range []Archiver{NewTarWriter(io.Discard, TarOptions{Gzip: true}), NewZipWriter(io.Discard, ZipOptions{})} {
		_, err = WriteTree(w, visit(missing))
		require.Equal(t, &fs.PathError{Op: "open", Path: missing, Err: syscall.ENOENT}, unwrapStat(err))
	}
	// a socket: NoSuchDeviceOrAddress, as in Java
	_, err = WriteTree(NewTarWriter(io.Discard, TarOptions{}), visit(sock))
	require.Equal(t, &fs.PathError{Op: "open", Path: sock, Err: syscall.ENXIO}, err)
}

func unwrapStat(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe
	}
	return err
}

func TestUnreadableFile(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("NOT TESTED: unreadable files, because root can read everything: run as another user")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(path, []byte("12345"), 0o200))
	_, err := WriteTree(NewTarWriter(io.Discard, TarOptions{Gzip: true}), visit(path))
	var f *Failure
	require.ErrorAs(t, err, &f)
	require.Equal(t, "entry 'f' closed at '0' before the '5' bytes specified in the header were written", f.Text)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NoError(t, os.Truncate(path, 0))
	_, err = WriteTree(NewTarWriter(io.Discard, TarOptions{Gzip: true}), visit(path))
	require.Equal(t, &fs.PathError{Op: "open", Path: path, Err: syscall.EACCES}, err)
}

// changing is a file whose size was looked at before it changed.
func changing(t *testing.T, size, then int) (*TarWriter, *bytes.Buffer, error) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte{'a'}, size), 0o644))
	src, err := openSource(path, false)
	require.NoError(t, err)
	defer src.Close()
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte{'b'}, then), 0o644))
	var out bytes.Buffer
	w := NewTarWriter(&out, TarOptions{})
	return w, &out, w.add(src, path, "f")
}

func TestGrowingFile(t *testing.T) {
	w, out, err := changing(t, 1000, 5000)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.Equal(t, []string{"f=" + strings.Repeat("b", 1000)}, readAll(t, out.Bytes()))
}

func TestShrinkingFile(t *testing.T) {
	w, _, err := changing(t, 1000, 600)
	require.EqualError(t, err, "entry 'f' closed at '600' before the '1000' bytes specified in the header were written")
	require.EqualError(t, w.Close(), "This archives contains unclosed entries.")
	require.NoError(t, w.Close(), "once is enough")
}

// TestSinkFails lets the stream below fail: nothing may hang or stay behind.
func TestSinkFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("0123456789abcdef"), 1<<17), 0o644))
	lost := errors.New("connection lost")
	for _, opts := range []TarOptions{{}, {Gzip: true}} {
		_, err := WriteTree(NewTarWriter(&failing{after: 3000, err: lost}, opts), visit(path, path, path))
		require.ErrorIs(t, err, lost)
	}
	_, err := WriteTree(NewZipWriter(&failing{after: 3000, err: lost}, ZipOptions{}), visit(path, path, path))
	require.ErrorIs(t, err, lost)
}

type failing struct {
	after int
	err   error
}

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, f.err
	}
	return len(p), nil
}
