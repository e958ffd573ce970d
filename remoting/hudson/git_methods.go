package hudson

import (
	"context"
	"errors"
	"strings"

	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/git"
	"github.com/footman-ci/footman/remoting/jser"
)

const (
	tString, tBool, tInteger, tID = "java.lang.String", "boolean", "java.lang.Integer", "org.eclipse.jgit.lib.ObjectId"
	tURI, tList                   = "org.eclipse.jgit.transport.URIish", "java.util.List"
	tCredentials                  = "com.cloudbees.plugins.credentials.common.StandardCredentials"
	tRemoteConfig, tPerson        = "org.eclipse.jgit.transport.RemoteConfig", "org.eclipse.jgit.lib.PersonIdent"
)

// gitMethod reads the arguments of a method and returns what runs it.
type gitMethod func(g *gitClient, a *gitArgs) gitRun

// gitMethods are the methods of GitClient and IGitAPI, by signature. Those that
// are not here are refused.
var gitMethods = map[string]gitMethod{}

// signature writes a method as gitClient.Invoke looks it up.
func signature(name string, types ...string) string {
	return name + "(" + strings.Join(types, ",") + ")"
}

// now is a method without an answer that needs no git.
func now(f func()) gitRun {
	return func(context.Context) (jser.Value, error) { f(); return nil, nil }
}

// void is a method without an answer.
func void(f func(ctx context.Context) error) gitRun {
	return func(ctx context.Context) (jser.Value, error) { return nil, f(ctx) }
}

// yields turns what a method of package git returns into Java's.
func yields[T any](f func(ctx context.Context) (T, error), toJava func(T) jser.Value) gitRun {
	return func(ctx context.Context) (jser.Value, error) {
		v, err := f(ctx)
		if err != nil {
			return nil, err
		}
		return toJava(v), nil
	}
}

// What methods answer with.
func javaBool(v bool) jser.Value               { return jser.Boolean(v) }
func javaString(v string) jser.Value           { return v }
func javaID(v git.ID) jser.Value               { return objectID(v) }
func javaIDs(v []git.ID) jser.Value            { return objectIDs(v) }
func javaIDMap(v map[string]git.ID) jser.Value { return objectIDMap(v) }
func javaMap(v map[string]string) jser.Value   { return sortedMap(v) }
func javaList(v []string) jser.Value           { return textList(v) }
func javaBranches(v []git.Ref) jser.Value      { return jser.HashSet(gitRefs(branchDesc, v)...) }

func javaStrings(v []string) jser.Value {
	vs := make([]jser.Value, len(v))
	for i, s := range v {
		vs[i] = s
	}
	return jser.HashSet(vs...)
}

// ofString is a method of one string.
func ofString(f func(g *git.Client, ctx context.Context, s string) error) gitMethod {
	return func(g *gitClient, a *gitArgs) gitRun {
		s := a.str(0)
		return void(func(ctx context.Context) error { return f(g.Client, ctx, s) })
	}
}

// ofStrings is a method of two strings.
func ofStrings(f func(g *git.Client, ctx context.Context, s, t string) error) gitMethod {
	return func(g *gitClient, a *gitArgs) gitRun {
		s, t := a.str(0), a.str(1)
		return void(func(ctx context.Context) error { return f(g.Client, ctx, s, t) })
	}
}

// about is a method that answers a question about a string.
func about[T any](toJava func(T) jser.Value, f func(g *git.Client, ctx context.Context, s string) (T, error)) gitMethod {
	return func(g *gitClient, a *gitArgs) gitRun {
		s := a.str(0)
		return yields(func(ctx context.Context) (T, error) { return f(g.Client, ctx, s) }, toJava)
	}
}

