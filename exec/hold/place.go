package hold

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// Place is the volume that the containers of a pod share, as this container sees
// it. The sockets are in a directory of their own below it:
//
//	ROOT/.footman/         1777, as the containers may run as different users
//	    token              0640, see EnsureToken
//	    maven.sock         0660
//	    maven.json         who listens, for messages
//	    agent              locked while an agent lives, see LockAgent
type Place struct{ Root string }

// Variables that say where things are. The plugin sets the ones with JENKINS_.
const (
	envRoot          = "FOOTMAN_WORK"
	envName          = "FOOTMAN_CONTAINER_NAME"
	envActiveName    = "JENKINS_CONTAINER_NAME"
	envActiveWork    = "JENKINS_CONTAINER_WORK" // ROOT/container-work
	envAgentWorkDir  = "JENKINS_AGENT_WORKDIR"
	sockets          = ".footman"
	socketSuffix     = ".sock"
	infoSuffix       = ".json"
	maxSocketPath    = 100 // Linux takes 107 bytes
	maxSmallFile     = 64 << 10
	containerWorkDir = "container-work"
)

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// FindPlace finds the shared volume: FOOTMAN_WORK, the parent of
// JENKINS_CONTAINER_WORK, JENKINS_AGENT_WORKDIR, or the nearest directory upwards
// of dir that has sockets; else dir itself.
func FindPlace(getenv func(string) string, dir string) (Place, error) {
	if r := getenv(envRoot); r != "" {
		return Place{r}, nil
	}
	if w := getenv(envActiveWork); w != "" {
		return Place{filepath.Dir(filepath.Clean(w))}, nil
	}
	if w := getenv(envAgentWorkDir); w != "" {
		return Place{w}, nil
	}
	if dir == "" || dir == "/" {
		return Place{}, fmt.Errorf("hold: where is the volume that the containers share? Set %s to its path (the agent's work directory), in every container", envRoot)
	}
	for d := filepath.Clean(dir); d != "/" && d != "."; d = filepath.Dir(d) {
		if st, err := os.Stat(filepath.Join(d, sockets)); err == nil && st.IsDir() {
			return Place{d}, nil
		}
	}
	return Place{filepath.Clean(dir)}, nil
}

// FindName is the name of this container, "" when nothing tells it.
func FindName(getenv func(string) string) string {
	if n := getenv(envName); n != "" {
		return n
	}
	return getenv(envActiveName)
}

func checkName(name string) error {
	if name == "" {
		return fmt.Errorf("hold: this container has no name: set %s, or -name", envName)
	}
	if !validName.MatchString(name) {
		return fmt.Errorf("hold: %q is no name of a container (letters, digits, - _ . and at most 63 of them)", name)
	}
	return nil
}

// Dir is where the sockets are.
func (p Place) Dir() string { return filepath.Join(p.Root, sockets) }

func (p Place) socket(name string) string { return filepath.Join(p.Dir(), name+socketSuffix) }
func (p Place) info(name string) string   { return filepath.Join(p.Dir(), name+infoSuffix) }

// MakeDir makes the directory of the sockets, for all users.
func (p Place) MakeDir() error {
	err := openDir(p.Dir())
	if err != nil {
		return fmt.Errorf("hold: the directory for sockets can't be made: %w (user %s; the volume has to be writable to every container of the pod)", err, identity())
	}
	return nil
}

// openDir makes a directory that everybody may make files in, and only their
// owners remove. One that somebody else made that way is fine.
func openDir(path string) error {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return err
	}
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	const all = 0o777 | os.ModeSticky
	if st.Mode()&all == all {
		return nil
	}
	if err := os.Chmod(path, all|st.Mode()&os.ModeSetgid); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

// Info is what a hold tells about itself in a file.
type Info struct {
	Name    string `json:"name"`
	Uid     int    `json:"uid"`
	Gid     int    `json:"gid"`
	Groups  []int  `json:"groups,omitempty"`
	Version int    `json:"version"`
}

func (p Place) readInfo(name string) (i Info, err error) {
	b, err := readSmall(p.info(name))
	if err == nil {
		err = json.Unmarshal(b, &i)
	}
	return i, err
}

// admits tells whether the hold may let in another user yet: it can when it runs
// as root.
func (p Place) admits(name string) bool {
	i, err := p.readInfo(name)
	return err == nil && i.Uid == 0
}

// Names lists the containers that have listened here, sorted.
func (p Place) Names() []string {
	entries, _ := os.ReadDir(p.Dir()) // none is no names
	var out []string
	for _, e := range entries {
		if n, ok := strings.CutSuffix(e.Name(), socketSuffix); ok && validName.MatchString(n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

// NotFound means that no container of that name listens.
type NotFound struct {
	Name  string
	Place Place
	Names []string
	// Gone means that it did listen and has ended.
	Gone bool
}

func (e *NotFound) Error() string {
	have := "none listens there"
	if len(e.Names) > 0 {
		have = "there are: " + strings.Join(e.Names, ", ")
	}
	if e.Gone {
		return fmt.Sprintf("container %q has ended: nothing answers at its socket in %s (%s)", e.Name, e.Place.Dir(), have)
	}
	return fmt.Sprintf("no container %q listens in %s; %s. Its command has to be 'jenkins-agent hold' and it has to mount the volume of the workspace", e.Name, e.Place.Dir(), have)
}

// Forbidden means that the users of two containers keep them apart.
type Forbidden struct{ text string }

func (e *Forbidden) Error() string { return e.text }

const forbiddenAdvice = "Give the pod securityContext.fsGroup, or both containers the same runAsUser"

// dial connects to the socket of a container.
func (p Place) dial(name string) (net.Conn, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	path, done, err := shortPath(p.socket(name))
	if err != nil {
		return nil, p.dialError(name, err)
	}
	defer done()
	c, err := net.Dial("unix", path)
	if err != nil {
		return nil, p.dialError(name, err)
	}
	return c, nil
}

func (p Place) dialError(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &NotFound{Name: name, Place: p, Names: p.Names()}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &NotFound{Name: name, Place: p, Names: slices.DeleteFunc(p.Names(), func(n string) bool { return n == name }), Gone: true}
	case errors.Is(err, fs.ErrPermission):
		who := "runs as another user"
		if i, err := p.readInfo(name); err == nil {
			who = fmt.Sprintf("runs as uid %d, gid %d, groups %v", i.Uid, i.Gid, i.Groups)
		}
		return &Forbidden{fmt.Sprintf("container %q %s and shares no group with us (%s), so its socket is closed to us. %s", name, who, identity(), forbiddenAdvice)}
	}
	return fmt.Errorf("hold: container %q: %w", name, err)
}

// shortPath is a name for path that fits into the address of a Unix socket.
func shortPath(path string) (string, func(), error) {
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), filepath.Base(path))
	if len(short) > maxSocketPath {
		d.Close()
		return "", nil, fmt.Errorf("the path %s is too long for a socket", path)
	}
	return short, func() { d.Close() }, nil
}

// identity is who we are, for messages.
func identity() string {
	groups, _ := os.Getgroups()
	return fmt.Sprintf("uid %d, gid %d, groups %v", os.Geteuid(), os.Getegid(), groups)
}

// readSmall reads a file that others may have written, without following a link
// and without waiting for a FIFO.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxSmallFile {
		return nil, fmt.Errorf("%s is no small file", path)
	}
	return io.ReadAll(io.LimitReader(f, maxSmallFile))
}
