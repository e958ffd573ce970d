package hold

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/footman-ci/footman/exec"
)

// maxScript bounds what is read of a script to see whether it is complete; the
// environment of a step makes it long.
const maxScript = 16 << 20

func readScript(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxScript))
}

// runFiles runs the script of a launch and writes its status, whatever happens.
func (h *Hold) runFiles(dir string) {
	began := time.Now()
	code, err := h.runScript(dir)
	if err != nil {
		h.Log.Warn("active containers: a launch failed", "err", err)
		appendText(filepath.Join(dir, fileErr), err.Error()+"\n")
		h.answerDurable(dir, code, err)
	}
	if code == 128+int(syscall.SIGKILL) {
		if text := h.oomSince(""); text != "" {
			appendText(filepath.Join(dir, fileErr), text+"\n")
		}
	}
	h.writeStatus(dir, code)
	h.Log.Debug("active containers: done", "dir", dir, "status", code, "took", time.Since(began))
}

// durableResult is in the launch of a durable step the file that its wrapper
// writes last (durable-task's BourneShellScript, FileMonitoringController).
var durableResult = regexp.MustCompile(`'(/[^'"]*/durable-[0-9a-f]+)/jenkins-result\.txt\.tmp'`)

// answerDurable ends a durable step that did not begin. The controller does not
// join its launch and never looks at err.txt: it would wait for minutes and then
// say that the process apparently never started.
func (h *Hold) answerDurable(dir string, code int, why error) {
	script, err := readScript(filepath.Join(dir, fileScript))
	m := durableResult.FindSubmatch(script)
	if err != nil || m == nil {
		return
	}
	control := string(m[1])
	if exists(control, "jenkins-result.txt") {
		return
	}
	appendText(filepath.Join(control, "jenkins-log.txt"), why.Error()+"\n")
	if err := replaceFile(filepath.Join(control, "jenkins-result.txt"), fmt.Appendln(nil, code), 0o644); err != nil {
		h.Log.Warn("active containers: the step can't be told, it will wait", "dir", control, "err", err)
	}
}

// writeStatus is what the controller waits for.
func (h *Hold) writeStatus(dir string, code int) {
	tmp, final := filepath.Join(dir, fileStatus+".tmp"), filepath.Join(dir, fileStatus)
	err := os.WriteFile(tmp, fmt.Appendf(nil, "%d\n", code), 0o666)
	if err == nil {
		err = os.Rename(tmp, final)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone when the step was given up
		h.Log.Error("active containers: a status can't be written; the controller will wait for it", "dir", dir, "err", err)
	}
}

// abandoned answers a launch that a hold before us took and did not live to end.
func (h *Hold) abandoned(dir string) {
	h.Log.Warn("active containers: a launch was running when this container ended", "dir", dir)
	appendText(filepath.Join(dir, fileErr), fmt.Sprintf("container %q was restarted while this ran\n", h.Name))
	if !exists(dir, fileOut) {
		appendText(filepath.Join(dir, fileOut), "")
	}
	h.writeStatus(dir, 128+int(syscall.SIGKILL))
}

// appendText adds a line for the user; where it fails, the status is still told.
func appendText(path, text string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o666)
	if err != nil {
		return
	}
	defer f.Close()
	_, _ = io.WriteString(f, text)
}

// runScript returns the exit code; the error is for the user, who finds it in
// err.txt.
func (h *Hold) runScript(dir string) (int, error) {
	stdout, err := create(filepath.Join(dir, fileOut))
	if err != nil {
		return codeNotAllowed, err
	}
	defer stdout.Close()
	stderr, err := create(filepath.Join(dir, fileErr))
	if err != nil {
		return codeNotAllowed, err
	}
	defer stderr.Close()
	b, err := readSmall(filepath.Join(dir, fileShell))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return codeNotAllowed, fmt.Errorf("the shell for the step can't be read: %w", err)
	}
	words := strings.Fields(string(b)) // as an unquoted `cat shell.txt`
	if len(words) == 0 {
		words = []string{"sh"}
	}
	cmd := Command{Argv: append(words, filepath.Join(dir, fileScript))}
	p, refused := h.prepare(cmd)
	if refused != nil {
		return refused.Code, refused
	}
	if _, missing := h.search("nohup", &p); missing != nil && slices.Contains(ShellPrograms, filepath.Base(words[0])) && len(p.argv) == len(cmd.Argv) {
		// Not the embedded shell, which has it.
		script := p.argv[len(p.argv)-1]
		p.argv = append(p.argv[:len(p.argv)-1], "-c", nohup+`; . "$0"`, script)
	}
	entry := &command{name: filepath.Base(p.argv[0])}
	if refused := h.enter(entry); refused != nil {
		return refused.Code, refused
	}
	defer h.leave(entry)
	proc, err := exec.Start(context.Background(), exec.Spec{Argv: p.argv, Env: p.env, Dir: p.dir, Stdout: stdout, Stderr: stderr, Setsid: true})
	if err != nil {
		r := h.startRefusal(words[0], err)
		return r.Code, r
	}
	h.mu.Lock()
	entry.pid = proc.Pid()
	h.mu.Unlock()
	return proc.Wait(context.Background())
}

// create opens a file that the agent's user has to be able to read.
func create(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_NOFOLLOW, 0o666)
}
