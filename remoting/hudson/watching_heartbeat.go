package hudson

import (
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// heartbeatInterval and heartbeatDelta are BourneShellScript's
// HEARTBEAT_CHECK_INTERVAL and HEARTBEAT_MINIMUM_DELTA: the wrapper script
// touches the log every 3 s.
const (
	heartbeatInterval = 300 * time.Second
	heartbeatDelta    = 2 * time.Second
)

// exitStatus is FileMonitoringController.exitStatus and, for sh, the check that
// the wrapper script is alive (ShellController.exitStatus).
func (w *watch) exitStatus() (code int32, done bool, err error) {
	result := filepath.Join(w.dir, "jenkins-result.txt")
	code, done, err = exitStatus(result)
	if err != nil || done || !w.shell {
		return code, done, err
	}
	now := time.Now()
	if w.lastCheck.IsZero() {
		w.lastCheck = now
	}
	if now.Sub(w.lastCheck) <= heartbeatInterval {
		return 0, false, nil
	}
	w.lastCheck = now
	fi, err := os.Stat(filepath.Join(w.dir, "jenkins-log.txt"))
	if err != nil {
		return w.recordStatus(result, -2, "process apparently never started in "+w.dir,
			"(running Jenkins temporarily with -Dorg.jenkinsci.plugins.durabletask.BourneShellScript.LAUNCH_DIAGNOSTICS=true might make the problem clearer)")
	}
	before, at := w.checked, fi.ModTime()
	w.checked = at
	pid := filepath.Join(w.dir, "pid")
	switch {
	case before.IsZero():
	case at.Before(before):
		w.say("apparent clock skew in " + w.dir)
	case at.Before(before.Add(heartbeatDelta)):
		if _, err := os.Stat(pid); err == nil {
			w.say("still have " + pid + " so heartbeat checks unreliable; process may or may not be alive")
			break
		}
		return w.recordStatus(result, -1, "wrapper script does not seem to be touching the log file in "+w.dir,
			"This may occur if the durable task process was terminated externally, for example by interrupting an interactive terminal session running the agent since the interrupt can terminate forked durable task processes.",
			"(JENKINS-48300: if on an extremely laggy filesystem, consider -Dorg.jenkinsci.plugins.durabletask.BourneShellScript.HEARTBEAT_CHECK_INTERVAL=86400)")
	}
	return 0, false, nil
}

func (w *watch) say(line string) {
	if err := w.out.println(line); err != nil {
		w.agent.logger().Debug("a line for the log of a step is lost", "err", err)
	}
}

// recordStatus ends a step whose process is gone.
func (w *watch) recordStatus(result string, code int32, lines ...string) (int32, bool, error) {
	for _, l := range lines {
		w.say(l)
	}
	return code, true, os.WriteFile(result, []byte(strconv.Itoa(int(code))), 0o666)
}
