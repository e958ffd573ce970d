package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/footman-ci/footman/test/controller"
)

// probeClass runs in a JVM only: no agent has it natively.
const probeClass = "footman.check.Where"

const probeSource = `package footman.check;

public class Where implements hudson.remoting.Callable<String, RuntimeException> {
    private static final long serialVersionUID = 1;

    public String call() {
        return System.getProperty("java.home") + " " + System.getProperty("java.version") + " " + ProcessHandle.current().pid();
    }

    public void checkRoles(org.jenkinsci.remoting.RoleChecker checker) {}
}
`

// needJar says what a check with the official agent.jar misses.
func (c *checker) needJar() error {
	if c.jar == "" {
		return &notRun{"no official agent.jar: set AGENT_JAR"}
	}
	_, err := os.Stat(c.jar)
	return err
}

// probe compiles the class above and returns what serves it.
func (c *checker) probeClasses(ctx context.Context) (controller.ClassSource, error) {
	if _, err := exec.LookPath("javac"); err != nil {
		return nil, &notRun{"no javac to compile a class that is not native"}
	}
	dir, err := os.MkdirTemp(c.work, "classes-")
	if err != nil {
		return nil, err
	}
	source := filepath.Join(dir, "Where.java")
	if err := os.WriteFile(source, []byte(probeSource), 0o644); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "javac", "--release", "11", "-cp", c.jar, "-d", dir, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("javac: %w: %s", err, out)
	}
	return func(resource string) ([]byte, bool) {
		b, err := os.ReadFile(filepath.Join(dir, filepath.Clean("/"+resource)))
		return b, err == nil
	}, nil
}

// companion has the agent run a class that only a JVM can run; the agent.jar for
// it comes from the controller.
func (c *checker) companion(ctx context.Context, im *image) (string, error) {
	if err := c.needJar(); err != nil {
		return "", err
	}
	classes, err := c.probeClasses(ctx)
	if err != nil {
		return "", err
	}
	jar := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/jnlpJars/agent.jar" {
			return false
		}
		http.ServeFile(rw, r, c.jar)
		return true
	}
	a, err := c.runAgent(ctx, im, arbitrary, controller.Options{Classes: classes, Intercept: jar})
	if err != nil {
		return "", err
	}
	defer a.close()
	const java = `for p in /proc/[0-9]*; do tr '\0' ' ' <$p/cmdline; echo; done 2>/dev/null | grep -c '[/]bin/java' || true`
	before, err := a.sh(ctx, "#!/bin/sh\n"+java)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(before) != "0" {
		return "", errors.New("a JVM ran before anything needed it")
	}
	v, err := a.node.Invoke(ctx, probeClass)
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, tail(a.log.String()))
	}
	said, _ := v.(string)
	home := ""
	for _, e := range im.config.Env {
		if h, ok := strings.CutPrefix(e, "JAVA_HOME="); ok {
			home = h
		}
	}
	if home == "" || !strings.HasPrefix(said, home+" ") {
		return "", fmt.Errorf("the class ran in %q, want JAVA_HOME %q", said, home)
	}
	after, err := a.sh(ctx, "#!/bin/sh\n"+java)
	if err != nil {
		return "", err
	}
	if strings.TrimSpace(after) != "1" {
		return "", fmt.Errorf("%s JVMs run", strings.TrimSpace(after))
	}
	if err := a.build(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("a class that is not native ran in the companion (java.home, version, pid: %s); no JVM before that", said), a.close()
}

// officialMemory gives the official agent 64 MiB, in which it can't run the
// build that ours runs in 24.
func (c *checker) officialMemory(ctx context.Context, im *image) (string, error) {
	if err := im.native(); err != nil {
		return "", err
	}
	if err := c.needJar(); err != nil {
		return "", err
	}
	if c.classes == "" {
		return "", &notRun{"the official agent loads Jenkins' classes: set AGENT_CLASSES (docs/benchmarks.md)"}
	}
	source, done, err := controller.Jars(c.classes)
	if err != nil {
		return "", err
	}
	defer done()
	const tries = 3
	var outcomes []string
	for range tries {
		err := c.official(ctx, im, source, 64*mib)
		var exit *exec.ExitError
		switch {
		case err == nil:
			return "", errors.New("the official agent built within 64 MiB: docs/images.md says that it can't")
		case errors.As(err, &exit) && exit.ExitCode() == 137: // 128 + SIGKILL, which only the kernel sends here
			outcomes = append(outcomes, "OOM-killed")
		case errors.Is(err, context.DeadlineExceeded):
			outcomes = append(outcomes, fmt.Sprintf("no end within %s, all of its pages being read again and again", officialPatience))
		default:
			return "", fmt.Errorf("the official agent failed, but not for want of memory: %w", err)
		}
	}
	if err := c.official(ctx, im, source, 512*mib); err != nil {
		return "", fmt.Errorf("the official agent does not build within 512 MiB either, so this compares nothing: %w", err)
	}
	return fmt.Sprintf("the same build in the official agent, %d times: %s; with 512 MiB it passes", tries, strings.Join(outcomes, ", ")), nil
}

// officialPatience is how long the official agent may take from online to the
// end of the build; with memory enough it takes a second or two.
const officialPatience = 30 * time.Second

// official runs the build in the official agent within a limit of memory.
func (c *checker) official(ctx context.Context, im *image, source controller.ClassSource, limit int64) error {
	m, err := c.limit(limit)
	if err != nil {
		return err
	}
	defer m.close()
	s := arbitrary
	s.memory = m
	s.volumes = []volume{{source: c.jar, target: "/tmp/agent.jar", readOnly: true}}
	// The script of the official images, less what does not matter here.
	s.args = []string{"/bin/sh", "-c", `exec "$JAVA_HOME/bin/java" -jar /tmp/agent.jar -url "$JENKINS_URL" -secret "$JENKINS_SECRET" -name "$JENKINS_NAME" -webSocket -workDir "$JENKINS_AGENT_WORKDIR"`}
	a, err := c.runAgent(ctx, im, s, controller.Options{Classes: source})
	if err != nil {
		return err
	}
	defer a.close()
	ctx, cancel := context.WithTimeout(ctx, officialPatience)
	defer cancel()
	if err = a.build(ctx); err == nil {
		return nil
	}
	select { // the connection ends before the container does
	case <-a.done:
		return errors.Join(a.err, err)
	case <-time.After(5 * time.Second):
		return errors.Join(context.Cause(ctx), err)
	}
}
