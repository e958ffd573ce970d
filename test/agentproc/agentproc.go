// Package agentproc runs an agent as a process and measures it, for the demo and
// the benchmarks. It knows our agent and the official one: both take the same
// command line.
//
//	Start ──▶ process ──▶ /proc/PID/smaps_rollup   memory (PSS)
//	                      CPU clock of the process  time to here, in ns
package agentproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say which agent to run and where it connects.
type Options struct {
	Command []string // what comes before the agent's options: a binary, or java -jar agent.jar
	URL     string
	Name    string
	Secret  string
	WorkDir string // made when it is missing
	TCP     bool   // JNLP4-connect instead of WebSocket
	Log     io.Writer
	Env     []string // default: the environment of this process without JENKINS_*
}

// Process is a running agent.
type Process struct {
	Started time.Time
	args    []string
	cmd     *osexec.Cmd
	done    chan struct{}
	err     error
}

// Start starts an agent. Its secret goes through a file in the work directory.
func Start(o Options) (*Process, error) {
	if err := os.MkdirAll(o.WorkDir, 0o755); err != nil {
		return nil, fmt.Errorf("agentproc: %w", err)
	}
	secret := filepath.Join(o.WorkDir, "secret-file")
	if err := os.WriteFile(secret, []byte(o.Secret+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("agentproc: %w", err)
	}
	args := append([]string(nil), o.Command...)
	args = append(args, "-url", o.URL, "-secret", "@"+secret, "-name", o.Name, "-workDir", o.WorkDir)
	if !o.TCP {
		args = append(args, "-webSocket")
	}
	p := &Process{args: args, done: make(chan struct{})}
	p.cmd = osexec.Command(args[0], args[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = o.Log, o.Log
	p.cmd.Env = o.Env
	if p.cmd.Env == nil {
		p.cmd.Env = cleanEnv()
	}
	p.Started = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("agentproc: %w", err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

func cleanEnv() []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "JENKINS_") && !strings.HasPrefix(e, "REMOTING_OPTS=") {
			env = append(env, e)
		}
	}
	return env
}

// CommandLine is what was started.
func (p *Process) CommandLine() string { return strings.Join(p.args, " ") }

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop asks the agent to end, and kills it when it does not within ten seconds.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	var exit *osexec.ExitError
	if errors.As(p.err, &exit) && (exit.ExitCode() == 143 || !exit.Exited()) {
		return nil // java says 143 after SIGTERM
	}
	return p.err
}

// CPU is the time that all threads of the process took so far, user and system,
// without those of its children.
func (p *Process) CPU() (time.Duration, error) {
	// clock_getcpuclockid(3): the scheduler's clock of another process.
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.PID()<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("agentproc: CPU clock of %d: %w", p.PID(), err)
	}
	return time.Duration(ts.Nano()), nil
}

// Memory is what a process holds, in bytes.
type Memory struct {
	PSS       int64 // its own pages and its share of those that it has in common with others
	Anonymous int64 // the part of PSS that no file stands behind: heap and stacks
}

// Memory reads /proc/PID/smaps_rollup.
func (p *Process) Memory() (m Memory, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.PID()))
	if err != nil {
		return m, fmt.Errorf("agentproc: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kib, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "Pss:":
			m.PSS = kib << 10
		case "Pss_Anon:":
			m.Anonymous = kib << 10
		}
	}
	if m.PSS == 0 {
		return m, fmt.Errorf("agentproc: no Pss of process %d", p.PID())
	}
	return m, nil
}

// Settle waits until the process has used next to no CPU for a moment, at most
// until ctx ends.
func (p *Process) Settle(ctx context.Context) {
	const pause = 200 * time.Millisecond
	for last := time.Duration(-1); ; {
		now, err := p.CPU()
		if err != nil || (last >= 0 && now-last < pause/50) {
			return
		}
		last = now
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}
