// Package hudson holds the callables that a Jenkins controller sends, one
// family a file, each named after the Java class that it stands for.
//
//	callable.Table ◀─ register ─ files.go     hudson.FilePath$…
//	                             launch.go    hudson.Launcher$…
//	                             durable.go   org.jenkinsci.plugins.durabletask…
//	                             monitors.go  hudson.node_monitors…
//	                             …
//	Agent: what they know of the process that they run in
package hudson

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/exec/container"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/archive"
)

// Agent is what callables know of the process that they run in. It outlives
// connections. Set the fields before NewTable and don't change them later.
type Agent struct {
	Log *slog.Logger
	// Version is the version of Remoting that we stand for.
	Version string
	// Protocol names the transport of the current connection: "WebSocket",
	// "JNLP4-connect" or "Standard in/out".
	Protocol func() string
	// WorkDir is the root of the agent, "" when unknown.
	WorkDir string
	// Environ is the environment that builds inherit, without our secrets.
	Environ []string
	// NoReconnect is called when the controller says that this agent must not
	// come back (kubernetes: KubernetesSlave$SlaveDisconnector).
	NoReconnect func()
	// Start runs the processes of builds; nil runs them on this machine.
	Start func(ctx context.Context, spec exec.Spec) (Process, error)
	// Containers runs launches with FOOTMAN_CONTAINER in their environment in
	// that container of the pod; nil runs them here.
	Containers *container.Router
	// Logs keeps what the log page of the node shows, nil for nothing.
	Logs *LogBuffer
	// HTTP downloads tools and artifacts, with the proxy and the certificates
	// of the agent; nil is http.DefaultClient.
	HTTP *http.Client
	// ArchiveLimits end the unpacking of archives that are bigger than they
	// look. The zero value means the defaults.
	ArchiveLimits archive.Limits
	// CheckClasses compares the serialVersionUIDs that Java computes with the
	// class files of the controller, once per connection, and follows them.
	CheckClasses bool

	// NativeGit is asked for each git client that a controller wants whether
	// it is to be ours; nil says no, so that it goes to the fallback.
	NativeGit func() bool

	watches watches
	steps   steps
	drain   drain
	suids   suids
}

// NewTable makes the table of everything that runs natively.
func NewTable(a *Agent) *callable.Table {
	t := &callable.Table{Log: a.Log}
	registerOnline(t, a)
	registerMonitors(t, a)
	registerPages(t, a)
	registerFiles(t)
	registerFileIO(t)
	registerTempFiles(t)
	registerDelete(t)
	registerGlobs(t)
	registerArchives(t, a)
	registerDownloads(t, a)
	registerArtifacts(t, a)
	registerBrowser(t)
	registerWorkspaces(t)
	registerLaunch(t, a)
	registerHudson(t, a)
	registerDurable(t, a)
	registerPlugins(t, a)
	return t
}
