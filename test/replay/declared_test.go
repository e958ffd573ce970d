package replay

import (
	"path"
	"strings"
	"sync"
	"testing"
)

// disarmed stands for a command of a recorded script that would end processes
// by name, whoever they belong to: the shell prints it, and it fails as the
// recorded one did.
const disarmed = "false pkill -KILL -f"

// declaration is a difference that is meant to be.
type declaration struct {
	scenario string // pattern of path.Match
	class    string // callable or method; "*" is any
	field    string // prefix of the path inside the answer
	reason   string
	want     string // if set, only this recorded value
	// maybe says that the difference depends on the machine, so that it need
	// not occur.
	maybe bool
}

const (
	machine   = "a fact of the machine"
	directory = "the size of a directory is the file system's; the recorded one was ext4"
	vetoes    = "the controller's vetoes of process killing are not asked for: core has none"
	noFiles   = "git ran in the recording only: files and repositories that it brought are missing"
	noJVM     = "a native agent has no class loader"
)

// declared lists where our agent differs from agent.jar on purpose, or must.
var declared = []declaration{
	{scenario: "*", class: "*", field: "createdAt", reason: "the stack trace of the sender costs 1.3 kB and is never needed"},
	{scenario: "*", class: "*", field: "proxyResponse.class",
		reason: "hudson.remoting.ProxyException has no fixed serialVersionUID; any Throwable is accepted there, java.io.IOException always is"},
	{scenario: "*", class: "hudson.Launcher$RemoteLaunchCallable", field: "value.h.userProxy",
		reason: "without it calls arrive as one stream instead of two"},
	{scenario: "*", class: "hudson.Launcher$RemoteLaunchCallable", field: "value.h.recordCreatedAt", reason: "as createdAt"},
	{scenario: "*", class: "hudson.Launcher$RemoteLaunchCallable", field: "value.h.origin", reason: "as createdAt"},
	{scenario: "*", class: gitFileCallable, field: "value.proxy.h.recordCreatedAt", reason: "as createdAt"},
	{scenario: "*", class: gitFileCallable, field: "value.proxy.h.origin", reason: "as createdAt"},
	{scenario: "*", class: gitFileCallable, field: "value.proxy.h.loader", reason: "a plugin's loader asks the core's for classes of the core"},
	{scenario: "*", class: "hudson.remoting.RemoteClassLoader$IClassLoader.fetch", field: "calls to the controller",
		reason: "the numbers of JGit's classes, which it does not declare"},
	{scenario: "*", class: "org.jenkinsci.plugins.gitclient.GitClient.getWorkTree", field: "value.loader of hudson.FilePath",
		reason: "a plugin's loader asks the core's for classes of the core"},
	{scenario: "*", class: "jenkins.slaves.restarter.JnlpSlaveRestarterInstaller$FindEffectiveRestarters", field: "value",
		reason: "an empty list: we reconnect in the same process and keep the cookie, where Java starts itself anew"},
	{scenario: "*", class: "hudson.remoting.RemoteClassLoader$IClassLoader.getName", field: "calls to the controller", reason: noJVM},
	{scenario: "*", class: "hudson.util.ProcessTree$DoVetoersExist", field: "calls to the controller", reason: vetoes},
	{scenario: "*", class: "hudson.util.ProcessTree$ListAll", field: "calls to the controller", reason: vetoes},
	{scenario: "*", class: "hudson.remoting.Channel$IOSyncer", field: "calls to the controller",
		reason: "Response.lastIoId has the same effect without a round trip"},

	{scenario: "24-command-launcher", class: "jenkins.slaves.StandardOutputSwapper$ChannelSwapper", field: "answer",
		reason: "Java 17 forbids the recorded agent what the callable does; false means that nothing had to be moved"},

	{scenario: "18-node-pages", class: "hudson.util.RemotingDiagnostics$GetSystemProperties", field: "value",
		reason: "the properties of a JVM; ours are those that are true without one"},
	{scenario: "18-node-pages", class: "hudson.util.RemotingDiagnostics$GetThreadDump", field: "value", reason: "goroutines, not threads"},
	{scenario: "18-node-pages", class: "hudson.slaves.SlaveComputer$LoadingCount", field: "value", reason: noJVM},
	{scenario: "18-node-pages", class: "hudson.slaves.SlaveComputer$LoadingTime", field: "value", reason: noJVM},
	{scenario: "18-node-pages", class: "hudson.slaves.SlaveComputer$LoadingPrefetchCacheCount", field: "value", reason: noJVM},
	{scenario: "18-node-pages", class: "hudson.model.Computer$DumpExportTableTask", field: "value", reason: "a text for people: their objects are not ours"},

	{scenario: "18-node-pages", class: "hudson.FilePath$GetUsableDiskSpace", field: "value", reason: machine, maybe: true},
	{scenario: "18-node-pages", class: "hudson.FilePath$GetTotalDiskSpace", field: "value", reason: machine, maybe: true},
	{scenario: "18-node-pages", class: "hudson.FilePath$GetFreeDiskSpace", field: "value", reason: machine, maybe: true},
	{scenario: "18-node-pages", class: "hudson.FilePath$GetHomeDirectory", field: "value.remote", want: `"/root"`, reason: machine, maybe: true},
	{scenario: "18-node-pages", class: "hudson.FilePath$ListFilter", field: "value", reason: "the work directory of the recorded agent had been used before"},
	{scenario: "18-node-pages", class: "hudson.FilePath$ListGlob", field: "answer", reason: "the logs of the recorded agent's process; here it is a part of the test's"},

	{scenario: "*", class: "hudson.FilePath$Length", field: "value.value", want: "4096", reason: directory, maybe: true},
	{scenario: "*", class: "hudson.model.DirectoryBrowserSupport$BuildChildPaths", field: "value.glob", want: "4096", reason: directory, maybe: true},

	{scenario: "*", class: "hudson.FilePath$CreateTextTempFile", field: "value", reason: "a random name"},
	{scenario: "*", class: "hudson.node_monitors.DiskSpaceMonitorDescriptor$GetUsableSpace", field: "value.size", reason: machine, maybe: true},
	{scenario: "*", class: "hudson.node_monitors.DiskSpaceMonitorDescriptor$GetUsableSpace", field: "value.totalSize", reason: machine, maybe: true},
	{scenario: "*", class: "hudson.node_monitors.TemporarySpaceMonitor$GetTempSpace", field: "value.size", reason: machine, maybe: true},
	{scenario: "*", class: "hudson.node_monitors.TemporarySpaceMonitor$GetTempSpace", field: "value.totalSize", reason: machine, maybe: true},
	{scenario: "*", class: "hudson.node_monitors.TemporarySpaceMonitor$GetTempSpace", field: "value.path", reason: "TMPDIR, which Java does not know", maybe: true},
	{scenario: "*", class: "hudson.node_monitors.SwapSpaceMonitor$MonitorTask", field: "value.", reason: machine, maybe: true},
	{scenario: "*", class: "hudson.node_monitors.ArchitectureMonitor$GetArchTask", field: "value", reason: machine, maybe: true},

	{scenario: "*", class: "hudson.tasks.junit.JUnitParser$DirectParseResultCallable", field: "exception.loader of hudson.AbortException",
		reason: "a plugin's loader asks the core's for classes of the core"},
	{scenario: "13-utility", class: "org.jenkinsci.plugins.pipeline.utility.steps.fs.TeeStep$CreateRemoteStreamCallable",
		field: "value.loader of hudson.remoting.RemoteOutputStream", reason: "a plugin's loader asks the core's for classes of the core"},
	{scenario: "13-utility", class: "org.jenkinsci.plugins.pipeline.utility.steps.tar.UnTarStepExecution$TestTarFileCallable", field: "stream 18 line 1",
		reason: "the size of a compressed file: another deflate"},
	{scenario: "10-git-checkout*", class: cWriteLog, field: "log jenkins-log.txt", reason: noFiles},
	{scenario: "10-git-checkout*", class: cStatusCheck, field: "value.value", want: "0", reason: noFiles},
	{scenario: "10-git-checkout*", class: "hudson.FilePath$CreateTempFile", field: "value", reason: "a random name"},
	{scenario: "29-multibranch*", class: cWriteLog, field: "log jenkins-log.txt", reason: noFiles},
	{scenario: "22-error-paths", class: "hudson.tasks.junit.JUnitParser$DirectParseResultCallable", field: "value.suites+1.cases+1.errorStackTrace",
		reason: "stack frames of a JVM"},
}

