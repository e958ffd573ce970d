package jvm_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/jvm"
	"github.com/footman-ci/footman/remoting/remotingtest"
	"github.com/footman-ci/footman/test/output"
)

func TestMain(m *testing.M) {
	if os.Getenv(standInEnv) != "" {
		standIn()
		return
	}
	goleak.VerifyTestMain(m)
}

var (
	// foreignDesc is a class that only the stand-in knows; nativeDesc is ours.
	foreignDesc = jser.Serializable("test.Foreign", 1, nil, jser.Ref("arg", "java.lang.Object"), jser.Ref("do", "java.lang.String"))
	nativeDesc  = jser.Serializable("test.Native", 1, nil, jser.Ref("arg", "java.lang.Object"))
	initDesc    = jser.Serializable("hudson.slaves.SlaveComputer$SlaveInitializer", 1, nil)
)

func foreign(do string, arg jser.Value) *jser.Object { return jser.New(foreignDesc, arg, do) }

// fakeJar is enough of an agent.jar for package jvm: its classes need Java 8.
func fakeJar(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "agent.jar")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("hudson/remoting/Launcher.class")
	require.NoError(t, err)
	_, err = w.Write([]byte{0xCA, 0xFE, 0xBA, 0xBE, 0, 0, 0, 52})
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o666))
	return path
}

// fakeJava runs this test program as the stand-in.
func fakeJava(t *testing.T) string {
	exe, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "java")
	script := fmt.Sprintf("#!/bin/sh\n%s=\"$*\" exec %q\n", standInEnv, exe)
	require.NoError(t, os.WriteFile(path, []byte(script), 0o755))
	return path
}

type rig struct {
	controller, agent *remoting.Channel
	loader            int32 // for calls of the controller
	companion         *jvm.Companion
	log               *output.Buffer
}

// newRig connects a controller with an agent whose companion is the stand-in.
func newRig(t *testing.T, change func(*jvm.Config)) *rig {
	r := &rig{log: &output.Buffer{}}
	cfg := jvm.Config{Java: fakeJava(t), JarFile: fakeJar(t), Dir: t.TempDir(), Environ: os.Environ(),
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if change != nil {
		change(&cfg)
	}
	r.companion = jvm.New(cfg)
	table := &callable.Table{Fallback: r.companion, Observe: r.companion.Observe}
	table.Register(
		callable.Entry{Class: "test.Native", Fields: []string{"arg"}, Run: func(_ context.Context, c *callable.Call) (jser.Value, error) {
			return "native", nil
		}},
		callable.Entry{Class: "hudson.slaves.SlaveComputer$SlaveInitializer", Run: func(context.Context, *callable.Call) (jser.Value, error) { return nil, nil }},
	)
	r.controller, r.agent = remotingtest.Pair(t, remoting.Config{}, remoting.Config{Handler: table, Relay: r.companion})
	r.companion.Attach(r.agent)
	t.Cleanup(r.companion.Close)
	return r
}

func (r *rig) call(t *testing.T, o *jser.Object) jser.Value {
	t.Helper()
	v, err := r.controller.UserCall(t.Context(), o, o.Class.Name, r.loader, 0)
	require.NoError(t, err)
	return v
}

func TestNothingStartsWhileNothingIsForeign(t *testing.T) {
	r := newRig(t, nil)
	require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
	require.False(t, r.companion.Running())
}

func TestForeignCallsAreRelayed(t *testing.T) {
	r := newRig(t, nil)
	require.Equal(t, "echo: a", r.call(t, foreign("echo", "a")))
	require.True(t, r.companion.Running())
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			if i%2 == 0 {
				require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
				return
			}
			require.Equal(t, fmt.Sprintf("echo: %d", i), r.call(t, foreign("echo", fmt.Sprint(i))))
		})
	}
	wg.Wait()
	require.Equal(t, 1, strings.Count(r.log.String(), "Companion JVM started"))
	_, err := r.controller.UserCall(t.Context(), foreign("fail", "broken"), "", 0, 0)
	require.ErrorContains(t, err, "java.lang.IllegalStateException: broken")
}

