package ec2

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

const unit = "jenkins-agent.service"

// dropIn is what this test needs besides the recipe: where the services of AWS
// are, and a watchdog that it can wait for.
const dropIn = `[Service]
Environment=AWS_ENDPOINT_URL_SSM=http://` + cloudAddress + ` AWS_EC2_METADATA_SERVICE_ENDPOINT=http://` + cloudAddress + `
WatchdogSec=4
TimeoutAbortSec=1
`

// show asks systemd for a property of the unit.
func show(t *testing.T, property string) string {
	out, err := exec.Command("systemctl", "show", "-P", property, unit).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func eventually(t *testing.T, property, want string) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for got := ""; got != want; got = show(t, property) {
		if time.Now().After(deadline) {
			require.Equal(t, want, got, "%s of the unit", property)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func runs(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v\n%s", name, args, out)
	return string(out)
}

// edited is a file of the recipe with what a user fills in.
func edited(t *testing.T, name string, replace ...string) string {
	text := readFile(t, "/box/"+name)
	for i := 0; i < len(replace); i += 2 {
		require.Equal(t, 1, strings.Count(text, replace[i]), "%q in %s", replace[i], name)
		text = strings.Replace(text, replace[i], replace[i+1], 1)
	}
	return text
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestInside is the second half of TestInstance.
func TestInside(t *testing.T) {
	how := os.Getenv(insideVariable)
	if how == "" {
		t.Skip("part of TestInstance")
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(runs(t, "sh", "-c", "systemctl --no-pager status "+unit+"; systemctl --no-pager list-jobs; journalctl --no-pager -n 40"))
		}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	jenkins := controller.New(controller.Options{Listen: address, MonitorDelay: -1})
	n := jenkins.Node(nodeName, "/var/lib/jenkins-agent")
	require.NoError(t, os.MkdirAll("/etc/systemd/system/"+unit+".d", 0o755))
	require.NoError(t, os.WriteFile("/etc/systemd/system/"+unit+".d/test.conf", []byte(dropIn), 0o644))
	url, download := "http://"+address+"/", "http://"+cloudAddress+"/footman/jenkins-agent"
	sum := sha256.Sum256([]byte(readFile(t, "/box/jenkins-agent")))
	script := func(sum string) string {
		return edited(t, "user-data.sh", "https://jenkins.example.com/", url, "https://artifacts.example.com/footman/linux-$(uname -m)/jenkins-agent", download,
			"AGENT_SHA256= ", "AGENT_SHA256="+sum+" ")
	}

	var aws *cloud
	switch how {
	case "checksum":
		newCloud(t, n.Secret())
		wrong := strings.Repeat("0", 64)
		out, err := exec.Command("sh", "-c", script(wrong)).CombinedOutput()
		require.Error(t, err, string(out))
		left, err := filepath.Glob("/usr/local/bin/jenkins-agent*")
		require.NoError(t, err)
		require.Empty(t, left, "a download that is not the agent")
		require.NoFileExists(t, "/etc/systemd/system/"+unit)
		l.Close()
		return
	case "script":
		aws = newCloud(t, n.Secret())
		runs(t, "sh", "-c", script(hex.EncodeToString(sum[:])))
	case "cloud-init":
		newCloud(t, n.Secret())
		bootByCloudInit(t, edited(t, "cloud-init.yaml", "https://jenkins.example.com/", url,
			"https://artifacts.example.com/footman/linux-$(uname -m)/jenkins-agent", download))
	}
	// Jenkins is not there yet: the unit waits, and nothing else does.
	eventually(t, "ActiveState", "activating")
	looksRight(t, how, n.Secret())
	l.Close()
	require.NoError(t, jenkins.Start())
	t.Cleanup(func() { _ = jenkins.Close() })
	require.NoError(t, n.WaitOnline(within(t, 30*time.Second)))
	eventually(t, "ActiveState", "active")
	require.Equal(t, "notify", show(t, "Type"))
	require.Equal(t, "Connected by WebSocket", show(t, "StatusText"))
	require.Equal(t, "4s", show(t, "WatchdogUSec"))
	t.Log(runs(t, "systemctl", "--no-pager", "--full", "status", unit))
	nowhere(t, n.Secret())
	if how != "script" {
		return
	}
	builds(t, n)
	restarts(t, n)
	takenBack(t, aws, n)
	fromCredential(t, n)
	refusal(t)
}

// bootByCloudInit runs cloud-init as an instance does at its first boot. Its
// data source for EC2 wants the firmware of one, so that the user data come from
// a directory.
func bootByCloudInit(t *testing.T, userData string) {
	const seed = "/var/lib/cloud/seed/nocloud"
	require.NoError(t, os.RemoveAll("/var/lib/cloud"))
	require.NoError(t, os.MkdirAll(seed, 0o755))
	for name, text := range map[string]string{
		seed + "/user-data": userData,
		seed + "/meta-data": "instance-id: " + instanceID + "\n",
		"/etc/cloud/cloud.cfg.d/99-box.cfg": `
datasource_list: [NoCloud]
network: {config: disabled}
users: []
cloud_init_modules: [write-files, users-groups]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
`} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	for _, stage := range [][]string{{"init", "--local"}, {"init"}, {"modules", "--mode=config"}, {"modules", "--mode=final"}} {
		t.Logf("cloud-init %v: %s", stage, runs(t, "cloud-init", stage...))
	}
}

// looksRight checks what the recipe has left on the instance.
func looksRight(t *testing.T, how, secret string) {
	require.Contains(t, runs(t, "getent", "passwd", "jenkins"), ":/var/lib/jenkins-agent:/bin/bash")
	fi, err := os.Stat("/usr/local/bin/jenkins-agent")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), fi.Mode())
	require.Equal(t, readFile(t, "/box/jenkins-agent.service"), readFile(t, "/etc/systemd/system/"+unit))
	fi, err = os.Stat("/etc/jenkins-agent/env")
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), fi.Mode())
	env := readFile(t, "/etc/jenkins-agent/env")
	require.Contains(t, env, "JENKINS_AGENT_NAME="+nodeName+"\n")
	require.Contains(t, env, "JENKINS_SECRET=aws-ssm:///jenkins/agents/"+nodeName+"\n")
	require.NotContains(t, env, secret)
	require.Equal(t, "enabled\n", runs(t, "systemctl", "is-enabled", unit))
}

