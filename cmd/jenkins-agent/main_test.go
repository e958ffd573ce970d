package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/test/controller"
)

// asProgram makes the test binary be the program, so that tests can start it.
const asProgram = "FOOTMAN_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(run(os.Args, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// program is the agent as a process of its own, called name, with an
// environment of only PATH and what env says.
func program(t *testing.T, name string, env []string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	require.NoError(t, err)
	c := exec.Command(exe)
	c.Args = append([]string{name}, args...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), asProgram + "=1", "HOME=" + t.TempDir()}, env...)
	return c
}

// outcomeOf runs the program to its end.
func outcomeOf(t *testing.T, c *exec.Cmd) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	require.NoError(t, c.Start())
	timer := time.AfterFunc(60*time.Second, func() { _ = c.Process.Kill() })
	defer timer.Stop()
	_ = c.Wait()
	return c.ProcessState.ExitCode(), out.String(), errs.String()
}

// quietly runs run in this process.
func quietly(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// jenkins is an embedded controller with one node.
func jenkins(t *testing.T) (*controller.Controller, *controller.Node, string) {
	dir := filepath.Join(t.TempDir(), "agent")
	c := controller.New(controller.Options{})
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Close() })
	return c, c.Node("n1", dir), dir
}

func file(t *testing.T, content string) string {
	name := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	return name
}

func TestExitCodes(t *testing.T) {
	none := "http://127.0.0.1:1/" // nothing listens there
	noDir := filepath.Join(t.TempDir(), "missing")
	for name, c := range map[string]struct {
		args []string
		code int
		text string
	}{
		"help":             {[]string{"-help"}, exitOK, ""},
		"version":          {[]string{"-version"}, exitOK, ""},
		"unknown option":   {[]string{"-nonsense"}, exitUsage, "-nonsense"},
		"no name":          {[]string{"-url", none, "-secret", "ab"}, exitUsage, "Name is required for inbound agents"},
		"no secret":        {[]string{"-url", none, "-name", "n"}, exitUsage, "Secret is required for inbound agents"},
		"no URL":           {[]string{"-secret", "ab", "-name", "n"}, exitUsage, "At least one URL is required for inbound agents"},
		"not reachable":    {[]string{"-url", none, "-secret", "ab", "-name", "n", "-noReconnect"}, exitFailure, "127.0.0.1:1"},
		"gives up":         {[]string{"-url", none, "-secret", "ab", "-name", "n", "-webSocket", "-noReconnectAfter", "100"}, exitFailure, "giving up"},
		"missing work dir": {[]string{"-url", none, "-secret", "ab", "-name", "n", "-workDir", noDir, "-failIfWorkDirIsMissing"}, exitFailure, "is missing, but it is expected to exist: " + noDir},
		"no jar":           {[]string{"-url", none, "-secret", "ab", "-name", "n", "-noReconnectAfter", "soon"}, exitUsage, `"soon" is not a valid duration`},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := quietly(append([]string{"jenkins-agent"}, c.args...)...)
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stderr, c.text)
		})
	}
}

func TestARefusalHasItsOwnExitCode(t *testing.T) {
	c, _, dir := jenkins(t)
	code, _, stderr := quietly("jenkins-agent", "-url", c.URL(), "-webSocket", "-name", "n1", "-secret", "0123456789abcdef",
		"-workDir", dir, "-giveUpAfter", "1ns")
	require.Equal(t, exitRefused, code, stderr)
	require.NotContains(t, stderr, "0123456789abcdef")
}

func TestVersionAndHelp(t *testing.T) {
	_, out, _ := quietly("jenkins-agent", "-version")
	require.Equal(t, remotingVersion+"\n", out)
	_, out, _ = quietly("java", "-Xmx1g", "-jar", "/tmp/remoting.jar", "-version")
	require.Equal(t, remotingVersion+"\n", out)
	_, out, _ = quietly("jenkins-agent", "-help")
	for _, o := range []string{"-webSocket", "-failIfWorkDirIsMissing", "-noReconnectAfter", "-drainTimeout", "callables"} {
		require.Contains(t, out, o)
	}
}

// The official image runs a lone word as a command.
func TestALoneWordIsRun(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\necho \"tool $# $JENKINS_SECRET\"\nexit 7\n"), 0o755))
	c := program(t, "jenkins-agent", []string{"JENKINS_SECRET=ab"}, "tool")
	c.Env[0] = "PATH=" + dir + ":" + os.Getenv("PATH")
	code, out, _ := outcomeOf(t, c)
	require.Equal(t, 7, code)
	require.Equal(t, "tool 0 ab\n", out)

	code, _, stderr := outcomeOf(t, program(t, "jenkins-agent", nil, "no-such-tool"))
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "no-such-tool")
}

// A secret that comes from a file is on no command line, and neither the log
// nor a build's environment has it.
func TestTheSecretStaysSecret(t *testing.T) {
	c, n, dir := jenkins(t)
	log := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(log)
	require.NoError(t, err)
	defer out.Close()
	p := program(t, "jenkins-agent", []string{"JENKINS_SECRET=" + n.Secret(), "REMOTING_OPTS=-debug"},
		"-url", c.URL(), "-webSocket", "-name", "n1", "-secret", "@"+file(t, n.Secret()+"\n"), "-workDir", dir)
	p.Stdout, p.Stderr = out, out
	require.NoError(t, p.Start())
	defer func() { _ = p.Process.Kill(); _ = p.Wait() }()
	require.NoError(t, n.WaitOnline(within(t, 30*time.Second)))

	cmdline, err := os.ReadFile(filepath.Join("/proc", itoa(p.Process.Pid), "cmdline"))
	require.NoError(t, err)
	require.NotContains(t, string(cmdline), n.Secret())
	var text bytes.Buffer
	r, err := n.Sh(within(t, 60*time.Second), "env", controller.ShOptions{Log: &text})
	require.NoError(t, err)
	require.Zero(t, r.ExitCode)
	require.Contains(t, text.String(), "PATH=")
	require.NotContains(t, text.String(), n.Secret())
	require.NotContains(t, text.String(), "JENKINS_SECRET")

	require.NoError(t, p.Process.Signal(os.Interrupt))
	require.NoError(t, p.Wait())
	logged, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Contains(t, string(logged), "Connected")
	require.NotContains(t, string(logged), n.Secret())
	files, err := filepath.Glob(filepath.Join(dir, "remoting", "logs", "*"))
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "remoting", "logs", "remoting.log.0")}, files)
	own, err := os.ReadFile(files[0])
	require.NoError(t, err)
	require.Contains(t, string(own), "Connected")
	require.NotContains(t, string(own), n.Secret())
}
