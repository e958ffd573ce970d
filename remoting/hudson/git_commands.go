package hudson

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/git"
	"github.com/footman-ci/footman/remoting/jser"
)

// gitBuilder collects the calls of one GitCommand before it is executed.
type gitBuilder struct {
	// calls are the methods of the builder, by signature; what is not there
	// is refused. Each is called once for each Invocation, in order.
	calls map[string]func(a *gitArgs)
	run   func(ctx context.Context, g *gitClient) error
}

// acceptsGitCommand refuses commands for a client that is not ours.
func acceptsGitCommand(c *callable.Call) error {
	if o := c.Object.Obj("this$0"); o != nil {
		if x, ok := c.Exported(o.Get("proxy")); ok {
			if _, ok := x.(*gitClient); ok {
				return nil
			}
		}
	}
	return errors.New("a client that is not of this agent")
}

// runGitCommand is GitCommandMasterToSlaveCallable.call: it repeats what was
// called on the builder, and executes it.
func runGitCommand(ctx context.Context, c *callable.Call) (jser.Value, error) {
	h := c.Object.Obj("this$0")
	x, _ := c.Exported(h.Get("proxy"))
	g, ok := x.(*gitClient)
	if !ok {
		return nil, remoting.Errorf(remoting.IllegalStateClass, "footman: the git client has been released")
	}
	name := ""
	if k, ok := h.Get("command").(*jser.Class); ok && k.Desc != nil {
		name = strings.TrimPrefix(k.Desc.Name, gitClientPackage)
	}
	factory := gitBuilders[name]
	if factory == nil {
		return nil, remoting.Errorf(remoting.UnsupportedOperationClass, "footman: the git command %s %s", name, gitWaysOut)
	}
	b := factory(ctx)
	list, err := jser.List(h.Get("invocations"))
	if err != nil {
		return nil, (&gitArgs{err: err}).refusal(name)
	}
	for _, v := range list {
		if err := b.replay(name, c.Call, v); err != nil {
			return nil, err
		}
	}
	return g.serve(ctx, c.Call, void(func(ctx context.Context) error { return b.run(ctx, g) }))
}

// replay repeats one RemoteGitImpl$Invocation.
func (b *gitBuilder) replay(command string, call *remoting.Call, v jser.Value) error {
	o, ok := v.(*jser.Object)
	if !ok {
		return (&gitArgs{err: &jser.TypeError{Want: "an invocation", Got: v}}).refusal(command)
	}
	types, err := jser.Strings(o.Get("parameterTypes"))
	values, _ := jser.Values(o.Get("args"))
	if err == nil && len(values) != len(types) {
		err = fmt.Errorf("%d arguments for %d types", len(values), len(types))
	}
	name := command + "." + signature(o.Str("methodName"), types...)
	if err != nil {
		return (&gitArgs{err: err}).refusal(name)
	}
	set := b.calls[signature(o.Str("methodName"), types...)]
	if set == nil {
		return remoting.Errorf(remoting.UnsupportedOperationClass, "footman: %s %s", name, gitWaysOut)
	}
	a := &gitArgs{v: values, call: call}
	if set(a); a.err != nil {
		return a.refusal(name)
	}
	return nil
}

// gitBuilders are the commands of git-client that we know.
var gitBuilders = map[string]func(context.Context) *gitBuilder{
	"CloneCommand": cloneCommand, "FetchCommand": fetchCommand, "CheckoutCommand": checkoutCommand, "ChangelogCommand": changelogCommand,
	"SubmoduleUpdateCommand": submoduleCommand, "InitCommand": initCommand, "MergeCommand": mergeCommand, "PushCommand": pushCommand,
	"RebaseCommand": rebaseCommand,
}

type gitCalls = map[string]func(a *gitArgs)

