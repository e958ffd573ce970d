package git

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/footman-ci/footman/exec"
)

// changelogFormat is what the controller's parser reads.
const changelogFormat = "commit %H%ntree %T%nparent %P%nauthor %aN <%aE> %ai%ncommitter %cN <%cE> %ci%n%n%w(0,4,4)%B"

// Changelog is ChangelogCommand: revs are names to include, or to exclude with
// '^' before them; max nil is no limit. What git says about problems goes to Log.
func (c *Client) Changelog(ctx context.Context, revs []string, max *int, to io.Writer) error {
	if err := operand("revision", revs...); err != nil {
		return err
	}
	args := []string{"log", "--raw", "--no-merges", "--no-abbrev", "-M", "--format=raw"}
	if c.atLeast(ctx, 1, 8, 3) {
		args[5] = "--format=" + changelogFormat
	}
	if max != nil {
		args = append(args, "-n", itoa(*max))
	}
	args = append(args, revs...)
	out := &firstError{w: to}
	code, err := c.run(ctx, c.environment(), exec.Spec{Dir: c.Dir, Stdout: out, Stderr: c.Log}, -1, args)
	var e *Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &e):
		return err
	case err == nil && code == 0:
		return out.err
	}
	for i, a := range args {
		if strings.Contains(a, " ") || a == "" {
			args[i] = `"` + a + `"`
		}
	}
	return &Error{Message: "Error: " + c.Exe + " " + strings.Join(args, " ") + " in " + c.Dir, Cause: err}
}

// firstError keeps the error of a writer.
type firstError struct {
	w   io.Writer
	err error
}

func (f *firstError) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if f.err == nil {
		f.err = err
	}
	return n, err
}

// ShowRevision is showRevision; from nil shows only one commit.
func (c *Client) ShowRevision(ctx context.Context, from *ID, to ID, raw bool) ([]string, error) {
	args := []string{"log", "--full-history", "--no-abbrev", "--format=raw", "-M", "-m"}
	if raw {
		args = append(args, "--raw")
	}
	if from != nil {
		args = append(args, from.String()+".."+to.String())
	} else {
		args = append(args, "-1", to.String())
	}
	out, err := c.git(ctx, args...)
	if err != nil {
		return nil, err
	}
	// As Java's split: nothing empty at the end.
	if out = strings.TrimRight(out, "\n"); out == "" {
		return []string{""}, nil
	}
	return strings.Split(out, "\n"), nil
}

// Merge is MergeCommand.
type Merge struct {
	Rev         *ID
	Message     string
	Strategy    string // as MergeCommand.Strategy writes it, "" for the default
	FastForward string // "--ff", "--ff-only", "--no-ff" or ""
	Squash      bool
	NoCommit    bool
}

// Merge runs git merge.
func (c *Client) Merge(ctx context.Context, m Merge) error {
	if m.Rev == nil {
		return failf("MergeCommand requires a revision to merge")
	}
	args := []string{"merge"}
	if m.Squash {
		args = append(args, "--squash")
	}
	if m.NoCommit {
		args = append(args, "--no-commit")
	}
	if m.Message != "" {
		args = append(args, "-m", m.Message)
	}
	switch m.Strategy {
	case "", "default":
	case "recursive_theirs":
		args = append(args, "-s", "recursive", "--strategy-option", "theirs")
	default:
		args = append(args, "-s", m.Strategy)
	}
	if m.FastForward != "" {
		args = append(args, m.FastForward)
	}
	args = append(args, m.Rev.String())
	url := ""
	if remote, err := c.DefaultRemote(ctx, "origin"); err == nil && remote != "" {
		url, _ = c.RemoteURL(ctx, remote)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if url != "" {
		return c.atRemote(ctx, url, args...)
	}
	_, err := c.git(ctx, args...)
	return err
}

// Rebase runs git rebase, and undoes what failed.
func (c *Client) Rebase(ctx context.Context, upstream string) error {
	err := c.simply(ctx, "Could not rebase "+upstream, []string{"rebase"}, upstream)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, err := c.git(ctx, "rebase", "--abort"); err != nil {
		return err
	}
	return err
}

// Commit commits what is in the index.
func (c *Client) Commit(ctx context.Context, message string) error {
	files := &secretFiles{c: c}
	defer files.remove()
	name := files.write("gitcommit*.txt", 0o600, message)
	if files.err != nil {
		return &Error{Message: "Cannot commit " + message, Cause: files.err}
	}
	_, err := c.git(ctx, "commit", "-F", name)
	return wrap(err, "Cannot commit %s", message)
}

// Add puts files into the index.
func (c *Client) Add(ctx context.Context, pattern string) error {
	return c.simply(ctx, "Cannot add "+pattern, []string{"add"}, pattern)
}

// Note runs "git notes add" or "append".
func (c *Client) Note(ctx context.Context, command, note, namespace string) error {
	files := &secretFiles{c: c}
	defer files.remove()
	name := files.write("git-note*.txt", 0o600, note)
	if files.err != nil {
		return &Error{Message: "Could not apply note " + note, Cause: files.err}
	}
	_, err := c.git(ctx, "notes", "--ref="+namespace, command, "-F", name)
	return wrap(err, "Could not apply note %s", note)
}
