package git

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/exec"
)

// Credentials are a user's name with a password, or with private keys. They
// print as their description.
type Credentials struct {
	Description string
	Username    string
	Password    string    // without Keys
	Keys        []string  // private keys, of SSH
	Passphrase  string    // of the keys
	SSH         bool      // Keys count, even if there are none
	Expires     time.Time // when the password is of no use any more; zero for never
}

func (c *Credentials) String() string   { return c.Description }
func (c *Credentials) GoString() string { return c.Description }

// AddCredentials sets what is used for an address.
func (c *Client) AddCredentials(url string, cred *Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byURL[url] = cred
}

// AddDefaultCredentials sets what is used for all other addresses; nil for none.
func (c *Client) AddDefaultCredentials(cred *Credentials) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byDefault = cred
}

// ClearCredentials forgets those of addresses.
func (c *Client) ClearCredentials() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.byURL)
}

func (c *Client) credentials(url string) *Credentials {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cred := c.byURL[url]; cred != nil {
		return cred
	}
	return c.byDefault
}

// Proxy is a hudson.ProxyConfiguration.
type Proxy struct {
	Host               string
	Port               int
	Username, Password string
	Except             []*regexp.Regexp // hosts that are asked directly
}

// SetProxy sets the proxy of HTTP; nil for none.
func (c *Client) SetProxy(p *Proxy) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proxy = p
}

// launchFor runs git with the credentials of an address
// (launchCommandWithCredentials).
func (c *Client) launchFor(ctx context.Context, h how, cred *Credentials, u *URI, args ...string) (string, error) {
	env := c.environment().Clone()
	if c.atLeast(ctx, 2, 3, 0) {
		env.Put("GIT_TERMINAL_PROMPT", "false")
	}
	files := &secretFiles{c: c}
	defer files.remove()
	if cred != nil {
		if !cred.Expires.IsZero() && time.Now().After(cred.Expires) {
			return "", failf("The token of %q has expired at %s", cred.Description, cred.Expires.Format(time.RFC3339))
		}
		set := c.password
		if cred.SSH {
			set = c.sshKey
		}
		if err := set(files, env, cred, u); err != nil {
			return "", &Error{Message: "Failed to setup credentials", Cause: err}
		}
	}
	if s := strings.ToLower(u.Scheme); s == "http" || s == "https" {
		c.setProxy(env, u.Host)
	}
	h.env = env
	return c.launch(ctx, h, args...)
}

// password lets git ask a script.
func (c *Client) password(f *secretFiles, env *exec.EnvVars, cred *Credentials, _ *URI) error {
	c.Log.Println("using GIT_ASKPASS to set credentials " + cred.Description)
	user := f.write("username*.txt", 0o600, cred.Username+"\n")
	pass := f.write("password*.txt", 0o600, cred.Password+"\n")
	script := f.write("pass*.sh", 0o700, "#!/bin/sh\ncase \"$1\" in\n  Username*) exec cat "+quote(user)+";;\n  Password*) exec cat "+quote(pass)+";;\nesac\n")
	env.Put("GIT_ASKPASS", script)
	env.Put("SSH_ASKPASS", script)
	return f.err
}

// sshKey lets git run ssh by a script that names the key.
func (c *Client) sshKey(f *secretFiles, env *exec.EnvVars, cred *Credentials, u *URI) error {
	c.Log.Println("using GIT_SSH to set credentials " + cred.Description)
	keys := ""
	for _, k := range cred.Keys {
		keys += k + "\n"
	}
	key := f.write("ssh*.key", 0o400, keys)
	user := u.User
	if user == "" {
		user = cred.Username
	}
	phrase := f.write("phrase*.txt", 0o600, cred.Passphrase+"\n")
	options, err := c.hostKeyOptions(f)
	if err != nil {
		return err
	}
	ssh := f.write("ssh*.sh", 0o700, "#!/bin/sh\n# without DISPLAY, ssh asks nobody for a passphrase\n: \"${DISPLAY:=:123.456}\"\nexport DISPLAY\n"+
		"exec ssh -i \"$JENKINS_GIT_SSH_KEYFILE\" -l \"$JENKINS_GIT_SSH_USERNAME\" "+options+" \"$@\"\n")
	env.Put("JENKINS_GIT_SSH_KEYFILE", key)
	env.Put("JENKINS_GIT_SSH_USERNAME", user)
	env.Put("GIT_SSH", ssh)
	env.Put("GIT_SSH_VARIANT", "ssh")
	env.Put("SSH_ASKPASS", f.write("pass*.sh", 0o700, "#!/bin/sh\nexec cat "+quote(phrase)+"\n"))
	if _, ok := env.Get("DISPLAY"); !ok {
		env.Put("DISPLAY", ":")
	}
	return f.err
}

func (c *Client) setProxy(env *exec.EnvVars, host string) {
	c.mu.Lock()
	p := c.proxy
	c.mu.Unlock()
	if p == nil {
		return
	}
	for _, e := range p.Except {
		if e.MatchString(host) {
			return
		}
	}
	address := p.Host + ":" + strconv.Itoa(p.Port)
	c.Log.Println("Setting http proxy: " + address)
	if p.Username != "" {
		who := p.Username
		if p.Password != "" {
			who += ":" + p.Password
		}
		address = escapeUserInfo(who) + "@" + address
	}
	env.Put("http_proxy", "http://"+address)
	env.Put("https_proxy", "http://"+address)
}

// escapeUserInfo escapes as java.net.URI's constructor of several arguments.
func escapeUserInfo(s string) string {
	var b strings.Builder
	for i := range len(s) {
		ch := s[i]
		if ch >= 0x80 || ch|0x20 >= 'a' && ch|0x20 <= 'z' || ch >= '0' && ch <= '9' || ch > 0 && strings.IndexByte("-_.!~*'();:&=+$,", ch) >= 0 {
			b.WriteByte(ch)
		} else {
			fmt.Fprintf(&b, "%%%02X", ch)
		}
	}
	return b.String()
}

// secretFiles are the files of one run of git.
type secretFiles struct {
	c     *Client
	names []string
	err   error // the first
}

// write makes a file that nobody else can read, from the start. pattern is as
// for os.CreateTemp, behind "jenkins-gitclient-".
func (f *secretFiles) write(pattern string, mode os.FileMode, text string) string {
	if f.err != nil {
		return ""
	}
	// A process that is forked while a script is open for writing would keep it
	// from being executed (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	file, err := os.CreateTemp(f.c.tempDir(), "jenkins-gitclient-"+pattern) // 0600
	if err != nil {
		f.err = err
		return ""
	}
	f.names = append(f.names, file.Name())
	if _, err = file.WriteString(text); err == nil {
		err = file.Chmod(mode)
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	f.err = err
	return file.Name()
}

func (f *secretFiles) remove() {
	for _, n := range f.names {
		_ = os.Remove(n)
	}
}

// tempDir is DIR@tmp, unless ssh or a shell would stumble over its name.
func (c *Client) tempDir() string {
	dir, err := filepath.Abs(c.Dir)
	dir += "@tmp"
	if err != nil || strings.ContainsAny(dir, "%`") || strings.Contains(dir, "$(") || os.MkdirAll(dir, 0o777) != nil {
		return os.TempDir()
	}
	return dir
}

// quote makes one word of a shell of s.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
