package hudson

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerTempFiles adds the callables of FilePath that make temporary files.
func registerTempFiles(t *callable.Table) {
	t.Register(
		callable.Entry{Class: "hudson.FilePath$CreateTempFile", Fields: []string{"prefix", "suffix"}, Source: "core", Run: createTempFile},
		callable.Entry{Class: "hudson.FilePath$CreateTextTempFile", Fields: []string{"contents", "inThisDirectory", "prefix", "suffix"}, Source: "core", Run: createTextTempFile},
		callable.Entry{Class: "hudson.FilePath$CreateTempDir", Fields: []string{"name"}, Source: "core", Run: createTempDir},
	)
}

// tempFile is java.io.File.createTempFile: unlike os.CreateTemp it makes a file
// that the umask decides about, and refuses a short prefix.
func tempFile(dir, prefix, suffix string) (*os.File, error) {
	if len(prefix) < 3 {
		return nil, remoting.Errorf(remoting.IllegalArgumentClass, "Prefix string %q too short: length must be at least 3", prefix)
	}
	if suffix == "" {
		suffix = ".tmp"
	}
	for try := 0; ; try++ {
		name := filepath.Join(dir, prefix+strconv.FormatUint(rand.Uint64(), 10)+suffix)
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) && try < 1000 {
			continue
		}
		return f, err
	}
}

func createTempFile(_ context.Context, c *callable.Call) (jser.Value, error) {
	f, err := tempFile(c.Path, c.Object.Str("prefix"), c.Object.Str("suffix"))
	if err != nil {
		return nil, ioReason(err)
	}
	return filepath.Base(f.Name()), f.Close()
}

// ioReason is the exception of java.io.File.createTempFile: only the reason.
func ioReason(err error) error {
	var p *os.PathError
	if !errors.As(err, &p) {
		return err
	}
	return remoting.Errorf(remoting.IOExceptionClass, "%s", remoting.FileReason(p.Err))
}

func createTextTempFile(_ context.Context, c *callable.Call) (jser.Value, error) {
	dir := os.TempDir()
	if c.Object.Bool("inThisDirectory") {
		dir = c.Path
		if err := mkdirs(dir); err != nil {
			return nil, err
		}
	}
	f, err := tempFile(dir, c.Object.Str("prefix"), c.Object.Str("suffix"))
	if err != nil {
		e := remoting.Errorf(remoting.IOExceptionClass, "Failed to create a temporary directory in %s", dir)
		e.Cause = ioReason(err)
		return nil, e
	}
	_, err = f.Write(validUTF8(c.Object.Str("contents")))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return f.Name(), nil
}

func createTempDir(_ context.Context, c *callable.Call) (jser.Value, error) {
	for try := 0; ; try++ {
		name := c.Object.Str("name") + strconv.FormatUint(rand.Uint64(), 10)
		err := os.Mkdir(filepath.Join(c.Path, name), 0o777)
		if errors.Is(err, os.ErrExist) && try < 1000 {
			continue
		}
		return name, err
	}
}
