package hudson

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerBrowser adds what the page "Workspace" asks for. FilePath$Read and
// FilePath$Archive, for downloads, are with the others of their kind.
func registerBrowser(t *callable.Table) {
	t.Register(
		callable.Entry{Class: "hudson.FilePath$HasSymlink", Fields: []string{"verificationRoot", "openOptions", "noFollowLinks"},
			Source: "core 2.275", Accepts: knownOpenOptions, Run: hasSymlink},
		callable.Entry{Class: "hudson.FilePath$IsDescendant", Fields: []string{"potentialChildRelativePath"}, Source: "core", Run: isDescendantCallable},
		callable.Entry{Class: "hudson.model.DirectoryBrowserSupport$IsAbsolute", Fields: []string{"fragment"}, Source: "core",
			Run: func(_ context.Context, c *callable.Call) (jser.Value, error) {
				return jser.Boolean(strings.HasPrefix(c.Object.Str("fragment"), "/")), nil
			}},
		callable.Entry{Class: "hudson.model.DirectoryBrowserSupport$BuildChildPaths", Fields: []string{"root", "cur", "locale", "openOptions"},
			Source: "core", Accepts: knownFolder, Run: childPaths},
		callable.Entry{Class: "jenkins.util.VirtualFile$Scanner", Source: "core", Accepts: knownOpenOptions, Run: scanVirtualFile,
			Fields: []string{"includes", "excludes", "useDefaultExcludes", "verificationRoot", "openOptions", "noFollowLinks"}},
		fileCallable("jenkins.util.VirtualFile$Readable", "core", func(p string) (jser.Value, error) { return jser.Boolean(canRead(p)), nil }),
	)
}

func canRead(p string) bool { return unix.Access(p, unix.R_OK) == nil }

func isDescendantCallable(_ context.Context, c *callable.Call) (jser.Value, error) {
	child := c.Object.Str("potentialChildRelativePath")
	if strings.HasPrefix(child, "/") {
		return nil, remoting.Errorf(remoting.IllegalArgumentClass, "Only a relative path is supported, the given path is absolute: %s", child)
	}
	ok, err := isDescendant(c.Path, child)
	return jser.Boolean(ok), err
}

// isDescendant is FilePath.isDescendant: every step from dir to child must
// stay inside dir once links are resolved. What does not exist counts by its
// name.
func isDescendant(dir, child string) (bool, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return false, err
	}
	top, err := filepath.EvalSymlinks(abs)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	at := abs
	for _, name := range strings.Split(child, "/") {
		if name == "" || name == "." {
			continue
		}
		at += "/" + name
		if target, err := os.Readlink(at); err == nil {
			if strings.HasPrefix(target, "/") {
				at = target
			} else {
				at = at[:strings.LastIndexByte(at, '/')] + "/" + target
			}
		}
		real, err := filepath.EvalSymlinks(at)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return below(abs, filepath.Clean(at)), nil
		case err != nil:
			return false, nil
		case !below(top, real):
			return false, nil
		}
	}
	return true, nil
}

func below(dir, p string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimRight(dir, "/")+"/")
}

// scanVirtualFile lists what a pattern matches, links and "@tmp" directories
// left out.
func scanVirtualFile(ctx context.Context, c *callable.Call) (jser.Value, error) {
	includes := c.Object.Str("includes")
	if includes == "" {
		return jser.EmptyList(), nil
	}
	opts, err := openOptionsOf(c.Object)
	if err != nil {
		return nil, err
	}
	g := ant.Glob{Includes: includes, DefaultExcludes: c.Object.Bool("useDefaultExcludes"), NoFollow: opts.noFollow}
	if x, ok := c.Object.Get("excludes").(string); ok {
		g.Excludes = &x
	}
	var names nameVisitor
	root := strings.TrimRight(c.Object.Str("verificationRoot"), "/")
	if err := g.Scan(ctx, c.Path, ant.Without(&names, root, opts.noFollow, opts.noTmp)); err != nil {
		return nil, archiveError(err)
	}
	return jser.ArrayList(names...), nil
}

// nameVisitor collects names.
type nameVisitor []jser.Value

