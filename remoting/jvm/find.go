package jvm

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrNoJava says that this machine has no Java runtime.
var ErrNoJava = errors.New("jvm: there is no Java runtime: neither in JAVA_HOME nor on the PATH")

// FindJava returns the java program to use: explicit if it is not empty, else
// JENKINS_JAVA_BIN, JAVA_HOME/bin/java, or java on the PATH. A link to
// ourselves, which stands in for java under some launchers, does not count.
func FindJava(explicit string) (string, error) {
	if explicit != "" {
		if fi, err := os.Stat(explicit); err == nil && fi.IsDir() {
			explicit = filepath.Join(explicit, "bin", "java")
		}
		path, err := exec.LookPath(explicit)
		if err != nil {
			return "", fmt.Errorf("jvm: %s is no Java runtime: %w", explicit, err)
		}
		return path, nil
	}
	candidates := []string{os.Getenv("JENKINS_JAVA_BIN")}
	if home := os.Getenv("JAVA_HOME"); home != "" {
		candidates = append(candidates, filepath.Join(home, "bin", "java"))
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		candidates = append(candidates, filepath.Join(dir, "java"))
	}
	for _, c := range candidates {
		if c == "" || isOurselves(c) {
			continue
		}
		if path, err := exec.LookPath(c); err == nil {
			return path, nil
		}
	}
	return "", ErrNoJava
}

func isOurselves(path string) bool {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false
	}
	other, err := os.Stat(path)
	return err == nil && os.SameFile(self, other)
}

// javaVersion reads the feature version (8, 11, 17, …) from the file "release"
// beside bin; 0 when it does not say.
func javaVersion(java string) int {
	if real, err := filepath.EvalSymlinks(java); err == nil {
		java = real
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(java)), "release"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "JAVA_VERSION="); ok {
			v = strings.TrimPrefix(strings.Trim(v, `"`), "1.")
			if i := strings.IndexFunc(v, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
				v = v[:i]
			}
			n, _ := strconv.Atoi(v)
			return n
		}
	}
	return 0
}

// launcherClass is what makes a jar an agent.jar.
const launcherClass = "hudson/remoting/Launcher.class"

// inspectJar checks that a file is an agent.jar and returns the Java version
// that its classes need.
func inspectJar(path string) (needs int, err error) {
	z, err := zip.OpenReader(path)
	if err != nil {
		return 0, fmt.Errorf("jvm: %s is no jar: %w", path, err)
	}
	defer z.Close()
	f, err := z.Open(launcherClass)
	if err != nil {
		return 0, fmt.Errorf("jvm: %s is no agent.jar: it has no %s", path, launcherClass)
	}
	defer f.Close()
	var head [8]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || binary.BigEndian.Uint32(head[:]) != 0xCAFEBABE {
		return 0, fmt.Errorf("jvm: %s is no agent.jar: %s is no class", path, launcherClass)
	}
	return int(binary.BigEndian.Uint16(head[6:])) - 44, nil // class file version 52 is Java 8
}

// checkVersion explains a runtime that is too old for a jar.
func checkVersion(java, jar string) error {
	needs, err := inspectJar(jar)
	if err != nil {
		return err
	}
	if has := javaVersion(java); has > 0 && has < needs {
		return fmt.Errorf("jvm: the controller's agent.jar needs Java %d, and %s is Java %d: put a newer runtime into the image", needs, java, has)
	}
	return nil
}
