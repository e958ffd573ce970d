package hold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/exec"
)

// What a shell exits with when it can't run something.
const (
	codeNotAllowed = 126
	codeNotFound   = 127
)

func notFound(format string, args ...any) *Refused {
	return &Refused{codeNotFound, fmt.Sprintf(format, args...)}
}

func notAllowed(format string, args ...any) *Refused {
	return &Refused{codeNotAllowed, fmt.Sprintf(format, args...)}
}

// prepared is a command in the words of this container.
type prepared struct {
	argv, env []string
	dir       string
}

// prepare translates paths, merges the environment and looks for the program.
func (h *Hold) prepare(c Command) (prepared, *Refused) {
	tr := func(s string) string { return s }
	if from, to := filepath.Clean(c.Root), filepath.Clean(h.Place.Root); c.Root != "" && from != to && from != "/" {
		tr = func(s string) string { return replacePath(s, from, to) }
	}
	p := prepared{dir: tr(c.Dir)}
	for _, a := range c.Argv {
		p.argv = append(p.argv, tr(a))
	}
	env := make([]string, 0, len(c.Env))
	for _, kv := range c.Env {
		name, value, _ := strings.Cut(kv, "=")
		env = append(env, name+"="+tr(value))
	}
	p.env = mergeEnv(h.environ(), env, c.Prepend)
	if p.dir == "" {
		p.dir = h.dir()
	}
	if r := h.checkDir(p.dir); r != nil {
		return p, r
	}
	for _, w := range c.Writable {
		if r := h.checkWritable(tr(w)); r != nil {
			return p, r
		}
	}
	return p, h.findProgram(&p)
}

// replacePath replaces the path from where it ends at a slash or at the end of a
// word, so that /ws is not found in /wsx.
func replacePath(s, from, to string) string {
	if !strings.Contains(s, from) {
		return s
	}
	var b strings.Builder
	for {
		i := strings.Index(s, from)
		if i < 0 {
			b.WriteString(s)
			return b.String()
		}
		after := s[i+len(from):]
		b.WriteString(s[:i])
		if after == "" || strings.IndexByte("/:;, \t\n'\"@", after[0]) >= 0 {
			b.WriteString(to)
		} else {
			b.WriteString(from)
		}
		s = after
	}
}

// mergeEnv puts overrides over base, and values of prepend before what is there.
func mergeEnv(base, overrides, prepend []string) []string {
	at := make(map[string]int, len(base)+len(overrides))
	var out []string
	put := func(kv string) {
		name, _, ok := strings.Cut(kv, "=")
		if !ok {
			return
		}
		if i, have := at[name]; have {
			out[i] = kv
			return
		}
		at[name] = len(out)
		out = append(out, kv)
	}
	for _, kv := range slices.Concat(base, overrides) {
		put(kv)
	}
	for _, kv := range prepend {
		name, _, _ := strings.Cut(kv, "=")
		if i, have := at[name]; have {
			if _, old, _ := strings.Cut(out[i], "="); old != "" {
				kv += ":" + old
			}
		}
		put(kv)
	}
	return out
}

func (h *Hold) checkDir(dir string) *Refused {
	st, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return notFound("the directory %s does not exist in container %q; is the volume with it mounted there?", dir, h.Name)
	case err != nil:
		return notAllowed("the directory %s in container %q: %s", dir, h.Name, reason(err))
	case !st.IsDir():
		return notAllowed("%s in container %q is not a directory", dir, h.Name)
	}
	if err := unix.Access(dir, unix.X_OK); err != nil {
		return notAllowed("the directory %s is closed to container %q: %s. %s", dir, h.Name, owners(dir, st), forbiddenAdvice)
	}
	return nil
}

// checkWritable refuses a directory that exists and may not be written to: a sh
// step there would be reported as "apparently never started" after minutes.
func (h *Hold) checkWritable(dir string) *Refused {
	st, err := os.Stat(dir)
	if err != nil || !st.IsDir() || unix.Access(dir, unix.W_OK|unix.X_OK) == nil {
		return nil
	}
	return notAllowed("container %q may not write to %s: %s. %s, and let both have a umask of 002", h.Name, dir, owners(dir, st), forbiddenAdvice)
}

// owners says whose a file is and who we are.
func owners(path string, st fs.FileInfo) string {
	s := fmt.Sprintf("its mode is %04o", st.Mode().Perm())
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s = fmt.Sprintf("it belongs to uid %d, gid %d with mode %04o", sys.Uid, sys.Gid, st.Mode().Perm())
	}
	return s + "; the container runs as " + identity()
}

