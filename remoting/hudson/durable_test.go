package hudson

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

const durablePackage = "org.jenkinsci.plugins.durabletask."

// step is a sh step as durable-task runs it.
type step struct {
	r      *rig
	dir    string // control directory
	cookie string
}

// newStep makes the control directory and starts the wrapper script, which is
// what the plugin sends, with every $ doubled.
func newStep(r *rig, script string, capture bool) *step {
	r.t.Helper()
	return newStepIn(r, script, capture, nil)
}

// newStepIn is newStep with more variables.
func newStepIn(r *rig, script string, capture bool, env []string) *step {
	r.t.Helper()
	ws := r.t.TempDir()
	s := &step{r: r, dir: ws + "@tmp/durable-12345678", cookie: fmt.Sprintf("durable-%d-%x", os.Getpid(), time.Now().UnixNano())}
	r.t.Cleanup(func() { _ = os.RemoveAll(ws + "@tmp") })
	require.NoError(r.t, os.MkdirAll(s.dir, 0o755))
	shell := "'sh' -xe "
	if strings.HasPrefix(script, "#!") {
		shell = ""
	}
	require.NoError(r.t, os.WriteFile(s.dir+"/script.sh", []byte(script), 0o755))
	target := "> 'DIR/jenkins-log.txt' 2>&1"
	if capture {
		target = "> 'DIR/output.txt' 2> 'DIR/jenkins-log.txt'"
	}
	line := "(cp 'DIR/script.sh' 'DIR/script.sh.copy'; { while [ -d 'DIR' -a \\! -f 'DIR/jenkins-result.txt' ]; do touch 'DIR/jenkins-log.txt'; sleep 3; done } & " +
		"jsc=" + s.cookie + "; JENKINS_SERVER_COOKIE=$$jsc " + shell + " 'DIR/script.sh.copy' " + target +
		"; echo $$? > 'DIR/jenkins-result.txt.tmp'; mv 'DIR/jenkins-result.txt.tmp' 'DIR/jenkins-result.txt'; wait) >&- 2>&- &"
	r.start(launch{cmd: []string{"nohup", "sh", "-c", strings.ReplaceAll(line, "DIR", s.dir)}, dir: ws, revOut: true, revErr: true,
		env: append([]string{"JENKINS_SERVER_COOKIE=please-do-not-kill-me", "CLASSPATH=", "WORKSPACE=" + ws}, env...)})
	return s
}

func (s *step) writeLog(from int64, w *lineCheck) int64 {
	s.r.t.Helper()
	before := w.size()
	s.r.must(onPath(fields(durableController+"$WriteLog", "lastLocation", from, "sink", s.r.stream(w)), s.dir+"/jenkins-log.txt"))
	return w.size() - before // counted when the call returns, as upstream does
}

func (s *step) status() (int, bool) {
	s.r.t.Helper()
	v := jser.Unbox(s.r.must(onPath(fields(durableController+"$StatusCheck"), s.dir+"/jenkins-result.txt")))
	code, done := v.(int32)
	return int(code), done
}

// run polls until the step ends, as DurableTaskStep.Execution does.
func (s *step) run(w *lineCheck) int {
	s.r.t.Helper()
	at := int64(0)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		code, done := s.status()
		at += s.writeLog(at, w)
		if done {
			return code
		}
	}
	return -1
}

// lineCheck counts a log and, with keep, keeps it; with seq it checks that each
// line begins with its number.
type lineCheck struct {
	mu        sync.Mutex
	n         int64
	keep, seq bool
	text      bytes.Buffer
	part      []byte
	lines     int
	bad       string
}

func (l *lineCheck) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += int64(len(p))
	if l.keep {
		l.text.Write(p)
	}
	if l.seq {
		l.check(p)
	}
	return len(p), nil
}

func (l *lineCheck) check(p []byte) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.part = append(l.part, p...)
			return
		}
		line := append(l.part, p[:i]...)
		p, l.part = p[i+1:], l.part[:0]
		if bytes.HasPrefix(line, []byte("+ ")) {
			continue
		}
		l.lines++
		n, _, _ := bytes.Cut(line, []byte(" "))
		if got, err := strconv.Atoi(string(n)); (err != nil || got != l.lines) && l.bad == "" {
			l.bad = fmt.Sprintf("line %d is %.80q", l.lines, line)
		}
	}
}

