package replay

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

// Two recordings are played once more with the native git client of agents
// without a JVM. The repositories are gone, so this program stands in for git and
// says what git said: that proves requests, answers, exceptions and every line
// that is printed. What git does is tested in remoting/hudson/git.

// nativeSuffix distinguishes these runs.
const nativeSuffix = "-native"

// gitEnv makes this program the git of a scenario.
const gitEnv = "REPLAY_GIT"

// recordedGitProgram is a program that is this one, as git.
func recordedGitProgram(t *testing.T, name string) string {
	self, err := os.Executable()
	require.NoError(t, err)
	fixtures, err := filepath.Abs(fixturesDir())
	require.NoError(t, err)
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n%s=%s REPLAY_FIXTURES=%s REPLAY_GIT_STATE=%s exec %s \"$@\"\n", gitEnv, name, fixtures, dir, self)
	name = filepath.Join(dir, "git")
	require.NoError(t, os.WriteFile(name, []byte(script), 0o755))
	return name
}

// said is what git said once.
type said struct {
	out, err string
	status   int
}

var failure = regexp.MustCompile(`(?s)^Command ".*" returned status code (\d+):\nstdout: (.*)\nstderr: (.*)$`)

// gitSaid reads from the recording what git said to each command that asks for
// objects, in order.
func gitSaid(s *session) map[string][]said {
	all := map[string][]said{}
	text := newFlow()
	for ; s != nil; s = s.next {
		writers := map[int32]int32{} // request → stream of a changelog
		for _, c := range s.commands {
			if c.Dir == "a2c" && strings.HasPrefix(c.Class, writerStream) {
				text.take(c.obj)
			}
			q := s.requests[idOf(c)]
			if c.Dir != "a2c" || c.Class != cResponse || q == nil || !q.isRelayed() {
				continue
			}
			request, err := decodePayload(mustBytes(q.obj.Get("request")))
			if err != nil {
				panic(err)
			}
			o, _ := request.(*jser.Object)
			v, thrown, err := result(c.obj)
			if err != nil {
				panic(err)
			}
			args, _ := jser.Values(o.Get("arguments"))
			_, method, _ := strings.Cut(q.key(), "GitClient.")
			switch {
			case method == "revParse":
				all["rev-parse "+args[0].(string)+"^{commit}"] = append(all["rev-parse "+args[0].(string)+"^{commit}"], answerOf(v, thrown))
			case method == "isCommitInRepo":
				id := idText(args[0])
				a := said{out: id + "\n"}
				if jser.Unbox(v) != true {
					a = said{status: 128}
				}
				all["rev-list --no-walk "+id] = append(all["rev-list --no-walk "+id], a)
			case method == "withRepository" && v != nil:
				body, _ := jser.Bytes(v.(*jser.Object).Get("buffer"))
				key := "cat-file commit " + idText(v)
				all[key] = append(all[key], said{out: string(body)})
				if p, _ := jser.Values(v.(*jser.Object).Get("parents")); len(p) == 0 {
					all["shallow"] = append(all["shallow"], said{out: idText(v) + "\n"})
				}
			case strings.HasPrefix(q.key(), "git:Changelog"):
				walk(request, func(w *jser.Object) {
					if w.Class.Name == cRemoteWriter {
						writers[idOf(c)], _ = jser.BlockInt32(w.Extra(cRemoteWriter), 0)
					}
				})
				all["log"] = append(all["log"], said{out: string(text.data[writers[idOf(c)]])})
			}
		}
	}
	return all
}

func idOf(c *command) int32 {
	if c.ID == nil {
		return -1
	}
	return *c.ID
}

// idText is an ObjectId in hex.
func idText(v jser.Value) string {
	b := v.(*jser.Object).Extra("org.eclipse.jgit.lib.ObjectId")[0].(jser.Block)
	return hex.EncodeToString(b)
}

