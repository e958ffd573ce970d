package hudson

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerDelete adds what removes files.
func registerDelete(t *callable.Table) {
	run := func(class string, remove func(path string) []error) callable.Entry {
		return callable.Entry{Class: "hudson.FilePath$" + class, Source: "core",
			Run: func(ctx context.Context, c *callable.Call) (jser.Value, error) {
				return nil, removeWithRetries(ctx, c.Path, remove)
			}}
	}
	t.Register(
		callable.Entry{Class: "hudson.FilePath$Delete", Source: "core", Run: deleteFile},
		run("DeleteRecursive", removeTree),
		run("DeleteContents", removeContents),
		callable.Entry{Class: "hudson.FilePath$DeleteSuffixesRecursive", Source: "core", Run: deleteSuffixes},
	)
}

// Deletion is tried again, as builds may still be writing
// (jenkins.util.io.PathRemover with the defaults of hudson.Util).
const (
	deleteTries = 3
	deletePause = 100 * time.Millisecond
)

var compositeIODesc = jser.Serializable("jenkins.util.io.CompositeIOException", 121943141387608148, jser.IOExceptionClass,
	jser.Ref("exceptions", "java.util.List"))

func composite(message string, errs ...error) *remoting.Exception {
	list := make([]jser.Value, len(errs))
	for i, e := range errs {
		list[i] = remoting.Throwable(e)
	}
	return &remoting.Exception{Class: compositeIODesc, Message: message, Fields: []jser.Value{jser.ArrayList(list...)}}
}

func failure(path string) string {
	return fmt.Sprintf("Unable to delete '%s'. Tried %d times (of a maximum of %d) waiting 0.1 sec between attempts.", path, deleteTries, deleteTries)
}

func removeWithRetries(ctx context.Context, path string, remove func(string) []error) error {
	path = filepath.Clean(path)
	for try := 1; ; try++ {
		errs := remove(path)
		if len(errs) == 0 {
			return nil
		}
		if try == deleteTries {
			return composite(failure(path), errs...)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	t := time.NewTimer(deletePause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func deleteFile(ctx context.Context, c *callable.Call) (jser.Value, error) {
	for try := 1; ; try++ {
		err := removeOne(c.Path)
		if err == nil {
			return nil, nil
		}
		if try == deleteTries {
			e := remoting.Errorf(remoting.IOExceptionClass, "%s", failure(c.Path))
			var why *remoting.Exception
			if errors.As(err, &why) {
				e.Cause = why
			}
			return nil, e
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

func deleteSuffixes(ctx context.Context, c *callable.Call) (jser.Value, error) {
	dir, base := filepath.Split(filepath.Clean(c.Path))
	names, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil
	}
	for _, n := range names {
		// hudson.slaves.WorkspaceList.COMBINATOR
		if strings.HasPrefix(n.Name(), base+"@") {
			if err := removeWithRetries(ctx, filepath.Join(dir, n.Name()), removeTree); err != nil {
				return nil, err
			}
		}
	}
	return nil, nil
}

// removeTree removes a file, link or directory with all below it. It goes on
// after an error and collects them.
func removeTree(path string) []error {
	fi, err := os.Lstat(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return []error{toFileError(path, err)}
	}
	var errs []error
	if fi.IsDir() {
		errs = removeContents(path)
	}
	if err := removeOne(path); err != nil {
		errs = append(errs, err)
	}
	return errs
}

func removeContents(path string) []error {
	fi, err := os.Stat(path)
	if err != nil || !fi.IsDir() {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return []error{toFileError(path, err)}
	}
	var errs []error
	for {
		// In pieces, so that a directory of a million files costs little.
		names, err := dir.Readdirnames(1024)
		for _, n := range names {
			errs = append(errs, removeTree(filepath.Join(path, n))...)
		}
		if err != nil || len(names) == 0 {
			break
		}
	}
	dir.Close()
	if len(errs) == 0 {
		// Removing while reading may skip entries on some filesystems.
		if rest, err := os.ReadDir(path); err == nil {
			for _, n := range rest {
				errs = append(errs, removeTree(filepath.Join(path, n.Name()))...)
			}
		}
	}
	return errs
}

func toFileError(path string, err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return remoting.FileError(path, err)
}

// removeOne removes a file, link or empty directory; if that is not allowed it
// makes the file and its directory writable and tries again.
func removeOne(path string) error {
	first := os.Remove(path)
	if first == nil || errors.Is(first, os.ErrNotExist) {
		return nil
	}
	for _, p := range []string{path, filepath.Dir(path)} {
		if err := makeWritable(p); err != nil {
			return err
		}
	}
	second := os.Remove(path)
	if second == nil || errors.Is(second, os.ErrNotExist) {
		return nil
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		var entries []string
		for _, n := range readNames(path) {
			entries = append(entries, filepath.Join(path, n))
		}
		return composite(fmt.Sprintf("Unable to remove directory %s with directory contents: [%s]", path, strings.Join(entries, ", ")),
			toFileError(path, first), toFileError(path, second))
	}
	return composite("Unable to remove file "+path, toFileError(path, first), toFileError(path, second))
}

// readNames lists a directory in its own order, as java.io does.
func readNames(path string) []string {
	dir, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what could be read is better than nothing
	return names
}

// makeWritable adds the owner's write permission if we can't write.
func makeWritable(path string) error {
	if unix.Access(path, unix.W_OK) == nil {
		return nil
	}
	fi, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if err := os.Chmod(path, fi.Mode().Perm()|0o200); err != nil && !errors.Is(err, os.ErrNotExist) {
		return toFileError(path, err)
	}
	return nil
}
