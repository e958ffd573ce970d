package localpod

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Image is a root file system and what an image's config says beside it.
type Image struct {
	Root             string
	Env              []string
	Entrypoint, Cmd  []string
	WorkingDir       string
	User, Group      int64
	AdditionalGroups []int64
}

// Options say what a pod is made of.
type Options struct {
	// Dir gets everything that the pod writes; it is not removed.
	Dir string
	// Images finds the image of a container.
	Images func(name string) (Image, error)
	// Volumes are directories for volumes that are no emptyDir and no hostPath
	// (secrets, config maps, projected tokens), by the volume's name.
	Volumes map[string]string
	// Fields are values of fieldRef, by path: metadata.name, status.podIP.
	Fields map[string]string
}

// Pod is a pod that runs. All methods are safe for concurrent use.
type Pod struct {
	spec    corev1.PodSpec
	o       Options
	volumes map[string]string // on this machine, by name

	mu         sync.Mutex
	containers []*Container
	stopping   bool
}

// ErrInit is an init container that failed; its log is in the text.
type ErrInit struct {
	Name string
	Code int
	Log  string
}

func (e *ErrInit) Error() string {
	return fmt.Sprintf("localpod: init container %s ended with %d: %s", e.Name, e.Code, e.Log)
}

// New lays out the volumes of a pod.
func New(spec corev1.PodSpec, o Options) (*Pod, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("localpod: namespaces and mounts need root")
	}
	p := &Pod{spec: *spec.DeepCopy(), o: o, volumes: map[string]string{}}
	for _, v := range p.spec.Volumes {
		dir, err := p.makeVolume(v)
		if err != nil {
			return nil, fmt.Errorf("localpod: volume %s: %w", v.Name, err)
		}
		p.volumes[v.Name] = dir
	}
	return p, nil
}

// Start runs the init containers to their end and starts the containers.
func Start(ctx context.Context, spec corev1.PodSpec, o Options) (*Pod, error) {
	p, err := New(spec, o)
	if err != nil {
		return nil, err
	}
	return p, p.Start(ctx)
}

// Start is for pods that New has made. After an error nothing runs any more.
func (p *Pod) Start(ctx context.Context) error {
	for _, spec := range p.spec.InitContainers {
		c, err := p.startContainer(spec)
		if err != nil {
			p.Kill()
			return err
		}
		select {
		case <-c.Done():
		case <-ctx.Done():
			p.Kill()
			return ctx.Err()
		}
		if c.ExitCode() != 0 {
			return &ErrInit{spec.Name, c.ExitCode(), c.Log()}
		}
	}
	for _, spec := range p.spec.Containers {
		if _, err := p.startContainer(spec); err != nil {
			p.Kill()
			return err
		}
	}
	return nil
}

// Containers are those that have been started, init containers first.
func (p *Pod) Containers() []*Container {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.containers)
}

// Container is the one of that name, nil if it has not been started.
func (p *Pod) Container(name string) *Container {
	for _, c := range p.Containers() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Stop is the end of a pod: TERM to every container's PID 1, and KILL to what
// is there after the grace period. It returns how long that took.
func (p *Pod) Stop(grace time.Duration) time.Duration {
	begin := time.Now()
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	late := time.After(grace)
	for _, c := range p.Containers() {
		_ = c.Signal(syscall.SIGTERM)
	}
	for _, c := range p.Containers() {
		select {
		case <-c.Done():
		case <-late:
			p.Kill()
		}
	}
	return time.Since(begin)
}

// Kill ends all containers at once.
func (p *Pod) Kill() {
	p.mu.Lock()
	p.stopping = true
	p.mu.Unlock()
	for _, c := range p.Containers() {
		_ = c.Signal(syscall.SIGKILL)
	}
	for _, c := range p.Containers() {
		<-c.Done()
	}
}

// makeVolume returns the directory or file behind a volume.
func (p *Pod) makeVolume(v corev1.Volume) (string, error) {
	if v.HostPath != nil {
		return v.HostPath.Path, nil
	}
	if dir, ok := p.o.Volumes[v.Name]; ok {
		return dir, nil
	}
	if v.EmptyDir == nil {
		return "", fmt.Errorf("what is in it? name a directory in Options.Volumes")
	}
	dir := filepath.Join(p.o.Dir, "volumes", v.Name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", err
	}
	// The kubelet makes it 0777, and 2777 with the group where there is a fsGroup.
	mode := os.FileMode(0o777)
	if s := p.spec.SecurityContext; s != nil && s.FSGroup != nil {
		if err := os.Chown(dir, 0, int(*s.FSGroup)); err != nil {
			return "", err
		}
		mode |= os.ModeSetgid
	}
	return dir, os.Chmod(dir, mode)
}

// settings are those of a container with the image's and the pod's below them.
func (p *Pod) settings(c corev1.Container) (setup, error) {
	img, err := p.o.Images(c.Image)
	if err != nil {
		return setup{}, err
	}
	layer := filepath.Join(p.o.Dir, "containers", c.Name)
	s := setup{Root: img.Root, Layer: layer, Env: slices.Clone(img.Env), Dir: img.WorkingDir, User: img.User, Group: img.Group, Groups: img.AdditionalGroups}
	s.Stdin = c.Stdin || c.TTY // there are no terminals here
	if c.WorkingDir != "" {
		s.Dir = c.WorkingDir
	}
	env := map[string]string{}
	for _, e := range c.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			value = p.o.Fields[e.ValueFrom.FieldRef.FieldPath]
		} else if e.ValueFrom != nil {
			return s, fmt.Errorf("localpod: %s: $%s comes from something that is not here", c.Name, e.Name)
		}
		env[e.Name] = expand(value, env)
	}
	for _, k := range slices.Sorted(maps.Keys(env)) {
		s.Env = slices.DeleteFunc(s.Env, func(kv string) bool { return strings.HasPrefix(kv, k+"=") })
		s.Env = append(s.Env, k+"="+env[k])
	}
	// command replaces the entrypoint and takes the image's arguments away.
	args := img.Cmd
	s.Argv = img.Entrypoint
	if len(c.Command) > 0 {
		s.Argv, args = c.Command, nil
	}
	if len(c.Args) > 0 {
		args = c.Args
	}
	s.Argv = slices.Concat(s.Argv, args)
	for i := range s.Argv {
		s.Argv[i] = expand(s.Argv[i], env)
	}
	if len(s.Argv) == 0 {
		return s, fmt.Errorf("localpod: container %s has no command", c.Name)
	}
	return s, errors.Join(p.user(c, &s), p.mounts(c, &s))
}

