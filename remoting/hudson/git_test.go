package hudson

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/git"
	"github.com/footman-ci/footman/remoting/jser"
)

// gitRig is a controller with a git client of an agent without Java.
type gitRig struct {
	*rig
	dir, url string
	out      *sink
	oid      int32
}

func gitRequest(dir string, listener jser.Value, exe string, keys jser.Value) *jser.Object {
	env := jser.TreeMap(map[string]string{"BUILD_ID": "1"})
	return onPath(fields(gitCallable, "hostKeyFactory", keys, "this$0", fields(gitClientPackage+"Git", "env", env, "exe", exe,
		"hostKeyFactory", keys, "listener", listener, "repository", fields("hudson.FilePath", "remote", dir))), dir)
}

func knownHosts() jser.Value { return fields(gitClientPackage + "verifier.KnownHostsFileVerifier") }

func newGitRig(t *testing.T) *gitRig {
	if _, err := osexec.LookPath("git"); err != nil {
		t.Skip("GIT IS MISSING: THE GIT CLIENT IS NOT TESTED HERE")
	}
	dir := t.TempDir()
	cmd := osexec.Command("sh", "-ec", `git init -q -b main remote; cd remote; echo 1 >f; git add .; git commit -qm "one"; git tag v1; echo 2 >f; git commit -qam "two ✓"`)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@x", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@x",
		"GIT_COMMITTER_DATE=1700000000 +0000")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	work := filepath.Join(dir, "work")
	require.NoError(t, os.Mkdir(work, 0o755))
	g := &gitRig{rig: newRig(t, &Agent{NativeGit: func() bool { return true }}), dir: work, url: "file://" + dir + "/remote", out: newSink()}
	v := g.must(gitRequest(work, plainListener(g.stream(g.out), nil), "git", knownHosts()))
	o := v.(*jser.Object)
	require.Equal(t, gitClientPackage+"RemoteGitImpl", o.Class.Name)
	p := o.Obj("proxy")
	require.Equal(t, "proxy[hudson.plugins.git.IGitAPI, hudson.remoting.IReadResolve]", p.Class.String())
	require.True(t, p.Obj("h").Bool("userProxy"))
	g.oid = p.Obj("h").Int("oid")
	return g
}

// do calls a method of the client.
func (g *gitRig) do(method string, types []string, args ...jser.Value) (jser.Value, error) {
	return g.c.Object(g.oid, true).Invoke(within(g.t, 60*time.Second), gitClientPackage+"GitClient", method, types, args, 0)
}

func (g *gitRig) mustDo(method string, types []string, args ...jser.Value) jser.Value {
	g.t.Helper()
	v, err := g.do(method, types, args...)
	require.NoError(g.t, err)
	return v
}

func invocation(method string, types []string, args ...jser.Value) *jser.Object {
	return fields(gitClientPackage+"RemoteGitImpl$Invocation", "args", jser.ObjectArray(args...), "methodName", method, "parameterTypes", jser.StringArray(types...))
}

// command executes a builder's calls.
func (g *gitRig) command(class string, invocations ...jser.Value) error {
	h := remoting.UserProxy(g.oid, "hudson.plugins.git.IGitAPI")
	for i, f := range h.Obj("h").Data[0].Desc.Fields {
		if f.Name == "goingHome" {
			h.Obj("h").Data[0].Values[i] = true
		}
	}
	_, err := g.call(fields(gitCommand, "this$0", fields(gitClientPackage+"RemoteGitImpl$CommandInvocationHandler",
		"command", &jser.Class{Desc: jser.Serializable(gitClientPackage+class, 0, nil)}, "invocations", jser.ArrayList(invocations...), "proxy", h)))
	return err
}

var one = []string{tString}

func TestGitIsRelayedWhereAJVMCan(t *testing.T) {
	r := newRig(t, &Agent{})
	_, err := r.call(gitRequest(t.TempDir(), nil, "git", knownHosts()))
	var e *remoting.RemoteError
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Message, gitCallable+" is not implemented natively with a Java runtime at hand")
	r = newRig(t, &Agent{NativeGit: func() bool { return true }})
	for want, q := range map[string]*jser.Object{
		"JGit":                              gitRequest(t.TempDir(), nil, "jgit", knownHosts()),
		`the host key verification "x.Own"`: gitRequest(t.TempDir(), nil, "git", fields("x.Own")),
		"the listener x.Mask":               gitRequest(t.TempDir(), fields("x.Mask"), "git", knownHosts()),
		"no work tree":                      fields(gitCallable),
	} {
		_, err := r.call(q)
		require.ErrorContains(t, err, "is not implemented natively with "+want)
	}
}

