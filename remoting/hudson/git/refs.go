package git

import (
	"context"
	"encoding/hex"
	"strings"
)

// ID is the name of an object (SHA-1).
type ID [20]byte

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// parseID reads the 40 digits that s begins with; only the end or a blank may
// follow.
func parseID(s string) (id ID, ok bool) {
	if len(s) < 40 || len(s) > 40 && s[40] != '\t' && s[40] != ' ' {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s[:40]))
	return id, err == nil
}

// Ref is a name with the object that it stands for (hudson.plugins.git.Branch).
type Ref struct {
	Name string
	ID   ID
}

// RevParse is revParse.
func (c *Client) RevParse(ctx context.Context, rev string) (ID, error) {
	if err := operand("revision", rev); err != nil {
		return ID{}, err
	}
	return c.oneID(ctx, rev, "rev-parse", rev+"^{commit}")
}

func (c *Client) oneID(ctx context.Context, rev string, args ...string) (ID, error) {
	out, err := c.git(ctx, args...)
	if err != nil {
		return ID{}, err
	}
	line := strings.TrimSpace(out)
	if line == "" {
		return ID{}, failf("rev-parse no content returned for %s", rev)
	}
	id, ok := parseID(line)
	if !ok || len(line) != 40 {
		return ID{}, failf("Invalid id: %s", line)
	}
	return id, nil
}

// RevList is revList and its variants: all, or what rev reaches.
func (c *Client) RevList(ctx context.Context, args ...string) ([]ID, error) {
	out, err := c.git(ctx, append([]string{"rev-list"}, args...)...)
	if err != nil {
		return nil, err
	}
	ids := []ID{}
	for line := range strings.Lines(out) {
		id, ok := parseID(strings.TrimSpace(line))
		if !ok {
			return nil, failf("Error parsing rev list")
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// HasCommit is isCommitInRepo.
func (c *Client) HasCommit(ctx context.Context, id ID) (bool, error) {
	c.atLeast(ctx, 1, 5, 3)
	ids, err := c.RevList(ctx, "--no-walk", id.String())
	if err != nil && ctx.Err() == nil {
		return false, nil
	}
	return len(ids) > 0, err
}

// HasRepo is hasGitRepo; parents says that the work tree may lie in another.
func (c *Client) HasRepo(ctx context.Context, parents bool) (bool, error) {
	if !c.exists(".git") {
		return false, nil
	}
	args := []string{"rev-parse", "--is-inside-work-tree"}
	if !parents {
		args = []string{"rev-parse", "--resolve-git-dir", c.Dir + "/.git"}
	}
	_, err := c.git(ctx, args...)
	if err != nil && ctx.Err() == nil {
		c.Log.Println("ERROR: Workspace has a .git repository, but it appears to be corrupt.")
		c.Log.Println("hudson.plugins.git.GitException: " + err.Error())
		return false, nil
	}
	return err == nil, err
}

// HasModules is hasGitModules.
func (c *Client) HasModules() bool { return c.exists(".gitmodules") }

// branches reads "git branch -v --no-abbrev".
func branches(out string) []Ref {
	var refs []Ref
	for line := range strings.Lines(strings.ReplaceAll(out, "\r", "")) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) < 44 {
			continue
		}
		name, rest, _ := strings.Cut(line[2:], " ")
		if id, ok := parseID(strings.TrimLeft(rest, " ")); ok {
			refs = append(refs, Ref{name, id})
		}
	}
	return refs
}

// Branches is getBranches.
func (c *Client) Branches(ctx context.Context) ([]Ref, error) {
	out, err := c.git(ctx, "branch", "-a", "-v", "--no-abbrev")
	return branches(out), err
}

// BranchesContaining is getBranchesContaining.
func (c *Client) BranchesContaining(ctx context.Context, rev string, all bool) ([]Ref, error) {
	if err := operand("revision", rev); err != nil {
		return nil, err
	}
	args := []string{"branch", "-a", "-v", "--no-abbrev", "--contains", rev}
	if !all {
		args = append(args[:1], args[2:]...)
	}
	out, err := c.git(ctx, args...)
	return branches(out), err
}

// RemoteBranches is getRemoteBranches, which upstream does by JGit.
func (c *Client) RemoteBranches(ctx context.Context) ([]Ref, error) {
	var out []byte
	if c.exists(".git/HEAD") || !c.isDir(".git") && c.exists(".git") {
		var err error
		if out, err = c.Quiet(ctx, "for-each-ref", "--format=%(objectname) %(refname)", "refs/remotes/"); err != nil {
			return nil, err
		}
	}
	var refs []Ref
	for line := range strings.Lines(string(out)) {
		id, ok := parseID(line)
		if !ok {
			return nil, failf("Error parsing branches")
		}
		name := strings.TrimPrefix(strings.TrimSpace(line[41:]), "refs/remotes/")
		refs = append(refs, Ref{name, id})
		c.Log.Println("Seen branch in repository " + name)
	}
	if len(refs) == 1 {
		c.Log.Println("Seen 1 remote branch")
	} else {
		c.Log.Println("Seen " + grouped(len(refs)) + " remote branches")
	}
	return refs, nil
}

// Tags is getTags: a tag stands for its commit.
func (c *Client) Tags(ctx context.Context) ([]Ref, error) {
	out, err := c.git(ctx, "show-ref", "--tags", "-d")
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	var refs []Ref
	at := map[string]int{}
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		id, ok := parseID(line)
		name, peeled := "", false
		if ok && len(line) > 41 {
			name, ok = strings.CutPrefix(line[41:], "refs/tags/")
			name, peeled = strings.CutSuffix(name, "^{}")
		}
		i, known := at[name]
		switch {
		case !ok || name == "":
			c.Log.Println("git show-ref --tags -d output not matched in line: " + line)
		case !known:
			at[name] = len(refs)
			refs = append(refs, Ref{name, id})
		case peeled:
			refs[i].ID = id
		}
	}
	return refs, nil
}

