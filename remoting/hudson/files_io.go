package hudson

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerFileIO adds what moves the content of files.
func registerFileIO(t *callable.Table) {
	t.Register(
		callable.Entry{Class: "hudson.FilePath$Write", Fields: []string{"encoding", "content"}, Source: "core", Run: writeText},
		callable.Entry{Class: "hudson.FilePath$WritePipe", Source: "core", Run: writePipe},
		callable.Entry{Class: "hudson.FilePath$ReadToString", Source: "core", Run: readToString},
		callable.Entry{Class: "hudson.FilePath$Read", Source: "core",
			Fields: []string{"p", "verificationRoot", "openOptions", "noFollowLinks"}, Accepts: knownOpenOptions, Run: readPipe},
		callable.Entry{Class: "hudson.FilePath$OffsetPipeSecureFileCallable", Fields: []string{"p", "offset"}, Source: "core", Run: readFromOffset},
		callable.Entry{Class: "hudson.FilePath$CopyTo", Fields: []string{"out"}, Source: "core", Run: copyTo},
		callable.Entry{Class: "hudson.FilePath$CopyToWithPermission", Fields: []string{"target"}, Source: "core", Run: copyToWithPermission},
		callable.Entry{Class: "hudson.FilePath$RenameTo", Fields: []string{"target"}, Source: "core", Run: renameTo},
		callable.Entry{Class: "hudson.FilePath$MoveAllChildrenTo", Fields: []string{"target"}, Source: "core", Run: moveAllChildrenTo},
	)
}

