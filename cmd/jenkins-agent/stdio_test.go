package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/transport"
	"github.com/footman-ci/footman/remoting/wire"
	"github.com/footman-ci/footman/test/output"
)

// spoken is an agent on stdin and stdout, with a controller's end in this test.
type spoken struct {
	t     *testing.T
	p     *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	raw   io.ReadCloser
	log   *output.Buffer
	ch    *remoting.Channel
	ended chan struct{} // the channel
}

func speak(t *testing.T, name string, args ...string) *spoken {
	return speakIn(t, nil, name, args...)
}

// speakIn is speak with more environment.
func speakIn(t *testing.T, env []string, name string, args ...string) *spoken {
	s := &spoken{t: t, p: program(t, name, env, args...), log: &output.Buffer{}, ended: make(chan struct{})}
	var err error
	s.in, err = s.p.StdinPipe()
	require.NoError(t, err)
	s.raw, err = s.p.StdoutPipe()
	require.NoError(t, err)
	s.out = bufio.NewReader(s.raw)
	s.p.Stderr = s.log
	require.NoError(t, s.p.Start())
	t.Cleanup(func() { _ = s.p.Process.Kill() })
	return s
}

// stream is what a controller of a certain age reads.
type stream struct {
	io.Reader
	io.Closer
}

// asIfOld hides from the controller's end what the agent can do and a
// controller of that age does not know of.
func (s *spoken) asIfOld(capability wire.Capability) stream {
	hello := make([]byte, len("<===[JENKINS REMOTING CAPACITY]===>")+len(wire.CapDefault.Base64()))
	_, err := io.ReadFull(s.out, hello)
	require.NoError(s.t, err)
	require.True(s.t, strings.HasSuffix(string(hello), wire.CapDefault.Base64()))
	old := strings.ReplaceAll(string(hello), wire.CapDefault.Base64(), capability.Base64())
	return stream{io.MultiReader(strings.NewReader(old), s.out), s.raw}
}

// open negotiates as a controller does, and opens a channel.
func (s *spoken) open(capability wire.Capability) {
	s.t.Helper()
	side := &transport.Stdio{In: s.asIfOld(capability), Out: s.in, Mode: transport.ModeNegotiate, Capability: capability,
		NextObject: func(r io.Reader) ([]byte, error) { return jser.NextObject(r, remoting.DecodeOptions()) }}
	conn, err := side.Dial(within(s.t, 20*time.Second))
	require.NoError(s.t, err, s.log)
	s.ch = remoting.NewChannel(conn, remoting.Config{Handler: refuseAll{}, NoThrottling: !capability.Has(wire.CapPipeThrottling)})
	go func() {
		defer close(s.ended)
		_ = s.ch.Serve(context.Background())
	}()
	s.t.Cleanup(func() { _ = conn.Close(); <-s.ended })
}

type refuseAll struct{}

func (refuseAll) Handle(context.Context, *remoting.Call) (jser.Value, error) {
	return nil, errors.New("nothing is served here")
}

func (s *spoken) call(class string, fields ...any) (jser.Value, error) {
	var ds []jser.Field
	var vs []jser.Value
	for i := 0; i < len(fields); i += 2 {
		if _, ok := fields[i+1].(bool); ok {
			ds = append(ds, jser.Prim(fields[i].(string), 'Z'))
		} else {
			ds = append(ds, jser.Ref(fields[i].(string), "java.lang.Object"))
		}
		vs = append(vs, fields[i+1])
	}
	return s.ch.UserCall(within(s.t, 20*time.Second), jser.New(jser.Serializable(class, 1, nil, ds...), vs...), class, 0, 0)
}

func (s *spoken) version() {
	s.t.Helper()
	v, err := s.call("hudson.slaves.SlaveComputer$SlaveVersion")
	require.NoError(s.t, err, s.log)
	require.Equal(s.t, remotingVersion, v)
}

func (s *spoken) exit() int {
	s.t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { _ = s.p.Process.Kill() })
	defer timer.Stop()
	_ = s.p.Wait()
	return s.p.ProcessState.ExitCode()
}

