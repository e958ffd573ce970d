package hold

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/test/output"
)

// plugin makes launches as the controller does through the agent.
type plugin struct {
	t    testing.TB
	work string
	n    int
	mu   sync.Mutex
}

func filesHold(t testing.TB, h *Hold) (*plugin, *Hold, *output.Buffer) {
	if h.Place.Root == "" {
		h.Place.Root = t.TempDir()
	}
	h.ContainerWork = filepath.Join(h.Place.Root, "container-work")
	h, log := startHold(t, h)
	return &plugin{t: t, work: filepath.Join(h.ContainerWork, h.Name)}, h, log
}

func (p *plugin) dir() string {
	p.mu.Lock()
	p.n++
	dir := filepath.Join(p.work, fmt.Sprintf("%016x", p.n))
	p.mu.Unlock()
	require.NoError(p.t, os.MkdirAll(dir, 0o755))
	return dir
}

func (p *plugin) write(dir, name, text string) {
	require.NoError(p.t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
}

func (p *plugin) launch(shell, script string) string {
	dir := p.dir()
	p.write(dir, "shell.txt", shell)
	p.write(dir, "script.sh", script)
	return dir
}

// join polls as the controller does, faster, and deletes the directory.
func (p *plugin) join(dir string) (status, stdout, stderr string) {
	p.t.Helper()
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(p.t, err)
		return string(b)
	}
	require.Eventually(p.t, func() bool { return exists(dir, "status.txt") }, 20*time.Second, time.Millisecond, dir)
	require.FileExists(p.t, dir+"/seen")
	status, stdout, stderr = read("status.txt"), read("out.txt"), read("err.txt")
	require.NoError(p.t, os.RemoveAll(dir))
	return status, stdout, stderr
}

func TestActiveContainers(t *testing.T) {
	p, h, _ := filesHold(t, &Hold{})
	root := h.Place.Root
	for _, c := range []struct{ name, shell, script, status, out, err string }{
		{"plain", "sh", "'echo' 'hi' ", "0\n", "hi\n", ""},
		{"as the plugin writes it", "sh", "cd '" + root + "'\nexport 'A=it'\"'\"'s $HOME\n`x`'\nexport 'B='\n'sh' '-c' 'echo \"$A\"; echo err >&2; pwd; exit 3' ",
			"3\n", "it's $HOME\n`x`\n" + root + "\n", "err\n"},
		{"exit code not 0, which ends upstream's loop", "sh", "exit 9", "9\n", "", ""},
		{"and the next one", "sh", "echo still here", "0\n", "still here\n", ""},
		{"killed by itself", "sh", "kill -9 $$", "137\n", "", ""},
		{"words of the shell", "/bin/bash --norc -x\n", "echo $BASH_VERSION | cut -c1 >/dev/null; echo w", "0\n", "w\n", "+ echo w\n"},
		{"stdin is empty", "sh", "cat; echo $?", "0\n", "0\n", ""},
		{"cwd of a launch that is gone", "sh", "cd '/no/such/dir'\n'echo' 'x' ", "0\n", "x\n", "cd: can't cd to /no/such/dir"},
		{"shell that is not there", "/no/such/sh", "echo x", "127\n", "", `/no/such/sh: not found in container "maven"` + "\n"},
		{"no shell.txt", "", "echo dflt", "0\n", "dflt\n", ""},
		{"binary missing", "sh", "'no-such-tool' ", "127\n", "", "not found"},
		{"syntax error", "sh", "echo 'open", "2\n", "", "ntermin"},
		{"environment of the image", "sh", "echo $IN_IMAGE", "0\n", "yes\n", ""},
		{"set -e", "sh -e", "false; echo not reached", "1\n", "", ""},
		{"no execute bit, odd bytes", "sh", "printf '\\377\\000é'", "0\n", "\xff\x00é", ""},
	} {
		status, stdout, stderr := p.join(p.launch(c.shell, c.script))
		require.Equal(t, []string{c.status, c.out}, []string{status, stdout}, "%s: %s", c.name, stderr)
		if !strings.Contains(stderr, c.err) || c.err == "" && stderr != "" && !strings.Contains(c.script, "kill") {
			if !strings.HasSuffix(stderr, "+ echo w\n") {
				require.Equal(t, c.err, stderr, c.name)
			}
		}
	}
}