func TestGitCheckoutOverTheWire(t *testing.T) {
	g := newGitRig(t)
	require.Nil(t, g.mustDo("setProxy", []string{"hudson.ProxyConfiguration"}, nil))
	require.Equal(t, false, jser.Unbox(g.mustDo("hasGitRepo", []string{tBool}, jser.Boolean(false))))
	require.NoError(t, g.command("CloneCommand", invocation("url", one, g.url), invocation("repositoryName", one, "origin")))
	// What a call printed is there before its answer.
	require.Contains(t, g.out.String(), "Cloning repository "+g.url+"\n > git init "+g.dir+" # timeout=10\n")
	require.Contains(t, g.out.String(), " > git config --add remote.origin.fetch +refs/heads/*:refs/remotes/origin/* # timeout=10\n")

	callback := []string{gitClientPackage + "RepositoryCallback"}
	require.Nil(t, g.mustDo("withRepository", callback, fields("jenkins.plugins.git.DisableHooks")))
	id := g.mustDo("revParse", one, "origin/main").(*jser.Object)
	require.Equal(t, objectIDClass, id.Class.Name)
	head, err := gitID(id)
	require.NoError(t, err)
	require.NoError(t, g.command("CheckoutCommand", invocation("branch", one, nil), invocation("ref", one, head.String()),
		invocation("deleteBranchIfExist", []string{tBool}, jser.Boolean(true)), invocation("timeout", []string{tInteger}, jser.Integer(3))))
	require.True(t, strings.HasSuffix(g.out.String(), " > git checkout -f "+head.String()+" # timeout=3\n"))
	b, err := os.ReadFile(filepath.Join(g.dir, "f"))
	require.NoError(t, err)
	require.Equal(t, "2\n", string(b))

	rev := fields("hudson.plugins.git.Revision", "branches", jser.ArrayList(), "sha1", id)
	build := fields("hudson.plugins.git.util.RevCommitRepositoryCallback", "revToBuild", fields("hudson.plugins.git.util.Build", "revision", rev))
	commit := g.mustDo("withRepository", callback, build).(*jser.Object)
	require.Equal(t, "org.eclipse.jgit.revwalk.RevCommit", commit.Class.Name)
	require.Equal(t, int32(1700000000), commit.Int("commitTime"))
	body, _ := jser.Bytes(commit.Get("buffer"))
	require.True(t, bytes.HasSuffix(body, []byte("\n\ntwo ✓\n")))
	parents, _ := jser.Values(commit.Get("parents"))
	require.Len(t, parents, 1)
	require.Equal(t, int32(0), parents[0].(*jser.Object).Int("flags"))

	text := newSink()
	parent, _ := gitID(parents[0].(*jser.Object))
	require.NoError(t, g.command("ChangelogCommand", invocation("includes", []string{tID}, id), invocation("excludes", []string{tID}, objectID(parent)),
		invocation("to", []string{"java.io.Writer"}, g.stream(text)), invocation("max", []string{"int"}, jser.Integer(9))))
	require.Contains(t, text.String(), "    two ✓\n")
	require.True(t, text.closed)

	tags := g.mustDo("getTags", nil).(*jser.Object)
	list, err := jser.List(tags)
	require.NoError(t, err)
	require.Equal(t, "v1", list[0].(*jser.Object).Str("name"))
	require.Equal(t, g.dir, g.mustDo("getWorkTree", nil).(*jser.Object).Str("remote"))
	require.Equal(t, g.url, g.mustDo("getRemoteUrl", one, "origin"))
	refs, err := jser.Map(g.mustDo("getRemoteReferences", []string{tString, tString, tBool, tBool}, g.url, nil, jser.Boolean(true), jser.Boolean(false)))
	require.NoError(t, err)
	require.Equal(t, "refs/heads/main", refs[0].Key)
	up := jser.New(jser.Serializable("com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl", 1, nil, jser.Ref("description", "java.lang.String"),
		jser.Ref("password", "hudson.util.Secret"), jser.Ref("username", "java.lang.String")), "d", fields("hudson.util.Secret", "value", "pw"), "u")
	require.Nil(t, g.mustDo("addCredentials", []string{tString, tCredentials}, g.url, up))
	uri := fields(tURI, "port", int32(-1), "host", nil, "pass", nil, "path", strings.TrimPrefix(g.url, "file://"), "rawPath", strings.TrimPrefix(g.url, "file://"), "scheme", "file", "user", nil)
	spec := fields("org.eclipse.jgit.transport.RefSpec", "force", true, "matching", false, "negative", false, "dstName", "refs/x/*", "srcName", "refs/heads/*")
	require.NoError(t, g.command("FetchCommand", invocation("from", []string{tURI, tList}, uri, jser.ArrayList(spec)), invocation("tags", []string{tBool}, jser.Boolean(false)),
		invocation("shallow", []string{tBool}, jser.Boolean(true)), invocation("depth", []string{tInteger}, nil)))
	require.Contains(t, g.out.String(), "using GIT_ASKPASS to set credentials d\n > git fetch --no-tags --force --progress --depth=1 -- "+g.url+" +refs/heads/*:refs/x/* # timeout=10\n")
}