func (l *lineCheck) size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func (l *lineCheck) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func TestAgentInfo(t *testing.T) {
	r := newRig(t, &Agent{})
	root := t.TempDir()
	get := func() *jser.Object {
		return r.must(onPath(fields(durablePackage+"AgentInfo$GetAgentInfo", "binaryVersion", "650.v1"), root)).(*jser.Object)
	}
	o := get()
	require.Equal(t, int64(7599995179651071957), o.Class.SUID)
	osType, osPart, arch, _ := wrapperPlatform(runtime.GOOS, javaArch())
	require.Equal(t, osType, o.Get("os").(*jser.Enum).Name)
	require.True(t, o.Bool("cachingAvailable"))
	require.False(t, o.Bool("binaryCached"))
	path := filepath.Join(root, "caches/durable-task", "durable_task_monitor_650.v1_"+osPart+"_"+arch)
	require.Equal(t, path, o.Str("binaryPath"))
	require.NoError(t, os.WriteFile(path, nil, 0o755))
	require.True(t, get().Bool("binaryCached"))

	for _, c := range []struct{ goos, arch, osType, part string }{
		{"linux", "amd64", "LINUX", "64"}, {"linux", "aarch64", "LINUX", "aarch64"}, {"linux", "ppc64le", "LINUX", "ppc64le"},
		{"linux", "s390x", "LINUX", "NOTSUPPORTED"}, {"darwin", "aarch64", "DARWIN", "arm64"}, {"darwin", "amd64", "DARWIN", "amd64"},
	} {
		osType, _, part, compatible := wrapperPlatform(c.goos, c.arch)
		require.Equal(t, []any{c.osType, c.part, true}, []any{osType, part, compatible})
	}
	// A cache that can't be made is no failure.
	file := filepath.Join(root, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	o = r.must(onPath(fields(durablePackage+"AgentInfo$GetAgentInfo", "binaryVersion", "1"), file)).(*jser.Object)
	require.False(t, o.Bool("cachingAvailable"))
	require.Equal(t, "durable_task_monitor_1_"+osPart+"_"+arch, o.Str("binaryPath"))
}

func TestDurableSteps(t *testing.T) {
	r := newRig(t, &Agent{})
	for _, c := range []struct {
		script, log string
		code        int
	}{
		{"echo hello", "+ echo hello\nhello\n", 0},
		{"exit 3", "+ exit 3\n", 3},
		{"#!/bin/sh\nprintf 'no newline'", "no newline", 0},
		{"#!/bin/sh\nkill -9 $$", "", 137},
		{"#!/bin/sh\nprintf 'caf\\351 \\303\\274 \\000'", "caf\xe9 \xc3\xbc \x00", 0},
		{"#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x; echo", strings.Repeat("x", 1_000_000) + "\n", 0},
		{"#!/bin/sh\nfor i in 1 2 3 4 5; do echo $i; sleep 0.03; done", "1\n2\n3\n4\n5\n", 0},
	} {
		s, log := newStep(r, c.script, false), &lineCheck{keep: true}
		require.Equal(t, c.code, s.run(log), c.script)
		got := strings.TrimSuffix(log.String(), "Killed\n")
		require.True(t, got == c.log, "%s: %.200q", c.script, got)
	}
}

func TestMissingShell(t *testing.T) {
	r := newRig(t, &Agent{})
	s, log := newStep(r, "#!/no/such/shell\necho", false), &lineCheck{keep: true}
	require.Contains(t, []int{126, 127}, s.run(log))
	require.Contains(t, log.String(), "script.sh.copy")
}

func TestReturnStdout(t *testing.T) {
	r := newRig(t, &Agent{})
	s, log := newStep(r, "printf 'caf\\351'; echo err >&2", true), &lineCheck{keep: true}
	require.Zero(t, s.run(log))
	require.Contains(t, log.String(), "err\n")
	for _, c := range []struct {
		charset jser.Value
		want    string
	}{{nil, "caf\xe9"}, {"UTF-8", "caf\xe9"}, {"SYSTEM_DEFAULT", "caf\xe9"}, {"ISO-8859-1", "café"}} {
		b, ok := jser.Bytes(r.must(onPath(fields(durableController+"$GetOutput", "charset", c.charset), s.dir+"/output.txt")))
		require.True(t, ok)
		require.Equal(t, c.want, string(b), c.charset)
	}
	require.Nil(t, r.must(fields(durableController+"$TranscodingCharsetForSystemDefault")))
	require.Nil(t, r.must(fields(durablePackage+"BourneShellScript$getIBMzOsEncoding")))
	require.Equal(t, "/bin/sh", r.must(fields("hudson.tasks.Shell$DescriptorImpl$Shellinterpreter")))
}

func TestAbortOfDurableStep(t *testing.T) {
	r := newRig(t, &Agent{})
	s, log := newStep(r, "echo up; sleep 1000", false), &lineCheck{keep: true}
	require.Eventually(t, func() bool {
		s.writeLog(log.size(), log)
		return strings.Contains(log.String(), "sleep")
	}, 20*time.Second, 20*time.Millisecond)
	r.must(fields("hudson.Launcher$RemoteLauncher$KillTask", "modelEnvVars",
		fields("java.util.Collections$SingletonMap", "k", "JENKINS_SERVER_COOKIE", "v", s.cookie)))
	require.Equal(t, 143, s.run(&lineCheck{}))
}

func TestStatusChecks(t *testing.T) {
	r := newRig(t, &Agent{})
	path := filepath.Join(t.TempDir(), "jenkins-result.txt")
	for _, c := range []struct {
		text, class string
		want        any
		fails       string
	}{
		{"", "", nil, ""}, {" \n", "", nil, ""}, {"0\n", "", int32(0), ""}, {"-1", "", int32(-1), ""}, {"4294967296", "", int32(2147483647), ""},
		{"x1\n", "", nil, "corrupted content in " + path + `: java.lang.NumberFormatException: For input string: "x1"`},
		{"7\nrest", "z", int32(7), ""},
		{"x", "z", nil, "corrupted content in " + path + ` using UTF-8: java.lang.NumberFormatException: For input string: "x"`},
	} {
		require.NoError(t, os.WriteFile(path, []byte(c.text), 0o644))
		o := fields(durableController + "$StatusCheck")
		if c.class == "z" {
			o = fields(durablePackage+"BourneShellScript$StatusCheckWithEncoding", "charset", "UTF-8")
		}
		v, err := r.call(onPath(o, path))
		if c.fails != "" {
			require.ErrorContains(t, err, c.fails)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, jser.Unbox(v), c.text)
	}
	require.NoError(t, os.Remove(path))
	require.Nil(t, r.must(onPath(fields(durableController+"$StatusCheck"), path)))
	require.Nil(t, r.must(onPath(fields(durableController+"$WriteLog", "lastLocation", int64(0), "sink", r.stream(newSink())), path)))
}

// bigLog prints 100 000 numbered lines of 60 bytes.
const bigLog = "#!/bin/sh\nseq -f '%.0f 0123456789012345678901234567890123456789012345678901' 1 100000\n"

func TestManyBigLogs(t *testing.T) {
	steps := 20
	if testing.Short() {
		steps = 3
	}
	r := newRig(t, &Agent{})
	ctx, cancel := context.WithCancel(context.Background())
	peak := make(chan uint64)
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	go func() {
		var most uint64
		for tick := time.NewTicker(50 * time.Millisecond); ; {
			select {
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			case <-ctx.Done():
				tick.Stop()
				peak <- most
				return
			}
		}
	}()
	var wg sync.WaitGroup
	logs := make([]lineCheck, steps)
	for i := range logs {
		logs[i].seq = true
		s := newStep(r, bigLog, false)
		wg.Go(func() {
			if code := s.run(&logs[i]); code != 0 {
				t.Errorf("step %d: exit code %d", i, code)
			}
		})
	}
	wg.Wait()
	cancel()
	for i := range logs {
		require.Empty(t, logs[i].bad)
		require.Equal(t, 100_000, logs[i].lines)
	}
	grown := int64(<-peak) - int64(before.HeapInuse)
	t.Logf("%d steps: %d MB of log, heap at most %d MB more (both ends of the channel)", steps, int64(steps)*logs[0].n>>20, grown>>20)
	require.Less(t, grown, int64(64<<20))
}
