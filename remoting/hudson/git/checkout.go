package git

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/footman-ci/footman/exec"
)

// Checkout is CheckoutCommand.
type Checkout struct {
	Ref            string
	Branch         string // to make, "" for none
	DeleteBranch   bool   // one of that name first
	Sparse         []string
	Timeout        *int
	LFSRemote      string // to pull large files from, "" for none
	LFSCredentials *Credentials
}

// Checkout runs git checkout.
func (c *Client) Checkout(ctx context.Context, co Checkout) error {
	began := time.Now().Truncate(time.Second)
	err := c.checkout(ctx, co)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		// A lock that git made meanwhile would keep the next build from working.
		lock := filepath.Join(c.Dir, ".git", "index.lock")
		if fi, serr := os.Stat(lock); serr == nil && !fi.ModTime().Before(began) {
			_ = os.Remove(lock)
		}
		return ctx.Err()
	}
	var e *Error
	switch {
	case !errors.As(err, &e):
		return err
	case strings.Contains(e.Message, "index.lock"):
		return &Error{Message: "Could not lock repository. Please try again", Locked: true, Cause: err}
	case co.Branch != "":
		return wrap(err, "Could not checkout %s with start point %s", co.Branch, co.Ref)
	}
	return wrap(err, "Could not checkout %s", co.Ref)
}

func (c *Client) checkout(ctx context.Context, co Checkout) error {
	if err := operand("revision", co.Ref, co.Branch); err != nil {
		return err
	}
	if err := c.sparse(ctx, co); err != nil {
		return err
	}
	var env *exec.EnvVars
	if co.LFSRemote != "" {
		env = c.environment().Clone()
		env.Put("GIT_LFS_SKIP_SMUDGE", "1") // one git lfs pull is quicker
	}
	h := how{env: env, timeout: co.Timeout}
	args := []string{"checkout", "-f", co.Ref}
	if co.Branch != "" {
		if co.DeleteBranch {
			if err := c.leave(ctx, h, co); err != nil {
				return err
			}
		}
		args = []string{"checkout", "-b", co.Branch, co.Ref}
	}
	if _, err := c.launch(ctx, h, args...); err != nil || co.LFSRemote == "" {
		return err
	}
	return c.pullLFS(ctx, co)
}

// leave goes to the revision without a branch, and deletes the branch.
func (c *Client) leave(ctx context.Context, h how, co Checkout) error {
	if _, err := c.launch(ctx, h, "checkout", "-f", co.Ref); err != nil {
		return err
	}
	refs, err := c.Branches(ctx)
	if err != nil {
		return err
	}
	for _, r := range refs {
		if r.Name == co.Branch {
			return c.DeleteBranch(ctx, co.Branch)
		}
	}
	return nil
}

func (c *Client) pullLFS(ctx context.Context, co Checkout) error {
	if err := operand("remote", co.LFSRemote); err != nil {
		return err
	}
	url, err := c.RemoteURL(ctx, co.LFSRemote)
	if err != nil {
		return err
	}
	cred := co.LFSCredentials
	if cred == nil {
		cred = c.credentials(url)
	}
	u, err := ParseURI(url)
	if err != nil {
		return failf("Invalid URL %s", url)
	}
	_, err = c.launchFor(ctx, how{timeout: co.Timeout}, cred, u, "lfs", "pull", co.LFSRemote)
	return err
}

// sparse turns sparse checkout on or off.
func (c *Client) sparse(ctx context.Context, co Checkout) error {
	out, err := c.git(ctx, "config", "core.sparsecheckout")
	if err != nil && ctx.Err() != nil {
		return err
	}
	on := err == nil && strings.Contains(out, "true")
	paths, off := co.Sparse, false
	switch {
	case len(paths) == 0 && !on:
		return nil
	case len(paths) == 0:
		paths, off = []string{"/*"}, true
	case !on:
		if _, err := c.git(ctx, "config", "core.sparsecheckout", "true"); err != nil {
			return err
		}
	}
	if err := c.writeSparse(paths); err != nil {
		return err
	}
	if co.LFSRemote != "" {
		if err := c.limitLFS(ctx, paths); err != nil {
			return err
		}
	}
	_, err = c.git(ctx, "read-tree", "-mu", "HEAD")
	// 128 where the branch that is checked out has none of the paths.
	if err != nil && (ctx.Err() != nil || !strings.Contains(err.Error(), "returned status code 128:")) {
		return err
	}
	if off {
		_, err = c.git(ctx, "config", "core.sparsecheckout", "false")
		return err
	}
	return nil
}

func (c *Client) writeSparse(paths []string) error {
	dir := filepath.Join(c.Dir, ".git/info")
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return failf("Impossible to create sparse checkout dir %s", dir)
	}
	var text strings.Builder
	env := c.environment()
	for _, p := range paths {
		text.WriteString(env.Expand(p) + "\n")
	}
	name := filepath.Join(dir, "sparse-checkout")
	if err := os.WriteFile(name, []byte(text.String()), 0o666); err != nil {
		return &Error{Message: "Could not write sparse checkout file " + name, Cause: err}
	}
	return nil
}

// limitLFS lets git-lfs fetch what the paths name; it can't do so for paths
// with a comma.
func (c *Client) limitLFS(ctx context.Context, paths []string) error {
	var include, exclude []string
	for _, p := range paths {
		if strings.Contains(p, ",") {
			include, exclude = nil, nil
			break
		}
		if not, ok := strings.CutPrefix(p, "!"); ok {
			exclude = append(exclude, not)
		} else {
			include = append(include, p)
		}
	}
	for _, o := range []struct {
		key   string
		paths []string
	}{{"lfs.fetchinclude", include}, {"lfs.fetchexclude", exclude}} {
		value := strings.Join(o.paths, ",")
		if value != "" && value != "/*" {
			if err := c.simply(ctx, "", []string{"config", o.key}, value); err != nil {
				return err
			}
			continue
		}
		_, err := c.git(ctx, "config", "--unset", o.key)
		if err != nil && (ctx.Err() != nil || !strings.Contains(err.Error(), "returned status code 5:")) {
			return err
		}
	}
	return nil
}