func init() {
	for name, m := range map[string]gitMethod{
		signature("setProxy", "hudson.ProxyConfiguration"): func(g *gitClient, a *gitArgs) gitRun {
			p := a.proxy(0)
			return now(func() { g.SetProxy(p) })
		},
		signature("addCredentials", tString, tCredentials): func(g *gitClient, a *gitArgs) gitRun {
			url, c := a.str(0), a.credentials(1)
			return now(func() { g.AddCredentials(url, c) })
		},
		signature("addDefaultCredentials", tCredentials): func(g *gitClient, a *gitArgs) gitRun {
			c := a.credentials(0)
			return now(func() { g.AddDefaultCredentials(c) })
		},
		signature("setCredentials", "com.cloudbees.plugins.credentials.common.StandardUsernameCredentials"): func(g *gitClient, a *gitArgs) gitRun {
			c := a.credentials(0)
			return now(func() { g.ClearCredentials(); g.AddDefaultCredentials(c) })
		},
		signature("clearCredentials"): func(g *gitClient, _ *gitArgs) gitRun { return now(g.ClearCredentials) },

		signature("setAuthor", tString, tString):    person("AUTHOR"),
		signature("setCommitter", tString, tString): person("COMMITTER"),
		signature("setAuthor", tPerson):             personIdent("AUTHOR"),
		signature("setCommitter", tPerson):          personIdent("COMMITTER"),

		signature("getWorkTree"): func(g *gitClient, _ *gitArgs) gitRun {
			return func(context.Context) (jser.Value, error) { return filePath(g.Dir), nil }
		},
		signature("withRepository", gitClientPackage+"RepositoryCallback"): withRepository,
		signature("hasGitRepo"): func(g *gitClient, _ *gitArgs) gitRun {
			return yields(func(ctx context.Context) (bool, error) { return g.HasRepo(ctx, true) }, javaBool)
		},
		signature("hasGitRepo", tBool): func(g *gitClient, a *gitArgs) gitRun {
			parents := a.bool(0)
			return yields(func(ctx context.Context) (bool, error) { return g.HasRepo(ctx, parents) }, javaBool)
		},
		signature("isCommitInRepo", tID): func(g *gitClient, a *gitArgs) gitRun {
			id := a.id(0)
			return yields(func(ctx context.Context) (bool, error) {
				if id == nil {
					return false, nil
				}
				return g.HasCommit(ctx, *id)
			}, javaBool)
		},
		signature("hasGitModules"):          hasModules,
		signature("hasGitModules", tString): hasModules,
		signature("setupSubmoduleUrls", "hudson.plugins.git.Revision", "hudson.model.TaskListener"): func(g *gitClient, a *gitArgs) gitRun {
			names := a.branchNames(0)
			return void(func(ctx context.Context) error { return g.SetupSubmoduleURLs(ctx, names) })
		},
		signature("submoduleClean", tBool): func(g *gitClient, a *gitArgs) gitRun {
			recursive := a.bool(0)
			return void(func(ctx context.Context) error { return g.SubmoduleClean(ctx, recursive) })
		},
		signature("submoduleInit"): func(g *gitClient, _ *gitArgs) gitRun { return void(g.SubmoduleInit) },
		signature("getSubmodules", tString): about(func(es []git.Entry) jser.Value {
			vs := make([]jser.Value, len(es))
			for i, e := range es {
				vs[i] = jser.New(indexEntryDesc, e.File, e.Mode, e.Object, e.Type)
			}
			return jser.ArrayList(vs...)
		}, (*git.Client).Submodules),

		signature("clean"): func(g *gitClient, _ *gitArgs) gitRun {
			return void(func(ctx context.Context) error { return g.Clean(ctx, false) })
		},
		signature("clean", tBool): func(g *gitClient, a *gitArgs) gitRun {
			nested := a.bool(0)
			return void(func(ctx context.Context) error { return g.Clean(ctx, nested) })
		},
		signature("reset", tBool): func(g *gitClient, a *gitArgs) gitRun {
			hard := a.bool(0)
			return void(func(ctx context.Context) error { return g.Reset(ctx, hard) })
		},
		signature("init"): func(g *gitClient, _ *gitArgs) gitRun {
			return void(func(ctx context.Context) error { return g.Init(ctx, g.Dir, false) })
		},
		signature("prune", tRemoteConfig): func(g *gitClient, a *gitArgs) gitRun {
			name := ""
			if o := a.object(0); o != nil {
				name = o.Str("name")
			}
			return void(func(ctx context.Context) error { return g.Prune(ctx, name) })
		},
		signature("fetch", tURI, tList): func(g *gitClient, a *gitArgs) gitRun {
			f := git.Fetch{From: a.uri(0), RefSpecs: a.refspecs(1), Tags: true}
			return void(func(ctx context.Context) error { return g.Fetch(ctx, f) })
		},
		signature("push", tURI, tString): func(g *gitClient, a *gitArgs) gitRun {
			to, refspec := a.uri(0), a.str(1)
			return void(func(ctx context.Context) error { return g.Push(ctx, to, refspec, false, false, nil) })
		},
		signature("checkout", tString): func(g *gitClient, a *gitArgs) gitRun {
			co := git.Checkout{Ref: a.str(0)}
			return void(func(ctx context.Context) error { return g.Checkout(ctx, co) })
		},
		signature("checkout", tString, tString): func(g *gitClient, a *gitArgs) gitRun {
			co := git.Checkout{Ref: a.str(0), Branch: a.str(1)}
			return void(func(ctx context.Context) error { return g.Checkout(ctx, co) })
		},
		signature("checkoutBranch", tString, tString): func(g *gitClient, a *gitArgs) gitRun {
			co := git.Checkout{Branch: a.str(0), Ref: a.str(1), DeleteBranch: true}
			return void(func(ctx context.Context) error { return g.Checkout(ctx, co) })
		},
		signature("merge", tID): func(g *gitClient, a *gitArgs) gitRun {
			m := git.Merge{Rev: a.id(0)}
			return void(func(ctx context.Context) error { return g.Merge(ctx, m) })
		},
		signature("config", gitClientPackage+"GitClient$ConfigLevel", tString, tString): gitConfig,

		signature("getRemoteUrl", tString):          about(javaString, (*git.Client).RemoteURL),
		signature("setRemoteUrl", tString, tString): ofStrings((*git.Client).SetRemoteURL),
		signature("addRemoteUrl", tString, tString): ofStrings((*git.Client).AddRemoteURL),
		signature("getDefaultRemote", tString):      about(javaString, (*git.Client).DefaultRemote),
		signature("add", tString):                   ofString((*git.Client).Add),
		signature("commit", tString):                ofString((*git.Client).Commit),
		signature("branch", tString):                ofString((*git.Client).Branch),
		signature("deleteBranch", tString):          ofString((*git.Client).DeleteBranch),
		signature("tag", tString, tString):          ofStrings((*git.Client).Tag),
		signature("deleteTag", tString):             ofString((*git.Client).DeleteTag),
		signature("tagExists", tString):             about(javaBool, (*git.Client).TagExists),
		signature("getTagMessage", tString):         about(javaString, (*git.Client).TagMessage),
		signature("getTagNames", tString):           about(javaStrings, (*git.Client).TagNames),
		signature("getRefNames", tString):           about(javaStrings, (*git.Client).RefNames),
		signature("refExists", tString):             about(javaBool, (*git.Client).RefExists),
		signature("addNote", tString, tString):      note("add"),
		signature("appendNote", tString, tString):   note("append"),
		signature("revParse", tString):              about(javaID, (*git.Client).RevParse),
		signature("revList", tString):               about(javaIDs, revList),
		signature("revListBranch", tString):         about(javaIDs, revList),
		signature("revListAll"): func(g *gitClient, _ *gitArgs) gitRun {
			return yields(func(ctx context.Context) ([]git.ID, error) { return g.RevList(ctx, "--all") }, javaIDs)
		},
		signature("getBranches"): func(g *gitClient, _ *gitArgs) gitRun { return yields(g.Branches, javaBranches) },
		signature("getRemoteBranches"): func(g *gitClient, _ *gitArgs) gitRun {
			return yields(g.RemoteBranches, javaBranches)
		},
		signature("getTags"): func(g *gitClient, _ *gitArgs) gitRun {
			return yields(g.Tags, func(v []git.Ref) jser.Value { return jser.HashSet(gitRefs(gitObjectDesc, v)...) })
		},
		signature("getBranchesContaining", tString):        branchesContaining,
		signature("getBranchesContaining", tString, tBool): branchesContaining,
		signature("mergeBase", tID, tID): func(g *gitClient, a *gitArgs) gitRun {
			x, y := a.mustID(0), a.mustID(1)
			return yields(func(ctx context.Context) (*git.ID, error) { return g.MergeBase(ctx, x, y) }, objectIDOrNull)
		},
		signature("showRevision", tID):                           showRevision,
		signature("showRevision", tID, tID):                      showRevision,
		signature("showRevision", tID, tID, "java.lang.Boolean"): showRevision,
		signature("getHeadRev", tString):                         about(javaIDMap, (*git.Client).HeadRevs),
		signature("getHeadRev", tString, tString):                headRev,
		signature("getRemoteReferences", tString, tString, tBool, tBool): func(g *gitClient, a *gitArgs) gitRun {
			url, pattern, heads, tags := a.str(0), a.str(1), a.bool(2), a.bool(3)
			return yields(func(ctx context.Context) (map[string]git.ID, error) {
				return g.RemoteReferences(ctx, url, pattern, heads, tags)
			}, javaIDMap)
		},
		signature("getRemoteSymbolicReferences", tString, tString): func(g *gitClient, a *gitArgs) gitRun {
			url, pattern := a.str(0), a.str(1)
			return yields(func(ctx context.Context) (map[string]string, error) {
				return g.RemoteSymbolicReferences(ctx, url, pattern)
			}, javaMap)
		},
	} {
		gitMethods[name] = m
	}
}

