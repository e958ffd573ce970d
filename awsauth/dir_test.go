package awsauth

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func gidOf(t testing.TB, name string) int {
	st, err := os.Lstat(name)
	require.NoError(t, err)
	return int(st.Sys().(*syscall.Stat_t).Gid)
}

func modeOf(t testing.TB, name string) fs.FileMode {
	st, err := os.Lstat(name)
	require.NoError(t, err)
	return st.Mode()
}

func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to give files to other users")
	}
}

func TestModes(t *testing.T) {
	for name, c := range map[string]struct {
		root      bool
		prepare   func(t *testing.T, dir string)
		share     Share
		gid       int
		file, dir fs.FileMode
		group     int
	}{
		"new directory in a pod": {share: ShareAuto, gid: -1, file: 0o666, dir: 0o777, group: -1},
		"emptyDir with fsGroup": {root: true, prepare: func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o777))
			require.NoError(t, os.Chown(dir, 0, 2000))
			require.NoError(t, os.Chmod(dir, 0o777|fs.ModeSetgid))
		}, share: ShareAuto, gid: -1, file: 0o660, dir: 0o770 | fs.ModeSetgid, group: 2000},
		"emptyDir without fsGroup": {prepare: func(t *testing.T, dir string) {
			require.NoError(t, os.Mkdir(dir, 0o777))
			require.NoError(t, os.Chmod(dir, 0o777))
		}, share: ShareAuto, gid: -1, file: 0o666, dir: 0o777, group: -1},
		"owner":       {share: ShareOwner, gid: -1, file: 0o600, dir: 0o700, group: -1},
		"asked group": {root: true, share: ShareGroup, gid: 3000, file: 0o660, dir: 0o770 | fs.ModeSetgid, group: 3000},
	} {
		t.Run(name, func(t *testing.T) {
			if c.root {
				needRoot(t)
			}
			old := syscall.Umask(0o077) // a strict umask must not matter
			defer syscall.Umask(old)
			p := newPod(t, chainConfig)
			if c.prepare != nil {
				c.prepare(t, p.aws)
			}
			o := p.options()
			o.Share, o.GID = c.share, c.gid
			k, err := New(o)
			require.NoError(t, err)
			require.NoError(t, k.Once(t.Context()))
			for _, name := range []string{"agent/prod.json", "agent/config", "agent/status.json", "cli/cache/" + CacheArgs{RoleARN: arnProd}.Key() + ".json"} {
				require.Equal(t, c.file, modeOf(t, p.path(name)), name)
				if c.group >= 0 {
					require.Equal(t, c.group, gidOf(t, p.path(name)), name)
				}
			}
			for _, name := range []string{"agent", "cli", "cli/cache"} {
				require.Equal(t, c.dir|fs.ModeDir, modeOf(t, p.path(name)), name)
			}
		})
	}
}

func TestParseShare(t *testing.T) {
	for in, want := range map[string]Share{"": ShareAuto, "auto": ShareAuto, "group": ShareGroup, "world": ShareWorld, "owner": ShareOwner, "gid:12": ShareGroup} {
		got, gid, err := ParseShare(in)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, in == "gid:12", gid == 12)
	}
	for _, in := range []string{"all", "gid:", "gid:-1", "gid:x"} {
		_, _, err := ParseShare(in)
		require.ErrorContains(t, err, "use auto, group")
	}
}

func TestParseDir(t *testing.T) {
	d, err := ParseDir("/home/jenkins/.aws=/root/.aws")
	require.NoError(t, err)
	require.Equal(t, Dir{Path: "/home/jenkins/.aws", Seen: "/root/.aws"}, d)
	for _, bad := range []string{"", "=/x", "/a b", "/a=/x y", "/a=rel", "/a=/$(x)"} {
		_, err := ParseDir(bad)
		require.Error(t, err, bad)
	}
}

