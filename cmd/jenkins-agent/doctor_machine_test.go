package main

import (
	"context"
	"encoding/base64"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting/transport"
)

var alreadyConnected = &transport.RefusedError{Status: 400, Reason: "the controller refused the WebSocket: 400 Bad Request: n1 is already connected to this controller. Rejecting this connection."}

func TestDoctorOnDirectories(t *testing.T) {
	dir := t.TempDir()
	agents := filepath.Join(dir, "agent")
	require.NoError(t, os.MkdirAll(filepath.Join(agents, "remoting", "logs"), 0o755))
	for name, c := range map[string]struct {
		o options
		wants
	}{
		"none":            {options{}, wants{"workdir", levelWarn, "no work directory", "-workDir"}},
		"good":            {options{workDir: agents, internalDir: "remoting"}, wants{"workdir", levelOK, "MB free", ""}},
		"to be made":      {options{workDir: filepath.Join(dir, "a/b/c"), internalDir: "remoting"}, wants{"workdir", levelOK, dir, ""}},
		"must be there":   {options{workDir: filepath.Join(dir, "a/b/c"), failIfWorkDirMissing: true}, wants{"workdir", levelFail, "no such file", "mount"}},
		"a file":          {options{workDir: file(t, "")}, wants{"workdir", levelFail, "no directory", "name a directory"}},
		"can't be filled": {options{workDir: "/proc/self"}, wants{"workdir", levelFail, "not to be written by uid", "fsGroup"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{o: c.o}
			all := visit(t, d, func(context.Context) { d.workDir() })
			if f := worst(all, "workdir"); c.level == levelOK && f.Level != levelOK && strings.Contains(f.Text, "MB free") {
				t.Skip("LOUD: this machine is short of space: " + f.Text)
			}
			c.verify(t, all)
		})
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", ".jenkins-agent-doctor-*"))
	require.NoError(t, err)
	require.Empty(t, left)

	t.Run("made by another user", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("LOUD: root may write everywhere: not tested as root")
		}
		require.NoError(t, os.Chmod(filepath.Join(agents, "remoting", "logs"), 0o555))
		d := &doctor{o: options{workDir: agents, internalDir: "remoting"}}
		wants{"workdir", levelFail, "logs", "chown"}.verify(t, visit(t, d, func(context.Context) { d.workDir() }))
	})
}

func TestDoctorOnTheUser(t *testing.T) {
	look := func(f func(*doctor)) []finding {
		d := &doctor{}
		return visit(t, d, func(context.Context) { f(d) })
	}
	wants{"user", levelOK, "uid " + strconv.Itoa(os.Getuid()), ""}.verify(t, look(func(d *doctor) { d.user(true) }))
	wants{"user", levelWarn, "/etc/passwd", "1000"}.verify(t, look(func(d *doctor) { d.user(false) }))
	wants{"home", levelWarn, "not set", "HOME"}.verify(t, look(func(d *doctor) { d.home("") }))
	wants{"home", levelWarn, "can't be written", "HOME"}.verify(t, look(func(d *doctor) { d.home("/proc/self") }))
	wants{"home", levelOK, "can be written", ""}.verify(t, look(func(d *doctor) { d.home(t.TempDir()) }))
}

func TestDoctorOnTools(t *testing.T) {
	bin := t.TempDir()
	put := func(names ...string) {
		for _, n := range names {
			require.NoError(t, os.WriteFile(filepath.Join(bin, n), []byte("#!/bin/sh\n"), 0o755))
		}
	}
	t.Setenv("PATH", bin)
	look := func() []finding {
		d := &doctor{}
		return visit(t, d, func(context.Context) { d.tools() })
	}
	wants{"shell", levelWarn, "no sh on PATH", "jenkins-shell"}.verify(t, look())
	wants{"tools", levelWarn, "git, ssh, tar", "footman/agent"}.verify(t, look())
	put("sh", "cp", "mv", "touch", "sleep", "cat", "ps", "git", "tar")
	wants{"shell", levelWarn, "nohup", "busybox"}.verify(t, look())
	wants{"tools", levelWarn, "ssh", "footman/agent"}.verify(t, look())
	put("nohup", "ssh")
	wants{"shell", levelOK, "", ""}.verify(t, look())
	wants{"tools", levelOK, "", ""}.verify(t, look())
}

