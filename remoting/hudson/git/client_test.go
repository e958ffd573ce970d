package git

import (
	"bytes"
	"context"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/exec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// console is a Log that keeps everything.
type console struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *console) Println(line string) { _, _ = c.Write([]byte(line + "\n")) }

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Write(p)
}

// take returns what was printed since the last take.
func (c *console) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.b.Reset()
	return c.b.String()
}

// world is a directory with a repository to fetch from, and a client of an
// empty work tree.
type world struct {
	t      *testing.T
	dir    string
	remote string
	c      *Client
	log    *console
	env    []string
}

func newWorld(t *testing.T) *world {
	if _, err := osexec.LookPath("git"); err != nil {
		t.Skip("GIT IS MISSING: THE GIT CLIENT IS NOT TESTED HERE")
	}
	dir := t.TempDir()
	w := &world{t: t, dir: dir, remote: filepath.Join(dir, "remote"), log: &console{}, env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir,
		"GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@x", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@x",
		"GIT_AUTHOR_DATE=1700000000 +0000", "GIT_COMMITTER_DATE=1700000000 +0000", "LC_ALL=C.UTF-8"}}
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".gitconfig"), []byte("[protocol \"file\"]\n\tallow = always\n[init]\n\tdefaultBranch = main\n"), 0o600))
	w.c = w.client("work")
	w.sh(dir, `git init -q remote && cd remote && mkdir src && echo a >src/a && echo r >README && git add . && git commit -qm "first" &&
		git tag -a v1 -m "the first
line two" && echo b >src/b && git add . && git commit -qm "sécond" && git checkout -qb dev && git commit -q --allow-empty -m dev && git checkout -q main`)
	return w
}

func (w *world) client(name string) *Client {
	dir := filepath.Join(w.dir, name)
	require.NoError(w.t, os.MkdirAll(dir, 0o755))
	return New(Config{Exe: "git", Dir: dir, Env: exec.NewEnvVars(), Environ: w.env, Log: w.log,
		Empty: func(_ context.Context, dir string) error {
			names, err := os.ReadDir(dir)
			for _, n := range names {
				_ = os.RemoveAll(filepath.Join(dir, n.Name()))
			}
			return err
		}})
}