// TestRepair: whatever other programs do to our files, and whatever broken
// files they leave in the cache, is put right; their sound files stay.
func TestRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		k, stop := p.start(t, p.options())
		defer stop()
		<-k.Ready()
		mine := p.path("cli/cache/" + CacheArgs{RoleARN: arnNonprod, SessionName: "jenkinssession"}.Key() + ".json")
		good, err := os.ReadFile(mine)
		require.NoError(t, err)
		hexName := func(c string) string { return p.path("cli/cache/" + strings.Repeat(c, 40) + ".json") }

		for what, damage := range map[string]func(){
			"empty":   func() { require.NoError(t, os.WriteFile(mine, nil, 0o666)) },
			"broken":  func() { require.NoError(t, os.WriteFile(mine, good[:50], 0o666)) },
			"removed": func() { require.NoError(t, os.Remove(mine)) },
			"replaced by a private file of the CLI": func() {
				require.NoError(t, os.Remove(mine))
				require.NoError(t, os.WriteFile(mine, good, 0o600))
			},
			"of another user": func() {
				require.NoError(t, os.Remove(mine))
				require.NoError(t, os.WriteFile(mine, good, 0o600))
				_ = os.Chown(mine, 1000, 1000) // root alone can
			},
			"a link elsewhere": func() {
				require.NoError(t, os.Remove(mine))
				require.NoError(t, os.Symlink(p.config, mine))
			},
			"mode": func() { require.NoError(t, os.Chmod(mine, 0o600)) },
		} {
			damage()
			time.Sleep(31 * time.Second)
			synctest.Wait()
			got, err := os.ReadFile(mine)
			require.NoError(t, err, what)
			require.Equal(t, good, got, what)
			require.Equal(t, fs.FileMode(0o666), modeOf(t, mine), what)
		}
		config, err := os.ReadFile(p.config)
		require.NoError(t, err)
		require.Contains(t, string(config), arnDeep, "the link's aim is untouched")

		require.NoError(t, os.WriteFile(hexName("a"), nil, 0o600))
		require.NoError(t, os.WriteFile(hexName("b"), []byte(`{"Credentials": {"Acc`), 0o600))
		require.NoError(t, os.WriteFile(hexName("c"), good, 0o600))
		require.NoError(t, os.WriteFile(p.path("cli/cache/session.db"), nil, 0o600))
		require.NoError(t, os.WriteFile(p.path("cli/cache/.awsauth-dead"), nil, 0o600))
		require.NoError(t, syscall.Mkfifo(hexName("d"), 0o666))
		time.Sleep(31 * time.Second)
		synctest.Wait()
		require.FileExists(t, hexName("b"), "CLI v2 may be writing it: one look is not enough")
		time.Sleep(31 * time.Second)
		synctest.Wait()
		require.NoFileExists(t, hexName("a"))
		require.NoFileExists(t, hexName("b"))
		require.NoFileExists(t, p.path("cli/cache/.awsauth-dead"))
		require.FileExists(t, hexName("c"))
		require.FileExists(t, p.path("cli/cache/session.db"))
		require.Equal(t, fs.ModeNamedPipe, modeOf(t, hexName("d")).Type(), "a pipe neither stops us nor concerns us")
	})
}

// TestDirectoryComesBack: the whole directory vanishes and reappears, as with
// `rm -rf ~/.aws` in a build.
func TestDirectoryComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPod(t, chainConfig)
		k, stop := p.start(t, p.options())
		defer stop()
		<-k.Ready()
		require.NoError(t, os.RemoveAll(p.aws))
		time.Sleep(31 * time.Second)
		synctest.Wait()
		_, ok := p.process(t, "deep")
		require.True(t, ok)
		require.Equal(t, 3, p.sts.count(""))
	})
}