const gitFileCallable = "org.jenkinsci.plugins.gitclient.Git$GitAPIMasterToSlaveFileCallable"

var (
	usedMu           sync.Mutex
	usedDeclarations = map[int]int{}
	usedRelayed      = map[string]int{}
)

// undeclared returns the differences without a declaration.
func undeclared(scenario string, d *driver) (left []difference) {
	usedMu.Lock()
	defer usedMu.Unlock()
next:
	for _, x := range d.diffs {
		for i, e := range declared {
			s, _ := path.Match(e.scenario, scenario)
			c := e.class == "*" || e.class == x.class
			if s && c && strings.HasPrefix(x.path, e.field) && (e.want == "" || e.want == x.want) {
				usedDeclarations[i]++
				continue next
			}
		}
		left = append(left, x)
	}
	return left
}

// checkTables fails for entries that nothing needs any more.
func checkTables(t *testing.T) {
	usedMu.Lock()
	defer usedMu.Unlock()
	for i, e := range declared {
		if usedDeclarations[i] == 0 && !e.maybe {
			t.Errorf("the declared difference %s %s %s (%s) did not occur: remove it", e.scenario, e.class, e.field, e.reason)
			continue
		}
		t.Logf("declared, %4d times: %s: %s %s: %s", usedDeclarations[i], e.scenario, e.class, e.field, e.reason)
	}
	for class, why := range relayed {
		if usedRelayed[class] == 0 {
			t.Errorf("%s (%s) is not relayed any more: remove it from the table", class, why)
			continue
		}
		t.Logf("relayed, %4d times: %s: %s", usedRelayed[class], class, why)
	}
}
