package jvm

import (
	"bufio"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting/transport"
)

// shim is footman.Companion, compiled from shim/Companion.java with
// javac --release 8; it refers to hudson.remoting by reflection only.
//
//go:embed shim/Companion.class shim/Companion$1.class
var shim embed.FS

// span is how many numbers one JVM of a channel may use; see doc.go.
const span = 0x04000000

// maxGeneration is the last one whose numbers stay below remoting.FirstID.
const maxGeneration = 14

// startTime bounds the start of a JVM on a busy machine.
const startTime = 2 * time.Minute

// process is a running JVM.
type process struct {
	*transport.Conn
	os   *os.Process
	tail *tail

	out *outbox

	said     chan struct{} // closed when its stderr is read to the end
	ended    chan struct{} // closed when the process is gone
	state    *os.ProcessState
	oomKills uint64 // of the container, when it was started

	reasonMu sync.Mutex // guards reason
	reason   string     // why we ended it, "" if we did not
}

// startProcess starts java and speaks the preambles with it.
func (c *Companion) startProcess(ctx context.Context, generation int) (*process, error) {
	jar, err := c.jar.get(ctx)
	if err != nil {
		return nil, err
	}
	java, err := FindJava(c.cfg.Java)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(java, jar); err != nil {
		return nil, err
	}
	argv := append([]string{java}, c.javaOptions()...)
	if generation == 0 {
		argv = append(argv, "-jar", jar)
	} else {
		dir, err := c.writeShim()
		if err != nil {
			return nil, err
		}
		argv = append(argv, "-cp", dir+string(os.PathListSeparator)+jar, "footman.Companion", strconv.Itoa(generation*span))
	}
	argv = append(argv, "-jar-cache", c.cfg.JarCache)
	p, err := launch(argv, c.cfg.Environ, c.cfg.WorkDir, c.log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = p.os.Kill() })
	defer stop()
	s := &transport.Stdio{In: newGuard(&p.process, p.stdout, c.cfg.Patience), Out: p.stdin, Mode: transport.ModeBinary, Noise: p.tail}
	if p.Conn, err = s.Dial(ctx); err == nil && generation > 0 {
		err = p.tail.await(ctx, "footman: ready", p.ended)
	}
	if err != nil {
		_ = p.os.Kill()
		<-p.ended
		return nil, fmt.Errorf("jvm: %s did not come up: %w%s", java, err, p.lastWords())
	}
	p.process.out = newOutbox(&p.process, c.cfg.Patience)
	return &p.process, nil
}

// child is a process whose pipes nobody speaks on yet.
type child struct {
	process
	stdin, stdout *os.File
}

func launch(argv, environ []string, dir string, log *slog.Logger) (*child, error) {
	var files []*os.File
	closeAll := func() {
		for _, f := range files {
			f.Close()
		}
	}
	pipe := func() (r, w *os.File, err error) {
		if r, w, err = os.Pipe(); err == nil {
			files = append(files, r, w)
		}
		return r, w, err
	}
	inR, inW, err1 := pipe()
	outR, outW, err2 := pipe()
	errR, errW, err3 := pipe()
	if err := errors.Join(err1, err2, err3); err != nil {
		closeAll()
		return nil, err
	}
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		dir = ""
	}
	proc, done, err := exec.Guard(func() (*os.Process, error) {
		return os.StartProcess(argv[0], argv, &os.ProcAttr{Dir: dir, Env: environ, Files: []*os.File{inR, outW, errW}})
	})
	if err != nil {
		closeAll()
		return nil, fmt.Errorf("jvm: %s can't be started: %w", argv[0], err)
	}
	inR.Close()
	outW.Close()
	errW.Close()
	p := &child{process: process{os: proc, tail: newTail(log), said: make(chan struct{}), ended: make(chan struct{})}, stdin: inW, stdout: outR}
	if m, err := exec.Memory(); err == nil {
		p.oomKills = m.OOMKills
	}
	go func() {
		_, _ = io.Copy(p.tail, errR) // ends with the process
		errR.Close()
		close(p.said)
	}()
	go func() {
		p.state, _ = proc.Wait() // ours alone, see exec.Guard
		done()
		close(p.ended)
	}()
	return p, nil
}

// send queues a copy of one command for the JVM.
func (p *process) send(raw []byte) error { return p.out.put(raw) }

// kill ends a JVM that is of no use any more. The first reason is kept.
func (p *process) kill(reason string) {
	p.reasonMu.Lock()
	if p.reason == "" {
		p.reason = reason
	}
	p.reasonMu.Unlock()
	_ = p.os.Kill()
}