// flag adds a method of a boolean, and the older one without.
func (b *gitBuilder) flag(name string, to *bool) {
	b.calls[signature(name, tBool)] = func(a *gitArgs) { *to = a.bool(0) }
	b.calls[signature(name)] = func(*gitArgs) { *to = true }
}

func (b *gitBuilder) text(name string, to *string) {
	b.calls[signature(name, tString)] = func(a *gitArgs) { *to = a.str(0) }
}

func (b *gitBuilder) timeout(to **int) {
	b.calls[signature("timeout", tInteger)] = func(a *gitArgs) { *to = a.integer(0) }
}

// depth of a shallow clone is 1 unless it is given.
func (b *gitBuilder) depth(to *int) {
	*to = 1
	b.calls[signature("depth", tInteger)] = func(a *gitArgs) {
		*to = 1
		if n := a.integer(0); n != nil {
			*to = *n
		}
	}
}

func cloneCommand(context.Context) *gitBuilder {
	c := &git.Clone{Origin: "origin", Tags: true}
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error { return g.Clone(ctx, *c) }}
	b.text("url", &c.URL)
	b.text("repositoryName", &c.Origin)
	b.text("reference", &c.Reference)
	b.flag("shallow", &c.Shallow)
	b.flag("shared", &c.Shared)
	b.flag("tags", &c.Tags)
	b.timeout(&c.Timeout)
	b.depth(&c.Depth)
	b.calls[signature("noCheckout")] = func(*gitArgs) {}
	b.calls[signature("refspecs", tList)] = func(a *gitArgs) { c.RefSpecs = a.refspecs(0) }
	return b
}

func fetchCommand(context.Context) *gitBuilder {
	f := &git.Fetch{Tags: true}
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error { return g.Fetch(ctx, *f) }}
	b.calls[signature("from", tURI, tList)] = func(a *gitArgs) { f.From, f.RefSpecs = a.uri(0), a.refspecs(1) }
	b.flag("tags", &f.Tags)
	b.flag("prune", &f.Prune)
	b.flag("shallow", &f.Shallow)
	b.timeout(&f.Timeout)
	b.depth(&f.Depth)
	return b
}

func checkoutCommand(context.Context) *gitBuilder {
	c := &git.Checkout{}
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error { return g.Checkout(ctx, *c) }}
	b.text("ref", &c.Ref)
	b.text("branch", &c.Branch)
	b.flag("deleteBranchIfExist", &c.DeleteBranch)
	b.calls[signature("sparseCheckoutPaths", tList)] = func(a *gitArgs) { c.Sparse = a.paths(0) }
	b.timeout(&c.Timeout)
	b.text("lfsRemote", &c.LFSRemote)
	b.calls[signature("lfsCredentials", tCredentials)] = func(a *gitArgs) { c.LFSCredentials = a.credentials(0) }
	return b
}

func submoduleCommand(context.Context) *gitBuilder {
	s := &git.SubmoduleUpdate{Threads: 1}
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error { return g.SubmoduleUpdate(ctx, *s) }}
	b.flag("recursive", &s.Recursive)
	b.flag("remoteTracking", &s.RemoteTracking)
	b.flag("parentCredentials", &s.ParentCredentials)
	b.flag("shallow", &s.Shallow)
	b.text("ref", &s.Reference)
	b.timeout(&s.Timeout)
	b.depth(&s.Depth)
	b.calls[signature("threads", "int")] = func(a *gitArgs) { s.Threads = int(gitArg[int32](a, 0)) }
	b.calls[signature("useBranch", tString, tString)] = func(a *gitArgs) { s.Branches = append(s.Branches, [2]string{a.str(0), a.str(1)}) }
	return b
}

func initCommand(context.Context) *gitBuilder {
	dir, bare := "", false
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error { return g.Init(ctx, dir, bare) }}
	b.text("workspace", &dir)
	b.flag("bare", &bare)
	return b
}