// nowhere looks for the secret where other processes could see it.
func nowhere(t *testing.T, secret string) {
	for _, glob := range []string{"/proc/[0-9]*/environ", "/proc/[0-9]*/cmdline", "/etc/jenkins-agent/*", "/var/lib/jenkins-agent/remoting/logs/*", "/run/credentials/*/*"} {
		files, err := filepath.Glob(glob)
		require.NoError(t, err)
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && !strings.HasPrefix(f, fmt.Sprintf("/proc/%d/", os.Getpid())) {
				require.NotContains(t, string(b), secret, f)
			}
		}
	}
	require.NotContains(t, runs(t, "journalctl", "--no-pager"), secret)
}

// builds runs what builds do, under the hardening of the unit.
func builds(t *testing.T, n *controller.Node) {
	log := &output.Buffer{}
	r, err := n.Sh(within(t, time.Minute), `
test "$(id -un)" = jenkins
test "$HOME" = /var/lib/jenkins-agent
test -z "${JENKINS_SECRET:-}${NOTIFY_SOCKET:-}${WATCHDOG_USEC:-}"
grep -q 'NoNewPrivs:.1' /proc/self/status
grep -q 'CapEff:.0000000000000000' /proc/self/status
touch file /tmp/file && chmod 755 file
! touch /usr/file /etc/file 2>/dev/null
test ! -r /etc/jenkins-agent/env
git init -q repository
mkfifo pipe
echo 'int main(void){return 0;}' >x.c && { ! command -v cc >/dev/null || { cc -o x x.c && ./x; }; }
! date -s '2001-01-01' 2>/dev/null
`, controller.ShOptions{Log: log})
	require.NoError(t, err, log.String())
	require.Zero(t, r.ExitCode, log.String())
	resp, err := http.Get("http://127.0.0.1:8099/readyz")
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

// restarts: an agent that is killed or hangs comes back.
func restarts(t *testing.T, n *controller.Node) {
	for i, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGSTOP} {
		before := n.Info().Connections
		pid, err := strconv.Atoi(show(t, "MainPID"))
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, signal))
		eventually(t, "NRestarts", strconv.Itoa(i+1))
		eventually(t, "ActiveState", "active")
		require.Eventually(t, func() bool { return n.Info().Connections > before }, time.Minute, 20*time.Millisecond)
		require.NoError(t, n.WaitOnline(within(t, 30*time.Second)))
	}
	require.Contains(t, runs(t, "journalctl", "--no-pager", "-u", unit), "Watchdog timeout")
}

