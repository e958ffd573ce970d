package git

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Fetch is FetchCommand. Timeouts are in minutes, nil for the default.
type Fetch struct {
	From           *URI
	RefSpecs       []string
	Tags           bool
	Prune, Shallow bool
	Depth          int
	Timeout        *int
}

// Fetch runs git fetch.
func (c *Client) Fetch(ctx context.Context, f Fetch) error {
	if f.From == nil {
		return failf("FetchCommand requires a remote")
	}
	c.Log.Println("Fetching upstream changes from " + f.From.String())
	args := []string{"fetch", "--tags"}
	if !f.Tags {
		args[1] = "--no-tags"
	}
	if c.atLeast(ctx, 2, 20, 0) {
		args = append(args, "--force")
	}
	if c.atLeast(ctx, 1, 7, 1) {
		args = append(args, "--progress")
	}
	if f.Prune {
		args = append(args, "--prune")
	}
	if f.Shallow {
		args = append(args, "--depth="+strconv.Itoa(f.Depth))
	}
	cred := c.credentials(f.From.Private())
	remote, err := c.remoteArgs(ctx, f.From.PrivateASCII())
	if err != nil {
		return err
	}
	if remote[0] != "--" { // an old git, or none
		if err := operand("refspec", f.RefSpecs...); err != nil {
			return err
		}
	}
	args = append(append(args, remote...), f.RefSpecs...)
	// What may be the name of a remote is looked up for the sake of the proxy and ssh.
	u := f.From
	if name := u.String(); !u.Remote() && !strings.ContainsAny(name, `:@/\`) {
		url, err := c.RemoteURL(ctx, name)
		if err != nil {
			return err
		}
		if u, err = ParseURI(url); err != nil {
			u = f.From
			c.Log.Println("Unexpected remote name or URL: '" + name + "'")
		}
	}
	_, err = c.launchFor(ctx, how{timeout: f.Timeout}, cred, u, args...)
	return err
}

// Clone is CloneCommand.
type Clone struct {
	URL, Origin, Reference string
	Shallow, Shared, Tags  bool
	Depth                  int
	Timeout                *int
	RefSpecs               []string // nil for all branches
}

// InvalidRepository is the java.lang.IllegalArgumentException of a clone.
type InvalidRepository struct{ URL string }

func (e *InvalidRepository) Error() string { return "Invalid repository " + e.URL }

// Clone makes the work tree anew, by git init and git fetch.
func (c *Client) Clone(ctx context.Context, cl Clone) error {
	u, err := ParseURI(cl.URL)
	if err != nil {
		c.Log.Println("Invalid repository " + cl.URL)
		return &InvalidRepository{cl.URL}
	}
	c.Log.Println("Cloning repository " + cl.URL)
	if err := c.Empty(ctx, c.Dir); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.Log.Println("ERROR: Failed to clean the workspace")
		c.Log.Println(err.Error())
		return &Error{Message: "Failed to delete workspace", Cause: err}
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return err
	}
	if err := c.Init(ctx, dir, false); err != nil {
		return err
	}
	if cl.Shared {
		if cl.Reference == "" {
			cl.Reference = cl.URL
		} else {
			c.Log.Println("[WARNING] Both shared and reference is used, shared is ignored.")
		}
	}
	c.borrow(cl.Reference)
	refspecs := cl.RefSpecs
	if refspecs == nil {
		refspecs = []string{"+refs/heads/*:refs/remotes/" + cl.Origin + "/*"}
	}
	err = c.Fetch(ctx, Fetch{From: u, RefSpecs: refspecs, Tags: cl.Tags, Shallow: cl.Shallow, Depth: cl.Depth, Timeout: cl.Timeout})
	if err != nil {
		return err
	}
	if err := c.SetRemoteURL(ctx, cl.Origin, cl.URL); err != nil {
		return err
	}
	for _, r := range refspecs {
		if err := operand("refspec", r); err != nil {
			return err
		}
		if _, err := c.git(ctx, "config", "--add", "remote."+cl.Origin+".fetch", r); err != nil {
			return err
		}
	}
	return nil
}

// borrow takes the objects of a repository on this machine.
func (c *Client) borrow(reference string) {
	if !c.isReference(reference) {
		return
	}
	objects := filepath.Join(reference, ".git", "objects")
	if fi, err := os.Stat(objects); err != nil || !fi.IsDir() {
		objects = filepath.Join(reference, "objects") // bare
	}
	if fi, err := os.Stat(objects); err != nil || !fi.IsDir() {
		c.Log.Println("[WARNING] Reference path does not contain an objects directory (not a git repo?): " + objects)
		return
	}
	objects, err := filepath.Abs(objects)
	if err == nil {
		c.Log.Println("Using reference repository: " + reference)
		err = os.WriteFile(filepath.Join(c.Dir, ".git/objects/info/alternates"), []byte(objects), 0o666)
	}
	if err != nil {
		c.Log.Println("ERROR: Failed to setup reference")
	}
}

// isReference warns about a reference that is no directory; "" is none.
func (c *Client) isReference(path string) bool {
	if path == "" {
		return false
	}
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		c.Log.Println("[WARNING] Reference path does not exist: " + path)
	case !fi.IsDir():
		c.Log.Println("[WARNING] Reference path is not a directory: " + path)
	default:
		return true
	}
	return false
}

// Init is InitCommand.
func (c *Client) Init(ctx context.Context, dir string, bare bool) error {
	if err := operand("directory", dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return failf("Could not create directory '%s'", dir)
	}
	args := []string{"init", dir}
	if bare {
		args = append(args, "--bare")
	}
	_, err := c.git(ctx, args...)
	return wrap(err, "Could not init %s", dir)
}

// Push is PushCommand; RefSpec may be "".
func (c *Client) Push(ctx context.Context, to *URI, refspec string, force, tags bool, timeout *int) error {
	if to == nil {
		return failf("PushCommand requires a 'remote'")
	}
	if err := operand("argument of git push", to.PrivateASCII(), refspec); err != nil {
		return err
	}
	args := []string{"push", to.PrivateASCII()}
	if refspec != "" {
		args = append(args, refspec)
	}
	if force {
		args = append(args, "-f")
	}
	if tags {
		args = append(args, "--tags")
	}
	_, err := c.launchFor(ctx, how{timeout: timeout}, c.credentials(to.Private()), to, args...)
	return err
}

// Prune removes the remote branches that are gone.
func (c *Client) Prune(ctx context.Context, remote string) error {
	url, err := c.RemoteURL(ctx, remote)
	if err != nil || url == "" {
		return err
	}
	if err := operand("remote", remote); err != nil {
		return err
	}
	return c.atRemote(ctx, url, "remote", "prune", remote)
}

// atRemote runs git in the work tree with the credentials of an address.
func (c *Client) atRemote(ctx context.Context, url string, args ...string) error {
	u, err := ParseURI(url)
	if err != nil {
		return failf("Invalid URL %s", url)
	}
	_, err = c.launchFor(ctx, how{}, c.credentials(url), u, args...)
	return err
}

// lsRemote runs git ls-remote, outside of the work tree.
func (c *Client) lsRemote(ctx context.Context, url, pattern string, options ...string) ([]string, error) {
	remote, err := c.remoteArgs(ctx, url)
	if err != nil {
		return nil, err
	}
	args := append(append([]string{"ls-remote"}, options...), remote...)
	if pattern != "" {
		if err := operand("pattern", pattern); err != nil {
			return nil, err
		}
		args = append(args, pattern)
	}
	u, err := ParseURI(url)
	if err != nil {
		return nil, failf("Invalid URL %s", url)
	}
	out, err := c.launchFor(ctx, how{anywhere: true}, c.credentials(url), u, args...)
	return slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return l == "" }), err
}

// HeadRevs is getHeadRev(url): the branches of a remote.
func (c *Client) HeadRevs(ctx context.Context, url string) (map[string]ID, error) {
	lines, err := c.lsRemote(ctx, url, "", "-h")
	heads := map[string]ID{}
	for _, l := range lines {
		id, ok := parseID(l)
		if !ok || len(l) < 41 {
			c.Log.Println("Unexpected ls-remote output line '" + l + "'")
			continue
		}
		heads[l[41:]] = id
	}
	return heads, err
}

// HeadRev is getHeadRev(url, branch); nil when there is none.
func (c *Client) HeadRev(ctx context.Context, url, branch string) (*ID, error) {
	name := branchName(branch)
	var options []string
	if strings.HasPrefix(name, "refs/tags/") {
		name += "^{}"
	} else {
		options = []string{"-h"}
	}
	lines, err := c.lsRemote(ctx, url, name, options...)
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	if id, ok := parseID(lines[0]); ok {
		return &id, nil
	}
	return nil, failf("Unexpected ls-remote output line '%s'", lines[0])
}

// branchName is extractBranchNameFromBranchSpec.
func branchName(spec string) string {
	parts := strings.Split(spec, "/")
	skip := len(parts) - 1
	switch {
	case strings.HasPrefix(spec, "remotes/"):
		skip = 2
	case strings.HasPrefix(spec, "refs/remotes/"):
		skip = 3
	case strings.HasPrefix(spec, "refs/heads/"), strings.HasPrefix(spec, "refs/tags/"):
		return spec
	default:
		return parts[skip]
	}
	return "refs/heads/" + strings.Join(parts[min(skip, len(parts)):], "/")
}

// RemoteReferences is getRemoteReferences; pattern "" is none. An annotated tag
// stands for its commit.
func (c *Client) RemoteReferences(ctx context.Context, url, pattern string, heads, tags bool) (map[string]ID, error) {
	var options []string
	if heads {
		options = append(options, "-h")
	}
	if tags {
		options = append(options, "-t")
	}
	lines, err := c.lsRemote(ctx, url, pattern, options...)
	refs := map[string]ID{}
	for _, l := range lines {
		id, ok := parseID(l)
		if !ok || len(l) < 41 {
			continue
		}
		name := l[41:]
		if tag, peeled := strings.CutSuffix(name, "^{}"); peeled && strings.HasPrefix(name, "refs/tags") {
			refs[tag] = id
		} else if _, known := refs[name]; !known {
			refs[name] = id
		}
	}
	return refs, err
}

// RemoteSymbolicReferences is getRemoteSymbolicReferences.
func (c *Client) RemoteSymbolicReferences(ctx context.Context, url, pattern string) (map[string]string, error) {
	refs := map[string]string{}
	if !c.atLeast(ctx, 2, 8, 0) {
		return refs, nil
	}
	lines, err := c.lsRemote(ctx, url, pattern, "--symref")
	for _, l := range lines {
		if f := strings.Fields(l); len(f) == 3 && f[0] == "ref:" {
			refs[f[2]] = f[1]
		}
	}
	return refs, err
}
