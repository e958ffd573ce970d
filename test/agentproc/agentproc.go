// Package agentproc runs an agent as a process and measures it, for the demo and
// the benchmarks. It knows our agent and the official one: both take the same
// command line.
//
//	Start ──▶ process ──▶ /proc/PID/smaps_rollup   memory (PSS)
//	                      CPU clock of the process  time to here, in ns
package agentproc

import (
	"bufio"
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

// PSS is the memory of the process in bytes: its own pages, and its share of
// those that it has in common with others.
func (p *Process) PSS() (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("agentproc: %w", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) >= 2 && f[0] == "Pss:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("agentproc: no Pss of %d", p.PID())
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