// TestImageWithoutNohup is a durable step's launch in an image like Debian's
// busybox: by files and by the socket.
func TestImageWithoutNohup(t *testing.T) {
	bin := t.TempDir()
	for _, name := range []string{"sh", "cat", "sleep"} {
		path, err := exec.LookPath(name)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(path, filepath.Join(bin, name)))
	}
	p, h, _ := filesHold(t, &Hold{Environ: []string{"PATH=" + bin}})
	for _, shell := range []string{"sh", "", bin + "/sh", "sh -e"} {
		status, out, err := p.join(p.launch(shell, "cd '"+h.Place.Root+"'\nexport 'A=it'\"'\"'s'\n'nohup' 'sh' '-c' 'kill -HUP $$; echo \"$A immune $1\"; exit 4' 'x' 'a  b' "))
		require.Equal(t, []string{"4\n", "it's immune a  b\n"}, []string{status, out}, err)
	}
	r, err := runCommand(t, h, Command{Argv: []string{"nohup", "sh", "-c", `kill -HUP $$; echo "immune $1"; exit 4`, "x", "a  b"}}, "")
	require.NoError(t, err)
	require.Equal(t, []any{4, "immune a  b\n"}, []any{r.Code, r.out}, r.err)
	// Without an operand the program would complain, too.
	_, err = runCommand(t, h, Command{Argv: []string{"nohup"}}, "")
	require.ErrorContains(t, err, "nohup: not found")
}

// TestDurableStepThatCannotBegin hears so at once: its control directory is what
// the controller looks at, not the launch's.
func TestDurableStepThatCannotBegin(t *testing.T) {
	p, h, log := filesHold(t, &Hold{})
	control := filepath.Join(h.Place.Root, "a job@tmp/durable-1f00")
	require.NoError(t, os.MkdirAll(control, 0o755))
	q := func(s string) string { return `'"'"'` + s + `'"'"'` }
	wrapper := "'nohup' 'sh' '-c' '(... ; echo $? > " + q(control+"/jenkins-result.txt.tmp") + "; mv " + q(control+"/jenkins-result.txt.tmp") + " " + q(control+"/jenkins-result.txt") + "; wait) >&- 2>&- &' "
	status, _, _ := p.join(p.launch("/no/such/sh", "cd '/'\n"+wrapper))
	require.Equal(t, "127\n", status)
	for name, want := range map[string]string{"jenkins-log.txt": `/no/such/sh: not found in container "maven"` + "\n", "jenkins-result.txt": "127\n"} {
		b, err := os.ReadFile(filepath.Join(control, name))
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
	require.Contains(t, log.String(), "a launch failed")
	// One that has ended keeps its result; one that is gone does no harm.
	require.NoError(t, os.WriteFile(control+"/jenkins-result.txt", []byte("0\n"), 0o644))
	p.join(p.launch("/no/such/sh", wrapper))
	b, err := os.ReadFile(control + "/jenkins-result.txt")
	require.NoError(t, err)
	require.Equal(t, "0\n", string(b))
	require.NoError(t, os.RemoveAll(control))
	p.join(p.launch("/no/such/sh", wrapper))
	require.NoDirExists(t, control)
}

func TestActiveContainersInParallel(t *testing.T) {
	p, _, _ := filesHold(t, &Hold{})
	// Each waits for all others: served one after the other, none would end.
	const n = 20
	var dirs []string
	for i := range n {
		dirs = append(dirs, p.launch("sh", fmt.Sprintf("touch up-%d; while [ $(ls | grep -c ^up-) -lt %d ]; do sleep 0.02; done; exit %d", i, n, i)))
	}
	for i, dir := range dirs {
		status, _, _ := p.join(dir)
		require.Equal(t, fmt.Sprintf("%d\n", i), status)
	}
}

func TestHalfWrittenScripts(t *testing.T) {
	for _, noEvents := range []bool{false, true} {
		p, _, _ := filesHold(t, &Hold{NoEvents: noEvents, Poll: 200 * time.Millisecond})
		dir := p.dir()
		p.write(dir, "shell.txt", "sh")
		f, err := os.OpenFile(dir+"/script.sh", os.O_WRONLY|os.O_CREATE, 0o644)
		require.NoError(t, err)
		_, err = f.WriteString("echo first\n")
		require.NoError(t, err)
		time.Sleep(time.Second) // five polls: a writer that is slow
		require.NoFileExists(t, dir+"/seen")
		_, err = f.WriteString("echo second\n")
		require.NoError(t, err)
		require.NoError(t, f.Close())
		_, stdout, _ := p.join(dir)
		require.Equal(t, "first\nsecond\n", stdout)
		// one that is renamed into place
		dir = p.dir()
		p.write(dir, "tmp", "echo moved")
		require.NoError(t, os.Rename(dir+"/tmp", dir+"/script.sh"))
		_, stdout, _ = p.join(dir)
		require.Equal(t, "moved\n", stdout)
	}
}

func TestActiveContainersWithoutEvents(t *testing.T) {
	p, _, _ := filesHold(t, &Hold{NoEvents: true, Poll: 100 * time.Millisecond})
	for i := range 3 {
		status, stdout, _ := p.join(p.launch("sh", fmt.Sprintf("echo %d; exit %d", i, i)))
		require.Equal(t, fmt.Sprintf("%d\n%d\n", i, i), stdout+status)
	}
}

func TestLaunchesOfBefore(t *testing.T) {
	root := t.TempDir()
	p := &plugin{t: t, work: filepath.Join(root, "container-work", "maven")}
	fresh := p.launch("sh", "echo fresh")
	died := p.launch("sh", "echo never")
	p.write(died, "seen", "")
	p.write(died, "out.txt", "half")
	done := p.launch("sh", "echo no")
	p.write(done, "seen", "")
	p.write(done, "status.txt", "4\n")
	p2, _, log := filesHold(t, &Hold{Place: Place{root}})
	status, stdout, stderr := p2.join(died)
	require.Equal(t, []string{"137\n", "half", "container \"maven\" was restarted while this ran\n"}, []string{status, stdout, stderr})
	_, stdout, _ = p2.join(fresh)
	require.Equal(t, "fresh\n", stdout)
	b, err := os.ReadFile(done + "/status.txt")
	require.NoError(t, err)
	require.Equal(t, "4\n", string(b))
	require.Contains(t, log.String(), "a launch was running when this container ended")
}

func TestDirectoryOfLaunchesThatVanishes(t *testing.T) {
	p, h, _ := filesHold(t, &Hold{Poll: 50 * time.Millisecond})
	require.NoError(t, os.RemoveAll(h.ContainerWork))
	require.Eventually(t, func() bool { return exists(p.work, ".") }, 5*time.Second, 5*time.Millisecond)
	_, stdout, _ := p.join(p.launch("sh", "echo again"))
	require.Equal(t, "again\n", stdout)
	// a directory deleted while its script runs leaves nothing behind
	dir := p.launch("sh", "sleep 0.2")
	require.Eventually(t, func() bool { return exists(dir, "seen") }, 5*time.Second, time.Millisecond)
	require.NoError(t, os.RemoveAll(dir))
	_, stdout, _ = p.join(p.launch("sh", "echo fine"))
	require.Equal(t, "fine\n", stdout)
	st, err := os.Stat(p.work)
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|os.ModeSticky|0o777, st.Mode())
}