// takenBack: EC2's notice ends the agent for good, with time for what runs.
func takenBack(t *testing.T, aws *cloud, n *controller.Node) {
	log := &output.Buffer{}
	result := make(chan error, 1)
	ctx := within(t, time.Minute)
	go func() {
		r, err := n.Sh(ctx, "echo is running; until [ -e go ]; do sleep 0.1; done; echo finished", controller.ShOptions{Log: log})
		if err == nil && r.ExitCode != 0 {
			err = fmt.Errorf("exit code %d", r.ExitCode)
		}
		result <- err
	}()
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "is running") }, 20*time.Second, 10*time.Millisecond)
	aws.setNotice(`{"action":"terminate","time":"` + time.Now().Add(2*time.Minute).UTC().Format(time.RFC3339) + `"}`)
	require.Eventually(t, func() bool {
		return strings.Contains(log.String(), "jenkins-agent: stopping (EC2 takes this spot instance back (terminate)): what runs here has 1m")
	}, 40*time.Second, 20*time.Millisecond, log.String())
	require.Equal(t, "Stopping: EC2 takes this spot instance back (terminate)", show(t, "StatusText"))
	require.NoError(t, os.WriteFile("/var/lib/jenkins-agent/workspace/demo/go", nil, 0o644))
	require.NoError(t, <-result, log.String())
	eventually(t, "ActiveState", "inactive")
	require.Equal(t, "0", show(t, "ExecMainStatus"))
	require.Equal(t, "success", show(t, "Result"))
	// Once more: the notice now comes before the agent is online, which is a
	// failure for systemd, or just after. Waiting for a restart would be
	// "activating".
	before := show(t, "NRestarts")
	_ = exec.Command("systemctl", "start", unit).Run()
	require.Eventually(t, func() bool {
		state := show(t, "ActiveState")
		return state == "failed" || state == "inactive"
	}, 20*time.Second, 20*time.Millisecond)
	require.Equal(t, "0", show(t, "ExecMainStatus"))
	require.Contains(t, []string{"0", before}, show(t, "NRestarts"))
	aws.setNotice("")
}

// fromCredential: a secret that only root can read, as docs/ec2.md has it.
func fromCredential(t *testing.T, n *controller.Node) {
	const dir, env = "/etc/systemd/system/" + unit + ".d", "/etc/jenkins-agent/env"
	page := readFile(t, "/box/ec2.md")
	_, ini, ok := strings.Cut(page, "```ini\n")
	require.True(t, ok)
	ini, _, _ = strings.Cut(ini, "```")
	_, setting, _ := strings.Cut(ini, "and ")
	setting, _, _ = strings.Cut(setting, " in the env file")
	require.Equal(t, "JENKINS_SECRET=@/run/credentials/jenkins-agent.service/secret", setting)
	before := readFile(t, env)
	put := func(path, text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	put("/etc/jenkins-agent/secret", n.Secret()+"\n")
	require.NoError(t, os.WriteFile(dir+"/credential.conf", []byte(ini), 0o644))
	put(env, before+setting+"\n")
	_ = exec.Command("systemctl", "reset-failed", unit).Run()
	runs(t, "systemctl", "daemon-reload")
	connections := n.Info().Connections
	runs(t, "systemctl", "start", unit)
	require.Greater(t, n.Info().Connections, connections)
	runs(t, "systemctl", "stop", unit)
	require.Equal(t, "inactive", show(t, "ActiveState"))
	require.NoError(t, os.Remove(dir+"/credential.conf"))
	put(env, before)
	runs(t, "systemctl", "daemon-reload")
}

// refusal: a node that Jenkins does not let in ends with code 3, and stays so.
func refusal(t *testing.T) {
	env := strings.ReplaceAll(readFile(t, "/etc/jenkins-agent/env"), "JENKINS_AGENT_NAME="+nodeName, "JENKINS_AGENT_NAME=unknown")
	_ = exec.Command("systemctl", "reset-failed", unit).Run() // if it is
	require.NoError(t, os.WriteFile("/etc/jenkins-agent/env", []byte(env+"REMOTING_OPTS=-giveUpAfter 500ms\n"), 0o600))
	require.Error(t, exec.Command("systemctl", "start", unit).Run())
	require.Equal(t, "failed", show(t, "ActiveState"))
	require.Equal(t, "3", show(t, "ExecMainStatus"))
	require.Equal(t, "0", show(t, "NRestarts"))
}
