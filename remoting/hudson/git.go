package hudson

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/git"
	"github.com/footman-ci/footman/remoting/jser"
)

const (
	gitClientPackage = "org.jenkinsci.plugins.gitclient."
	gitCallable      = gitClientPackage + "Git$GitAPIMasterToSlaveFileCallable"
	gitCommand       = gitClientPackage + "RemoteGitImpl$CommandInvocationHandler$GitCommandMasterToSlaveCallable"
)

// registerGit adds what the plugins git and git-client send. The controller
// holds a client of ours, whose methods it calls:
//
//	Git$GitAPIMasterToSlaveFileCallable ─▶ RemoteGitImpl{proxy: gitClient}
//	UserRPCRequest revParse(…) ──────────▶ gitClient.Invoke ─▶ git_methods.go ──┐
//	GitCommandMasterToSlaveCallable ─────▶ builder's calls ──▶ git_commands.go ─┴▶ git.Client
//
// It is for agents without a Java runtime only, see Agent.NativeGit: a JVM runs
// the plugin itself, with all that we don't know.
func registerGit(t *callable.Table, a *Agent) {
	t.Register(
		callable.Entry{Class: gitCallable, Source: "git-client; only where no JVM can run", Fields: []string{"hostKeyFactory"},
			Accepts: a.acceptsGit, Run: a.gitClient},
		callable.Entry{Class: gitCommand, Source: "git-client; only where no JVM can run", Accepts: acceptsGitCommand, Run: runGitCommand},
	)
}

var (
	remoteGitDesc = jser.Serializable(gitClientPackage+"RemoteGitImpl", 1, nil, jser.Ref("proxy", gitClientPackage+"GitClient"))

	gitExceptionClass = jser.Serializable("hudson.plugins.git.GitException", 1, jser.RuntimeExceptionClass)
	gitLockClass      = jser.Serializable("hudson.plugins.git.GitLockFailedException", 1, gitExceptionClass)
)

// gitWaysOut ends the text of every refusal.
const gitWaysOut = "is not implemented natively. Use an agent image with Java (git then runs as in the official agent), or the official agent"

// acceptsGit looks at the client that is asked for.
func (a *Agent) acceptsGit(c *callable.Call) error {
	if a.NativeGit == nil || !a.NativeGit() {
		return errors.New("a Java runtime at hand, which runs git itself")
	}
	o := c.Object.Obj("this$0")
	if o == nil || c.Path == "" {
		return errors.New("no work tree")
	}
	for i := range o.Data {
		for _, f := range o.Data[i].Desc.Fields {
			switch f.Name {
			case "repository", "listener", "env", "exe", "hostKeyFactory":
			default:
				return fmt.Errorf("the field %s of %s", f.Name, o.Class)
			}
		}
	}
	if exe := strings.ToLower(o.Str("exe")); exe == "" || exe == "jgit" || exe == "jgitapache" {
		return errors.New("JGit")
	}
	if _, err := parseListener(o.Get("listener")); err != nil {
		return err
	}
	if _, err := gitEnv(o.Get("env")); err != nil {
		return err
	}
	_, err := gitHostKeys(c.Object)
	return err
}

func gitEnv(v jser.Value) (*exec.EnvVars, error) {
	m, err := jser.StringMap(v)
	if err != nil {
		return nil, fmt.Errorf("an environment that can't be read: %w", err)
	}
	env := map[string]string{}
	for k, v := range m {
		if v != nil {
			env[k] = *v
		}
	}
	return exec.FromMap(env), nil
}

// gitHostKeys reads how ssh has to check hosts. Before git-client 3.12 nothing
// was checked.
func gitHostKeys(o *jser.Object) (git.HostKeys, error) {
	v, ok := o.Field("hostKeyFactory")
	if !ok {
		return git.HostKeys{Strategy: git.HostKeysUnchecked}, nil
	}
	const verifier = gitClientPackage + "verifier."
	switch name := jser.Name(v); name {
	case verifier + "KnownHostsFileVerifier":
		return git.HostKeys{Strategy: git.HostKeysKnown}, nil
	case verifier + "AcceptFirstConnectionVerifier":
		return git.HostKeys{Strategy: git.HostKeysAcceptFirst}, nil
	case verifier + "NoHostKeyVerifier":
		return git.HostKeys{Strategy: git.HostKeysUnchecked}, nil
	case verifier + "ManuallyProvidedKeyVerifier":
		return git.HostKeys{Strategy: git.HostKeysApproved, Approved: v.(*jser.Object).Str("approvedHostKeys")}, nil
	default:
		return git.HostKeys{}, fmt.Errorf("the host key verification %q", name)
	}
}