func TestDoctorOnMemory(t *testing.T) {
	for name, c := range map[string]struct {
		f   exec.MemoryFacts
		err error
		wants
	}{
		"none":     {exec.MemoryFacts{}, exec.ErrNoCgroup, wants{"memory", levelOK, "no limit is to be seen", ""}},
		"no limit": {exec.MemoryFacts{Version: 2}, nil, wants{"memory", levelOK, "no limit (cgroup v2)", ""}},
		"enough":   {exec.MemoryFacts{Version: 1, Limit: 256 << 20, Current: 20 << 20}, nil, wants{"memory", levelOK, "256 MiB, 20 in use (cgroup v1)", ""}},
		"little":   {exec.MemoryFacts{Version: 2, Limit: 24 << 20}, nil, wants{"memory", levelWarn, "24 MiB", "64Mi"}},
		"tight":    {exec.MemoryFacts{Version: 2, Limit: 100 << 20, Current: 95 << 20}, nil, wants{"memory", levelWarn, "95 of 100 MiB", "raise"}},
		"killed":   {exec.MemoryFacts{Version: 2, OOMKills: 3}, nil, wants{"memory", levelWarn, "killed 3 processes", "raise"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{}
			c.verify(t, visit(t, d, func(context.Context) { d.memory(c.f, c.err) }))
		})
	}
}

// tree makes a small file system.
func tree(t *testing.T, files map[string]string) string {
	root := t.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o755))
		require.NoError(t, os.WriteFile(p, []byte(content+"\n"), 0o644))
	}
	return root
}