func answerOf(v jser.Value, thrown *jser.Object) said {
	if thrown == nil {
		return said{out: idText(v) + "\n"}
	}
	m := failure.FindStringSubmatch(thrown.Str("detailMessage"))
	if m == nil {
		panic(thrown.Str("detailMessage"))
	}
	status, _ := strconv.Atoi(m[1])
	return said{m[2], m[3], status}
}

// recordedGit is the stand-in: it keeps a configuration, and what depends on
// objects is taken from the recording.
func recordedGit(name string, args []string) int {
	s, err := loadSession(name)
	if err != nil {
		panic(err)
	}
	gitDir := ""
	for len(args) > 0 && (strings.HasPrefix(args[0], "--git-dir=") || args[0] == "--no-replace-objects") {
		if d, ok := strings.CutPrefix(args[0], "--git-dir="); ok {
			gitDir = d
		}
		args = args[1:]
	}
	line := strings.Join(args, " ")
	switch {
	case line == "--version":
		fmt.Println("git version 2.39.5")
	case args[0] == "init":
		_ = os.MkdirAll(filepath.Join(args[1], ".git"), 0o777)
	case args[0] == "submodule", args[0] == "branch" && len(args) == 4:
	case args[0] == "fetch":
		for _, x := range gitSaid(s)["shallow"] {
			if strings.Contains(line, " --depth=1 ") {
				_ = os.WriteFile(".git/shallow", []byte(x.out), 0o666)
			}
		}
	case args[0] == "checkout":
		if with := gitSaid(s)["rev-parse origin/withsub^{commit}"]; len(with) > 0 && strings.HasSuffix(line, strings.TrimSpace(with[0].out)) {
			_ = os.WriteFile(".gitmodules", nil, 0o666)
		}
	case strings.HasPrefix(line, "rev-parse --resolve-git-dir "):
	case strings.HasPrefix(line, "rev-parse --is-bare-repository"):
		if !strings.HasSuffix(gitDir, "/.git") {
			return 128
		}
		fmt.Println("false")
	case line == "remote":
		fmt.Println("origin")
	case line == "ls-tree -r HEAD":
		fmt.Println("160000 commit 0123456789012345678901234567890123456789\tlib")
	case args[0] == "config":
		return recordedConfig(args[1:])
	case strings.HasPrefix(line, "cat-file -t "):
		fmt.Println("commit")
	case strings.HasPrefix(line, "log --raw "):
		return next(s, "log")
	default:
		return next(s, line)
	}
	return 0
}

// next says what git said to the command this time.
func next(s *session, key string) int {
	all := gitSaid(s)[key]
	counter := filepath.Join(os.Getenv("REPLAY_GIT_STATE"), hex.EncodeToString([]byte(key)))
	b, _ := os.ReadFile(counter)
	if len(b) < len(all) {
		if err := os.WriteFile(counter, append(b, '.'), 0o666); err != nil {
			panic(err)
		}
		fmt.Print(all[len(b)].out)
		fmt.Fprint(os.Stderr, all[len(b)].err)
		return all[len(b)].status
	}
	fmt.Fprintln(os.Stderr, "fatal: not a git repository (or any of the parent directories): .git")
	return 128
}

// recordedConfig is git config on a file of lines.
func recordedConfig(args []string) int {
	const file = ".git/replay-config"
	switch line := strings.Join(args, " "); {
	case args[0] == "-f" && args[2] == "--get-regexp":
		fmt.Println("submodule.lib.url u")
		return 0
	case args[0] == "-f":
		fmt.Println("lib")
		return 0
	case args[0] == "--local" && len(args) == 3, args[0] == "--add":
		args = args[1:]
	case args[0] == "--get":
		args = args[1:2]
	case line == "core.sparsecheckout":
		return 1
	}
	b, _ := os.ReadFile(file)
	if len(args) == 2 {
		_ = os.WriteFile(file, append(b, strings.Join(args, " ")+"\n"...), 0o666)
		return 0
	}
	value := ""
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, args[0]+" "); ok {
			value = v
		}
	}
	fmt.Print(value)
	if value == "" {
		return 1
	}
	return 0
}