// stop ends the JVM.
func (p *process) stop() {
	_ = p.Close()
	_ = p.os.Kill()
	<-p.ended
}

// why says how the process ended, with the kernel's part in it.
func (p *process) why() error {
	<-p.ended
	text := "its status is lost"
	if p.state != nil {
		text = p.state.String()
	}
	if m, err := exec.Memory(); err == nil && m.OOMKills > p.oomKills && strings.Contains(text, "killed") {
		text += fmt.Sprintf("; since it was started the kernel has killed %d processes of this container for lack of memory, limit %d MiB: give it more, or bound the heap with JENKINS_JAVA_OPTS=-Xmx…",
			m.OOMKills-p.oomKills, m.Limit>>20)
	}
	p.reasonMu.Lock()
	defer p.reasonMu.Unlock()
	if p.reason != "" {
		return fmt.Errorf("the companion JVM was ended: %s%s", p.reason, p.lastWords())
	}
	return fmt.Errorf("the companion JVM ended (%s)%s", text, p.lastWords())
}

// lastWords quotes the end of its stderr. A process that it left behind may
// keep that open.
func (p *process) lastWords() string {
	select {
	case <-p.said:
	case <-time.After(200 * time.Millisecond):
	}
	return p.tail.quote()
}

// javaOptions keep the JVM small and quick to start. What the user asks for
// comes last and wins; what would contradict it is left out.
func (c *Companion) javaOptions() []string {
	var limit uint64
	if m, err := exec.Memory(); err == nil {
		limit = m.Limit
	}
	return javaOptions(c.cfg.JavaOptions, limit)
}

// javaOptions with a memory limit of the container in bytes, 0 for none.
func javaOptions(user []string, limit uint64) []string {
	has := func(parts ...string) bool {
		return slices.ContainsFunc(user, func(o string) bool {
			return slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(o, p) })
		})
	}
	opts := []string{"-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"}
	if !slices.ContainsFunc(user, func(o string) bool { return strings.HasPrefix(o, "-XX:+Use") && strings.HasSuffix(o, "GC") }) {
		opts = append(opts, "-XX:+UseSerialGC") // a second collector would be an error
	}
	if limit > 0 && !has("-Xmx", "-XX:MaxHeapSize", "-XX:MaxRAM", "-XX:InitialRAMPercentage", "-Xms") {
		opts = append(opts, fmt.Sprintf("-Xmx%dm", min(max(limit/2, 64<<20), 1<<30)>>20))
	}
	return append(opts, user...)
}

// writeShim puts footman.Companion where java finds it.
func (c *Companion) writeShim() (string, error) {
	dir := filepath.Join(c.cfg.Dir, "shim")
	if err := os.MkdirAll(filepath.Join(dir, "footman"), 0o777); err != nil {
		return "", err
	}
	for _, name := range []string{"Companion.class", "Companion$1.class"} {
		b, err := shim.ReadFile("shim/" + name)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, "footman", name), b, 0o666); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// tail logs what the JVM prints and keeps the last lines.
type tail struct {
	log  *slog.Logger
	mu   sync.Mutex // guards the fields below
	part strings.Builder
	last []string
	wake chan struct{} // closed and replaced with every line
}

func newTail(log *slog.Logger) *tail { return &tail{log: log, wake: make(chan struct{})} }

const tailLines = 12

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bufio.NewScanner(strings.NewReader(t.part.String() + string(p)))
	lines.Buffer(nil, 1<<20)
	t.part.Reset()
	complete := len(p) > 0 && p[len(p)-1] == '\n'
	var all []string
	for lines.Scan() {
		all = append(all, lines.Text())
	}
	if !complete && len(all) > 0 {
		if rest := all[len(all)-1]; len(rest) < 64<<10 {
			t.part.WriteString(rest)
			all = all[:len(all)-1]
		}
	}
	for _, l := range all {
		t.log.Debug("companion: " + l)
		t.last = append(t.last, l)
	}
	if n := len(t.last); n > tailLines {
		t.last = append([]string(nil), t.last[n-tailLines:]...)
	}
	close(t.wake)
	t.wake = make(chan struct{})
	return len(p), nil
}

// quote is what the JVM said last, for an error message.
func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.last) == 0 {
		return ""
	}
	return "; it said last: " + strings.Join(t.last, " | ")
}

// await waits for a line.
func (t *tail) await(ctx context.Context, line string, ended <-chan struct{}) error {
	for {
		t.mu.Lock()
		for _, l := range t.last {
			if strings.Contains(l, line) {
				t.mu.Unlock()
				return nil
			}
		}
		wake := t.wake
		t.mu.Unlock()
		select {
		case <-wake:
		case <-ended:
			return errors.New("it ended")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