// create opens a file for writing and makes its directory, as FilePath.write.
func create(path string) (*os.File, error) {
	if err := mkdirs(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
}

func writeText(_ context.Context, c *callable.Call) (jser.Value, error) {
	text, ok := c.Object.Get("content").(string)
	if !ok {
		return nil, remoting.Errorf(remoting.IllegalArgumentClass, "no content to write to %s", c.Path)
	}
	// The official agent opens the file before it looks at the encoding.
	f, err := create(c.Path)
	if err != nil {
		return nil, err
	}
	b, err := encodeText(text, c.Object.Str("encoding"))
	if err == nil {
		_, err = f.Write(b)
	}
	return nil, errors.Join(err, f.Close())
}

// writePipe gives the controller a stream to the file.
func writePipe(_ context.Context, c *callable.Call) (jser.Value, error) {
	f, err := create(c.Path)
	if err != nil {
		return nil, err
	}
	return remoting.OutputStream(c.Channel.ExportWriter(f)), nil
}

func readToString(_ context.Context, c *callable.Call) (jser.Value, error) {
	b, err := os.ReadFile(c.Path)
	if err != nil {
		return nil, err
	}
	s, err := decodeText(b, "")
	return s, err
}

// readPipe streams a file. An error goes to the reader of the pipe, and the
// call itself succeeds.
func readPipe(ctx context.Context, c *callable.Call) (jser.Value, error) {
	out, err := c.Writer(ctx, c.Object.Get("p"))
	if err != nil {
		return nil, err
	}
	f, err := openChecked(c)
	if err != nil {
		return nil, out.CloseWithError(err)
	}
	defer f.Close()
	_, err = io.CopyBuffer(onlyWriter{out}, onlyReader{f}, make([]byte, copyBuffer))
	if errors.Is(err, syscall.EISDIR) {
		err = nil // a directory reads as an empty file: the official agent closes the pipe before it notices
	}
	return nil, out.CloseWithError(err)
}

// copyBuffer is the size of the buffer for copies to and from a channel.
const copyBuffer = 64 << 10

// onlyWriter and onlyReader hide ReadFrom and WriteTo, which would bring a
// buffer of their own.
type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

func readFromOffset(ctx context.Context, c *callable.Call) (jser.Value, error) {
	out, err := c.Writer(ctx, c.Object.Get("p"))
	if err != nil {
		return nil, err
	}
	buffered := bufio.NewWriterSize(out, copyBuffer)
	z := gzip.NewWriter(buffered)
	copyErr := func() error {
		f, err := os.Open(c.Path)
		if err != nil {
			return fileNotFound(c.Path, err)
		}
		defer f.Close()
		if _, err := f.Seek(c.Object.Long("offset"), io.SeekStart); err != nil {
			return err
		}
		_, err = io.CopyBuffer(onlyWriter{z}, onlyReader{f}, make([]byte, copyBuffer))
		return err
	}()
	return nil, errors.Join(copyErr, z.Close(), buffered.Flush(), out.Close())
}

// fileNotFound is what java.io streams throw where java.nio would be more
// specific.
func fileNotFound(path string, err error) error {
	why := "No such file or directory"
	switch {
	case errors.Is(err, syscall.EACCES):
		why = "Permission denied"
	case errors.Is(err, syscall.EISDIR):
		why = "Is a directory"
	case errors.Is(err, syscall.ENOTDIR):
		why = "Not a directory"
	}
	return remoting.Errorf(remoting.FileNotFoundClass, "%s (%s)", path, why)
}

func copyTo(ctx context.Context, c *callable.Call) (jser.Value, error) {
	out, err := c.Writer(ctx, c.Object.Get("out"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(c.Path)
	if err == nil {
		_, err = io.CopyBuffer(onlyWriter{out}, onlyReader{f}, make([]byte, copyBuffer))
		f.Close()
	}
	return nil, errors.Join(err, out.Close())
}

// target is FilePath.remote of the field target.
func target(c *callable.Call) (string, error) {
	if t := c.Object.Obj("target"); t != nil && t.Str("remote") != "" {
		return t.Str("remote"), nil
	}
	return "", remoting.Errorf(remoting.IllegalArgumentClass, "no target for %s", c.Path)
}

func copyToWithPermission(_ context.Context, c *callable.Call) (jser.Value, error) {
	to, err := target(c)
	if err != nil {
		return nil, err
	}
	return nil, copyFile(c.Path, to)
}

// copyFile copies content, mode and time of a file, replacing what is there.
func copyFile(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(fi.Mode().Perm()), out.Close(), os.Chtimes(to, fi.ModTime(), fi.ModTime()))
}

func renameTo(_ context.Context, c *callable.Call) (jser.Value, error) {
	to, err := target(c)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(c.Path); err != nil {
		return nil, err // Files.move names only the source then
	}
	if _, err := os.Lstat(to); err == nil {
		// java.nio.file.Files.move without REPLACE_EXISTING
		return nil, remoting.FileError(to, os.ErrExist)
	}
	if err = os.Rename(c.Path, to); !errors.Is(err, syscall.EXDEV) {
		return nil, err
	}
	// Between filesystems Files.move copies files, and refuses directories.
	fi, statErr := os.Lstat(c.Path)
	if statErr != nil || !fi.Mode().IsRegular() {
		return nil, err
	}
	if err := copyFile(c.Path, to); err != nil {
		return nil, err
	}
	return nil, os.Remove(c.Path)
}

// moveAllChildrenTo goes through a temporary name, so that the target may be
// inside the directory.
func moveAllChildrenTo(_ context.Context, c *callable.Call) (jser.Value, error) {
	to, err := target(c)
	if err != nil {
		return nil, err
	}
	tmp := c.Path + ".__rename"
	if err := os.Rename(c.Path, tmp); err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "Failed to rename %s to %s", c.Path, tmp)
	}
	names, err := os.ReadDir(tmp)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		from, dest := filepath.Join(tmp, n.Name()), filepath.Join(to, n.Name())
		if err := os.Rename(from, dest); err != nil {
			return nil, remoting.Errorf(remoting.IOExceptionClass, "Failed to rename %s to %s", from, dest)
		}
	}
	return nil, os.Remove(tmp)
}
