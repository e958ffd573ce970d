package hudson

import (
	"context"
	"net"
	"time"

	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// answer is an entry for a callable without fields that matter.
func answer(class, source string, run func(c *callable.Call) (jser.Value, error)) callable.Entry {
	return callable.Entry{Class: class, Source: source,
		Run: func(_ context.Context, c *callable.Call) (jser.Value, error) { return run(c) }}
}

// constant is an entry that always gives the same answer.
func constant(class, source string, v jser.Value, fields ...string) callable.Entry {
	e := answer(class, source, func(*callable.Call) (jser.Value, error) { return v, nil })
	e.Fields = fields
	return e
}

// registerOnline adds what brings a node online, in the order in which
// hudson.slaves.SlaveComputer.setChannel and the ComputerListeners send it.
func registerOnline(t *callable.Table, a *Agent) {
	t.Register(
		answer("hudson.slaves.SlaveComputer$SlaveVersion", "core", func(*callable.Call) (jser.Value, error) { return a.Version, nil }),
		answer("hudson.slaves.SlaveComputer$CommunicationProtocol", "core 2.344", func(*callable.Call) (jser.Value, error) {
			if a.Protocol == nil {
				return nil, nil
			}
			return a.Protocol(), nil
		}),
		constant("hudson.slaves.SlaveComputer$DetectOS", "core", jser.Boolean(true)), // true: Unix
		constant("hudson.slaves.SlaveComputer$DetectDefaultCharset", "core", "UTF-8"),
		callable.Entry{Class: "hudson.slaves.SlaveComputer$AbsolutePath", Fields: []string{"relativePath"}, Source: "core", Run: a.absolutePath},
		// Java installs a ring buffer of log records here; ours runs from the start.
		constant("hudson.slaves.SlaveComputer$SlaveInitializer", "core", nil, "ringBufferSize"),
		callable.Entry{Class: "hudson.slaves.ChannelPinger$SetUpRemotePing", Fields: []string{"pingTimeoutSeconds", "pingIntervalSeconds"},
			Source: "core", Run: setUpRemotePing},
		// The system properties matter only to a JVM.
		constant("jenkins.util.SystemProperties$AgentCopier$CopySystemProperties", "core 2.236", nil, "snapshot"),
		constant("hudson.logging.LogRecorder$SetLevel", "core", nil, "name", "level"),
		// false: standard output has not been moved out of the way, as there is nothing to move.
		constant("jenkins.slaves.StandardOutputSwapper$ChannelSwapper", "core", jser.Boolean(false)),
		// An empty list: we reconnect in the same process and keep the cookie,
		// where Java would start itself anew.
		constant("jenkins.slaves.restarter.JnlpSlaveRestarterInstaller$FindEffectiveRestarters", "core", jser.ArrayList(), "restarters"),
		constant("hudson.remoting.PingThread$Ping", "remoting", nil),
		callable.Entry{Class: "hudson.remoting.Channel$IOSyncer", Source: "remoting",
			Run: func(ctx context.Context, c *callable.Call) (jser.Value, error) { return nil, c.Channel.SyncIO(ctx) }},
		constant("hudson.remoting.Channel$SetMaximumBytecodeLevel", "remoting", nil, "level"),
		answer("org.csanchez.jenkins.plugins.kubernetes.KubernetesSlave$SlaveDisconnector", "kubernetes", func(*callable.Call) (jser.Value, error) {
			if a.NoReconnect != nil {
				a.NoReconnect()
			}
			return nil, nil
		}),
		answer("hudson.model.Computer$ListPossibleNames", "core", func(*callable.Call) (jser.Value, error) { return possibleNames(), nil }),
		constant("hudson.model.Computer$GetFallbackName", "core", nil),
	)
}

// absolutePath resolves a relative remote root against the work directory, or
// else the directory in which the agent was started.
func (a *Agent) absolutePath(_ context.Context, c *callable.Call) (jser.Value, error) {
	return absolute(c.Object.Str("relativePath"))
}

func setUpRemotePing(_ context.Context, c *callable.Call) (jser.Value, error) {
	seconds := func(name string) time.Duration { return time.Duration(c.Object.Int(name)) * time.Second }
	c.Channel.StartPinger(seconds("pingIntervalSeconds"), seconds("pingTimeoutSeconds"))
	return nil, nil
}

// possibleNames lists addresses under which others may reach this machine.
func possibleNames() *jser.Object {
	var names []jser.Value
	addrs, _ := net.InterfaceAddrs() // none is an answer too
	for _, addr := range addrs {
		if n, ok := addr.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			names = append(names, n.IP.String())
		}
	}
	return jser.ArrayList(names...)
}
