package hudson

import (
	"bytes"
	"context"
	"os"
	"strings"
	"time"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerNodePlugins adds what plugins ask of every node when it comes online,
// or every hour: versioncolumn, support-core, envinject, platformlabeler.
func registerNodePlugins(t *callable.Table, a *Agent) {
	const (
		versions = "hudson.plugin.versioncolumn."
		support  = "com.cloudbees.jenkins.support."
	)
	environ := func(*callable.Call) (jser.Value, error) { return jser.TreeMap(a.environ()), nil }
	version := func(*callable.Call) (jser.Value, error) { return a.Version, nil }
	t.Register(
		answer(versions+"VersionMonitor$SlaveVersion", "versioncolumn", version),
		// No JVM, no version: null is shown as N/A and never takes a node offline.
		constant(versions+"JVMVersionMonitor$JavaVersion", "versioncolumn", nil),
		// Its files with logs on the agent are only read by its own LogFetcher.
		constant(support+"SupportPlugin$LogInitializer", "support-core", nil, "rootPath", "level"),
		constant(support+"SupportPlugin$LogUpdater", "support-core", nil, "level"),
		answer(support+"SupportPlugin$LogFetcher", "support-core", func(*callable.Call) (jser.Value, error) {
			if a.Logs == nil {
				return jser.ArrayList(), nil
			}
			return a.Logs.records(), nil
		}),
		answer(support+"impl.AboutJenkins$GetAgentVersion", "support-core", version),
		answer(support+"impl.EnvironmentVariables$GetEnvironmentVariables", "support-core", environ),
		answer(support+"impl.SystemProperties$GetSystemProperties", "support-core", func(*callable.Call) (jser.Value, error) {
			return jser.TreeMap(a.systemProperties()), nil
		}),
		answer("org.jenkinsci.lib.envinject.service.EnvVarsResolver$SystemEnvVarsGetter", "envinject",
			func(*callable.Call) (jser.Value, error) { return envVars(a.environ()), nil }),
		callable.Entry{Class: "org.jvnet.hudson.plugins.platformlabeler.PlatformDetailsTask", Source: "platformlabeler", Run: a.platform},
	)
}

var platformDetailsDesc = jser.Serializable("org.jvnet.hudson.plugins.platformlabeler.PlatformDetails", 1, nil,
	jser.Ref("architecture", "java.lang.String"), jser.Ref("architectureName", "java.lang.String"),
	jser.Ref("architectureNameVersion", "java.lang.String"), jser.Ref("name", "java.lang.String"),
	jser.Ref("nameVersion", "java.lang.String"), jser.Ref("osName", "java.lang.String"),
	jser.Ref("version", "java.lang.String"), jser.Ref("windowsFeatureUpdate", "java.lang.String"))

// unknownRelease is PlatformDetailsTask.UNKNOWN_VALUE_STRING.
const unknownRelease = "unknown+check_lsb_release_installed"

// linuxNames are the names that the plugin prefers to those of os-release.
var linuxNames = map[string]string{
	"alinux": "AlibabaCloud", "almalinux": "Alma", "alpine": "Alpine", "amzn": "Amazon", "azurelinux": "AzureLinux", "centos": "CentOS",
	"debian": "Debian", "eurolinux": "EuroLinux", "fedora": "Fedora", "linuxmintd": "Linuxmint", "ol": "OracleServer",
	"opensuse": "openSUSE", "opensuse-leap": "openSUSE", "opensuse-tumbleweed": "openSUSE", "raspbian": "Raspbian", "rhel": "RedHatEnterprise",
	"rocky": "Rocky", "sles": "SUSE", "ubuntu": "Ubuntu",
}

// platform names the distribution, whose parts become labels of the node: from
// lsb_release if there is one, else from os-release.
func (a *Agent) platform(ctx context.Context, _ *callable.Call) (jser.Value, error) {
	arch, osname := javaArch(), osName()
	name, version := strings.ToLower(osname), osVersion()
	switch {
	case strings.HasPrefix(name, "linux"):
		release, _ := os.ReadFile("/etc/os-release")
		debian, _ := os.ReadFile("/etc/debian_version")
		name, version = linuxRelease(a.lsbRelease(ctx), string(release), string(debian))
	case strings.HasPrefix(name, "mac"):
		name = "mac"
	}
	return jser.New(platformDetailsDesc, arch, arch+"-"+name, arch+"-"+name+"-"+version, name, name+"-"+version, osname, version, nil), nil
}

// lsbTime is how long lsb_release may take.
const lsbTime = 10 * time.Second

// lsbRelease is the output of "lsb_release -a", "" without one.
func (a *Agent) lsbRelease(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, lsbTime)
	defer cancel()
	var out headBuffer
	p, err := startLocal(ctx, exec.Spec{Argv: []string{"lsb_release", "-a"}, Env: a.Environ, Stdout: &out, Stderr: nullWriter{}})
	if err != nil {
		return ""
	}
	if _, err := p.Wait(ctx); err != nil {
		_ = p.Kill(context.WithoutCancel(ctx))
		return ""
	}
	return string(bytes.ToValidUTF8(out.Bytes(), nil))
}

// linuxRelease is the name and version that the plugin would find.
func linuxRelease(lsb, release, debian string) (name, version string) {
	name, version = unknownRelease, unknownRelease
	for line := range strings.Lines(lsb) {
		switch key, value, _ := strings.Cut(line, ":"); key {
		case "Distributor ID":
			name = strings.TrimSpace(value)
		case "Release":
			version = strings.TrimSpace(value)
		}
	}
	fields := map[string]string{}
	for line := range strings.Lines(release) {
		if key, value, ok := strings.Cut(line, "="); ok {
			fields[key] = strings.TrimSpace(strings.ReplaceAll(value, `"`, ""))
		}
	}
	if id := fields["ID"]; name == unknownRelease && id != "" {
		if name = linuxNames[id]; name == "" {
			name = id
		}
	}
	for _, key := range []string{"VERSION_ID", "BUILD_ID"} {
		if v := fields[key]; version == unknownRelease && v != "" {
			version = v
		}
	}
	if strings.EqualFold(name, "debian") {
		if first, _, _ := strings.Cut(debian, "\n"); version == unknownRelease && first != "" {
			version = strings.TrimSpace(first)
		}
		if version == "n/a" {
			version = "unstable"
		}
	}
	version, _, _ = strings.Cut(version, "/")
	return name, version
}