func TestStreamsOfARelayedCall(t *testing.T) {
	r := newRig(t, nil)
	var got output.Buffer
	r.call(t, foreign("write", remoting.OutputStream(r.controller.ExportWriter(&got))))
	require.Len(t, got.String(), 4<<20, "the window of the companion is filled by the controller's acknowledgements")
	v := r.call(t, foreign("read", remoting.InputStream(r.controller.ExportReader(io.LimitReader(zeros{}, 3<<20)))))
	require.Equal(t, "3145728", v)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// object counts its calls.
type object struct{ called chan string }

func (o *object) Invoke(_ context.Context, m *remoting.Invocation) (jser.Value, error) {
	o.called <- m.Method
	return "from the controller", nil
}

func TestTheCompanionCallsBack(t *testing.T) {
	r := newRig(t, nil)
	o := &object{called: make(chan string, 1)}
	require.Equal(t, "from the controller", r.call(t, foreign("call", remoting.Proxy(r.controller.Export(o), "test.Object"))))
	require.Equal(t, "hello", <-o.called)
}

// An object of the companion is called, and released, by its low number.
func TestObjectsOfTheCompanion(t *testing.T) {
	r := newRig(t, nil)
	v := r.call(t, foreign("export", nil))
	proxy := v.(*jser.Object)
	oid := proxy.Obj("h").Int("oid")
	require.Less(t, oid, int32(remoting.FirstID))
	for i := range 3 {
		got, err := r.controller.Object(oid, false).Invoke(t.Context(), "test.Object", "count", nil, nil, 0)
		require.NoError(t, err)
		require.Equal(t, int32(i+1), jser.Unbox(got))
	}
	// As a user call, too: the request is a UserRequest that carries the call.
	got, err := r.controller.Object(oid, true).Invoke(t.Context(), "test.Object", "count", nil, nil, 0)
	require.NoError(t, err)
	require.Equal(t, int32(4), jser.Unbox(got))
	r.controller.Object(oid, false).Release()
	require.Eventually(t, func() bool {
		_, err := r.controller.Object(oid, false).Invoke(t.Context(), "test.Object", "count", nil, nil, 0)
		return err != nil && strings.Contains(err.Error(), "Invalid object ID")
	}, 10*time.Second, time.Millisecond)
}

func TestCancelReachesTheCompanion(t *testing.T) {
	r := newRig(t, nil)
	r.call(t, foreign("echo", "warm"))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for !strings.Contains(r.log.String(), "stand-in: waiting") {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := r.controller.UserCall(ctx, foreign("wait", nil), "", 0, 0)
	require.ErrorIs(t, err, context.Canceled)
	require.Eventually(t, func() bool { return strings.Contains(r.log.String(), "stand-in: cancelled") }, 10*time.Second, time.Millisecond)
}

func TestDeathOfTheCompanion(t *testing.T) {
	r := newRig(t, nil)
	v := r.call(t, foreign("export", nil))
	old := v.(*jser.Object).Obj("h").Int("oid")
	_, err := r.controller.UserCall(t.Context(), foreign("die", nil), "", 0, 0)
	require.ErrorContains(t, err, "the companion JVM ended (signal: killed)")
	require.ErrorContains(t, err, "test.Foreign")
	require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)), "native work goes on")

	// The next one counts from elsewhere: what the controller still knows of the
	// first is not taken for its own.
	again := r.call(t, foreign("export", nil)).(*jser.Object).Obj("h").Int("oid")
	require.GreaterOrEqual(t, again, int32(0x04000000))
	require.Less(t, again, int32(remoting.FirstID))
	_, err = r.controller.Object(old, false).Invoke(t.Context(), "test.Object", "count", nil, nil, 0)
	require.ErrorContains(t, err, "Invalid object ID")
	r.controller.Object(old, false).Release() // nor does releasing it hurt
	got, err := r.controller.Object(again, false).Invoke(t.Context(), "test.Object", "count", nil, nil, 0)
	require.NoError(t, err)
	require.Equal(t, int32(1), jser.Unbox(got))
}

func TestInitialisationIsRepeated(t *testing.T) {
	r := newRig(t, nil)
	r.call(t, jser.New(initDesc))
	require.Equal(t, "1", r.call(t, foreign("initialised", nil)))
	_, err := r.controller.UserCall(t.Context(), foreign("die", nil), "", 0, 0)
	require.Error(t, err)
	require.Equal(t, "1", r.call(t, foreign("initialised", nil)), "once in each JVM")
}

