package hudson

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// fileEntry is an entry for a FileCallable that needs only the path.
func fileEntry(class string, run func(path string) (jser.Value, error)) callable.Entry {
	return callable.Entry{Class: "hudson.FilePath$" + class, Source: "core",
		Run: func(_ context.Context, c *callable.Call) (jser.Value, error) { return run(c.Path) }}
}

// registerFiles adds what asks about a file, or changes one in place.
func registerFiles(t *callable.Table) {
	t.Register(
		fileEntry("Mkdirs", mkdirsCallable),
		fileEntry("Exists", func(p string) (jser.Value, error) {
			_, err := os.Stat(p)
			return jser.Boolean(err == nil), nil
		}),
		fileEntry("IsDirectory", func(p string) (jser.Value, error) {
			fi, err := os.Stat(p)
			return jser.Boolean(err == nil && fi.IsDir()), nil
		}),
		fileEntry("Length", func(p string) (jser.Value, error) {
			fi, err := os.Stat(p)
			if err != nil {
				return jser.Long(0), nil // java.io.File.length
			}
			return jser.Long(fi.Size()), nil
		}),
		fileEntry("LastModified", func(p string) (jser.Value, error) {
			fi, err := os.Stat(p)
			if err != nil {
				return jser.Long(0), nil // java.io.File.lastModified
			}
			return jser.Long(fi.ModTime().UnixMilli()), nil
		}),
		fileEntry("Mode", func(p string) (jser.Value, error) {
			fi, err := os.Stat(p)
			if err != nil {
				return nil, err
			}
			return jser.Integer(int32(fi.Mode().Perm())), nil
		}),
		fileEntry("Digest", func(p string) (jser.Value, error) { return digest(p) }),
		fileEntry("Absolutize", func(p string) (jser.Value, error) {
			if filepath.IsAbs(p) {
				return p, nil // java.io.File.getAbsolutePath does not clean
			}
			return filepath.Abs(p)
		}),
		fileEntry("ToURI", func(p string) (jser.Value, error) { return jser.URI(fileURI(p)), nil }),
		fileEntry("ReadLink", func(p string) (jser.Value, error) {
			target, err := os.Readlink(p)
			if err != nil {
				return nil, nil // Util.resolveSymlink: null when it is no link
			}
			return target, nil
		}),
		fileEntry("GetFreeDiskSpace", diskSpace(func(s *unix.Statfs_t) uint64 { return s.Bfree })),
		fileEntry("GetTotalDiskSpace", diskSpace(func(s *unix.Statfs_t) uint64 { return s.Blocks })),
		fileEntry("GetUsableDiskSpace", diskSpace(func(s *unix.Statfs_t) uint64 { return s.Bavail })),
		callable.Entry{Class: "hudson.FilePath$Chmod", Fields: []string{"mask"}, Source: "core", Run: chmod},
		callable.Entry{Class: "hudson.FilePath$Touch", Fields: []string{"timestamp"}, Source: "core", Run: touch},
		callable.Entry{Class: "hudson.FilePath$SetLastModified", Fields: []string{"timestamp"}, Source: "core", Run: setLastModified},
		callable.Entry{Class: "hudson.FilePath$SymlinkTo", Fields: []string{"target", "listener"}, Source: "core", Run: symlinkTo},
		callable.Entry{Class: "hudson.FilePath$IsUnix", Source: "core",
			Run: func(context.Context, *callable.Call) (jser.Value, error) { return jser.Boolean(true), nil }},
		callable.Entry{Class: "hudson.FilePath$GetHomeDirectory", Source: "core",
			Run: func(context.Context, *callable.Call) (jser.Value, error) { return filePath(accountHome()), nil }},
		callable.Entry{Class: "hudson.FilePath$ListFilter", Fields: []string{"filter"}, Source: "core", Accepts: knownFilter, Run: listFilter},
	)
}

// filePathDesc is hudson.FilePath: the path, and a block with one boolean.
var filePathDesc = jser.Custom("hudson.FilePath", 1, nil,
	jser.Ref("remote", "java.lang.String"), jser.Ref("urlFactory", "hudson.FilePath$UrlFactory"))

// filePath makes a FilePath on this agent. The boolean true says that the path
// is on the machine that wrote it, so that the controller binds it to us.
func filePath(path string) *jser.Object {
	return &jser.Object{Class: filePathDesc, Data: []jser.ClassData{{Desc: filePathDesc,
		Values: []jser.Value{path, nil}, Extra: []jser.Value{jser.Block{1}}}}}
}