func (v *nameVisitor) Visit(_, rel string) error {
	*v = append(*v, strings.ReplaceAll(rel, `\`, "/"))
	return nil
}
func (v *nameVisitor) VisitSymlink(p, _, rel string) error { return v.Visit(p, rel) }
func (v *nameVisitor) UnderstandsSymlink() bool            { return false }

var (
	pathDesc = jser.Serializable("hudson.model.DirectoryBrowserSupport$Path", 1, nil, jser.Prim("isFolder", 'Z'), jser.Prim("isReadable", 'Z'),
		jser.Prim("lastModified", 'J'), jser.Prim("size", 'J'), jser.Ref("href", "java.lang.String"), jser.Ref("title", "java.lang.String"))
	childPathsDesc = jser.Serializable("hudson.model.DirectoryBrowserSupport$BuildChildPathsResult", 1, nil,
		jser.Prim("containsSymLink", 'Z'), jser.Prim("containsTmpDir", 'Z'), jser.Ref("glob", "java.util.List"))
)

// knownFolder accepts folders that are directories of this agent.
func knownFolder(c *callable.Call) error {
	if n := jser.Name(c.Object.Get("cur")); n != "jenkins.util.VirtualFile$FilePathVF" {
		return fmt.Errorf("the folder %s", n)
	}
	return knownOpenOptions(c)
}

// childPaths lists a directory for the page: directories first, names in the
// order of a dictionary, and directories that hold nothing but one directory
// together with it.
func childPaths(ctx context.Context, c *callable.Call) (jser.Value, error) {
	cur := c.Object.Obj("cur")
	dir, root := remoteOf(cur.Obj("f")), remoteOf(cur.Obj("root"))
	opts, err := openOptionsOf(c.Object)
	if err != nil {
		return nil, err
	}
	// What is listed does not depend on the request: the official agent looks
	// at its own settings, whose defaults are these.
	shown := openOptions{noFollow: true, noTmp: true}
	_, current := c.Object.Field("openOptions")
	if !current { // until core 2.361 there were no "@tmp" directories to hide
		shown.noTmp = false
	}
	kids := browse(dir, root, shown)
	slices.SortStableFunc(kids, func(a, b child) int {
		if a.folder != b.folder {
			if a.folder {
				return -1
			}
			return 1
		}
		return a.key.compare(b.key)
	})
	glob := make([]jser.Value, 0, len(kids))
	for _, k := range kids {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		glob = append(glob, chain(k, root, shown))
	}
	if !current {
		return jser.ArrayList(glob...), nil
	}
	links, tmps := false, false
	for _, n := range readNames(dir) {
		p := filepath.Join(dir, n)
		links = links || opts.link(p, root)
		tmps = tmps || opts.noTmp && isTmpDir(p)
	}
	return jser.New(childPathsDesc, links, tmps, jser.ArrayList(glob...)), nil
}

func remoteOf(o *jser.Object) string {
	if o == nil {
		return ""
	}
	return o.Str("remote")
}

// child is a file or directory to be shown.
type child struct {
	name, path string
	folder     bool
	key        collationKey
}

func browse(dir, root string, shown openOptions) []child {
	var out []child
	for _, n := range readNames(dir) {
		p := filepath.Join(dir, n)
		if shown.link(p, root) || shown.tmpDir(p, root) {
			continue
		}
		fi, err := os.Stat(p)
		out = append(out, child{name: n, path: p, folder: err == nil && fi.IsDir(), key: newCollationKey(n)})
	}
	return out
}

// pathNode is one DirectoryBrowserSupport$Path.
func (k child) pathNode(href string) *jser.Object {
	var modified, size int64
	if fi, err := os.Stat(k.path); err == nil {
		modified, size = fi.ModTime().UnixMilli(), fi.Size()
	}
	return jser.New(pathDesc, k.folder, canRead(k.path), modified, size, href, k.name)
}

// maxChain ends the way down through directories that hold one directory; a
// path can't be that long, but a directory may grow while it is looked at.
const maxChain = 4096

func chain(k child, root string, shown openOptions) jser.Value {
	href := rawEncode(k.name)
	if !k.folder {
		return jser.ListOf(k.pathNode(href))
	}
	nodes := []jser.Value{k.pathNode(href)}
	for len(nodes) < maxChain {
		sub := slices.DeleteFunc(browse(k.path, root, shown), func(c child) bool {
			return strings.HasPrefix(c.name, ".") || c.name == "CVS"
		})
		if len(sub) != 1 || !sub[0].folder {
			break
		}
		k = sub[0]
		href += "/" + rawEncode(k.name)
		nodes = append(nodes, k.pathNode(href))
	}
	return jser.ArrayList(nodes...)
}

// rawEncode is hudson.Util.rawEncode: one component of a path in a URL.
func rawEncode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!$&'()*+,-.=@_", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