// reason is the system's text without the path.
func reason(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		return no.Error()
	}
	return err.Error()
}

// findProgram looks for argv[0] along the PATH that the command will see, as a
// shell does, and falls back to the embedded shell for what a wrapper needs.
func (h *Hold) findProgram(p *prepared) *Refused {
	name := p.argv[0]
	var refused *Refused
	if strings.Contains(name, "/") {
		refused = h.lookAt(name, name, p.dir)
	} else {
		var file string
		file, refused = h.search(name, p)
		if refused == nil {
			// exec.Start would search our own PATH.
			if path := getenv(p.env, "PATH"); path != getenv(h.environ(), "PATH") {
				p.argv = append([]string{file}, p.argv[1:]...)
			}
		}
	}
	if refused != nil && name == "nohup" && len(p.argv) > 1 {
		if _, r := h.search("sh", p); r == nil {
			p.argv = slices.Concat([]string{"sh", "-c", nohup + `; nohup "$@"`, name}, p.argv[1:])
			return h.findProgram(p)
		}
	}
	if refused != nil && refused.Code == codeNotFound && len(h.Shell) > 0 && h.embedded(name) {
		p.argv = slices.Concat(h.Shell, []string{filepath.Base(name)}, p.argv[1:])
		return nil
	}
	return refused
}

// nohup is the function that stands in for the program, which the wrapper of
// durable steps begins with and busybox may be built without: that of Debian is.
const nohup = `nohup() { trap "" HUP; exec "$@"; }`

// embedded tells whether the embedded shell stands in for a program.
func (h *Hold) embedded(name string) bool {
	base := filepath.Base(name)
	if strings.Contains(name, "/") && filepath.Dir(name) != "/bin" && filepath.Dir(name) != "/usr/bin" {
		return false
	}
	return slices.Contains(h.ShellNames, base)
}

func getenv(env []string, name string) string {
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

func (h *Hold) search(name string, p *prepared) (string, *Refused) {
	path := getenv(p.env, "PATH")
	if path == "" {
		path = "/bin:/usr/bin"
	}
	var denied *Refused
	for _, dir := range strings.Split(path, ":") {
		file := filepath.Join(dir, name)
		if dir == "" {
			file = "./" + name
		}
		r := h.lookAt(name, file, p.dir)
		if r == nil {
			return file, nil
		}
		if r.Code == codeNotAllowed && denied == nil {
			denied = r
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", notFound("%s: not found in container %q (PATH=%s)", name, h.Name, path)
}

func (h *Hold) lookAt(name, file, dir string) *Refused {
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	st, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return notFound("%s: not found in container %q", name, h.Name)
	case err != nil:
		return notAllowed("%s in container %q: %s", name, h.Name, reason(err))
	case st.IsDir():
		return notAllowed("%s in container %q is a directory", name, h.Name)
	}
	if err := unix.Access(file, unix.X_OK); err != nil {
		return notAllowed("%s: permission denied in container %q (mode %04o, %s)", name, h.Name, st.Mode().Perm(), identity())
	}
	return nil
}

// startRefusal puts the error of a start into words and a code.
func (h *Hold) startRefusal(name string, err error) *Refused {
	var se *exec.StartError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// The file is there, so it is its interpreter that is not.
		return notFound("%s in container %q can't be run: its interpreter or loader is missing there", name, h.Name)
	case errors.Is(err, syscall.ENOEXEC):
		return notAllowed("%s in container %q can't be run: not a program of this machine, nor a script with #!", name, h.Name)
	case errors.Is(err, syscall.E2BIG):
		return notAllowed("%s: the arguments and the environment are too long for the system", name)
	case errors.As(err, &se) && se.Err != nil:
		return notAllowed("%s in container %q can't be run: %s", name, h.Name, reason(se.Err))
	}
	return notAllowed("%s in container %q can't be run: %s", name, h.Name, reason(err))
}

// lookPath finds what exec.Start would find, for a start of our own.
func lookPath(name string, attr *os.ProcAttr) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	path := getenv(attr.Env, "PATH")
	if path == "" {
		path = "/bin:/usr/bin"
	}
	for _, dir := range strings.Split(path, ":") {
		file := filepath.Join(dir, name)
		look := file
		if !filepath.IsAbs(look) {
			look = filepath.Join(attr.Dir, look)
		}
		if st, err := os.Stat(look); err == nil && !st.IsDir() && unix.Access(look, unix.X_OK) == nil {
			return file, nil
		}
	}
	return "", fs.ErrNotExist
}