// mkdirs is FilePath.mkdirs(File): a directory that exists is left alone.
func mkdirs(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	err := os.MkdirAll(path, 0o777)
	var p *os.PathError
	if errors.As(err, &p) && p.Err == syscall.ENOTDIR && p.Path != path {
		// Files.createDirectories names the first directory that it could not
		// make, below the file that is in the way.
		rest, _ := strings.CutPrefix(path, p.Path+"/")
		first, _, _ := strings.Cut(rest, "/")
		p.Path = filepath.Join(p.Path, first)
	}
	return err
}

func mkdirsCallable(path string) (jser.Value, error) {
	if err := mkdirs(path); err != nil {
		if _, statErr := os.Stat(path); statErr != nil {
			return nil, err
		}
	}
	_, err := os.Stat(path)
	return jser.Boolean(err == nil), nil
}

func digest(path string) (jser.Value, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := md5.New() // the digest of fingerprints, hudson.Util.getDigestOf
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fileURI is java.io.File.toURI: a directory gets a trailing slash. Characters
// beyond ASCII stay as they are.
func fileURI(path string) string {
	if abs, err := filepath.Abs(path); err == nil && !filepath.IsAbs(path) {
		path = abs
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() && !strings.HasSuffix(path, "/") {
		path += "/"
	}
	var b strings.Builder
	b.WriteString("file:")
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c >= 0x80, c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9',
			strings.IndexByte("_-!.~'()*,;:$&+=@/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func diskSpace(blocks func(*unix.Statfs_t) uint64) func(string) (jser.Value, error) {
	return func(path string) (jser.Value, error) {
		var s unix.Statfs_t
		if err := unix.Statfs(path, &s); err != nil {
			return jser.Long(0), nil // java.io.File.getUsableSpace and the others
		}
		return jser.Long(int64(blocks(&s)) * int64(s.Bsize)), nil
	}
}

func chmod(_ context.Context, c *callable.Call) (jser.Value, error) {
	mask := c.Object.Int("mask") & 0o7777
	if mask&0o777 != mask { // Util.modeToPermissions knows no setuid, setgid, sticky
		return nil, remoting.Errorf(remoting.IOExceptionClass, "Invalid mode: %d", mask)
	}
	return nil, os.Chmod(c.Path, fs.FileMode(mask))
}

func touch(_ context.Context, c *callable.Call) (jser.Value, error) {
	if _, err := os.Stat(c.Path); err != nil {
		f, err := os.OpenFile(c.Path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	return setLastModified(context.Background(), c)
}

func setLastModified(_ context.Context, c *callable.Call) (jser.Value, error) {
	ms := c.Object.Long("timestamp")
	if ms < 0 {
		return nil, remoting.Errorf(remoting.IllegalArgumentClass, "Negative time")
	}
	if err := os.Chtimes(c.Path, time.UnixMilli(ms), time.UnixMilli(ms)); err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "Failed to set the timestamp of %s to %d", c.Path, ms)
	}
	return nil, nil
}

// symlinkTo is hudson.Util.createSymlink: an existing link or file is replaced.
func symlinkTo(_ context.Context, c *callable.Call) (jser.Value, error) {
	if fi, err := os.Lstat(c.Path); err == nil && !fi.IsDir() {
		if err := os.Remove(c.Path); err != nil {
			return nil, err
		}
	}
	return nil, os.Symlink(c.Object.Str("target"), c.Path)
}

func knownFilter(c *callable.Call) error {
	_, err := fileFilter(c.Object.Get("filter"))
	return err
}

func listFilter(_ context.Context, c *callable.Call) (jser.Value, error) {
	dir, err := os.Open(c.Path)
	if err != nil {
		return jser.EmptyList(), nil // java.io.File.listFiles gives null
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return jser.EmptyList(), nil
	}
	accept, err := fileFilter(c.Object.Get("filter"))
	if err != nil {
		return nil, err
	}
	var out []jser.Value
	for _, n := range names {
		p := filepath.Join(c.Path, n)
		if accept != nil && !accept(p) {
			continue
		}
		out = append(out, filePath(p))
	}
	return jser.ArrayList(out...), nil
}