func TestStdio(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		program    string
		args       []string
		capability wire.Capability
		noise      string
	}{
		"plain":            {"jenkins-agent", nil, wire.CapDefault, ""},
		"text":             {"jenkins-agent", []string{"-text"}, wire.CapDefault, ""},
		"classic":          {"jenkins-agent", nil, wire.CapMultiClassLoader, ""},
		"classic text":     {"jenkins-agent", []string{"-text"}, wire.CapMultiClassLoader | wire.CapPipeThrottling, ""},
		"noise":            {"jenkins-agent", nil, wire.CapDefault, "Welcome to host!\nLast login: now <===[ \x00\x00\n"},
		"ssh-slaves":       {"java", []string{"-Xmx1g", "-jar", "remoting.jar", "-workDir", dir, "-jar-cache", filepath.Join(dir, "remoting/jarCache")}, wire.CapDefault, ""},
		"EC2":              {"java", []string{"-Dx=y", "-jar", "/tmp/remoting.jar", "-workDir", dir}, wire.CapDefault, ""},
		"command launcher": {"jenkins-agent", []string{"-workDir", dir}, wire.CapDefault, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := speak(t, c.program, c.args...)
			start, err := s.out.Peek(10)
			require.NoError(t, err)
			require.Equal(t, "<===[JENKI", string(start), "nothing of ours may come first")
			_, err = io.WriteString(s.in, c.noise)
			require.NoError(t, err)
			s.open(c.capability)
			s.version()
			_, err = s.call("com.example.Unknown")
			require.Error(t, err, "an exception comes over as one")
			if c.noise != "" {
				require.Contains(t, s.log.String(), "Welcome to host!")
			}
			require.NoError(t, s.ch.Close(within(t, 10*time.Second)))
			require.Equal(t, exitOK, s.exit(), s.log)
		})
	}
}

// Neither a process nor a mistake of ours gets at the stream of commands.
func TestStdoutIsOutOfReach(t *testing.T) {
	s := speak(t, "jenkins-agent")
	s.open(wire.CapDefault)
	mark := filepath.Join(t.TempDir(), "mark")
	v, err := s.call("hudson.Launcher$RemoteLaunchCallable", "quiet", true, "reverseStdin", false, "reverseStdout", false, "reverseStderr", false,
		"env", jser.StringArray(), "cmd", jser.ArrayList("sh", "-c", "echo noise; echo noise >&2; cat; echo done >"+mark))
	require.NoError(t, err)
	require.NotNil(t, v)
	require.Eventually(t, func() bool { return strings.Contains(read(mark), "done") }, 20*time.Second, 10*time.Millisecond)
	s.version() // the stream is whole
	require.NoError(t, s.in.Close())
	require.Equal(t, exitOK, s.exit(), "the end of stdin is the end in peace")
}

func read(name string) string {
	b, _ := exec.Command("cat", name).Output()
	return string(b)
}

func TestStdioEnds(t *testing.T) {
	t.Run("closed before the preamble", func(t *testing.T) {
		s := speak(t, "jenkins-agent")
		require.NoError(t, s.in.Close())
		require.Equal(t, exitFailure, s.exit())
		require.Contains(t, s.log.String(), "before any preamble")
	})
	t.Run("SIGTERM before the preamble", func(t *testing.T) {
		s := speak(t, "jenkins-agent")
		_, err := s.out.Peek(1)
		require.NoError(t, err)
		require.NoError(t, s.p.Process.Signal(syscall.SIGTERM))
		require.Equal(t, exitOK, s.exit())
	})
	t.Run("SIGTERM tells the controller", func(t *testing.T) {
		s := speak(t, "jenkins-agent")
		s.open(wire.CapDefault)
		s.version()
		start := time.Now()
		require.NoError(t, s.p.Process.Signal(syscall.SIGTERM))
		select {
		case <-s.ch.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("no CloseCommand")
		}
		require.ErrorIs(t, s.ch.Err(), remoting.ErrPeerClosed)
		require.Equal(t, exitOK, s.exit())
		require.Less(t, time.Since(start), time.Second*raceFactor)
	})
}