func TestDoctorOnCPUAndProcesses(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		wants
	}{
		"v2":            {map[string]string{"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "150000 100000"}, wants{"cpu", levelOK, "1.5 cores", ""}},
		"v2 deeper":     {map[string]string{"proc/self/cgroup": "0::/a/b", "sys/fs/cgroup/a/b/cpu.max": "5000 100000", "sys/fs/cgroup/cpu.max": "max 100000"}, wants{"cpu", levelWarn, "0.05 cores", "raise"}},
		"v2 no limit":   {map[string]string{"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "max 100000"}, wants{"cpu", levelOK, "no limit", ""}},
		"v1":            {map[string]string{"proc/self/cgroup": "4:cpu,cpuacct:/\n1:name=systemd:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "200000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, wants{"cpu", levelOK, "2 cores", ""}},
		"v1 no limit":   {map[string]string{"proc/self/cgroup": "4:cpu:/", "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, wants{"cpu", levelOK, "no limit", ""}},
		"nonsense":      {map[string]string{"proc/self/cgroup": "x", "sys/fs/cgroup/cpu.max": "a b"}, wants{"cpu", levelOK, "no limit", ""}},
		"nothing":       {nil, wants{"cpu", levelOK, "no limit", ""}},
		"few pids":      {map[string]string{"proc/self/cgroup": "0::/", "sys/fs/cgroup/pids.max": "50"}, wants{"pids", levelWarn, "50", "podPidsLimit"}},
		"few pids, v1":  {map[string]string{"proc/self/cgroup": "7:pids:/x", "sys/fs/cgroup/pids/x/pids.max": "50"}, wants{"pids", levelWarn, "50", "podPidsLimit"}},
		"unlimited":     {map[string]string{"proc/self/cgroup": "0::/", "sys/fs/cgroup/pids.max": "max"}, wants{"pids", "", "", ""}},
		"no PID 1":      {nil, wants{"pid1", levelOK, "can't be seen", ""}},
		"cat as PID 1":  {map[string]string{"proc/1/comm": "cat"}, wants{"pid1", levelWarn, "PID 1 is cat", "jenkins-agent hold"}},
		"tini as PID 1": {map[string]string{"proc/1/comm": "tini"}, wants{"pid1", levelOK, "tini, 0 processes", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			d := &doctor{}
			root := tree(t, c.files)
			c.verify(t, visit(t, d, func(context.Context) {
				d.cpu(cgroup{root})
				d.pids(cgroup{root})
				d.firstProcess(root, 4711)
			}))
		})
	}
	zombies := map[string]string{"proc/1/comm": "init"}
	for i := range zombiesMost + 1 {
		zombies["proc/"+strconv.Itoa(100+i)+"/stat"] = strconv.Itoa(100+i) + " (a) b) Z 1 1 1"
	}
	d := &doctor{}
	wants{"pid1", levelWarn, strconv.Itoa(zombiesMost+1) + " processes that ended", "--init"}.verify(t, visit(t, d, func(context.Context) { d.firstProcess(tree(t, zombies), 4711) }))
	d = &doctor{}
	wants{"pid1", levelOK, "jenkins-agent", ""}.verify(t, visit(t, d, func(context.Context) { d.firstProcess(tree(t, nil), 1) }))
	d = &doctor{}
	wants{"files", levelWarn, "only 256", "LimitNOFILE"}.verify(t, visit(t, d, func(context.Context) { d.openFiles(256) }))
}

func TestDoctorOnJava(t *testing.T) {
	java := func(script string) string {
		p := filepath.Join(t.TempDir(), "java")
		require.NoError(t, os.WriteFile(p, []byte("#!/bin/sh\n"+script+"\n"), 0o755))
		return p
	}
	j8, j17 := java(`echo 'openjdk version "1.8.0_392"' >&2`), java(`echo 'openjdk version "17.0.2" 2022-01-18' >&2`)
	for name, c := range map[string]struct {
		companion, jenkins string
		wants
	}{
		"off":           {"off", "", wants{"java", levelOK, "is off", ""}},
		"fits":          {j17, "2.541.2", wants{"java", levelOK, "Java 17", ""}},
		"too old":       {j8, "2.541.2", wants{"java", levelWarn, "is Java 8, and the companion for Jenkins 2.541.2 needs 17", "Java 17"}},
		"newest":        {j17, "2.555.1", wants{"java", levelWarn, "needs 21", "Java 21"}},
		"old Jenkins":   {j8, "2.289.3", wants{"java", levelOK, "Java 8", ""}},
		"who knows":     {j8, "", wants{"java", levelOK, "Java 8", ""}},
		"wrong libc":    {java("exit 127"), "", wants{"java", levelWarn, "does not start: exit status 127", "libc"}},
		"no Java":       {java("echo hello"), "", wants{"java", levelWarn, "does not say", "-companion"}},
		"no such file":  {"/nowhere/java", "", wants{"java", levelFail, "/nowhere/java", "-companion"}},
		"none":          {"auto", "", wants{"java", levelOK, "there is none", ""}},
		"none at start": {"eager", "", wants{"java", levelWarn, "no Java", "agent-java"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.companion == "auto" || c.companion == "eager" {
				t.Setenv("PATH", t.TempDir())
				t.Setenv("JAVA_HOME", "")
				t.Setenv("JENKINS_JAVA_BIN", "")
			}
			d := &doctor{o: options{companion: c.companion}, version: c.jenkins}
			c.verify(t, visit(t, d, d.java))
		})
	}
	require.Equal(t, []int{0, 8, 11, 17, 17, 21}, []int{javaFor(""), javaFor("2.289.3"), javaFor("2.401"), javaFor("2.479.3"), javaFor("2.541.2"), javaFor("2.560")})
}

func TestDoctorOnAWS(t *testing.T) {
	token := func(left time.Duration) string {
		claims := `{"exp":` + strconv.FormatInt(time.Now().Add(left).Unix(), 10) + `}`
		return file(t, "e30."+base64.RawURLEncoding.EncodeToString([]byte(claims))+".sig\n")
	}
	role := "arn:aws:iam::1:role/r"
	for name, c := range map[string]struct {
		env map[string]string
		wants
	}{
		"none":       {nil, wants{"aws", "", "", ""}},
		"half":       {map[string]string{"AWS_ROLE_ARN": role}, wants{"aws", levelWarn, "only one of", "annotation"}},
		"unreadable": {map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"}, wants{"aws", levelFail, "/nowhere", "fsGroup"}},
		"good":       {map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": token(24 * time.Hour)}, wants{"aws", levelOK, role, ""}},
		"ended":      {map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": token(-time.Hour)}, wants{"aws", levelFail, "ended 1h", "clock"}},
		"stale":      {map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": token(time.Minute)}, wants{"aws", levelWarn, "ends in", "copy"}},
		"no token":   {map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": file(t, "a.b.c")}, wants{"aws", levelWarn, "no token", "projected"}},
		"keys":       {map[string]string{"AWS_ROLE_ARN": role, "AWS_WEB_IDENTITY_TOKEN_FILE": token(time.Hour), "AWS_ACCESS_KEY_ID": "AKIA"}, wants{"aws", levelWarn, "AWS_ACCESS_KEY_ID is set", "unset"}},
	} {
		t.Run(name, func(t *testing.T) {
			env := map[string]string{"HOME": t.TempDir()}
			for k, v := range c.env {
				env[k] = v
			}
			d := &doctor{}
			c.verify(t, visit(t, d, func(context.Context) { d.aws(func(k string) string { return env[k] }) }))
		})
	}
	t.Run("profiles kept by -awsauth", func(t *testing.T) {
		dir := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, ".aws", "agent"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, ".aws", "agent", "config"), []byte("[default]\n"), 0o644))
		d := &doctor{}
		all := visit(t, d, func(context.Context) {
			d.aws(func(k string) string {
				return map[string]string{"HOME": dir, "AWSAUTH_DIR": filepath.Join(dir, ".aws")}[k]
			})
		})
		wants{"aws", levelWarn, "", ""}.verify(t, all)
	})
}

func FuzzTokenLeft(f *testing.F) {
	f.Add("e30.eyJleHAiOjF9.x")
	f.Add("..")
	f.Fuzz(func(t *testing.T, s string) {
		if left, ok := tokenLeft(s, time.Unix(0, 0)); ok {
			require.Positive(t, left)
		}
	})
}
