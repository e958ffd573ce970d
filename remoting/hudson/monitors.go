package hudson

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

var (
	// GetClockDifference3 has no explicit serialVersionUID; this is the default
	// one of its class file in every core since 1.0.
	clockDifferenceDesc = jser.Serializable("hudson.model.Slave$GetClockDifference3", -6655128034486338777, nil,
		jser.Prim("remoteTime", 'J'), jser.Prim("startTime", 'J'))
	diskSpaceDesc = jser.Serializable("hudson.node_monitors.DiskSpaceMonitorDescriptor$DiskSpace", 2, nil,
		jser.Prim("size", 'J'), jser.Prim("threshold", 'J'), jser.Prim("totalSize", 'J'), jser.Prim("warningThreshold", 'J'),
		jser.Ref("path", "java.lang.String"), jser.Ref("trigger", "java.lang.Class"))
	memoryUsageDesc = jser.Serializable("org.jvnet.hudson.MemoryUsage", 1, nil,
		jser.Prim("availablePhysicalMemory", 'J'), jser.Prim("availableSwapSpace", 'J'),
		jser.Prim("totalPhysicalMemory", 'J'), jser.Prim("totalSwapSpace", 'J'))
	memoryUsage2Desc  = jser.Serializable("hudson.node_monitors.SwapSpaceMonitor$MemoryUsage2", 2216994637932270352, memoryUsageDesc)
	responseTimeDesc  = jser.Serializable("hudson.node_monitors.ResponseTimeMonitor$Data", 1, nil, jser.Ref("past5", "[J"))
	responseStep3Desc = jser.Serializable("hudson.node_monitors.ResponseTimeMonitor$Step3", 1, nil,
		jser.Prim("start", 'J'), jser.Ref("cur", "hudson.node_monitors.ResponseTimeMonitor$Data"))
	longArrayDesc = jser.ArrayClass("[J", 8655923659555304851)
)

// registerMonitors adds hudson.node_monitors, which run 5 s after a node came
// online and then every hour.
func registerMonitors(t *callable.Table, a *Agent) {
	const m = "hudson.node_monitors."
	t.Register(
		answer(m+"ArchitectureMonitor$GetArchTask", "core", func(*callable.Call) (jser.Value, error) { return osName() + " (" + javaArch() + ")", nil }),
		callable.Entry{Class: "hudson.model.Slave$GetClockDifference2", Fields: []string{"startTime"}, Source: "core", Run: a.clockDifference},
		callable.Entry{Class: m + "DiskSpaceMonitorDescriptor$GetUsableSpace", Source: "core",
			Run: func(_ context.Context, c *callable.Call) (jser.Value, error) { return usableSpace(c.Path) }},
		callable.Entry{Class: m + "TemporarySpaceMonitor$GetTempSpace", Source: "core",
			Run: func(context.Context, *callable.Call) (jser.Value, error) { return usableSpace(os.TempDir()) }},
		answer(m+"SwapSpaceMonitor$MonitorTask", "core", func(*callable.Call) (jser.Value, error) { return memoryUsage() }),
		callable.Entry{Class: m + "ResponseTimeMonitor$Step2", Fields: []string{"cur", "start"}, Source: "core", Run: responseTime},
	)
}

func (a *Agent) clockDifference(_ context.Context, c *callable.Call) (jser.Value, error) {
	return jser.New(a.implicit(c, clockDifferenceDesc), time.Now().UnixMilli(), c.Object.Long("startTime")), nil
}

// usableSpace answers null, "not known", for a directory that is not there.
func usableSpace(path string) (jser.Value, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil || s.Bavail == 0 {
		return nil, nil
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	size := int64(s.Bsize)
	return jser.New(diskSpaceDesc, int64(s.Bavail)*size, int64(0), int64(s.Blocks)*size, int64(0), path, nil), nil
}

func memoryUsage() (jser.Value, error) {
	m := memInfo()
	if m == nil {
		return nil, nil // shown as N/A
	}
	return jser.New(memoryUsage2Desc, m["MemAvailable"], m["SwapFree"], m["MemTotal"], m["SwapTotal"]), nil
}

// responseTime echoes what it got: the controller measures the round trip.
func responseTime(_ context.Context, c *callable.Call) (jser.Value, error) {
	var cur jser.Value
	if old := c.Object.Obj("cur"); old != nil {
		if a, ok := old.Get("past5").(*jser.Array); ok {
			past, _ := a.Elems.([]int64)
			cur = jser.New(responseTimeDesc, &jser.Array{Class: longArrayDesc, Elems: past})
		}
	}
	return jser.New(responseStep3Desc, c.Object.Long("start"), cur), nil
}
