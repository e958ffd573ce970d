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
	class    string // pattern of the callable or method
	field    string // prefix of the path inside the answer
	reason   string
	// after, if set, is a class that is not native yet: the difference follows
	// from a call of it that failed in the same scenario.
	after string
}

// declared lists where our agent differs from agent.jar on purpose, or must.
var declared = []declaration{
	{"*", "jenkins.slaves.restarter.JnlpSlaveRestarterInstaller$FindEffectiveRestarters", "value",
		"an empty list by design: we reconnect in the same process and keep the cookie, where Java starts itself anew", ""},
	{"*", "hudson.node_monitors.DiskSpaceMonitorDescriptor$GetUsableSpace", "value.size", "of the machine", ""},
	{"*", "hudson.node_monitors.DiskSpaceMonitorDescriptor$GetUsableSpace", "value.totalSize", "of the machine", ""},
	{"*", "hudson.node_monitors.TemporarySpaceMonitor$GetTempSpace", "value.size", "of the machine", ""},
	{"*", "hudson.node_monitors.TemporarySpaceMonitor$GetTempSpace", "value.totalSize", "of the machine", ""},
	{"*", "hudson.node_monitors.SwapSpaceMonitor$MonitorTask", "value.availablePhysicalMemory", "of the machine", ""},
	{"*", "hudson.node_monitors.SwapSpaceMonitor$MonitorTask", "value.totalPhysicalMemory", "of the machine", ""},
	{"*", "hudson.FilePath$CreateTextTempFile", "value", "a random name", ""},
	{"*", "hudson.FilePath$CreateTempFile", "value", "a random name", ""},
	{"*", "hudson.remoting.RemoteClassLoader$IClassLoader.getName", "calls to the controller",
		"a native agent loads no classes, so it asks no class loader for its name", ""},
	{"*", "hudson.util.ProcessTree$DoVetoersExist", "calls to the controller", "vetoes of process killing are not asked for", ""},
	{"*", "hudson.util.ProcessTree$ListAll", "calls to the controller", "vetoes of process killing are not asked for", ""},
	{"*", "hudson.remoting.Channel$IOSyncer", "calls to the controller", "Response.lastIoId has the same effect without a round trip", ""},
	{"31-big-transfer", cStatusCheck, "value.value", "cmp of a file that unstash did not bring", "hudson.FilePath$UntarRemote"},
	{"31-big-transfer", cWriteLog, "log jenkins-log.txt", "cmp of a file that unstash did not bring", "hudson.FilePath$UntarRemote"},
}

// notNative lists classes that our agent does not execute yet: their calls
// fail, and what follows from them is skipped. Remove a class once it is
// native: its answers are compared from then on.
var notNative = map[string]string{
	"hudson.tasks.ArtifactArchiver$ListFiles":    "archives are another issue",
	"hudson.FilePath$CopyRecursiveRemoteToLocal": "archives are another issue",
	"hudson.FilePath$Archive":                    "archives are another issue",
	"hudson.FilePath$UntarRemote":                "archives are another issue",
	"hudson.tasks.Fingerprinter$FindRecords":     "archives are another issue",

	"hudson.tasks.junit.JUnitParser$DirectParseResultCallable":                                               "junit is another issue",
	"org.jenkinsci.plugins.pipeline.utility.steps.zip.UnZipStepExecution$UnZipFileCallable":                  "pipeline-utility-steps is another issue",
	"org.jenkinsci.plugins.pipeline.utility.steps.tar.UnTarStepExecution$UnTarFileCallable":                  "pipeline-utility-steps is another issue",
	"org.jenkinsci.plugins.pipeline.utility.steps.fs.ComputeHashCallable":                                    "pipeline-utility-steps is another issue",
	"org.jenkinsci.plugins.gitclient.Git$GitAPIMasterToSlaveFileCallable":                                    "git is another issue",
	"org.jenkinsci.plugins.gitclient.RemoteGitImpl$CommandInvocationHandler$GitCommandMasterToSlaveCallable": "git is another issue",
}

var (
	usedMu           sync.Mutex
	usedDeclarations = map[int]int{}
	usedNotNative    = map[string]int{}
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
			if s && c && strings.HasPrefix(x.path, e.field) && (e.after == "" || d.skipped[e.after] > 0) {
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
		if usedDeclarations[i] == 0 {
			t.Errorf("the declared difference %s %s %s (%s) did not occur: remove it", e.scenario, e.class, e.field, e.reason)
			continue
		}
		t.Logf("declared, %4d times: %s: %s %s: %s", usedDeclarations[i], e.scenario, e.class, e.field, e.reason)
	}
	for class, why := range notNative {
		if usedNotNative[class] == 0 {
			t.Errorf("%s (%s) is not refused any more: remove it from notNative", class, why)
		}
	}
}