func TestGitExceptions(t *testing.T) {
	g := newGitRig(t)
	require.NoError(t, g.command("CloneCommand", invocation("url", one, g.url)))
	for want, f := range map[string]func() error{
		"hudson.plugins.git.GitException: Command \"git rev-parse nowhere^{commit}\" returned status code 128:\nstdout: nowhere^{commit}\n\nstderr: fatal: ": func() error {
			_, err := g.do("revParse", one, "nowhere")
			return err
		},
		"hudson.plugins.git.GitException: Could not checkout nowhere": func() error { return g.command("CheckoutCommand", invocation("ref", one, "nowhere")) },
		"java.lang.IllegalArgumentException: Invalid repository ":     func() error { return g.command("CloneCommand", invocation("url", one, "")) },
		"org.eclipse.jgit.errors.MissingObjectException: Missing commit 0700000000000000000000000000000000000000": func() error {
			rev := fields("hudson.plugins.git.Revision", "sha1", objectID(git.ID{7}))
			_, err := g.do("withRepository", []string{gitClientPackage + "RepositoryCallback"},
				fields("hudson.plugins.git.util.RevCommitRepositoryCallback", "revToBuild", fields("Build", "revision", rev)))
			return err
		},
		"java.lang.UnsupportedOperationException: footman: GitClient.getAllLogEntries(java.lang.String) " + gitWaysOut: func() error {
			_, err := g.do("getAllLogEntries", one, "x")
			return err
		},
		"java.lang.UnsupportedOperationException: footman: GitClient.withRepository(" + gitClientPackage + "RepositoryCallback) with argument 1: the callback x.Y (lambda) " + gitWaysOut: func() error {
			_, err := g.do("withRepository", []string{gitClientPackage + "RepositoryCallback"}, fields("java.lang.invoke.SerializedLambda", "implClass", "x/Y"))
			return err
		},
		"java.lang.UnsupportedOperationException: footman: the git command RevListCommand " + gitWaysOut:          func() error { return g.command("RevListCommand") },
		"java.lang.UnsupportedOperationException: footman: FetchCommand.filter(java.lang.String) " + gitWaysOut:   func() error { return g.command("FetchCommand", invocation("filter", one, "x")) },
		"java.lang.UnsupportedOperationException: footman: FetchCommand.tags(boolean) with argument 1: which is ": func() error { return g.command("FetchCommand", invocation("tags", []string{tBool}, "yes")) },
		"java.lang.UnsupportedOperationException: footman: GitClient.addDefaultCredentials(" + tCredentials + ") with argument 1: credentials of the class x.App": func() error {
			_, err := g.do("addDefaultCredentials", []string{tCredentials}, fields("x.App"))
			return err
		},
	} {
		err := f()
		var e *remoting.RemoteError
		require.ErrorAs(t, err, &e)
		require.True(t, strings.HasPrefix(e.Error(), want), "%q\n%q", want, e.Error())
	}
	require.NoError(t, g.command("CheckoutCommand", invocation("ref", one, "origin/main"))) // all that hurt nobody
}

func TestGitHubApp(t *testing.T) {
	const class = "org.jenkinsci.plugins.github_branch_source.GitHubAppCredentials$DelegatingGitHubAppCredentials"
	a := &gitArgs{v: []jser.Value{fields(class, "appID", "7", "cachedToken", fields("T", "expirationEpochSeconds", int64(99), "token", fields("hudson.util.Secret", "value", "t")))}}
	c := a.credentials(0)
	require.NoError(t, a.err)
	require.Equal(t, &git.Credentials{Username: "7", Password: "t", Expires: time.Unix(99, 0)}, c)
	a = &gitArgs{v: []jser.Value{fields(class, "appID", "7", "cachedToken", nil)}}
	require.Nil(t, a.credentials(0))
	require.ErrorContains(t, a.err, "a GitHub App that has no token")
}