// sh runs a script and returns what it printed.
func (w *world) sh(dir, script string) string {
	w.t.Helper()
	cmd := osexec.Command("sh", "-ec", script)
	cmd.Dir, cmd.Env = dir, w.env
	out, err := cmd.CombinedOutput()
	require.NoError(w.t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

func (w *world) url() string { return "file://" + w.remote }

// printed compares what was printed, with W for the work tree, U for the
// address and V for the version line.
func (w *world) printed(want ...string) {
	w.t.Helper()
	got := w.log.take()
	for _, r := range [][2]string{{w.url(), "U"}, {w.remote, "R"}, {w.c.Dir, "W"}} {
		got = strings.ReplaceAll(got, r[0], r[1])
	}
	var lines []string
	for l := range strings.Lines(got) {
		if strings.HasPrefix(l, " > git --version #") {
			continue
		}
		lines = append(lines, strings.TrimSuffix(l, "\n"))
	}
	require.Equal(w.t, want, lines)
}

func (w *world) clone() {
	w.t.Helper()
	require.NoError(w.t, w.c.Clone(context.Background(), Clone{URL: w.url(), Origin: "origin", Tags: true, Depth: 1}))
	w.log.take()
}

func TestCloneAndCheckout(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	require.NoError(t, os.WriteFile(filepath.Join(w.c.Dir, "old"), nil, 0o600))
	require.NoError(t, w.c.Clone(ctx, Clone{URL: w.url(), Origin: "origin", Tags: true, Depth: 1, Reference: w.remote}))
	w.printed("Cloning repository U",
		" > git init W # timeout=10",
		"Using reference repository: R",
		"Fetching upstream changes from U",
		" > git fetch --tags --force --progress -- U +refs/heads/*:refs/remotes/origin/* # timeout=10",
		" > git config remote.origin.url U # timeout=10",
		" > git config --add remote.origin.fetch +refs/heads/*:refs/remotes/origin/* # timeout=10")
	require.NoFileExists(t, filepath.Join(w.c.Dir, "old"))
	require.Equal(t, w.remote+"/.git/objects", w.sh(w.c.Dir, "cat .git/objects/info/alternates"))

	id, err := w.c.RevParse(ctx, "refs/remotes/origin/main")
	require.NoError(t, err)
	require.Equal(t, w.sh(w.remote, "git rev-parse main"), id.String())
	w.log.take()
	require.NoError(t, w.c.Checkout(ctx, Checkout{Ref: id.String()}))
	w.printed(" > git config core.sparsecheckout # timeout=10", " > git checkout -f "+id.String()+" # timeout=10")

	three := 3
	require.NoError(t, w.c.Checkout(ctx, Checkout{Ref: id.String(), Branch: "main", DeleteBranch: true, Timeout: &three}))
	require.NoError(t, w.c.Checkout(ctx, Checkout{Ref: id.String(), Branch: "main", DeleteBranch: true, Timeout: &three}))
	w.printed(" > git config core.sparsecheckout # timeout=10", " > git checkout -f "+id.String()+" # timeout=3", " > git branch -a -v --no-abbrev # timeout=10",
		" > git checkout -b main "+id.String()+" # timeout=3",
		" > git config core.sparsecheckout # timeout=10", " > git checkout -f "+id.String()+" # timeout=3", " > git branch -a -v --no-abbrev # timeout=10",
		" > git branch -D main # timeout=10", " > git checkout -b main "+id.String()+" # timeout=3")

	require.NoError(t, w.c.Checkout(ctx, Checkout{Ref: id.String(), Sparse: []string{"src"}}))
	require.Equal(t, "src", w.sh(w.c.Dir, "ls"))
	require.NoError(t, w.c.Checkout(ctx, Checkout{Ref: id.String()}))
	require.Equal(t, "README\nsrc", w.sh(w.c.Dir, "ls"))
	w.log.take()

	err = w.c.Checkout(ctx, Checkout{Ref: "nowhere"})
	require.EqualError(t, err, "Could not checkout nowhere")
	require.ErrorContains(t, err.(*Error).Cause, "Command \"git checkout -f nowhere\" returned status code 1:\nstdout: \nstderr: error: pathspec 'nowhere'")
	require.NoError(t, os.WriteFile(filepath.Join(w.c.Dir, ".git/index.lock"), nil, 0o600))
	err = w.c.Checkout(ctx, Checkout{Ref: id.String()})
	require.EqualError(t, err, "Could not lock repository. Please try again")
	require.True(t, err.(*Error).Locked)
}

func TestQuestions(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	ok, err := w.c.HasRepo(ctx, false)
	require.NoError(t, err)
	require.False(t, ok)
	refs, err := w.c.RemoteBranches(ctx)
	require.NoError(t, err)
	require.Empty(t, refs)
	w.clone()
	ok, err = w.c.HasRepo(ctx, false)
	require.NoError(t, err)
	require.True(t, ok)
	w.printed(" > git rev-parse --resolve-git-dir W/.git # timeout=10")

	main, _ := parseID(w.sh(w.remote, "git rev-parse main"))
	dev, _ := parseID(w.sh(w.remote, "git rev-parse dev"))
	v1, _ := parseID(w.sh(w.remote, "git rev-parse v1^{commit}"))
	refs, err = w.c.RemoteBranches(ctx)
	require.NoError(t, err)
	require.Equal(t, []Ref{{"origin/dev", dev}, {"origin/main", main}}, refs)
	w.printed("Seen branch in repository origin/dev", "Seen branch in repository origin/main", "Seen 2 remote branches")
	refs, err = w.c.BranchesContaining(ctx, main.String(), true)
	require.NoError(t, err)
	require.Equal(t, []Ref{{"remotes/origin/dev", dev}, {"remotes/origin/main", main}}, refs)
	refs, err = w.c.Tags(ctx)
	require.NoError(t, err)
	require.Equal(t, []Ref{{"v1", v1}}, refs)
	message, err := w.c.TagMessage(ctx, "v1")
	require.NoError(t, err)
	require.Equal(t, "the first\nline two", message)
	for name, want := range map[string]bool{"v1": true, "v2": false} {
		ok, err = w.c.TagExists(ctx, name)
		require.NoError(t, err)
		require.Equal(t, want, ok)
		ok, err = w.c.RefExists(ctx, "refs/tags/"+name)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	for id, want := range map[ID]bool{main: true, {1}: false} {
		ok, err = w.c.HasCommit(ctx, id)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	heads, err := w.c.RemoteReferences(ctx, w.url(), "", false, false)
	require.NoError(t, err)
	require.Equal(t, map[string]ID{"HEAD": main, "refs/heads/main": main, "refs/heads/dev": dev, "refs/tags/v1": v1}, heads)
	heads, err = w.c.HeadRevs(ctx, w.url())
	require.NoError(t, err)
	require.Equal(t, map[string]ID{"refs/heads/main": main, "refs/heads/dev": dev}, heads)
	for branch, want := range map[string]ID{"origin/dev": dev, "refs/remotes/origin/dev": dev, "remotes/origin/dev": dev, "dev": dev, "refs/tags/v1": v1} {
		head, err := w.c.HeadRev(ctx, w.url(), branch)
		require.NoError(t, err, branch)
		require.Equal(t, &want, head, branch)
	}
	symbolic, err := w.c.RemoteSymbolicReferences(ctx, w.url(), "HEAD")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"HEAD": "refs/heads/main"}, symbolic)
	base, err := w.c.MergeBase(ctx, main, dev)
	require.NoError(t, err)
	require.Equal(t, &main, base)

	body, shallow, err := w.c.RawCommit(ctx, main)
	require.NoError(t, err)
	require.False(t, shallow)
	require.Equal(t, w.sh(w.remote, "git cat-file commit main"), strings.TrimSpace(string(body)))
	body, _, err = w.c.RawCommit(ctx, ID{2})
	require.NoError(t, err)
	require.Nil(t, body)

	require.NoError(t, os.WriteFile(filepath.Join(w.c.Dir, ".git/HEAD"), []byte("?"), 0o600))
	w.log.take()
	ok, err = w.c.HasRepo(ctx, false)
	require.NoError(t, err)
	require.False(t, ok)
	require.Contains(t, w.log.take(), "ERROR: Workspace has a .git repository, but it appears to be corrupt.\n")
}

func TestChangelog(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.clone()
	var out bytes.Buffer
	one := 1024
	require.NoError(t, w.c.Changelog(ctx, []string{"origin/main", "^v1"}, &one, &out))
	require.Regexp(t, `^commit [0-9a-f]{40}
tree [0-9a-f]{40}
parent [0-9a-f]{40}
author A <a@x> 2023-11-14 22:13:20 \+0000
committer C <c@x> 2023-11-14 22:13:20 \+0000

    sécond


:000000 100644 0{40} [0-9a-f]{40} A	src/b
$`, out.String())
	require.Empty(t, w.log.take()) // git log is not echoed
	err := w.c.Changelog(ctx, []string{"nowhere"}, nil, &out)
	require.ErrorContains(t, err, `Error: git log --raw --no-merges --no-abbrev -M "--format=commit %H%n`)
	main, _ := parseID(w.sh(w.remote, "git rev-parse main"))
	lines, err := w.c.ShowRevision(ctx, nil, main, true)
	require.NoError(t, err)
	require.Equal(t, "commit "+main.String(), lines[0])
	require.Contains(t, lines[len(lines)-1], "A\tsrc/b")
}

func TestMergeAndClean(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.clone()
	dev, err := w.c.RevParse(ctx, "origin/dev")
	require.NoError(t, err)
	require.NoError(t, w.c.Checkout(ctx, Checkout{Ref: "origin/main"}))
	name, mail := "Merger", "m@x"
	w.c.SetEnv("GIT_AUTHOR_NAME", &name)
	w.c.SetEnv("GIT_AUTHOR_EMAIL", &mail)
	require.NoError(t, w.c.Merge(ctx, Merge{Rev: &dev, FastForward: "--no-ff", Strategy: "recursive", Message: "merged $HOME"}))
	require.Equal(t, "Merger merged "+w.dir, w.sh(w.c.Dir, "git log -1 --format='%an %s'")) // as LocalLauncher expands
	require.NoError(t, w.c.DisableHooks(ctx))
	require.Equal(t, "/dev/null", w.sh(w.c.Dir, "git config core.hooksPath"))
	require.NoError(t, w.c.UnsetHooks(ctx))
	require.NoError(t, w.c.UnsetHooks(ctx))
	require.Equal(t, "none", w.sh(w.c.Dir, "git config core.hooksPath || echo none"))
	w.sh(w.c.Dir, "touch new && git init -q nested && touch nested/x && git config core.hooksPath mine")
	require.NoError(t, w.c.UnsetHooks(ctx))
	require.Equal(t, "mine", w.sh(w.c.Dir, "git config core.hooksPath"))
	require.NoError(t, w.c.Clean(ctx, false))
	require.Equal(t, "README\nnested\nsrc", w.sh(w.c.Dir, "ls"))
	require.NoError(t, w.c.Clean(ctx, true))
	require.Equal(t, "README\nsrc", w.sh(w.c.Dir, "ls"))
	require.NoError(t, w.c.Tag(ctx, "a tag", "why"))
	require.NoError(t, w.c.Push(ctx, mustURI(w.url()), "refs/tags/a_tag", false, false, nil))
	require.Equal(t, "a_tag", w.sh(w.remote, "git tag -l a_tag"))
	require.NoError(t, w.c.DeleteTag(ctx, "a tag"))
	require.NoError(t, w.c.Prune(ctx, "origin"))
}

func mustURI(s string) *URI {
	u, err := ParseURI(s)
	if err != nil {
		panic(err)
	}
	return u
}

func TestSubmodules(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.sh(w.dir, "git init -q lib && cd lib && echo l >l && git add . && git commit -qm lib")
	w.sh(w.remote, "git checkout -qb sub && git submodule --quiet add file://"+w.dir+"/lib/.git lib && git submodule --quiet add file://"+w.dir+"/lib/.git two && git commit -qm sub && git checkout -qf main && rm -rf lib two")
	w.clone()
	require.NoError(t, w.c.Checkout(ctx, Checkout{Ref: "origin/sub"}))
	require.True(t, w.c.HasModules())
	entries, err := w.c.Submodules(ctx, "HEAD")
	require.NoError(t, err)
	require.Len(t, entries, 2)
	require.Equal(t, "lib", entries[0].File)
	require.NoError(t, w.c.SetupSubmoduleURLs(ctx, []string{"detached", "origin/sub"}))
	// The remote is a work tree, so its submodules would be taken; it has none.
	require.Equal(t, w.remote+"/lib", w.sh(w.c.Dir, "git config submodule.lib.url"))
	w.sh(w.c.Dir, "for m in lib two; do git config submodule.$m.url file://"+w.dir+"/lib/.git; done")
	w.log.take()
	require.NoError(t, w.c.SubmoduleUpdate(ctx, SubmoduleUpdate{Recursive: true, ParentCredentials: true, Threads: 2, Depth: 1}))
	require.Contains(t, w.log.take(), " > git submodule update --init --recursive two # timeout=10\n")
	require.Equal(t, "l\nl", w.sh(w.c.Dir, "cat lib/l two/l"))
	w.sh(w.c.Dir, "git config submodule.two.url file:///nowhere; rm -rf two .git/modules/two; git submodule --quiet deinit -f two; git config submodule.two.url file:///nowhere")
	err = w.c.SubmoduleUpdate(ctx, SubmoduleUpdate{Threads: 1, Depth: 1})
	require.ErrorContains(t, err, "hudson.plugins.git.GitException: Command \"git submodule update two\" returned status code")
	require.NoError(t, w.c.SubmoduleClean(ctx, true))
}

// TestNoOptions gives every way in a name that git would take for an option.
func TestNoOptions(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	w.clone()
	mark := filepath.Join(w.dir, "owned")
	evil := "--upload-pack=touch " + mark
	w.c.SetEnv("EVIL", &evil)
	five := 5
	for name, f := range map[string]func(s string) error{
		"clone":         func(s string) error { return w.client("x").Clone(ctx, Clone{URL: s, Origin: "origin"}) },
		"fetch":         func(s string) error { return w.c.Fetch(ctx, Fetch{From: &URI{Path: s, RawPath: s}}) },
		"refspec":       func(s string) error { return w.c.Fetch(ctx, Fetch{From: mustURI(w.url()), RefSpecs: []string{s}}) },
		"checkout":      func(s string) error { return w.c.Checkout(ctx, Checkout{Ref: s}) },
		"branch":        func(s string) error { return w.c.Checkout(ctx, Checkout{Ref: "HEAD", Branch: s}) },
		"rev-parse":     func(s string) error { _, err := w.c.RevParse(ctx, s); return err },
		"changelog":     func(s string) error { return w.c.Changelog(ctx, []string{s}, &five, &bytes.Buffer{}) },
		"push":          func(s string) error { return w.c.Push(ctx, &URI{Path: s, RawPath: s}, "x", false, false, nil) },
		"push refspec":  func(s string) error { return w.c.Push(ctx, mustURI(w.url()), s, false, false, nil) },
		"ls-remote":     func(s string) error { _, err := w.c.RemoteReferences(ctx, s, "", false, false); return err },
		"pattern":       func(s string) error { _, err := w.c.RemoteReferences(ctx, w.url(), s, false, false); return err },
		"ls-tree":       func(s string) error { _, err := w.c.Submodules(ctx, s); return err },
		"tag":           func(s string) error { return w.c.Tag(ctx, s, "x") },
		"delete tag":    func(s string) error { return w.c.DeleteTag(ctx, s) },
		"tag exists":    func(s string) error { _, err := w.c.TagExists(ctx, s); return err },
		"new branch":    func(s string) error { return w.c.Branch(ctx, s) },
		"delete branch": func(s string) error { return w.c.DeleteBranch(ctx, s) },
		"ref exists": func(s string) error {
			ok, err := w.c.RefExists(ctx, s)
			if err == nil && !ok {
				err = failf("no") // failures of git count as no
			}
			return err
		},
		"tag names": func(s string) error { _, err := w.c.TagNames(ctx, s); return err },
		"init":      func(s string) error { return w.c.Init(ctx, s, false) },
		"add":       func(s string) error { return w.c.Add(ctx, s) },
		"rebase":    func(s string) error { return w.c.Rebase(ctx, s) },
		"config":    func(s string) error { return w.c.SetConfig(ctx, "local", s, nil) },
	} {
		for _, s := range []string{evil, "-x", "$EVIL"} {
			err := f(s)
			if name == "init" && s == "$EVIL" {
				_ = os.RemoveAll("$EVIL") // it is made before git is asked
			}
			require.Error(t, err, "%s %s", name, s)
		}
	}
	require.NoFileExists(t, mark)
}

func TestTimeoutAndAbort(t *testing.T) {
	w := newWorld(t)
	w.clone()
	// A git that takes long, with a child.
	bin := filepath.Join(w.dir, "bin")
	require.NoError(t, os.Mkdir(bin, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(bin, "slow"), []byte("#!/bin/sh\ncase $1 in --version) exec git --version;; config) exit 1;; esac\ntouch .git/index.lock started\nsleep 600 &\nwait\n"), 0o755))
	w.c.Exe = filepath.Join(bin, "slow")
	zero := 0
	err := w.c.Fetch(context.Background(), Fetch{From: mustURI(w.url()), Timeout: &zero, Tags: true})
	require.ErrorContains(t, err, "returned status code 143:\nstdout: \nstderr: ")
	require.Contains(t, w.log.take(), "ERROR: Timeout after 0 minutes\n")

	require.NoError(t, os.RemoveAll(filepath.Join(w.c.Dir, ".git/index.lock")))
	require.NoError(t, os.RemoveAll(filepath.Join(w.c.Dir, "started")))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.c.Checkout(ctx, Checkout{Ref: "main"}) }()
	require.Eventually(t, func() bool { return w.c.exists("started") }, 20*time.Second, 10*time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.NoFileExists(t, filepath.Join(w.c.Dir, ".git/index.lock"))
}

func TestNoGit(t *testing.T) {
	w := newWorld(t)
	w.c.Exe = "no-such-git"
	err := w.c.Fetch(context.Background(), Fetch{From: mustURI(w.url())})
	require.ErrorContains(t, err, "Error performing git command: no-such-git fetch --no-tags")
	var start *exec.StartError
	require.ErrorAs(t, err, &start)
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]int{
		"git version 2.39.5": 2390500, "git version 2.39.3 (Apple Git-146)": 2390300, "git version 2.45.1.windows.1": 2450101,
		"git version 1.8.3.1": 1080301, "git version 2.x": 2000000, "": 0, "git version": 0,
	} {
		require.Equal(t, want, parseVersion(text), text)
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", 1000001: "1,000,001"} {
		require.Equal(t, want, grouped(n))
	}
}

func FuzzOutputs(f *testing.F) {
	f.Add("* main 0123456789012345678901234567890123456789 text\n")
	f.Add("0123456789012345678901234567890123456789\trefs/heads/x\n")
	f.Fuzz(func(t *testing.T, s string) {
		_ = branches(s)
		_, _ = parseID(s)
		_, _ = single(s, nil)
		_ = branchName(s)
		_ = parseVersion(s)
		_, _ = parseJavaURI(s)
		_ = fmt.Sprint(submoduleLine.FindAllStringSubmatch(s, 10))
	})
}
