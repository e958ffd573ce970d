package git

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// single is the only line of what git printed, without blanks around it.
func single(out string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	out = strings.TrimSuffix(out, "\n")
	if strings.Contains(out, "\n") {
		return "", failf("Result has multiple lines")
	}
	return strings.TrimSpace(out), nil
}

// RemoteURL is getRemoteUrl.
func (c *Client) RemoteURL(ctx context.Context, remote string) (string, error) {
	return single(c.git(ctx, "config", "--get", "remote."+remote+".url"))
}

// SetRemoteURL is setRemoteUrl.
func (c *Client) SetRemoteURL(ctx context.Context, remote, url string) error {
	return c.simply(ctx, "", []string{"config", "remote." + remote + ".url"}, url)
}

// AddRemoteURL is addRemoteUrl.
func (c *Client) AddRemoteURL(ctx context.Context, remote, url string) error {
	return c.simply(ctx, "", []string{"config", "--add", "remote." + remote + ".url"}, url)
}

// SetConfig is config: level is "local", "global", "system" or "worktree"; a nil
// value removes the key.
func (c *Client) SetConfig(ctx context.Context, level, key string, value *string) error {
	if value == nil {
		return c.simply(ctx, "", []string{"config", "--" + level, "--unset"}, key)
	}
	return c.simply(ctx, "", []string{"config", "--" + level}, key, *value)
}

// DefaultRemote is getDefaultRemote: the preferred one, or the first.
func (c *Client) DefaultRemote(ctx context.Context, preferred string) (string, error) {
	remotes, err := c.lines(ctx, "", "remote")
	switch {
	case err != nil:
		return "", err
	case slices.Contains(remotes, preferred):
		return preferred, nil
	case len(remotes) > 0:
		return remotes[0], nil
	}
	return "", failf("No remotes found!")
}

// IsBare is isBareRepository; dir "" is the work tree's.
func (c *Client) IsBare(ctx context.Context, dir string) (bool, error) {
	args := []string{"rev-parse", "--is-bare-repository"}
	if dir != "" {
		args = append([]string{"--git-dir=" + dir}, args...)
	}
	out, err := c.git(ctx, args...)
	if err != nil {
		return false, err
	}
	out = strings.TrimSpace(out)
	if out == "" {
		return false, failf("No output from bare repository check for %s", dir)
	}
	return out != "false", nil
}

// Reset is reset.
func (c *Client) Reset(ctx context.Context, hard bool) error {
	if _, err := c.oneID(ctx, "HEAD", "rev-parse", "--verify", "HEAD"); err != nil {
		if ctx.Err() != nil {
			return err
		}
		c.Log.Println("No valid HEAD. Skipping the resetting")
		return nil
	}
	c.Log.Println("Resetting working tree")
	args := []string{"reset"}
	if hard {
		args = append(args, "--hard")
	}
	_, err := c.git(ctx, args...)
	return err
}

// Clean is clean; nested says that repositories in the work tree go, too.
func (c *Client) Clean(ctx context.Context, nested bool) error {
	if err := c.Reset(ctx, true); err != nil {
		return err
	}
	option := "-fdx"
	if nested {
		option = "-ffdx"
	}
	_, err := c.git(ctx, "clean", option)
	return err
}

const disabled = "/dev/null"

// DisableHooks keeps the repository's hooks from running, without a word
// (jenkins.plugins.git.DisableHooks).
func (c *Client) DisableHooks(ctx context.Context) error {
	_, err := c.Quiet(ctx, "config", "--local", "core.hooksPath", disabled)
	return err
}

// UnsetHooks undoes it (jenkins.plugins.git.UnsetHooks).
func (c *Client) UnsetHooks(ctx context.Context) error {
	out, err := c.Quiet(ctx, "config", "--local", "--get", "core.hooksPath")
	if err != nil {
		return ctx.Err() // not set
	}
	if v := strings.TrimSpace(string(out)); v != "" && v != disabled && v != "NUL:" {
		return nil // somebody's own
	}
	_, err = c.Quiet(ctx, "config", "--local", "--unset-all", "core.hooksPath")
	return err
}

// RawCommit is a commit as git keeps it; nil when there is no such commit.
// Shallow says that its parents were not fetched.
func (c *Client) RawCommit(ctx context.Context, id ID) (body []byte, shallow bool, err error) {
	kind, err := c.Quiet(ctx, "cat-file", "-t", id.String())
	if err != nil {
		return nil, false, ctx.Err()
	}
	if strings.TrimSpace(string(kind)) != "commit" {
		return nil, false, failf("Object %s is not a commit.", id)
	}
	if body, err = c.Quiet(ctx, "cat-file", "commit", id.String()); err != nil {
		return nil, false, err
	}
	return body, c.isShallow(id), nil
}

// isShallow reads the list of commits whose parents were not fetched.
func (c *Client) isShallow(id ID) bool {
	b, err := os.ReadFile(filepath.Join(c.Dir, ".git/shallow"))
	return err == nil && slices.Contains(strings.Fields(string(b)), id.String())
}
