package jvm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
	"github.com/footman-ci/footman/remoting/jvm"
	"github.com/footman-ci/footman/test/output"
)

func impatient(c *jvm.Config) { c.Patience = 300 * time.Millisecond }

// A companion that misbehaves costs its own calls, and nothing else.
func TestBrokenCompanion(t *testing.T) {
	for _, tc := range []struct{ do, text string }{
		{"garbage", "carried something that is no command"},
		{"half", "stopped in the middle of a command"},
		{"leave", "the companion JVM ended (signal: killed)"},
	} {
		t.Run(tc.do, func(t *testing.T) {
			r := newRig(t, impatient)
			_, err := r.controller.UserCall(t.Context(), foreign(tc.do, nil), "", 0, 0)
			require.ErrorContains(t, err, tc.text)
			require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
			require.Equal(t, "echo: again", r.call(t, foreign("echo", "again")), "a new one is started")
			if _, rest, ok := strings.Cut(r.log.String(), "left behind "); ok {
				var pid int
				_, err := fmt.Sscan(rest, &pid)
				require.NoError(t, err)
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		})
	}
}

// A companion that reads nothing does not stop the channel.
func TestDeafCompanion(t *testing.T) {
	for _, do := range []string{"deaf", "close"} {
		t.Run(do, func(t *testing.T) {
			// Longer than a busy machine takes for what is in the pipe below.
			r := newRig(t, func(c *jvm.Config) { c.Patience = 2 * time.Second })
			r.call(t, foreign("echo", "warm"))
			full, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := r.controller.UserCall(t.Context(), foreign(do, nil), "", 0, 0)
				failed <- err
			}()
			big := strings.Repeat("x", 1<<20)
			for i := 0; ; i++ {
				if i < 4 { // its pipe is full then
					go func() { _, _ = r.controller.UserCall(full, foreign("echo", big), "", 0, 0) }()
				}
				require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
				select {
				case err := <-failed:
					require.Regexp(t, "has read nothing for 2s|has closed its standard input|the companion JVM ended", err)
					require.Equal(t, "echo: b", r.call(t, foreign("echo", "b")))
					return
				case <-time.After(10 * time.Millisecond):
				}
				require.Less(t, i, 1000)
			}
		})
	}
}

// A callable that is repeated in the JVM has its time.
func TestInitialisationThatNeverEnds(t *testing.T) {
	r := newRig(t, func(c *jvm.Config) { impatient(c); c.Environ = append(c.Environ, muteEnv+"=1") })
	r.call(t, jser.New(initDesc))
	_, err := r.controller.UserCall(t.Context(), foreign("echo", "x"), "", 0, 0)
	require.ErrorContains(t, err, "has not initialised itself in 300ms")
	require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
}

func streamOf(t *testing.T, r *rig, v jser.Value) *remoting.ProxyWriter {
	oid, ok := jser.BlockInt32(v.(*jser.Object).Extra("hudson.remoting.RemoteOutputStream"), 0)
	require.True(t, ok)
	return r.controller.Stream(oid)
}

// A native call sees what was written to an object of the JVM just before, and
// the other way round (Request.lastIoId).
func TestOrderAcrossBothSides(t *testing.T) {
	r := newRig(t, nil)
	w := streamOf(t, r, r.call(t, foreign("sink", nil)))
	require.Less(t, w.OID(), int32(remoting.FirstID))
	total := 0
	for range 5 {
		n, err := w.Write(make([]byte, 1000))
		require.NoError(t, err)
		total += n
		_, err = r.controller.UserCall(t.Context(), jser.New(nativeDesc, nil), "", 0, w.LastIO())
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(total), r.call(t, foreign("sunk", nil)), "done when the native call ran")
	}
	require.NoError(t, w.Close())

	// Our own stream is slow, and the JVM's calls come after it: a callable, and
	// a bare request to an object of it.
	own := &slow{}
	w = r.controller.Stream(r.agent.ExportWriter(own))
	counter := r.call(t, foreign("export", nil)).(*jser.Object).Obj("h").Int("oid")
	for i := range 5 {
		_, err := w.Write(make([]byte, 1000))
		require.NoError(t, err)
		if i%2 == 0 {
			_, err = r.controller.UserCall(t.Context(), foreign("echo", "x"), "", 0, w.LastIO())
		} else {
			_, err = r.controller.Object(counter, false).Invoke(t.Context(), "test.Object", "count", nil, nil, w.LastIO())
		}
		require.NoError(t, err)
		require.Equal(t, (i+1)*1000, own.size())
	}
	require.NoError(t, w.Close())
}

// slow is a stream of ours that takes its time.
type slow struct{ output.Buffer }

func (s *slow) Write(p []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return s.Buffer.Write(p)
}

func (s *slow) size() int { return len(s.String()) }