func TestIdleCompanionIsStopped(t *testing.T) {
	r := newRig(t, func(c *jvm.Config) { c.IdleStop = 50 * time.Millisecond })
	r.call(t, foreign("echo", "x"))
	require.Eventually(t, func() bool { return !r.companion.Running() }, 10*time.Second, time.Millisecond)
	v := r.call(t, foreign("export", nil))
	time.Sleep(200 * time.Millisecond) // four times the limit: it must not be stopped while the controller knows an object of it
	require.True(t, r.companion.Running())
	r.controller.Object(v.(*jser.Object).Obj("h").Int("oid"), false).Release()
	require.Eventually(t, func() bool { return !r.companion.Running() }, 10*time.Second, time.Millisecond)
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	old := filepath.Join(dir, "bin", "java")
	require.NoError(t, os.MkdirAll(filepath.Dir(old), 0o777))
	require.NoError(t, os.WriteFile(old, []byte("#!/bin/sh\nexit 1\n"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "release"), []byte("JAVA_VERSION=\"1.7.0_80\"\n"), 0o666))
	crash := filepath.Join(t.TempDir(), "java")
	require.NoError(t, os.WriteFile(crash, []byte("#!/bin/sh\necho no memory for you >&2\nexit 1\n"), 0o755))
	for _, tc := range []struct {
		name   string
		change func(*jvm.Config)
		text   string
	}{
		{"off", func(c *jvm.Config) { c.Off = true }, "switched off"},
		{"no such runtime", func(c *jvm.Config) { c.Java = "/nonexistent/java" }, "/nonexistent/java is no Java runtime"},
		{"too old", func(c *jvm.Config) { c.Java = dir }, "needs Java 8, and " + old + " is Java 7"},
		{"crash at start", func(c *jvm.Config) { c.Java = crash }, "no memory for you"},
		{"no jar", func(c *jvm.Config) { c.JarFile = "" }, "there is no agent.jar"},
		{"not a jar", func(c *jvm.Config) { c.JarFile = crash }, "is no jar"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, tc.change)
			_, err := r.controller.UserCall(t.Context(), foreign("echo", "x"), "", 0, 0)
			require.ErrorContains(t, err, tc.text)
			require.ErrorContains(t, err, "test.Foreign is not implemented natively")
			require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
		})
	}
}

// A real agent.jar behind the same channel, where there is one.
func TestRealAgentJar(t *testing.T) {
	jar := os.Getenv("AGENT_JAR")
	if jar == "" {
		t.Skip("SKIPPED: set AGENT_JAR to a real agent.jar to run this part")
	}
	r := newRig(t, func(c *jvm.Config) { c.JarFile, c.Java = jar, "" })
	r.loader = -r.controller.Export(emptyLoader{})
	ping := jser.New(jser.Serializable("hudson.remoting.PingThread$Ping", 1, nil))
	require.Nil(t, r.call(t, ping))
	_, err := r.controller.UserCall(t.Context(), foreign("echo", "x"), "", r.loader, 0)
	require.ErrorContains(t, err, "Failed to deserialize", "the JVM does not know it either")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { require.Nil(t, r.call(t, ping)) })
	}
	wg.Wait()
	require.NoError(t, syscall.Kill(jvmPid(t, r.log.String()), syscall.SIGKILL))
	require.Eventually(t, func() bool { return !r.companion.Running() }, 10*time.Second, time.Millisecond)
	require.Nil(t, r.call(t, ping), "the second generation, with our class in front")
}

// emptyLoader is a class loader of the controller that knows no class
// (hudson.remoting.RemoteClassLoader$IClassLoader).
type emptyLoader struct{}

func (emptyLoader) Invoke(_ context.Context, m *remoting.Invocation) (jser.Value, error) {
	if m.Method == "getName" {
		return "test", nil
	}
	return nil, remoting.Errorf(jser.Serializable("java.lang.ClassNotFoundException", 9176873029745254542,
		jser.Serializable("java.lang.ReflectiveOperationException", 123456789, jser.ExceptionClass), jser.Ref("ex", "java.lang.Throwable")), "%s", m.Method)
}

func jvmPid(t *testing.T, log string) (pid int) {
	_, rest, ok := strings.Cut(log, " pid=")
	require.True(t, ok)
	_, err := fmt.Sscanf(rest, "%d", &pid)
	require.NoError(t, err)
	return pid
}

var errStandIn = errors.New("stand-in")
