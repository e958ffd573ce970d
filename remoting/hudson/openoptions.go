package hudson

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/footman-ci/footman/remoting/jser"
)

// openOptions are the java.nio.file.OpenOption[] of a callable. Links and
// directories called "*@tmp" are looked for in a path no further up than a
// verification root.
type openOptions struct {
	noFollow bool // LinkOption.NOFOLLOW_LINKS
	noTmp    bool // FilePath$DisplayOption.IGNORE_TMP_DIRS, since core 2.332
}

// openOptionsOf reads the field openOptions, or noFollowLinks as it was until
// core 2.319. An option that is not known is an error.
func openOptionsOf(o *jser.Object) (openOptions, error) {
	opts := openOptions{noFollow: o.Bool("noFollowLinks")}
	vs, ok := jser.Values(o.Get("openOptions"))
	if !ok {
		return opts, fmt.Errorf("the open options %s", jser.Describe(o.Get("openOptions")))
	}
	for _, v := range vs {
		e, _ := v.(*jser.Enum)
		if e == nil {
			return opts, fmt.Errorf("the open option %s", jser.Describe(v))
		}
		switch name := e.Class.Name + "." + e.Name; name {
		case "java.nio.file.LinkOption.NOFOLLOW_LINKS":
			opts.noFollow = true
		case "hudson.FilePath$DisplayOption.IGNORE_TMP_DIRS":
			opts.noTmp = true
		case "java.nio.file.StandardOpenOption.READ":
		default:
			return opts, fmt.Errorf("the open option %s", name)
		}
	}
	return opts, nil
}

// link is FilePath.isSymlink(file, root, options).
func (o openOptions) link(file, root string) bool {
	return o.noFollow && (isLink(file) || ancestor(file, root, isLink))
}

// tmpDir is FilePath.isTmpDir(file, root, options).
func (o openOptions) tmpDir(file, root string) bool {
	return o.noTmp && (isTmpDir(file) || ancestor(file, root, isTmpDir))
}

func isLink(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode()&fs.ModeSymlink != 0
}

// tmpSuffix is WorkspaceList.TMP_DIR_SUFFIX.
const tmpSuffix = "@tmp"

func isTmpName(name string) bool {
	return len(name) > len(tmpSuffix) && strings.HasSuffix(name, tmpSuffix)
}

func isTmpDir(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.IsDir() && isTmpName(path.Base(p))
}

// ancestor is FilePath.doesFileAncestorMatch: whether file, or a directory
// above it and below root, matches. The way up is that of the name, while what
// is compared with root are real paths; a path that has none ends it.
func ancestor(file, root string, match func(string) bool) bool {
	if root == "" {
		return false
	}
	end, err := filepath.EvalSymlinks(root)
	if err != nil {
		return false
	}
	for at := file; ; {
		real, err := filepath.EvalSymlinks(at)
		if err != nil || real == end {
			return false
		}
		if match(at) {
			return true
		}
		cut := strings.LastIndexByte(strings.TrimRight(at, "/"), '/')
		if cut < 0 || at == "/" {
			return false
		}
		at = at[:max(cut, 1)]
	}
}

// fileFilter makes a function of a java.io.FileFilter: null accepts
// everything, and is nil; filters of plugins are errors.
func fileFilter(v jser.Value) (func(path string) bool, error) {
	if v == nil {
		return nil, nil
	}
	o, _ := v.(*jser.Object)
	if o == nil {
		return nil, fmt.Errorf("the filter %s", jser.Describe(v))
	}
	switch o.Class.Name {
	case "hudson.FilePath$DirectoryFilter":
		return func(p string) bool {
			fi, err := os.Stat(p)
			return err == nil && fi.IsDir()
		}, nil
	case "hudson.FilePath$SymlinkRetainingFileFilter", "hudson.FilePath$OptionalDiscardingFileFilter", "hudson.FilePath$SymlinkDiscardingFileFilter":
		opts, err := openOptionsOf(o)
		if err != nil {
			return nil, err
		}
		root := o.Str("verificationRoot")
		if o.Class.Name == "hudson.FilePath$SymlinkRetainingFileFilter" {
			return func(p string) bool { return opts.link(p, root) }, nil
		}
		return func(p string) bool { return !opts.link(p, root) && !opts.tmpDir(p, root) }, nil
	}
	return nil, fmt.Errorf("the filter %s", o.Class.Name)
}
