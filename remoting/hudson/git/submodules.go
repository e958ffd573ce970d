package git

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// SubmoduleUpdate is SubmoduleUpdateCommand.
type SubmoduleUpdate struct {
	Recursive, RemoteTracking, ParentCredentials, Shallow bool
	Reference                                             string
	Branches                                              [][2]string // submodule, branch; for RemoteTracking
	Timeout                                               *int
	Depth, Threads                                        int
}

const submoduleURLs = `^submodule\.(.+)\.url`

var submoduleLine = regexp.MustCompile(`(?m)` + submoduleURLs + `\s+[^\s]+$`)

// SubmoduleUpdate runs git submodule update for each submodule.
func (c *Client) SubmoduleUpdate(ctx context.Context, s SubmoduleUpdate) error {
	if err := c.SubmoduleInit(ctx); err != nil {
		return err
	}
	args := []string{"submodule", "update"}
	if s.Recursive {
		args = append(args, "--init", "--recursive")
	}
	if s.RemoteTracking && c.atLeast(ctx, 1, 8, 2) {
		args = append(args, "--remote")
		for _, b := range s.Branches {
			if err := c.simply(ctx, "", []string{"config", "-f", ".gitmodules", "submodule." + b[0] + ".branch"}, b[1]); err != nil {
				return err
			}
		}
	}
	if c.isReference(s.Reference) {
		args = append(args, "--reference", s.Reference)
	}
	if s.Shallow && c.atLeast(ctx, 1, 8, 4) {
		args = append(args, "--depth="+itoa(s.Depth))
	}
	out, err := c.git(ctx, "config", "-f", ".gitmodules", "--get-regexp", submoduleURLs)
	if err != nil {
		if ctx.Err() == nil {
			c.Log.Println("ERROR: No submodules found.")
		}
		return ctx.Err()
	}
	var runs []func(context.Context) error
	for _, m := range submoduleLine.FindAllStringSubmatch(out, -1) {
		run, err := c.submodule(ctx, s, m[1], args)
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	return inParallel(ctx, s.Threads, runs)
}

// submodule prepares the update of one submodule.
func (c *Client) submodule(ctx context.Context, s SubmoduleUpdate, name string, args []string) (func(context.Context) error, error) {
	address, err := single(c.git(ctx, "config", "--get", "submodule."+name+".url"))
	if err != nil {
		return nil, err
	}
	u, err := ParseURI(address)
	if err != nil {
		c.Log.Println("ERROR: Invalid repository for " + name)
		return nil, failf("Invalid repository for %s", name)
	}
	owner := u
	if s.ParentCredentials {
		remote, err := c.DefaultRemote(ctx, "origin")
		if err != nil {
			return nil, err
		}
		parent, err := c.RemoteURL(ctx, remote)
		if err != nil {
			return nil, err
		}
		if owner, err = ParseURI(parent); err != nil {
			c.Log.Println("ERROR: Invalid URI for " + parent)
			return nil, failf("Invalid URI for %s", parent)
		}
	}
	cred := c.credentials(owner.Private())
	path, err := single(c.git(ctx, "config", "-f", ".gitmodules", "--get", "submodule."+name+".path"))
	if err != nil {
		return nil, err
	}
	if err := operand("path of a submodule", path); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := c.launchFor(ctx, how{timeout: s.Timeout}, cred, u, append(slices.Clone(args), path)...)
		return err
	}, nil
}

// maxThreads bounds what a controller can make run at once.
const maxThreads = 64

// inParallel runs all, that many at once, and returns the first failure; the
// others are ended then (GitCommandsExecutor).
func inParallel(ctx context.Context, threads int, runs []func(context.Context) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	slots := make(chan struct{}, min(max(threads, 1), maxThreads))
	var wg sync.WaitGroup
	for _, run := range runs {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := run(ctx); err != nil {
				stop(wrap(err, "hudson.plugins.git.GitException: %s", err.Error()))
			}
			<-slots
		}()
	}
	wg.Wait()
	return context.Cause(ctx)
}

// SubmoduleInit is submoduleInit.
func (c *Client) SubmoduleInit(ctx context.Context) error {
	_, err := c.git(ctx, "submodule", "init")
	return err
}

