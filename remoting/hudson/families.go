package hudson

import "strings"

// families are prefixes of class names, the longest that fits counts, and what
// the class is for.
var families = map[string]string{
	"hudson.FilePath$":                          "files",
	"hudson.EnvVars$":                           "nodes",
	"hudson.Launcher$":                          "processes",
	"hudson.lifecycle.":                         "nodes",
	"hudson.logging.":                           "nodes",
	"hudson.model.":                             "nodes",
	"hudson.model.DirectoryBrowserSupport$":     "workspace browser",
	"hudson.model.WorkspaceCleanupThread$":      "workspaces",
	"hudson.node_monitors.":                     "node monitors",
	"hudson.plugins.copyartifact.":              "artifacts",
	"hudson.plugins.emailext.":                  "mail",
	"hudson.plugins.gradle.":                    "tools",
	"hudson.plugins.ws_cleanup.":                "workspaces",
	"hudson.remoting.":                          "nodes",
	"hudson.slaves.":                            "nodes",
	"hudson.tasks.Ant$":                         "tools",
	"hudson.tasks.ArtifactArchiver$":            "artifacts",
	"hudson.tasks.Fingerprinter$":               "artifacts",
	"hudson.tasks.Maven$":                       "tools",
	"hudson.tasks.Shell$":                       "processes",
	"hudson.tasks.junit.":                       "test reports",
	"hudson.tools.":                             "tools",
	"hudson.util.":                              "nodes",
	"com.cloudbees.jenkins.support.":            "nodes",
	"hudson.plugin.versioncolumn.":              "node monitors",
	"org.jenkinsci.lib.envinject.":              "nodes",
	"org.jvnet.hudson.plugins.platformlabeler.": "nodes",
	"jenkins.branch.":                           "workspaces",
	"jenkins.slaves.":                           "nodes",
	"jenkins.util.SystemProperties$":            "nodes",
	"jenkins.util.VirtualFile$":                 "workspace browser",
	"org.csanchez.jenkins.plugins.kubernetes.":  "nodes",
	"org.jenkinsci.plugins.docker.":             "tools",
	"org.jenkinsci.plugins.durabletask.":        "sh and other scripts",
	"org.jenkinsci.plugins.gitclient.":          "git",
	"org.jenkinsci.plugins.pipeline.utility.":   "utility steps",
	"org.jenkinsci.plugins.tokenmacro.":         "macros",
	"org.jenkinsci.plugins.workflow.steps.":     "artifacts",
	"hudson.plugins.git.":                       "git",
	"jenkins.plugins.git.":                      "git",
}

// Family tells in a word or two what a callable is for, "" when we don't know.
// It is for documentation only.
func Family(class string) string {
	best, family := 0, ""
	for prefix, f := range families {
		if len(prefix) > best && strings.HasPrefix(class, prefix) {
			best, family = len(prefix), f
		}
	}
	return family
}
