package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// spy is a git that shows what credentials it was given.
const spy = `#!/bin/sh
case "$1" in --version) exec git --version;; esac
echo "argv=$*"
echo "prompt=$GIT_TERMINAL_PROMPT proxy=$http_proxy $https_proxy variant=$GIT_SSH_VARIANT display=$DISPLAY"
for f in "$GIT_ASKPASS" "$SSH_ASKPASS" "$GIT_SSH"; do case $f in /*) stat -c %a "$f";; *) echo "none $f";; esac; done
case $GIT_ASKPASS in /*) "$GIT_ASKPASS" "Username for 'x'"; "$GIT_ASKPASS" "Password for 'x'";; *) echo; echo;; esac
if [ -n "$GIT_SSH" ]; then "$SSH_ASKPASS"; PATH=$FAKE "$GIT_SSH" -p 22 host "git-upload-pack 'x'"; stat -c %a "$JENKINS_GIT_SSH_KEYFILE"; cat "$JENKINS_GIT_SSH_KEYFILE"; fi
`

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	fake := filepath.Join(w.dir, "fake")
	require.NoError(t, os.Mkdir(fake, 0o755))
	script := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(fake, name), []byte(text), 0o755))
	}
	script("ssh", "#!/bin/sh\nfor a; do case $a in *known_hosts*) a=$(echo \"$a\" | /bin/sed 's,/[^ ]*/jenkins-gitclient-known_hosts[0-9]*,FILE,');; *.key) a=KEY;; esac; printf '[%s]' \"$a\"; done; echo\n")
	script("spy", spy)
	secret := `p'a"s $HOME \ s%`
	user := &Credentials{Description: "d", Username: "us er", Password: secret}
	key := &Credentials{Description: "k", Username: "git", SSH: true, Keys: []string{"line1\nline2\n"}, Passphrase: secret}
	require.Equal(t, "d k", fmt.Sprintf("%v %#v", user, key))
	hint := "You're using 'Known hosts file' strategy"
	for _, c := range []struct {
		name, url string
		cred      *Credentials
		keys      HostKeys
		proxy     *Proxy
		dir       string
		want      []string
		log       []string
	}{
		{name: "none", url: "https://h/x", want: []string{"prompt=false proxy=  variant= display=", "none echo", "none ", "none ", "", ""}},
		{name: "password", url: "https://h/x", cred: user, log: []string{"using GIT_ASKPASS to set credentials d"},
			want: []string{"prompt=false proxy=  variant= display=", "700", "700", "none ", "us er", secret}},
		{name: "quote in the path", url: "https://h/x", cred: user, dir: "it's a $(dir)", log: []string{"using GIT_ASKPASS to set credentials d"},
			want: []string{"prompt=false proxy=  variant= display=", "700", "700", "none ", "us er", secret}},
		{name: "percent in the path", url: "https://h/x", cred: user, dir: "100%", log: []string{"using GIT_ASKPASS to set credentials d"},
			want: []string{"prompt=false proxy=  variant= display=", "700", "700", "none ", "us er", secret}},
		{name: "proxy", url: "https://h/x", proxy: &Proxy{Host: "p", Port: 81, Username: "u", Password: "a@b"}, log: []string{"Setting http proxy: p:81"},
			want: []string{"prompt=false proxy=http://u:a%40b@p:81 http://u:a%40b@p:81 variant= display=", "none echo", "none ", "none ", "", ""}},
		{name: "no proxy", url: "https://h/x", proxy: &Proxy{Host: "p", Port: 81, Except: []*regexp.Regexp{regexp.MustCompile("^h$")}},
			want: []string{"prompt=false proxy=  variant= display=", "none echo", "none ", "none ", "", ""}},
		{name: "not HTTP", url: "git://h/x", proxy: &Proxy{Host: "p", Port: 81},
			want: []string{"prompt=false proxy=  variant= display=", "none echo", "none ", "none ", "", ""}},
		{name: "key", url: "ssh://h/x", cred: key, keys: HostKeys{Strategy: HostKeysUnchecked}, log: []string{"using GIT_SSH to set credentials k"},
			want: []string{"prompt=false proxy=  variant=ssh display=:", "none echo", "700", "700", "", "", secret,
				"[-i][KEY][-l][git][-o][StrictHostKeyChecking=no][-p][22][host][git-upload-pack 'x']", "400", "line1", "line2", ""}},
		{name: "user of the address", url: "ssh://you@h/x", cred: key, keys: HostKeys{Strategy: HostKeysAcceptFirst},
			log: []string{"using GIT_SSH to set credentials k", "Verifying host key using known hosts file, will automatically accept unseen keys"},
			want: []string{"prompt=false proxy=  variant=ssh display=:", "none echo", "700", "700", "", "", secret,
				"[-i][KEY][-l][you][-o][StrictHostKeyChecking=accept-new][-p][22][host][git-upload-pack 'x']", "400", "line1", "line2", ""}},
		{name: "known hosts", url: "you@h:x", cred: key, log: []string{"using GIT_SSH to set credentials k", "Verifying host key using known hosts file", hint},
			want: []string{"prompt=false proxy=  variant=ssh display=:", "none echo", "700", "700", "", "", secret,
				"[-i][KEY][-l][you][-o][StrictHostKeyChecking=yes][-p][22][host][git-upload-pack 'x']", "400", "line1", "line2", ""}},
		{name: "approved hosts", url: "you@h:x", cred: key, dir: "a b", keys: HostKeys{Strategy: HostKeysApproved, Approved: "h k"},
			log: []string{"using GIT_SSH to set credentials k", "Verifying host key using manually-configured host key entries"},
			want: []string{"prompt=false proxy=  variant=ssh display=:", "none echo", "700", "700", "", "", secret,
				"[-i][KEY][-l][you][-o][StrictHostKeyChecking=yes][-o][UserKnownHostsFile=\"", "400", "line1", "line2", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("HOME", w.dir)
			dir := c.dir
			if dir == "" {
				dir = "plain"
			}
			k := w.client(dir)
			k.HostKeys = c.keys
			k.Exe = filepath.Join(fake, "spy")
			k.Environ = append(k.Environ, "FAKE="+fake)
			k.SetProxy(c.proxy)
			w.log.take()
			u := mustURI(c.url)
			out, err := k.launchFor(context.Background(), how{}, c.cred, u, "fetch")
			require.NoError(t, err)
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			require.Equal(t, "argv=fetch", lines[0])
			lines = lines[1:]
			require.Len(t, lines, len(c.want), out)
			for i := range lines {
				if !strings.Contains(c.want[i], "UserKnownHostsFile") {
					require.Equal(t, c.want[i], lines[i])
					continue
				}
				require.True(t, strings.HasPrefix(lines[i], c.want[i]), lines[i])
				require.True(t, strings.HasSuffix(lines[i], "\"][-p][22][host][git-upload-pack 'x']"), lines[i])
			}
			log := w.log.take()
			require.NotContains(t, log, secret)
			var said []string
			for l := range strings.Lines(log) {
				if !strings.HasPrefix(l, " > ") {
					said = append(said, strings.TrimSpace(l))
				}
			}
			require.Len(t, said, len(c.log), log)
			for i := range said {
				require.True(t, strings.HasPrefix(said[i], c.log[i]), said[i])
			}
			left, err := filepath.Glob(filepath.Join(w.dir, "*@tmp", "*"))
			require.NoError(t, err)
			require.Empty(t, left)
			left, _ = filepath.Glob(filepath.Join(os.TempDir(), "jenkins-gitclient-*"))
			require.Empty(t, left)
		})
	}
}

func TestExpiredToken(t *testing.T) {
	w := newWorld(t)
	for expires, want := range map[time.Time]string{time.Now().Add(time.Hour): "", time.Unix(1, 0): `The token of "app" has expired at 1970-01-01T`} {
		w.c.AddDefaultCredentials(&Credentials{Description: "app", Expires: expires})
		_, err := w.c.HeadRevs(context.Background(), w.url())
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
}

func TestCredentialsByAddress(t *testing.T) {
	w := newWorld(t)
	a, b := &Credentials{Description: "a"}, &Credentials{Description: "b"}
	w.c.AddCredentials("u", a)
	require.Equal(t, a, w.c.credentials("u"))
	require.Nil(t, w.c.credentials("v"))
	w.c.AddDefaultCredentials(b)
	require.Equal(t, b, w.c.credentials("v"))
	w.c.ClearCredentials()
	require.Equal(t, b, w.c.credentials("u"))
}