func TestLinksAndFifosOfLaunches(t *testing.T) {
	p, h, _ := filesHold(t, &Hold{})
	secret := filepath.Join(h.Place.Root, "precious")
	require.NoError(t, os.WriteFile(secret, []byte("keep"), 0o644))
	dir := p.dir()
	require.NoError(t, os.Symlink(secret, dir+"/out.txt"))
	p.write(dir, "shell.txt", "sh")
	p.write(dir, "script.sh", "echo overwritten")
	require.Eventually(t, func() bool { return exists(dir, "status.txt") }, 10*time.Second, time.Millisecond)
	b, err := os.ReadFile(secret)
	require.NoError(t, err)
	require.Equal(t, "keep", string(b))
	dir = p.dir()
	require.NoError(t, unix.Mkfifo(dir+"/shell.txt", 0o644))
	p.write(dir, "script.sh", "echo x")
	status, _, stderr := p.join(dir)
	require.Equal(t, "126\n", status)
	require.Contains(t, stderr, "the shell for the step can't be read")
}

// BenchmarkActiveContainer is one launch of the plugin, from the directory to its
// status; the controller then polls for that every 100 ms.
func BenchmarkActiveContainer(b *testing.B) {
	p, _, _ := filesHold(b, &Hold{})
	for b.Loop() {
		dir := p.launch("sh", "'true' ")
		for !exists(dir, "status.txt") {
			time.Sleep(200 * time.Microsecond)
		}
		require.NoError(b, os.RemoveAll(dir))
	}
}
