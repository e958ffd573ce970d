package hudson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerDurable adds what the plugin durable-task sends for sh, bat and
// powershell steps of pipelines. The step itself is a process started by
// Launcher that writes to files in its control directory:
//
//	<workspace>@tmp/durable-xxxxxxxx/
//	    script.sh           written by the controller
//	    jenkins-log.txt     output ◀─ WriteLog from an offset, or the Watcher
//	    jenkins-result.txt  exit code ◀─ StatusCheck, or the Watcher
//	    output.txt          with returnStdout ◀─ GetOutput
//	    last-location.txt   offset of the Watcher
func registerDurable(t *callable.Table, a *Agent) {
	const (
		plugin     = "org.jenkinsci.plugins.durabletask."
		controller = plugin + "FileMonitoringTask$FileMonitoringController$"
		source     = "durable-task"
	)
	t.Register(
		callable.Entry{Class: plugin + "AgentInfo$GetAgentInfo", Source: source + " 1.30", Fields: []string{"binaryVersion"}, Run: agentInfo},
		callable.Entry{Class: controller + "WriteLog", Source: source, Fields: []string{"lastLocation", "sink"}, Run: a.writeLog},
		callable.Entry{Class: controller + "StatusCheck", Source: source, Run: a.statusCheck},
		callable.Entry{Class: plugin + "BourneShellScript$StatusCheckWithEncoding", Source: source, Fields: []string{"charset"}, Run: statusCheckIn},
		callable.Entry{Class: controller + "GetOutput", Source: source, Fields: []string{"charset"}, Run: getOutput},
		// The default charset here is UTF-8, which needs no transcoding.
		constant(controller+"TranscodingCharsetForSystemDefault", source, nil),
		constant(plugin+"BourneShellScript$getIBMzOsEncoding", source, nil), // set on z/OS only
	)
	registerWatching(t, a)
}

var (
	agentInfoDesc = jser.Serializable("org.jenkinsci.plugins.durabletask.AgentInfo", 7599995179651071957, nil,
		jser.Prim("binaryCached", 'Z'), jser.Prim("binaryCompatible", 'Z'), jser.Prim("cachingAvailable", 'Z'),
		jser.Ref("architecture", "java.lang.String"), jser.Ref("binaryPath", "java.lang.String"),
		jser.Ref("os", "org.jenkinsci.plugins.durabletask.AgentInfo$OsType"))
	osTypeDesc = jser.EnumClass("org.jenkinsci.plugins.durabletask.AgentInfo$OsType")
)

// agentInfo says which binary wrapper of durable-task fits here, and makes the
// directory in which the controller caches it.
func agentInfo(_ context.Context, c *callable.Call) (jser.Value, error) {
	osType, osPart, arch, compatible := wrapperPlatform(runtime.GOOS, javaArch())
	name := "durable_task_monitor_" + c.Object.Str("binaryVersion") + "_" + osPart + "_" + arch
	if filepath.Base(name) != name {
		return nil, remoting.Errorf(remoting.IllegalArgumentClass, "footman: the version %q of durable-task can't be part of a file name", c.Object.Str("binaryVersion"))
	}
	path, cached, caching := name, false, false
	cache := filepath.Join(c.Path, "caches", "durable-task")
	if err := os.MkdirAll(cache, 0o777); err == nil {
		path, caching = filepath.Join(cache, name), true
		_, err := os.Stat(path)
		cached = err == nil
	}
	return jser.New(agentInfoDesc, cached, compatible, caching, arch, path, &jser.Enum{Class: osTypeDesc, Name: osType}), nil
}

// wrapperPlatform names a platform as AgentInfo does: the constant of OsType,
// and the two parts of the wrapper's file name.
func wrapperPlatform(goos, arch string) (osType, osPart, archPart string, compatible bool) {
	const none = "NOTSUPPORTED"
	bits := strconv.Itoa(strconv.IntSize)
	switch goos {
	case "linux":
		archPart = none
		switch arch {
		case "aarch64", "ppc64le":
			archPart = arch
		case "amd64":
			archPart = "64"
		}
		return "LINUX", "linux", archPart, true
	case "darwin":
		archPart = none
		switch arch {
		case "aarch64":
			archPart = "arm"
		case "amd64":
			archPart = "amd"
		}
		return "DARWIN", "darwin", archPart + bits, true
	case "freebsd":
		return "FREEBSD", "freebsd", bits, false
	}
	return "UNKNOWN", "unknown", bits, false
}