// TestGitIsReleased checks that a client's stream is given back with it.
// A checkout that has begun is several calls: it may end, but no other begins.
func TestGitWhileDraining(t *testing.T) {
	g := newGitRig(t)
	g.agent.Drain()
	require.Equal(t, false, jser.Unbox(g.mustDo("hasGitRepo", []string{tBool}, jser.Boolean(false))))
	require.NoError(t, g.command("CloneCommand", invocation("url", one, g.url), invocation("repositoryName", one, "origin")))
	require.Equal(t, true, jser.Unbox(g.mustDo("hasGitRepo", []string{tBool}, jser.Boolean(false))))
	<-g.agent.Idle()
	_, err := g.call(gitRequest(g.dir, plainListener(g.stream(g.out), nil), "git", knownHosts()))
	require.ErrorContains(t, err, "the agent is going away and starts nothing new")
}

func TestGitIsReleased(t *testing.T) {
	g := newGitRig(t)
	require.Equal(t, 1, g.a.Exports())
	g.a.Unexport(g.oid) // as UnexportCommand does
	require.Equal(t, 0, g.a.Exports())
	require.Eventually(t, func() bool { return g.c.Exports() == 0 }, 10*time.Second, 5*time.Millisecond)
	err := g.command("FetchCommand")
	require.ErrorContains(t, err, "a client that is not of this agent")
}

// TestGitHostile throws all kinds of arguments at every method and command.
func TestGitHostile(t *testing.T) {
	a := &Agent{Environ: []string{"PATH=/nonexistent"}}
	g := &gitClient{agent: a, log: &listenerWriter{out: nowhere{}}}
	g.Client = git.New(git.Config{Exe: "/nonexistent/git", Dir: t.TempDir(), Env: exec.NewEnvVars(), Environ: a.Environ, Log: gitLog{g.log},
		Empty: func(context.Context, string) error { return nil }})
	call := &remoting.Call{}
	values := []jser.Value{nil, "", "-x", "origin/main", jser.Boolean(true), jser.Integer(-5), jser.Integer(1 << 30), jser.ArrayList(nil, "x", jser.ArrayList()),
		objectID(git.ID{1}), &jser.Object{Class: objectIDDesc, Data: []jser.ClassData{{Desc: objectIDDesc, Extra: []jser.Value{jser.Block{1}}}}},
		fields(tURI, "host", nil), fields("org.eclipse.jgit.transport.RefSpec"), fields("hudson.plugins.git.Revision", "branches", jser.ArrayList(nil, "x")),
		fields("hudson.plugins.git.util.RevCommitRepositoryCallback", "revToBuild", fields("B", "revision", fields("R", "sha1", nil))),
		fields("jenkins.plugins.git.DisableHooks"), fields("hudson.ProxyConfiguration", "noProxyHost", "([", "port", int32(1)), jser.ObjectArray("x"),
		&jser.Enum{Class: jser.EnumClass("E"), Name: "X"}, &jser.Class{}, int32(1), true,
		fields("com.google.common.collect.Lists$TransformingRandomAccessList", "fromList", jser.ArrayList("x"), "function", nil),
		fields("com.cloudbees.jenkins.plugins.sshcredentials.impl.BasicSSHUserPrivateKey", "privateKeySource", "x"),
		fields("com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl", "password", "x")}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nothing is to be started
	seeded := rand.New(rand.NewPCG(1, 2))
	for name, m := range gitMethods {
		for range 60 {
			args := &gitArgs{call: call}
			for range seeded.IntN(5) {
				args.v = append(args.v, values[seeded.IntN(len(values))])
			}
			if run := m(g, args); args.err == nil {
				require.NotNil(t, run, name)
				_, _ = run(ctx)
			}
		}
	}
	for name, f := range gitBuilders {
		b := f(ctx)
		for method := range b.calls {
			bare, list, _ := strings.Cut(strings.TrimSuffix(method, ")"), "(")
			types := strings.Split(list, ",")
			if list == "" {
				types = nil
			}
			for range 40 {
				var args []jser.Value
				for range types {
					args = append(args, values[seeded.IntN(len(values))])
				}
				_ = b.replay(name, call, invocation(bare, types, args...))
			}
		}
		_ = b.run(ctx, g)
		for _, v := range append(values, invocation("x", []string{"y"}), fields("z")) {
			require.Error(t, b.replay(name, call, v))
		}
	}
	for _, v := range values {
		for _, o := range []*jser.Object{fields(gitCommand, "this$0", v), fields(gitCommand, "this$0", fields("H", "proxy", v, "command", v, "invocations", v))} {
			require.Error(t, acceptsGitCommand(&callable.Call{Call: call, Object: o}))
			_, err := runGitCommand(ctx, &callable.Call{Call: call, Object: fields(gitCommand, "this$0", fields("H", "proxy", v))})
			require.Error(t, err)
		}
		yes := &Agent{NativeGit: func() bool { return true }}
		_ = yes.acceptsGit(&callable.Call{Call: call, Path: "/x", Object: fields(gitCallable, "this$0", v, "hostKeyFactory", v)})
		_ = yes.acceptsGit(&callable.Call{Call: call, Path: "/x", Object: fields(gitCallable, "hostKeyFactory", v, "this$0", fields("Git", "exe", v, "env", v, "listener", v))})
	}
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte("tree 0123456789012345678901234567890123456789\nparent 0123456789012345678901234567890123456789\ncommitter x <y> 17 +0000\n\nm"))
	f.Fuzz(func(_ *testing.T, b []byte) { _ = parseCommit(b) })
}

