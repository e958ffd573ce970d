package hudson

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/jser"
)

func TestLinuxRelease(t *testing.T) {
	for _, c := range []struct{ lsb, release, debian, name, version string }{
		{"", "ID=alpine\nVERSION_ID=3.20.1\n", "", "Alpine", "3.20.1"},
		{"", "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\n", "", "Ubuntu", "24.04"},
		{"Distributor ID:\tUbuntu\nRelease:\t22.04\n", "ID=x\n", "", "Ubuntu", "22.04"},
		{"", "ID=debian\n", "trixie/sid\n", "Debian", "trixie"},
		{"Distributor ID:\tDebian\nRelease:\tn/a\n", "", "", "Debian", "unstable"},
		{"", "ID=arch\nBUILD_ID=rolling\n", "", "arch", "rolling"},
		{"", "", "", unknownRelease, unknownRelease},
		{"", "ID=\nVERSION_ID\n=\n", "", unknownRelease, unknownRelease},
	} {
		name, version := linuxRelease(c.lsb, c.release, c.debian)
		require.Equal(t, c.name, name, c)
		require.Equal(t, c.version, version, c)
	}
}

func TestNodePlugins(t *testing.T) {
	r := newRig(t, &Agent{Version: "3352.x", Environ: []string{"A=b", "PATH=/usr/bin:/bin"}})
	require.Equal(t, "3352.x", r.must(fields("hudson.plugin.versioncolumn.VersionMonitor$SlaveVersion")))
	require.Nil(t, r.must(fields("hudson.plugin.versioncolumn.JVMVersionMonitor$JavaVersion")))
	require.Nil(t, r.must(fields("com.cloudbees.jenkins.support.SupportPlugin$LogInitializer", "rootPath", remotePath("/x"), "level", "INFO")))
	env, err := jser.StringMap(r.must(fields("com.cloudbees.jenkins.support.impl.EnvironmentVariables$GetEnvironmentVariables")))
	require.NoError(t, err)
	require.Equal(t, "b", *env["A"])
	p := r.must(fields("org.jvnet.hudson.plugins.platformlabeler.PlatformDetailsTask")).(*jser.Object)
	require.Equal(t, p.Str("architecture")+"-"+p.Str("name")+"-"+p.Str("version"), p.Str("architectureNameVersion"))
	require.NotEmpty(t, p.Str("name"))
}
