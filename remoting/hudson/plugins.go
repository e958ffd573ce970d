package hudson

import "github.com/footman-ci/footman/remoting/callable"

// registerPlugins adds the plugins other than durable-task.
func registerPlugins(t *callable.Table, a *Agent) {
	registerJUnit(t)
	registerUtility(t, a)
	registerCleanup(t, a)
	registerTools(t, a)
	registerNodePlugins(t, a)
	registerTokenMacro(t)
	registerGit(t, a)
}
