package hudson

import (
	"archive/zip"
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerTools adds what tools ask of the machine: where an executable is,
// and for which platform to download. The downloads themselves are in
// downloads.go.
func registerTools(t *callable.Table, a *Agent) {
	const maven = "hudson.tasks.Maven$"
	t.Register(
		a.executable(maven+"MavenInstallation$GetExecutable", "core", "rawHome", "mvn", "maven"),
		a.executable("hudson.tasks.Ant$AntInstallation$GetExecutable", "ant", "rawHome", "ant"),
		a.executable("hudson.plugins.gradle.GradleInstallation$GetExeFile", "gradle", "gradleHome", "gradle"),
		callable.Entry{Class: maven + "DecideDefaultMavenCommand", Source: "core", Fields: []string{"arguments"}, Run: mavenCommand},
		callable.Entry{Class: maven + "MavenInstallation$GetMavenVersion", Source: "core", Fields: []string{"home"}, Run: mavenVersion},
		answer("hudson.tools.JDKInstaller$Platform$GetCurrentPlatform", "jdk-tool",
			func(*callable.Call) (jser.Value, error) { return jdkPlatform(runtime.GOOS) }),
		answer("hudson.tools.JDKInstaller$CPU$GetCurrentCPU", "jdk-tool",
			func(*callable.Call) (jser.Value, error) { return jdkCPU(javaArch()) }),
		answer("org.jenkinsci.plugins.docker.commons.tools.DockerToolInstaller$FindArch", "docker-commons",
			func(*callable.Call) (jser.Value, error) { return dockerArch(osName(), javaArch()) }),
		callable.Entry{Class: "hudson.plugins.emailext.plugins.content.AbstractEvalContent$IsChildFileCallable", Source: "email-ext",
			Fields: []string{"potentialChild"}, Run: isChildFile},
	)
}

// executable is an entry that looks for bin/NAME below a directory, whose
// variables are those of the agent (Util.replaceMacro with
// EnvVars.masterEnvVars), and answers its path or null.
func (a *Agent) executable(class, source, field string, names ...string) callable.Entry {
	e := answer(class, source, func(c *callable.Call) (jser.Value, error) {
		home := exec.FromEnviron(a.Environ).Expand(c.Object.Str(field))
		for _, n := range names {
			path := filepath.Join(home, "bin", n)
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
		return nil, nil
	})
	e.Fields = []string{field}
	return e
}

// mavenCommand is Maven$DecideDefaultMavenCommand: Maven 1 is told by its files.
func mavenCommand(_ context.Context, c *callable.Call) (jser.Value, error) {
	args := strings.Fields(c.Object.Str("arguments"))
	for i := 0; i+1 < len(args); i++ {
		if args[i] != "-f" {
			continue
		}
		i++
		if fi, err := os.Stat(filepath.Join(c.Path, args[i])); err == nil {
			if fi.IsDir() {
				return "maven", nil
			}
			return "mvn", nil
		}
	}
	if _, err := os.Stat(filepath.Join(c.Path, "project.xml")); err == nil {
		return "maven", nil
	}
	return "mvn", nil
}

// mavenVersion is the Implementation-Version of the first lib/maven-*.jar that
// has one, or "".
func mavenVersion(_ context.Context, c *callable.Call) (jser.Value, error) {
	dir := filepath.Join(c.Object.Str("home"), "lib")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "maven-") {
			continue
		}
		v, err := jarVersion(filepath.Join(dir, e.Name()))
		if v != "" || err != nil {
			return v, err
		}
	}
	return "", nil
}

// maxManifest bounds the manifest of a jar that is read, in bytes.
const maxManifest = 1 << 20

func jarVersion(path string) (string, error) {
	z, _, done, err := openZip(path, "")
	if err != nil {
		return "", err
	}
	defer done()
	for _, e := range z.File {
		if strings.EqualFold(e.Name, "META-INF/MANIFEST.MF") {
			return manifestVersion(e)
		}
	}
	return "", nil
}

func manifestVersion(e *zip.File) (string, error) {
	r, err := e.Open()
	if err != nil {
		return "", zipData(err)
	}
	defer r.Close()
	version, in := "", false
	for s := bufio.NewScanner(io.LimitReader(r, maxManifest)); s.Scan(); {
		line := s.Text()
		if line == "" {
			break // the end of the main attributes
		}
		if rest, more := strings.CutPrefix(line, " "); more && in {
			version += rest
			continue
		}
		name, value, _ := strings.Cut(line, ": ")
		if in = strings.EqualFold(name, "Implementation-Version"); in {
			version = value
		}
	}
	return version, nil
}

var (
	jdkPlatformDesc = jser.EnumClass("hudson.tools.JDKInstaller$Platform")
	jdkCPUDesc      = jser.EnumClass("hudson.tools.JDKInstaller$CPU")
)

func jdkPlatform(goos string) (jser.Value, error) {
	names := map[string]string{"linux": "LINUX", "darwin": "OSX", "solaris": "SOLARIS"}
	if n := names[goos]; n != "" {
		return &jser.Enum{Class: jdkPlatformDesc, Name: n}, nil
	}
	return nil, errors.New("Unknown CPU name: " + goos) //nolint:staticcheck // Jenkins' text
}

func jdkCPU(arch string) (jser.Value, error) {
	for _, c := range []struct{ part, name string }{
		{"sparc", "Sparc"}, {"ia64", "Itanium"}, {"amd64", "amd64"}, {"86_64", "amd64"}, {"86", "i386"},
	} {
		if strings.Contains(arch, c.part) {
			return &jser.Enum{Class: jdkCPUDesc, Name: c.name}, nil
		}
	}
	return nil, errors.New("Unknown CPU architecture: " + arch) //nolint:staticcheck // Jenkins' text
}

// dockerArch names the platform as Docker's old download site did; everything
// with 64 bits counts as x86_64.
func dockerArch(name, arch string) (jser.Value, error) {
	cpu := "i386"
	if strings.Contains(arch, "64") {
		cpu = "x86_64"
	}
	name = strings.ToLower(name)
	switch {
	case strings.Contains(name, "linux"):
		return "linux/" + cpu, nil
	case strings.Contains(name, "mac"):
		return "mac/" + cpu, nil
	}
	return nil, remoting.Errorf(remoting.IOExceptionClass, "Failed to recognize OS architecture %s", name)
}

// isChildFile reports whether a path is below the directory, going by names.
func isChildFile(_ context.Context, c *callable.Call) (jser.Value, error) {
	child := c.Object.Obj("potentialChild")
	if child == nil {
		return jser.Boolean(false), nil
	}
	for p := child.Str("remote"); ; {
		i := strings.LastIndexByte(p, '/')
		if i < 0 {
			return jser.Boolean(false), nil
		}
		if p = p[:i]; p == c.Path {
			return jser.Boolean(true), nil
		}
	}
}