func note(command string) gitMethod {
	return ofStrings(func(g *git.Client, ctx context.Context, text, namespace string) error {
		return g.Note(ctx, command, text, namespace)
	})
}

func revList(g *git.Client, ctx context.Context, rev string) ([]git.ID, error) {
	if strings.HasPrefix(rev, "-") {
		return nil, &git.Error{Message: "Invalid revision: " + rev}
	}
	return g.RevList(ctx, rev)
}

func hasModules(g *gitClient, _ *gitArgs) gitRun {
	return func(context.Context) (jser.Value, error) { return jser.Boolean(g.HasModules()), nil }
}

// person sets who makes commits; null unsets.
func person(role string) gitMethod {
	return func(g *gitClient, a *gitArgs) gitRun {
		name, mail := a.text(0), a.text(1)
		return now(func() { g.SetEnv("GIT_"+role+"_NAME", name); g.SetEnv("GIT_"+role+"_EMAIL", mail) })
	}
}

func personIdent(role string) gitMethod {
	return func(g *gitClient, a *gitArgs) gitRun {
		o := a.object(0)
		return now(func() {
			if o == nil {
				return
			}
			name, mail := o.Str("name"), o.Str("emailAddress")
			g.SetEnv("GIT_"+role+"_NAME", &name)
			g.SetEnv("GIT_"+role+"_EMAIL", &mail)
		})
	}
}

