package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/footman-ci/footman/exec"
)

// Log is the listener of a build.
type Log interface {
	io.Writer
	// Println prints a line, and keeps errors to itself: a dead log does not
	// stop a checkout.
	Println(line string)
}

// Error stands for hudson.plugins.git.GitException.
type Error struct {
	Message string
	Locked  bool  // hudson.plugins.git.GitLockFailedException
	Cause   error // nil for none
}

func (e *Error) Error() string { return e.Message }
func (e *Error) Unwrap() error { return e.Cause }

func failf(format string, args ...any) *Error { return &Error{Message: fmt.Sprintf(format, args...)} }

// wrap puts a message of its own before a failure of git. Other errors, such
// as the end of ctx, are passed on.
func wrap(err error, format string, args ...any) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	return &Error{Message: fmt.Sprintf(format, args...), Cause: err}
}

const (
	// DefaultTimeout is CliGitAPIImpl.TIMEOUT, in minutes.
	DefaultTimeout = 10

	// maxOutput bounds what is kept of git's standard output, and maxErrors of
	// its error output, in bytes.
	maxOutput = 256 << 20
	maxErrors = 4 << 20
)

// Config is what a Client starts with.
type Config struct {
	Exe      string        // the program, such as "git"
	Dir      string        // the work tree
	Env      *exec.EnvVars // of the build
	Environ  []string      // of the agent, below Env
	Log      Log
	HostKeys HostKeys
	// Empty removes what is in a directory.
	Empty func(ctx context.Context, dir string) error
}

// Client runs git in one work tree (CliGitAPIImpl). It is safe for concurrent
// use, as far as git is.
type Client struct {
	Config

	mu         sync.Mutex    // guards the fields below
	env        *exec.EnvVars // never changed, only replaced
	byURL      map[string]*Credentials
	byDefault  *Credentials
	proxy      *Proxy
	version    int // AABBCCDD, such as 2390500
	hasVersion bool
}

// New makes a client.
func New(cfg Config) *Client {
	return &Client{Config: cfg, env: cfg.Env.Clone(), byURL: map[string]*Credentials{}}
}

func (c *Client) environment() *exec.EnvVars {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.env
}

// SetEnv sets a variable for all that follows; nil removes it.
func (c *Client) SetEnv(name string, value *string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.env = c.env.Clone()
	if value == nil {
		c.env.Remove(name)
	} else {
		c.env.Put(name, *value)
	}
}

// how says what is special about a run of git.
type how struct {
	env      *exec.EnvVars // nil for the client's
	timeout  *int          // in minutes, nil for DefaultTimeout
	anywhere bool          // not in the work tree
}

// git runs git in the work tree and returns what it printed.
func (c *Client) git(ctx context.Context, args ...string) (string, error) {
	return c.launch(ctx, how{}, args...)
}

// launch is CliGitAPIImpl.launchCommandIn.
func (c *Client) launch(ctx context.Context, h how, args ...string) (string, error) {
	env := h.env
	if env == nil {
		env = c.environment()
	}
	if _, ok := env.Get("GIT_ASKPASS"); !ok {
		env = env.Clone()
		env.Put("GIT_ASKPASS", "echo") // or git may wait for somebody to type
	}
	command := c.Exe + " " + strings.Join(args, " ")
	minutes := DefaultTimeout
	if h.timeout != nil {
		minutes = *h.timeout
	}
	c.Log.Println(" > " + command + " # timeout=" + strconv.Itoa(minutes))
	stdout, stderr := &capture{max: maxOutput}, &capture{max: maxErrors}
	spec := exec.Spec{Stdout: stdout, Stderr: stderr}
	if !h.anywhere {
		spec.Dir = c.Dir
	}
	code, err := c.run(ctx, env, spec, minutes, args)
	if err != nil {
		var e *Error
		if ctx.Err() != nil || errors.As(err, &e) {
			return "", err
		}
		return "", &Error{Message: "Error performing git command: " + command, Cause: err}
	}
	if code != 0 {
		text := stderr.String()
		if strings.Contains(text, `unsupported option "accept-new"`) {
			c.Log.Println("If you are using OpenSSH < 7.6 please choose another strategy to verify ssh host key in " +
				"'Manage Jenkins' -> 'Security' -> 'Git Host Key Verification Configuration'")
		}
		return "", failf("Command \"%s\" returned status code %d:\nstdout: %s\nstderr: %s", command, code, stdout, text)
	}
	if stdout.lost > 0 {
		return "", failf("Command \"%s\" printed more than %d bytes", command, maxOutput)
	}
	return stdout.String(), nil
}