// lines runs git for a list of names.
func (c *Client) lines(ctx context.Context, failure string, args ...string) ([]string, error) {
	out, err := c.git(ctx, args...)
	if err != nil {
		if failure != "" {
			err = wrap(err, "%s", failure)
		}
		return nil, err
	}
	var names []string
	for l := range strings.Lines(out) {
		names = append(names, strings.TrimSuffix(l, "\n"))
	}
	return names, nil
}

// TagNames is getTagNames.
func (c *Client) TagNames(ctx context.Context, pattern string) ([]string, error) {
	if err := operand("pattern", pattern); err != nil {
		return nil, err
	}
	args := []string{"tag", "-l"}
	if pattern != "" {
		args = append(args, pattern)
	}
	return c.lines(ctx, "Error retrieving tag names", args...)
}

// RefNames is getRefNames.
func (c *Client) RefNames(ctx context.Context, prefix string) ([]string, error) {
	if prefix = strings.ReplaceAll(prefix, " ", "_"); prefix == "" {
		prefix = "refs/"
	}
	if err := operand("prefix", prefix); err != nil {
		return nil, err
	}
	return c.lines(ctx, "Error retrieving refs with prefix "+prefix, "for-each-ref", "--format=%(refname)", prefix)
}

// RefExists is refExists.
func (c *Client) RefExists(ctx context.Context, name string) (bool, error) {
	name = strings.ReplaceAll(name, " ", "_")
	if err := operand("ref", name); err != nil {
		return false, err
	}
	_, err := c.git(ctx, "show-ref", name)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	return err == nil, nil
}

// TagExists is tagExists.
func (c *Client) TagExists(ctx context.Context, name string) (bool, error) {
	if err := operand("tag", name); err != nil {
		return false, err
	}
	out, err := c.git(ctx, "tag", "-l", name)
	return err == nil && strings.TrimSpace(out) == name, err
}

// TagMessage is getTagMessage.
func (c *Client) TagMessage(ctx context.Context, name string) (string, error) {
	if err := operand("tag", name); err != nil {
		return "", err
	}
	out, err := c.git(ctx, "tag", "-l", name, "-n10000")
	if err != nil {
		return "", err
	}
	if len(out) < len(name) {
		return "", failf("There is no tag %s", name)
	}
	out = out[len(name):]
	return strings.TrimSpace(strings.ReplaceAll(strings.TrimPrefix(out, "    "), "\n    ", "\n")), nil
}

// simply runs git with what a caller gave as its last arguments.
func (c *Client) simply(ctx context.Context, failure string, fixed []string, given ...string) error {
	if err := operand("argument of git "+fixed[0], given...); err != nil {
		return err
	}
	_, err := c.git(ctx, append(fixed, given...)...)
	if failure != "" {
		return wrap(err, "%s", failure)
	}
	return err
}

// Tag makes an annotated tag.
func (c *Client) Tag(ctx context.Context, name, comment string) error {
	name = strings.ReplaceAll(name, " ", "_")
	return c.simply(ctx, "Could not apply tag "+name, []string{"tag", "-a", "-f", "-m", comment}, name)
}

// DeleteTag is deleteTag.
func (c *Client) DeleteTag(ctx context.Context, name string) error {
	name = strings.ReplaceAll(name, " ", "_")
	return c.simply(ctx, "Could not delete tag "+name, []string{"tag", "-d"}, name)
}

// Branch makes a branch.
func (c *Client) Branch(ctx context.Context, name string) error {
	return c.simply(ctx, "Cannot create branch "+name, []string{"branch"}, name)
}

// DeleteBranch is deleteBranch.
func (c *Client) DeleteBranch(ctx context.Context, name string) error {
	return c.simply(ctx, "Could not delete branch "+name, []string{"branch", "-D"}, name)
}

// MergeBase is mergeBase; nil when there is none.
func (c *Client) MergeBase(ctx context.Context, a, b ID) (*ID, error) {
	id, err := c.oneID(ctx, "", "merge-base", a.String(), b.String())
	if err != nil {
		return nil, ctx.Err()
	}
	return &id, nil
}

// grouped writes 1234 as "1,234" (java.text.MessageFormat).
func grouped(n int) string {
	s := ""
	for ; n >= 1000; n /= 1000 {
		rest := n % 1000
		s = "," + string([]byte{byte('0' + rest/100), byte('0' + rest/10%10), byte('0' + rest%10)}) + s
	}
	return itoa(n) + s
}