// TestUserFilesStay: nothing of the user's is replaced or removed.
func TestUserFilesStay(t *testing.T) {
	t.Run("config and credentials", func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, os.Mkdir(p.aws, 0o755))
		for _, n := range []string{"config", "credentials", "notes"} {
			require.NoError(t, os.WriteFile(p.path(n), []byte("# mine\n"), 0o600))
		}
		o := p.options()
		o.WriteConfig = true
		k, err := New(o)
		require.NoError(t, err)
		require.NoError(t, k.Once(t.Context()))
		for _, n := range []string{"config", "credentials", "notes"} {
			data, err := os.ReadFile(p.path(n))
			require.NoError(t, err)
			require.Equal(t, "# mine\n", string(data))
			require.Equal(t, fs.FileMode(0o600), modeOf(t, p.path(n)))
		}
		require.Contains(t, p.log.String(), "config is the user's and stays")
	})
	t.Run("agent/config", func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, os.MkdirAll(p.path("agent"), 0o755))
		require.NoError(t, os.WriteFile(p.path("agent/config"), []byte("[default]\n"), 0o600))
		require.ErrorContains(t, p.keeper(t).Once(t.Context()), "is not ours and stays")
	})
	t.Run("an empty config of a subPath mount", func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, os.Mkdir(p.aws, 0o755))
		require.NoError(t, os.WriteFile(p.path("config"), nil, 0o644))
		o := p.options()
		o.ConfigFile = ""
		p.env["HOME"] = p.dir
		require.NoError(t, os.Mkdir(filepath.Join(p.dir, ".aws"), 0o755))
		require.NoError(t, os.Rename(p.config, filepath.Join(p.dir, ".aws", "config")))
		k, err := New(o)
		require.NoError(t, err)
		require.NoError(t, k.Once(t.Context()))
		_, ok := p.process(t, "deep")
		require.True(t, ok, "an empty file is passed over for HOME's")
	})
}

// TestHostileDirectory: links planted by another uid of the pod lead nowhere,
// nor does a forged list of our files.
func TestHostileDirectory(t *testing.T) {
	t.Run("directory link", func(t *testing.T) {
		p := newPod(t, chainConfig)
		outside := filepath.Join(p.dir, "outside")
		require.NoError(t, os.MkdirAll(outside, 0o755))
		require.NoError(t, os.Mkdir(p.aws, 0o777))
		require.NoError(t, os.Symlink(outside, p.path("agent")))
		require.ErrorContains(t, p.keeper(t).Once(t.Context()), "agent is not a directory")
		entries, err := os.ReadDir(outside)
		require.NoError(t, err)
		require.Empty(t, entries)
	})
	t.Run("a pipe for a config", func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, os.Mkdir(p.aws, 0o777))
		require.NoError(t, syscall.Mkfifo(p.path("config"), 0o666))
		o := p.options()
		o.ConfigFile = ""
		o.Timing.First = 5 * time.Second
		k, err := New(o)
		require.NoError(t, err)
		require.NoError(t, k.Once(t.Context()), "passed over; the pod's identity is there all the same")
	})
	t.Run("forged list", func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, os.MkdirAll(p.path("agent"), 0o777))
		require.NoError(t, os.WriteFile(p.path("credentials"), []byte("x"), 0o600))
		require.NoError(t, os.WriteFile(p.path("agent/status.json"), []byte(`{"files":["credentials","../token","agent/../credentials","cli/cache/../../credentials","/etc/passwd"]}`), 0o666))
		require.NoError(t, p.keeper(t).Once(t.Context()))
		require.FileExists(t, p.path("credentials"))
		require.FileExists(t, p.token)
	})
}

func TestDirProblems(t *testing.T) {
	t.Run("sticky", func(t *testing.T) {
		p := newPod(t, chainConfig)
		require.NoError(t, os.MkdirAll(p.path("cli/cache"), 0o777))
		require.NoError(t, os.Chmod(p.path("cli/cache"), 0o777|fs.ModeSticky))
		require.NoError(t, p.keeper(t).Once(t.Context()))
		require.Zero(t, modeOf(t, p.path("cli/cache"))&fs.ModeSticky, "others could not replace files")
	})
	t.Run("not writable", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("SKIPPED: root may write everywhere; see test/aws/run.sh, which runs as uid 1000")
		}
		p := newPod(t, chainConfig)
		require.NoError(t, os.Symlink("/usr", p.aws)) // of root; what is ours would be put right
		require.ErrorContains(t, p.keeper(t).Once(t.Context()), "set fsGroup")
	})
}

func TestExpiryOf(t *testing.T) {
	want := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	for _, s := range []string{`{"Expiration":"2026-11-21T15:00:00Z"}`, `{"Credentials":{"Expiration":"2026-11-21T15:00:00+00:00"}}`, `{"Credentials":{"Expiration":"2026-11-21T15:00:00UTC"}}`} {
		require.True(t, want.Equal(expiryOf([]byte(s))), s)
	}
	for _, s := range []string{``, `{}`, `[]`, `{"Expiration":"2026-11-21T15:00:00"}`, `{"Credentials":`} {
		require.True(t, expiryOf([]byte(s)).IsZero(), s)
	}
}