// run starts git as LocalLauncher does, with variables expanded in arguments,
// and waits for it. minutes < 0 is for ever. When ctx ends, git is killed.
func (c *Client) run(ctx context.Context, env *exec.EnvVars, spec exec.Spec, minutes int, args []string) (int, error) {
	merged, err := exec.Inherit(exec.FromEnviron(c.Environ), env.Environ())
	if err != nil {
		return 0, err
	}
	spec.Env = merged.Environ()
	spec.Argv = []string{merged.Expand(c.Exe)}
	for _, a := range args {
		x := merged.Expand(a)
		if strings.HasPrefix(x, "-") && !strings.HasPrefix(a, "-") {
			return 0, failf("Invalid argument: %s", a)
		}
		spec.Argv = append(spec.Argv, x)
	}
	p, err := exec.Start(ctx, spec)
	if err != nil {
		return 0, err
	}
	wait, cancel := ctx, context.CancelFunc(func() {})
	if minutes >= 0 {
		wait, cancel = context.WithTimeout(ctx, time.Duration(minutes)*time.Minute)
	}
	defer cancel()
	code, err := p.Wait(wait)
	if err == nil {
		return code, nil
	}
	if ctx.Err() == nil {
		c.Log.Println("ERROR: Timeout after " + strconv.Itoa(minutes) + " minutes")
	}
	end, done := context.WithTimeout(context.Background(), killTime)
	defer done()
	if _, err := p.Kill(end, exec.KillOptions{Force: true}); err != nil {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return p.Wait(end)
}

// killTime bounds a kill.
const killTime = 30 * time.Second

// capture keeps the beginning of what a process prints.
type capture struct {
	buf  bytes.Buffer
	max  int
	lost int64
}

func (o *capture) Write(p []byte) (int, error) {
	n := min(len(p), o.max-o.buf.Len())
	o.buf.Write(p[:n])
	o.lost += int64(len(p) - n)
	return len(p), nil
}

func (o *capture) String() string { return strings.ToValidUTF8(o.buf.String(), "\uFFFD") }

// atLeast asks git for its version, once.
func (c *Client) atLeast(ctx context.Context, major, minor, rev int) bool {
	c.mu.Lock()
	version, known := c.version, c.hasVersion
	c.mu.Unlock()
	if !known {
		text, err := c.git(ctx, "--version")
		text = strings.TrimSpace(text)
		if err == nil {
			c.Log.Println(" > git --version # '" + text + "'")
		}
		version = parseVersion(text)
		c.mu.Lock()
		c.version, c.hasVersion = version, version != 0
		c.mu.Unlock()
	}
	return version >= major*1000000+minor*10000+rev*100
}

// parseVersion reads "git version 2.39.5".
func parseVersion(text string) int {
	words := strings.Split(text, " ")
	if len(words) < 3 {
		return 0
	}
	version := 0
	parts := strings.Split(strings.NewReplacer("msysgit.", "", "windows.", "").Replace(words[2]), ".")
	for i, weight := range []int{1000000, 10000, 100, 1} {
		if i >= len(parts) {
			break
		}
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			break
		}
		version += n * weight
	}
	return version
}

// operand refuses what git would take for an option.
func operand(what string, names ...string) error {
	for _, n := range names {
		if strings.HasPrefix(n, "-") {
			return failf("Invalid %s: %s", what, n)
		}
	}
	return nil
}

// remoteArgs is an address as git is to get it (addCheckedRemoteUrl).
func (c *Client) remoteArgs(ctx context.Context, url string) ([]string, error) {
	u := strings.TrimSpace(url)
	if !knownAddress(u) && (strings.HasPrefix(u, "-") || strings.ContainsAny(u, "` \t\n\v\f\r") || strings.Contains(u, "--upload-pack=")) {
		return nil, failf("Invalid remote URL: %s", url)
	}
	if c.atLeast(ctx, 2, 8, 0) {
		return []string{"--", u}, nil
	}
	return []string{u}, operand("remote URL", u)
}

// knownAddress tells whether an address begins as addresses do.
func knownAddress(u string) bool {
	for _, prefix := range []string{"/", `\\`, "file:", "git:", "git@", "http:", "https:", "ssh:"} {
		if strings.HasPrefix(u, prefix) {
			return true
		}
	}
	return len(u) > 2 && u[0]|0x20 >= 'a' && u[0]|0x20 <= 'z' && u[1] == ':' && !strings.Contains(u, "\n")
}

// Quiet runs git on the repository of the work tree without a word, for what
// upstream does by JGit, and returns what it printed.
func (c *Client) Quiet(ctx context.Context, args ...string) ([]byte, error) {
	return c.quietly(ctx, nil, args...)
}

func (c *Client) quietly(ctx context.Context, in io.Reader, args ...string) ([]byte, error) {
	out, errs := &capture{max: maxOutput}, &capture{max: maxErrors}
	args = append([]string{"--git-dir=" + filepath.Join(c.Dir, ".git"), "--no-replace-objects"}, args...)
	merged, err := exec.Inherit(exec.FromEnviron(c.Environ), c.environment().Environ())
	if err != nil {
		return nil, err
	}
	p, err := exec.Start(ctx, exec.Spec{Argv: append([]string{merged.Expand(c.Exe)}, args...), Env: merged.Environ(), Dir: c.Dir,
		Stdin: in, Stdout: out, Stderr: errs})
	if err != nil {
		return nil, err
	}
	code, err := p.Wait(ctx)
	if err != nil {
		end, done := context.WithTimeout(context.Background(), killTime)
		defer done()
		_, _ = p.Kill(end, exec.KillOptions{Force: true})
		return nil, err
	}
	if code != 0 || out.lost > 0 {
		return nil, failf("git %s: status code %d: %s", args[2], code, strings.TrimSpace(errs.String()))
	}
	return out.buf.Bytes(), nil
}

// exists tells whether a file of the work tree is there.
func (c *Client) exists(name string) bool {
	_, err := os.Stat(filepath.Join(c.Dir, name))
	return err == nil
}

func (c *Client) isDir(name string) bool {
	fi, err := os.Stat(filepath.Join(c.Dir, name))
	return err == nil && fi.IsDir()
}
