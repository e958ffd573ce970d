package replay

import (
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/hudson"
	"github.com/footman-ci/footman/remoting/jser"
)

// scenarios are the recordings that are played: all of them.
var scenarios = []string{
	"01-connect-init",
	"02-freestyle-shell-archive",
	"03-pipeline-sh",
	"04-sh-abort",
	"05-sh-timeout",
	"06-files",
	"07-stash-unstash",
	"08-archive-fingerprint",
	"09-junit",
	"10-git-checkout",
	"10-git-checkout" + nativeSuffix,
	"11-credentials",
	"12-sshagent",
	"13-utility",
	"14-copyartifact",
	"15-cleanws",
	"16-parallel",
	"17-big-log",
	"18-node-pages",
	"19-reconnect",
	"20-disconnect",
	"21-binary-wrapper",
	"22-error-paths",
	"23-use-watching",
	"24-command-launcher",
	"25-tcp-jnlp4",
	"26-workspace-browser",
	"27-freestyle-abort",
	"28-tool-installer",
	"29-multibranch",
	"29-multibranch" + nativeSuffix,
	"30-reconnect-cookie",
	"31-big-transfer",
	"32-idle-ping",
}

// slow are the scenarios that are mostly sleep.
var slow = map[string]bool{"05-sh-timeout": true, "19-reconnect": true, "30-reconnect-cookie": true}

func TestMain(m *testing.M) {
	if name := os.Getenv(jvmEnv); name != "" {
		if err := recordedJVM(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if name := os.Getenv(gitEnv); name != "" {
		os.Exit(recordedGit(name, os.Args[1:]))
	}
	flag.Parse()
	// Sessions mostly sleep: more of them than processors may run at once.
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", "16")
	}
	goleak.VerifyTestMain(m)
}

// unplayed says that a scenario was left out, so that the tables can't be
// checked.
var unplayed atomic.Bool

func fixturesDir() string {
	if d := os.Getenv("REPLAY_FIXTURES"); d != "" {
		return d // a child that can't see the sources
	}
	return fixtures
}

func TestReplay(t *testing.T) {
	list := scenarios
	if more := os.Getenv("REPLAY_SCENARIO"); more != "" {
		list = []string{more} // any other recording, to see what is missing
	}
	t.Run("all", func(t *testing.T) {
		for _, name := range list {
			ran := false
			t.Cleanup(func() {
				if !ran {
					unplayed.Store(true)
				}
			})
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				defer func() { ran = !t.Skipped() }()
				if testing.Short() && slow[name] {
					t.Skip("its script sleeps for 25 s or more")
				}
				if unprivileged[name] && os.Getenv("REPLAY_ROOT") == "" {
					asNobody(t, name)
					return
				}
				replay(t, name)
			})
		}
	})
	reportUsage(t)
	if len(list) == len(scenarios) && !t.Failed() && !unplayed.Load() {
		checkTables(t)
	}
}

// replay plays one session against an agent in this process.
func replay(t *testing.T, name string) {
	name, nativeGit := strings.CutSuffix(name, nativeSuffix)
	s, err := loadSession(name)
	require.NoError(t, err)
	salt := make([]byte, 8)
	_, _ = rand.Read(salt)
	started := time.Now()
	n := &names{recorded: s.recorded, started: started, cookies: hex.EncodeToString(salt)}
	root := agentRoot(t, s, n)
	n.add("pkill -KILL -f", disarmed)
	if nativeGit {
		n.add("127.0.0.1:18993", "127.0.0.1:10001") // a native client would print no zeros
		for c := s; c != nil; c = c.next {
			c.name += nativeSuffix
		}
		n.git = recordedGitProgram(t, name)
	}
	n.add("127.0.0.1:18993", "127.0.0.1:00001") // the git server of 10: nothing listens there

	agent := &hudson.Agent{Log: slog.New(slog.DiscardHandler), Version: "3352.v17a_fb_4b_2773f", WorkDir: filepath.Join(root, s.node),
		Protocol: func() string { return s.protocol }, Environ: recordedEnviron(t, s, n),
		HTTP: &http.Client{Transport: toolServer{}}, NativeGit: func() bool { return nativeGit }}
	t.Cleanup(func() { killLeftovers(root) })
	table := hudson.NewTable(agent)
	companion := recordedCompanion(t, name, table)
	if nativeGit {
		table.Fallback = nil // nothing is to be relayed
	}
	l := newLine(t, remoting.Config{Handler: table, Relay: companion, Log: agent.Log}, companion)
	var before *driver
	for ; s != nil; s = s.next {
		p, ch := l.connect(s)
		d := newDriver(t, s, p, ch, n)
		d.follow(before)
		d.play()
		switch {
		case s.next == nil:
			d.finish(root)
		case s.closed:
			d.close()
		default:
			d.cut()
		}
		l.disconnected(p)
		report(d)
		before = d
	}
	if name == "20-disconnect" {
		l.deleted(name)
	}
	t.Logf("%s: %.1f s", name, time.Since(started).Seconds())
}

// report tells what one connection came to.
func report(d *driver) {
	t, name := d.t, d.s.name
	left := undeclared(name, d)
	for _, x := range left {
		t.Errorf("%s: %s", name, x)
	}
	t.Logf("%s: %d commands, %d requests sent, %d differences (%d declared)", name, len(d.s.commands), len(d.sent), len(d.diffs), len(d.diffs)-len(left))
}

// agentRoot makes the directory that stands for the recorded one of all agents.
func agentRoot(t *testing.T, s *session, n *names) string {
	root := os.Getenv("REPLAY_ROOT")
	if root == "" {
		root = newRoot(t, s)
	}
	n.add(s.base, root)
	return root
}

// newRoot makes a directory whose path is as long as the recorded one, so that
// lengths of paths stay.
func newRoot(t *testing.T, s *session) string {
	random := make([]byte, 8)
	_, _ = rand.Read(random)
	root := filepath.Join(os.TempDir(), "replay-"+hex.EncodeToString(random))
	if len(root) > len(s.base) && len(root)-len(s.base) <= 8 {
		root = root[:len(s.base)]
	}
	require.NoError(t, os.Mkdir(root, 0o755))
	t.Cleanup(func() {
		_ = filepath.WalkDir(root, func(p string, e os.DirEntry, err error) error {
			if e != nil && e.IsDir() {
				_ = os.Chmod(p, 0o755)
			}
			return nil
		})
		_ = os.RemoveAll(root)
	})
	require.NoError(t, os.MkdirAll(filepath.Join(root, s.node), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "home"), 0o755))
	return root
}

// recordedEnviron is the environment of the recorded agent, as GetEnvVars
// shows it.
func recordedEnviron(t *testing.T, s *session, n *names) []string {
	env := map[string]string{"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": n.ours(s.base + "/home"), "LANG": "C.UTF-8", "USER": "jenkins", "LOGNAME": "jenkins"}
	for _, c := range s.commands {
		if c.Dir == "a2c" && c.For == "hudson.EnvVars$GetEnvVars" {
			v, _, err := result(c.obj)
			require.NoError(t, err)
			es, err := jser.Map(v)
			require.NoError(t, err)
			env = map[string]string{}
			for _, e := range es {
				env[e.Key.(string)] = n.ours(e.Value.(string))
			}
		}
	}
	var out []string
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	return out
}
