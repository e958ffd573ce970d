package hudson

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// envVarsDesc is hudson.EnvVars, a TreeMap that ignores the case of its keys.
var (
	platformDesc = jser.EnumClass("hudson.Platform")
	envVarsDesc  = jser.Serializable("hudson.EnvVars", 4320331661987259022, jser.TreeMapClass(), jser.Ref("platform", "hudson.Platform"))
)

// registerPages adds what the pages of a node ask for.
func registerPages(t *callable.Table, a *Agent) {
	t.Register(
		answer("hudson.EnvVars$GetEnvVars", "core", func(c *callable.Call) (jser.Value, error) {
			return envVarsFor(c.Channel, a.environ()), nil
		}),
		answer("hudson.slaves.SlaveComputer$ListFullEnvironment", "core 2.326", func(*callable.Call) (jser.Value, error) {
			return jser.TreeMap(a.environ()), nil
		}),
		answer("hudson.slaves.SlaveComputer$SlaveLogFetcher", "core", func(*callable.Call) (jser.Value, error) {
			if a.Logs == nil {
				return jser.ArrayList(), nil
			}
			return a.Logs.records(), nil
		}),
		// Counters of class loading: we load none.
		constant("hudson.slaves.SlaveComputer$LoadingCount", "core", jser.Integer(0), "resource"),
		constant("hudson.slaves.SlaveComputer$LoadingPrefetchCacheCount", "core", jser.Integer(0)),
		constant("hudson.slaves.SlaveComputer$LoadingTime", "core", jser.Long(0), "resource"),
		answer("hudson.util.RemotingDiagnostics$GetSystemProperties", "core", func(*callable.Call) (jser.Value, error) {
			return jser.TreeMap(a.systemProperties()), nil
		}),
		answer("hudson.util.RemotingDiagnostics$GetThreadDump", "core", func(*callable.Call) (jser.Value, error) { return threadDump(), nil }),
		answer("hudson.model.Computer$DumpExportTableTask", "core", func(c *callable.Call) (jser.Value, error) {
			return fmt.Sprintf("%d objects are exported.\n", c.Channel.Exports()), nil
		}),
	)
}

// environ is the environment of the agent as a map; the last of two entries
// wins.
func (a *Agent) environ() map[string]string {
	m := make(map[string]string, len(a.Environ))
	for _, kv := range a.Environ {
		if k, v, ok := strings.Cut(kv, "="); ok && k != "" {
			m[k] = v
		}
	}
	return m
}

func envVars(m map[string]string) *jser.Object {
	// Of keys that differ only in case the TreeMap keeps one.
	folded := map[string]string{}
	for k := range m {
		l := strings.ToLower(k)
		if old, ok := folded[l]; !ok || k < old {
			folded[l] = k
		}
	}
	unique := make(map[string]string, len(folded))
	for _, k := range folded {
		unique[k] = m[k]
	}
	platform := &jser.Enum{Class: platformDesc, Name: "UNIX"}
	return &jser.Object{Class: envVarsDesc, Data: []jser.ClassData{
		jser.TreeMapData(unique, true), {Desc: envVarsDesc, Values: []jser.Value{platform}}}}
}

// systemProperties are those that a script may ask of any JVM and that are
// true of us.
func (a *Agent) systemProperties() map[string]string {
	dir, _ := os.Getwd() // "" is an answer too
	return map[string]string{
		"file.encoding": "UTF-8", "file.separator": "/", "path.separator": ":", "line.separator": "\n",
		"java.io.tmpdir": os.TempDir(), "java.vendor": "footman (no JVM: " + runtime.Version() + ")",
		"native.encoding": "UTF-8", "sun.jnu.encoding": "UTF-8",
		"os.name": osName(), "os.arch": javaArch(), "os.version": osVersion(),
		"user.dir": dir, "user.home": accountHome(), "user.name": accountName(),
	}
}

// threadDump gives the goroutines the form of Java's thread dump: name → text.
func threadDump() *jser.Object {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	var es []jser.Entry
	for part := range strings.SplitSeq(strings.TrimSpace(string(buf)), "\n\n") {
		name, _, _ := strings.Cut(part, " [")
		es = append(es, jser.Entry{Key: name, Value: part + "\n\n"})
	}
	return jser.LinkedHashMap(es...)
}