// A stream of the JVM that is stuck does not hang native calls for ever.
func TestStuckStream(t *testing.T) {
	r := newRig(t, impatient)
	w := streamOf(t, r, r.call(t, foreign("sink", "stuck")))
	_, err := w.Write([]byte("x"))
	require.NoError(t, err)
	_, err = r.controller.UserCall(t.Context(), jser.New(nativeDesc, nil), "", 0, w.LastIO())
	require.ErrorContains(t, err, "has not finished in 300ms what the controller wrote to its streams")
	require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
	require.NoError(t, w.Release())
}

// Whoever reads from, or writes to, a JVM that dies learns of it.
func TestStreamsOfACompanionThatDies(t *testing.T) {
	r := newRig(t, nil)
	w := streamOf(t, r, r.call(t, foreign("sink", "stuck")))
	_, err := w.Write(make([]byte, 1<<20)) // the whole window
	require.NoError(t, err)
	blocked := make(chan error, 1)
	go func() {
		_, err := w.Write(make([]byte, 1<<20))
		blocked <- err
	}()
	_, err = r.controller.UserCall(t.Context(), foreign("die", nil), "", 0, 0)
	require.Error(t, err)
	require.Error(t, <-blocked)
	_ = w.Release()
}

func TestOwnObjectsAreNotForTheCompanion(t *testing.T) {
	r := newRig(t, nil)
	home := remoting.Proxy(r.agent.Export(&object{}), "test.Object")
	h := home.Obj("h")
	for i, f := range h.Class.Fields {
		if f.Name == "goingHome" {
			h.Data[0].Values[i] = true
		}
	}
	_, err := r.controller.UserCall(t.Context(), foreign("echo", home), "", 0, 0)
	require.ErrorContains(t, err, "an object that the agent itself made")
}

// The controller's own agent.jar is fetched once and confirmed with each
// connection; the marker remembers that it was needed.
func TestFetchedJar(t *testing.T) {
	jar, err := os.ReadFile(fakeJar(t))
	require.NoError(t, err)
	var asked []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked = append(asked, q.URL.Path+" "+q.Header.Get("If-None-Match")+" "+q.Header.Get("X-Gate"))
		if q.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		_, _ = w.Write(jar)
	}))
	defer srv.Close()
	dir := t.TempDir()
	change := func(c *jvm.Config) {
		c.JarFile, c.Dir, c.URLs, c.Header = "", dir, []string{srv.URL + "/jenkins/"}, http.Header{"X-Gate": {"open"}}
	}
	for range 2 {
		r := newRig(t, change)
		require.Equal(t, "native", r.call(t, jser.New(nativeDesc, nil)))
		require.Equal(t, len(asked) > 0, r.companion.Needed())
		require.NoError(t, r.companion.FetchJar(t.Context()))
		require.Equal(t, "echo: x", r.call(t, foreign("echo", "x")))
		require.True(t, r.companion.Needed())
	}
	require.Equal(t, []string{"/jenkins/jnlpJars/agent.jar  open", `/jenkins/jnlpJars/agent.jar "v1" open`}, asked)
	other := jvm.New(jvm.Config{Dir: dir, URLs: []string{"http://elsewhere/"}})
	require.False(t, other.Needed(), "another controller")

	// Without the controller the jar at hand does; a page of a proxy does not.
	srv.Close()
	r := newRig(t, change)
	require.Equal(t, "echo: y", r.call(t, foreign("echo", "y")))
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>log in") }))
	defer page.Close()
	r = newRig(t, func(c *jvm.Config) { c.JarFile, c.Dir, c.URLs = "", filepath.Join(dir, "2"), []string{page.URL} })
	_, err = r.controller.UserCall(t.Context(), foreign("echo", "x"), "", 0, 0)
	require.ErrorContains(t, err, "is no jar")
}

func TestCounts(t *testing.T) {
	var seen []string
	table := &callable.Table{Seen: func(class, route string) { seen = append(seen, route+" "+class) }}
	table.Register(callable.Entry{Class: "test.Native", Fields: []string{"arg"}, Run: func(context.Context, *callable.Call) (jser.Value, error) { return nil, nil }})
	table.Fallback = answers{}
	for range 2 {
		for _, o := range []*jser.Object{jser.New(nativeDesc, nil), foreign("ok", nil), foreign("no", nil)} {
			_, _ = table.Handle(t.Context(), &remoting.Call{Callable: o})
		}
	}
	require.Equal(t, []callable.Count{
		{Class: "test.Foreign", Route: callable.RouteRefused, Calls: 2},
		{Class: "test.Foreign", Route: callable.RouteRelayed, Calls: 2},
		{Class: "test.Native", Route: callable.RouteNative, Calls: 2},
	}, table.Counts())
	require.Equal(t, []string{"native test.Native", "relayed test.Foreign", "refused test.Foreign"}, seen)
}

// answers is a fallback that does one thing and refuses another.
type answers struct{}

func (answers) Handle(_ context.Context, call *remoting.Call, why error) (jser.Value, error) {
	if call.Callable.Str("do") == "ok" {
		return nil, remoting.ErrAnswered
	}
	return nil, why
}