// SubmoduleClean is submoduleClean.
func (c *Client) SubmoduleClean(ctx context.Context, recursive bool) error {
	if _, err := c.git(ctx, "submodule", "foreach", "--recursive", "git reset --hard"); err != nil {
		return err
	}
	args := []string{"submodule", "foreach"}
	if recursive {
		args = append(args, "--recursive")
	}
	_, err := c.git(ctx, append(args, "git clean -fdx")...)
	return err
}

// Entry is a line of git ls-tree (hudson.plugins.git.IndexEntry).
type Entry struct{ Mode, Type, Object, File string }

// Submodules is getSubmodules.
func (c *Client) Submodules(ctx context.Context, treeish string) ([]Entry, error) {
	if err := operand("revision", treeish); err != nil {
		return nil, err
	}
	out, err := c.git(ctx, "ls-tree", "-r", treeish)
	if err != nil {
		return nil, err
	}
	entries := []Entry{}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) < 4 {
			return nil, failf("Error parsing ls tree")
		}
		if f[0] == "160000" {
			entries = append(entries, Entry{f[0], f[1], f[2], f[3]})
		}
	}
	return entries, nil
}

// SetupSubmoduleURLs is setupSubmoduleUrls: branches are the names of those
// that the revision is on; the remote that the first of them names counts.
func (c *Client) SetupSubmoduleURLs(ctx context.Context, branches []string) error {
	preferred := "origin"
	for _, b := range branches {
		if remote, _, ok := strings.Cut(b, "/"); ok {
			preferred = remote
			break
		}
	}
	remote, err := c.DefaultRemote(ctx, preferred)
	if err != nil {
		return err
	}
	if err := c.SubmoduleInit(ctx); err != nil {
		return err
	}
	if _, err := c.git(ctx, "submodule", "sync"); err != nil {
		return err
	}
	return c.fixSubmoduleURLs(ctx, remote)
}

// fixSubmoduleURLs takes submodules from the work tree of the remote, where
// that is one on this machine.
func (c *Client) fixSubmoduleURLs(ctx context.Context, remote string) error {
	address, err := c.RemoteURL(ctx, remote)
	if err != nil {
		return wrap(err, "Could not determine remote.%s.url", remote)
	}
	address, tree := strings.CutSuffix(address, "/.git")
	origin, ok := parseJavaURI(address)
	if !ok {
		return nil
	}
	bare := !tree
	if origin.Scheme == "" || strings.EqualFold(origin.Scheme, "file") && origin.Host == "" {
		for _, p := range []string{origin.Path, join(origin.Path, ".git")} {
			b, err := c.IsBare(ctx, p)
			if err == nil {
				bare = b
				break
			}
			if ctx.Err() != nil {
				return err
			}
		}
	}
	if bare {
		return nil
	}
	if err := c.submodulesFrom(ctx, origin.Path); ctx.Err() != nil {
		return err
	}
	return nil // such as without HEAD
}

func (c *Client) submodulesFrom(ctx context.Context, path string) error {
	modules, err := c.Submodules(ctx, "HEAD")
	for _, m := range modules {
		from := join(path, m.File)
		if err := c.simply(ctx, "", []string{"config", "submodule." + m.File + ".url"}, from); err != nil {
			return err
		}
		dir := join(m.File, ".git")
		if !c.exists(dir) {
			continue
		}
		url, err := single(c.git(ctx, "--git-dir="+dir, "config", "--get", "remote.origin.url"))
		if err != nil {
			return err
		}
		if url != "" {
			if err := c.simply(ctx, "", []string{"--git-dir=" + dir, "config", "remote.origin.url"}, from); err != nil {
				return err
			}
		}
	}
	return err
}

// join is new File(a, b).toString().
func join(a, b string) string {
	if b = strings.Trim(b, "/"); b == "" {
		return a
	}
	return strings.TrimRight(a, "/") + "/" + b
}

// parseJavaURI reads what java.net.URI does, which is strict.
func parseJavaURI(s string) (*url.URL, bool) {
	if strings.ContainsAny(s, " \"<>\\^`{|}") {
		return nil, false
	}
	u, err := url.Parse(s)
	return u, err == nil
}