func mergeCommand(context.Context) *gitBuilder {
	m, commit := &git.Merge{}, true
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error {
		m.NoCommit = !commit
		return g.Merge(ctx, *m)
	}}
	b.calls[signature("setRevisionToMerge", tID)] = func(a *gitArgs) { m.Rev = a.id(0) }
	b.text("setMessage", &m.Message)
	b.flag("setSquash", &m.Squash)
	b.flag("setCommit", &commit)
	// Strategies and modes print as their names in lower case.
	enum := func(a *gitArgs) string {
		if e := gitArg[*jser.Enum](a, 0); e != nil {
			return strings.ToLower(e.Name)
		}
		return ""
	}
	b.calls[signature("setStrategy", gitClientPackage+"MergeCommand$Strategy")] = func(a *gitArgs) {
		switch m.Strategy = enum(a); m.Strategy {
		case "", "default", "resolve", "recursive", "octopus", "ours", "subtree", "recursive_theirs":
		default:
			a.bad(0, errors.New("the strategy "+m.Strategy))
		}
	}
	b.calls[signature("setGitPluginFastForwardMode", gitClientPackage+"MergeCommand$GitPluginFastForwardMode")] = func(a *gitArgs) {
		if mode := enum(a); mode != "" {
			m.FastForward = "--" + strings.ReplaceAll(mode, "_", "-")
		}
	}
	return b
}

func pushCommand(context.Context) *gitBuilder {
	var to *git.URI
	var refspec string
	var force, tags bool
	var timeout *int
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error {
		return g.Push(ctx, to, refspec, force, tags, timeout)
	}}
	b.calls[signature("to", tURI)] = func(a *gitArgs) { to = a.uri(0) }
	b.text("ref", &refspec)
	b.flag("force", &force)
	b.flag("tags", &tags)
	b.timeout(&timeout)
	return b
}

func rebaseCommand(context.Context) *gitBuilder {
	upstream := ""
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error { return g.Rebase(ctx, upstream) }}
	b.text("setUpstream", &upstream)
	return b
}

func changelogCommand(ctx context.Context) *gitBuilder {
	var revs []string
	var limit *int
	var to *remoting.ProxyWriter
	b := &gitBuilder{calls: gitCalls{}, run: func(ctx context.Context, g *gitClient) error {
		if to == nil {
			return remoting.Errorf(remoting.IllegalStateClass, "footman: a changelog without a writer")
		}
		text := &wholeRunes{w: to}
		err := g.Changelog(ctx, revs, limit, text)
		return cmp.Or(err, text.flush(), to.Close())
	}}
	add := func(prefix string) {
		method := "includes"
		if prefix != "" {
			method = "excludes"
		}
		b.calls[signature(method, tString)] = func(a *gitArgs) { revs = append(revs, prefix+a.str(0)) }
		b.calls[signature(method, tID)] = func(a *gitArgs) { revs = append(revs, prefix+a.mustID(0).String()) }
	}
	add("")
	add("^")
	b.calls[signature("to", "java.io.Writer")] = func(a *gitArgs) {
		w, err := a.call.Writer(ctx, a.at(0))
		if err != nil {
			a.bad(0, err)
		}
		to = w
	}
	b.calls[signature("max", "int")] = func(a *gitArgs) { limit = a.integer(0) }
	return b
}

// wholeRunes keeps the first bytes of a rune back until the others come.
type wholeRunes struct {
	w    io.Writer
	kept []byte
}

func (r *wholeRunes) Write(p []byte) (int, error) {
	b := append(r.kept, p...)
	end := len(b)
	for i := 1; i < utf8.UTFMax && i <= len(b); i++ {
		if c := b[len(b)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-i:]) {
				end = len(b) - i
			}
			break
		}
	}
	_, err := r.w.Write(b[:end])
	r.kept = append([]byte(nil), b[end:]...)
	return len(p), err
}

func (r *wholeRunes) flush() error {
	if len(r.kept) == 0 {
		return nil
	}
	_, err := r.w.Write(r.kept)
	return err
}