func TestWholeRunes(t *testing.T) {
	var got []string
	w := &wholeRunes{w: writerFunc(func(p []byte) { got = append(got, string(p)) })}
	for _, part := range []string{"a\xe2", "\x9c", "\x93b", "\xff", "\xf0\x9f"} {
		_, err := w.Write([]byte(part))
		require.NoError(t, err)
	}
	require.NoError(t, w.flush())
	require.Equal(t, []string{"a", "", "✓b", "\xff", "", "\xf0\x9f"}, got)
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestChooserLambdas(t *testing.T) {
	g := newGitRig(t)
	require.NoError(t, g.command("CloneCommand", invocation("url", one, g.url)))
	revision := func(rev string) *jser.Object {
		id := g.mustDo("revParse", one, rev)
		return fields("hudson.plugins.git.Revision", "branches", jser.ArrayList(fields("hudson.plugins.git.Branch", "name", rev)), "sha1", id)
	}
	lambda := func(class, method, signature string, captured ...jser.Value) ([]jser.Value, error) {
		v, err := g.do("withRepository", []string{gitClientPackage + "RepositoryCallback"}, fields("java.lang.invoke.SerializedLambda", "capturedArgs", jser.ObjectArray(captured...),
			"implClass", "hudson/plugins/git/util/"+class, "implMethodName", method, "implMethodSignature", signature))
		if err != nil {
			return nil, err
		}
		return jser.List(v)
	}
	const repository = "Lorg/eclipse/jgit/lib/Repository;Lhudson/remoting/VirtualChannel;)Ljava/util/"
	revs := jser.ArrayList(revision("origin/main"), revision("v1"))
	tips, err := lambda("GitUtils", "lambda$filterTipBranches$7b32aa7f$1", "(Ljava/util/List;Ljava/util/Collection;"+repository+"ArrayList;", revs, revs)
	require.NoError(t, err)
	require.Len(t, tips, 1)
	branches, err := jser.List(tips[0].(*jser.Object).Get("branches"))
	require.NoError(t, err)
	require.Equal(t, "origin/main", branches[0].(*jser.Object).Str("name"))
	sorted, err := lambda("DefaultBuildChooser", "lambda$getAdvancedCandidateRevisions$6271abd9$1", "(Ljava/util/List;"+repository+"List;", revs)
	require.NoError(t, err)
	require.Len(t, sorted, 2)
	for _, refused := range [][2]string{{"GitUtils", "lambda$other$1"}, {"AncestryBuildChooser", "lambda$filterTipBranches$1"}, {"GitUtils", "lambda$filterTipBranches$1"}} {
		_, err = lambda(refused[0], refused[1], "(Ljava/util/List;"+repository+"List;", revs)
		require.ErrorContains(t, err, "the callback hudson.plugins.git.util."+refused[0]+" (lambda) "+gitWaysOut)
	}
	_, err = lambda("DefaultBuildChooser", "lambda$getAdvancedCandidateRevisions$1", "(Ljava/util/List;"+repository+"List;", jser.ArrayList("x"))
	require.ErrorContains(t, err, gitWaysOut)
}