func (p *Pod) user(c corev1.Container, s *setup) error {
	var nonRoot *bool
	if ps := p.spec.SecurityContext; ps != nil {
		set(&s.User, ps.RunAsUser)
		set(&s.Group, ps.RunAsGroup)
		nonRoot = ps.RunAsNonRoot
		s.Groups = slices.Concat(s.Groups, ps.SupplementalGroups)
		if ps.FSGroup != nil {
			s.Groups = append(s.Groups, *ps.FSGroup)
		}
	}
	if cs := c.SecurityContext; cs != nil {
		set(&s.User, cs.RunAsUser)
		set(&s.Group, cs.RunAsGroup)
		if cs.RunAsNonRoot != nil {
			nonRoot = cs.RunAsNonRoot
		}
		s.ReadOnly = cs.ReadOnlyRootFilesystem != nil && *cs.ReadOnlyRootFilesystem
		s.NoNewPrivs = cs.AllowPrivilegeEscalation != nil && !*cs.AllowPrivilegeEscalation
		s.Privileged = cs.Privileged != nil && *cs.Privileged
		s.NoCapabilities = cs.Capabilities != nil && slices.Contains(cs.Capabilities.Drop, "ALL")
	}
	if nonRoot != nil && *nonRoot && s.User == 0 {
		return fmt.Errorf("localpod: container %s has runAsNonRoot and its image runs as root", c.Name)
	}
	return nil
}

func set(to *int64, from *int64) {
	if from != nil {
		*to = *from
	}
}

func (p *Pod) mounts(c corev1.Container, s *setup) error {
	for _, m := range c.VolumeMounts {
		dir, ok := p.volumes[m.Name]
		if !ok {
			return fmt.Errorf("localpod: container %s mounts %s, which is no volume", c.Name, m.Name)
		}
		if m.SubPath != "" {
			dir = filepath.Join(dir, m.SubPath)
			if _, err := os.Stat(dir); err != nil {
				if err := os.MkdirAll(dir, 0o777); err != nil {
					return err
				}
			}
		}
		s.Mounts = append(s.Mounts, mount{dir, m.MountPath, m.ReadOnly})
	}
	// Parents first.
	slices.SortStableFunc(s.Mounts, func(a, b mount) int { return strings.Compare(a.Target, b.Target) })
	return nil
}

// expand replaces $(NAME) by variables that are known, and $$ by $.
func expand(s string, env map[string]string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
			continue
		case '(':
			if end := strings.IndexByte(s[i:], ')'); end > 0 {
				if v, ok := env[s[i+2:i+end]]; ok {
					b.WriteString(v)
					i += end
					continue
				}
			}
		}
		b.WriteByte('$')
	}
	return b.String()
}

func (p *Pod) startContainer(spec corev1.Container) (*Container, error) {
	s, err := p.settings(spec)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil, errors.New("localpod: the pod is being stopped")
	}
	c, err := start(spec.Name, s)
	if err != nil {
		return nil, fmt.Errorf("localpod: container %s: %w", spec.Name, err)
	}
	p.containers = append(p.containers, c)
	return c, nil
}

// String tells a container's state, for messages.
func (c *Container) String() string {
	select {
	case <-c.Done():
		return c.Name + " ended with " + strconv.Itoa(c.ExitCode())
	default:
		return c.Name + " runs as pid " + strconv.Itoa(c.Pid)
	}
}