// writeLog sends the log from an offset to the end that it has now.
func (a *Agent) writeLog(ctx context.Context, c *callable.Call) (jser.Value, error) {
	location, dir := c.Object.Long("lastLocation"), filepath.Dir(c.Path)
	own, line := a.steps.polled(dir, location)
	from := location - own
	fi, err := os.Stat(c.Path)
	if err != nil || fi.Size() <= from && line == "" {
		return nil, nil // File.length() of what can't be seen is 0
	}
	sink, err := c.Writer(ctx, c.Object.Get("sink"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(c.Path)
	if err != nil {
		return nil, fileNotFound(c.Path, err)
	}
	defer f.Close()
	n, err := copyLog(sink, io.NewSectionReader(f, from, max(0, fi.Size()-from)))
	if err == nil && line != "" {
		err = a.announceLog(sink, f, dir, line, location+n, fi.Size())
	}
	return nil, err
}

// copyLog copies with one buffer, of the size that one Chunk has at most.
func copyLog(w io.Writer, r io.Reader) (int64, error) {
	b := logBuffers.Get().(*[]byte)
	defer logBuffers.Put(b)
	return io.CopyBuffer(onlyWriter{w}, onlyReader{r}, *b)
}

// readStatus reads a small file; nil when there is none or it is empty.
func readStatus(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	defer f.Close()
	const most = 4096 // an exit code is shorter
	return io.ReadAll(io.LimitReader(f, most))
}

func (a *Agent) statusCheck(_ context.Context, c *callable.Call) (jser.Value, error) {
	dir := filepath.Dir(c.Path)
	a.steps.asked(dir)
	code, done, err := exitStatus(c.Path)
	if done || err != nil {
		a.steps.ended(dir)
	}
	if err != nil || !done {
		return nil, err
	}
	return jser.Integer(code), nil
}

// exitStatus reads jenkins-result.txt (StatusCheck): done is false while the
// process runs. A code above Integer.MAX_VALUE is that.
func exitStatus(path string) (code int32, done bool, err error) {
	b, err := readStatus(path)
	if err != nil {
		return 0, false, err
	}
	text := strings.TrimFunc(string(b), func(r rune) bool { return r <= ' ' })
	if text == "" {
		return 0, false, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, false, remoting.Errorf(remoting.IOExceptionClass,
			"corrupted content in %s: java.lang.NumberFormatException: For input string: %q", path, text)
	}
	return int32(min(n, math.MaxInt32)), true, nil
}

// statusCheckIn is StatusCheckWithEncoding, which z/OS needs: only the first
// line counts.
func statusCheckIn(_ context.Context, c *callable.Call) (jser.Value, error) {
	b, err := readStatus(c.Path)
	if err != nil || len(b) == 0 {
		return nil, err
	}
	charset := c.Object.Str("charset")
	text, err := decodeText(b, charset)
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(text, "\n")
	first = strings.TrimFunc(first, func(r rune) bool { return r <= ' ' })
	if first == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(first, 10, 32)
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass,
			"corrupted content in %s using %s: java.lang.NumberFormatException: For input string: %q", c.Path, charset, first)
	}
	return jser.Integer(int32(n)), nil
}

// getOutput is what a returnStdout step printed, as UTF-8.
func getOutput(_ context.Context, c *callable.Call) (jser.Value, error) {
	b, err := stepOutput(c.Path, c.Object.Str("charset"))
	if err != nil {
		return nil, err
	}
	return jser.ByteArray(b), nil
}

// maxStepOutput is the longest output of a returnStdout step: a Java array.
const maxStepOutput = math.MaxInt32 - 8

func stepOutput(path, charset string) ([]byte, error) {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case fi.IsDir():
		return nil, fileNotFound(path, errors.New("is a directory"))
	case fi.Size() > maxStepOutput:
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: %s is too long for a result (%d bytes)", path, fi.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fileNotFound(path, err)
	}
	e, err := transcoding(charset)
	if err != nil || e == nil {
		return b, err
	}
	out, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return nil, fmt.Errorf("hudson: transcode %s: %w", path, err)
	}
	return out, nil
}