// gitClient is the exported client. It lives until the controller releases it,
// or until the channel ends.
type gitClient struct {
	*git.Client
	agent  *Agent
	log    *listenerWriter
	loader int32 // of git-client, where JGit and the exceptions are found, too
}

// gitClient is Git$GitAPIMasterToSlaveFileCallable.invoke.
func (a *Agent) gitClient(_ context.Context, c *callable.Call) (jser.Value, error) {
	if err := a.drain.enter(nil); err != nil {
		return nil, err // a checkout that has begun may go on, no other begins
	}
	defer a.drain.leave(nil)
	o := c.Object.Obj("this$0")
	env, err := gitEnv(o.Get("env"))
	if err != nil {
		return nil, err
	}
	keys, err := gitHostKeys(c.Object)
	if err != nil {
		return nil, err
	}
	l, err := parseListener(o.Get("listener"))
	if err != nil {
		return nil, err
	}
	w, err := newOpener(c.Call).listen(c.Channel.Context(), l, true)
	if err != nil {
		return nil, err
	}
	g := &gitClient{agent: a, log: w, loader: c.Loader}
	g.Client = git.New(git.Config{Exe: o.Str("exe"), Dir: c.Path, Env: env, Environ: a.Environ, Log: gitLog{w}, HostKeys: keys,
		Empty: func(ctx context.Context, dir string) error { return removeWithRetries(ctx, dir, removeContents) }})
	return jser.New(remoteGitDesc, remoting.UserProxy(c.Channel.Export(g), "hudson.plugins.git.IGitAPI")), nil
}

// Release implements remoting.Releaser.
func (g *gitClient) Release() {
	_ = g.log.finish()
	g.log.release()
}

// Invoke implements remoting.Exported.
func (g *gitClient) Invoke(ctx context.Context, m *remoting.Invocation) (jser.Value, error) {
	name := m.Method + "(" + strings.Join(m.Types, ",") + ")"
	method := gitMethods[name]
	if method == nil {
		return nil, remoting.Errorf(remoting.UnsupportedOperationClass, "footman: GitClient.%s %s", name, gitWaysOut)
	}
	args := &gitArgs{v: m.Args, call: m.Call}
	run := method(g, args)
	if args.err != nil {
		return nil, args.refusal("GitClient." + name)
	}
	return g.serve(ctx, m.Call, run)
}

// gitRun is a method whose arguments were read.
type gitRun func(ctx context.Context) (jser.Value, error)

// serve runs a method; what it printed is with the controller before its
// answer.
func (g *gitClient) serve(ctx context.Context, call *remoting.Call, run gitRun) (jser.Value, error) {
	g.agent.drain.proceed(g.log)
	defer g.agent.drain.leave(g.log)
	call.Loader = g.loader
	v, err := run(ctx)
	_ = g.log.Flush()
	call.NoteIO(g.log.lastIO())
	if err != nil {
		return nil, gitError(err)
	}
	return v, nil
}

// gitLog is a listener as package git sees it.
type gitLog struct{ w *listenerWriter }

func (l gitLog) Println(line string)         { _ = l.w.println(line) }
func (l gitLog) Write(p []byte) (int, error) { return l.w.Write(p) }

// gitError makes the exception that Java would throw.
func gitError(err error) error {
	var e *git.Error
	var invalid *git.InvalidRepository
	var start *exec.StartError
	switch {
	case errors.As(err, &invalid):
		return remoting.Errorf(remoting.IllegalArgumentClass, "%s", invalid.Error())
	case errors.As(err, &e):
		x := remoting.Errorf(gitExceptionClass, "%s", e.Message)
		if e.Locked {
			x.Class = gitLockClass
		}
		if e.Cause != nil {
			x.Cause = gitError(e.Cause)
			var java *remoting.Exception
			if !errors.As(x.Cause, &java) {
				x.Cause = remoting.Errorf(remoting.IOExceptionClass, "%s", e.Cause.Error())
			}
		}
		return x
	case errors.As(err, &start):
		return startError(err)
	}
	return err
}