// withRepository runs what a controller wants to be done with JGit, where we
// know what that is.
func withRepository(g *gitClient, a *gitArgs) gitRun {
	o := a.object(0)
	if o == nil {
		a.bad(0, errors.New("no callback"))
		return nil
	}
	switch o.Class.Name {
	case "jenkins.plugins.git.DisableHooks":
		return void(g.DisableHooks)
	case "jenkins.plugins.git.UnsetHooks":
		return void(g.UnsetHooks)
	case "hudson.plugins.git.util.RevCommitRepositoryCallback":
		if build := o.Obj("revToBuild"); build != nil && build.Obj("revision") != nil {
			id, err := gitID(build.Obj("revision").Obj("sha1"))
			if err != nil {
				a.bad(0, err)
			}
			call := a.call
			return func(ctx context.Context) (jser.Value, error) { return g.revCommit(ctx, call, id) }
		}
	case "java.lang.invoke.SerializedLambda":
		if run := chooserLambda(g, a, o); run != nil {
			return run
		}
	}
	a.bad(0, errors.New("the callback "+callable.ClassOf(o)))
	return nil
}

func gitConfig(g *gitClient, a *gitArgs) gitRun {
	level := "local"
	if e, ok := a.at(0).(*jser.Enum); ok && e != nil {
		level = strings.ToLower(e.Name)
	}
	key, value := a.str(1), a.text(2)
	return void(func(ctx context.Context) error { return g.SetConfig(ctx, level, key, value) })
}

func branchesContaining(g *gitClient, a *gitArgs) gitRun {
	rev, all := a.str(0), true
	if len(a.v) > 1 {
		all = a.bool(1)
	}
	return yields(func(ctx context.Context) ([]git.Ref, error) { return g.BranchesContaining(ctx, rev, all) },
		func(v []git.Ref) jser.Value { return jser.ArrayList(gitRefs(branchDesc, v)...) })
}

// showRevision has one ObjectId, or two, and then whether to be --raw.
func showRevision(g *gitClient, a *gitArgs) gitRun {
	var from *git.ID
	to := 0
	if len(a.v) > 1 {
		from, to = a.id(0), 1
	}
	id, raw := a.mustID(to), true
	if len(a.v) > 2 {
		raw = a.bool(2)
	}
	return yields(func(ctx context.Context) ([]string, error) { return g.ShowRevision(ctx, from, id, raw) }, javaList)
}

func headRev(g *gitClient, a *gitArgs) gitRun {
	url, branch := a.str(0), a.str(1)
	return yields(func(ctx context.Context) (*git.ID, error) { return g.HeadRev(ctx, url, branch) }, objectIDOrNull)
}
