package main

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jvm"
)

// companion makes the JVM that runs what we don't know; it starts with the
// first such call. mode is auto, off, eager, or a Java runtime.
func (a *agent) companion(client *http.Client) (*jvm.Companion, error) {
	cfg := jvm.Config{
		HTTP: client, Header: a.o.headers, WorkDir: a.o.workDir, Environ: buildEnvironment(os.Environ()), Log: a.log,
		JarFile: agentJar(),
	}
	if len(a.o.urls) > 0 {
		cfg.URL = a.o.urls[0]
	}
	switch m := a.o.companion; m {
	case "", "auto", "eager":
	case "off":
		cfg.Off = true
	default:
		cfg.Java = m
	}
	if o := os.Getenv("JENKINS_JAVA_OPTS"); o != "" {
		opts, err := splitWords(o)
		if err != nil {
			return nil, usagef("JENKINS_JAVA_OPTS: %v", err)
		}
		cfg.JavaOptions = opts
	}
	cfg.Dir = filepath.Join(os.TempDir(), "jenkins-agent-companion")
	if a.o.workDir != "" {
		cfg.Dir = filepath.Join(a.o.workDir, a.o.internalDir, "companion")
	}
	return jvm.New(cfg), nil
}

// agentJar is a jar that came with the image or by agent injection, "" if there
// is none.
func agentJar() string {
	for _, f := range []string{os.Getenv("JENKINS_AGENT_FILE"), "/usr/share/jenkins/agent.jar"} {
		if fi, err := os.Stat(f); err == nil && fi.Mode().IsRegular() {
			return f
		}
	}
	return ""
}

// httpClient is for what is fetched from the controller and, by tool
// installers, from elsewhere: through the proxy, trusting the extra CAs.
func httpClient(cfg *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg, TLSHandshakeTimeout: 20 * time.Second,
		ResponseHeaderTimeout: time.Minute, IdleConnTimeout: 10 * time.Second, MaxIdleConns: 2,
	}}
}

// prefetch starts the companion at once when it was asked for.
func (a *agent) prefetch(c *jvm.Companion, ch *remoting.Channel) {
	if a.o.companion != "eager" {
		return
	}
	go func() {
		if err := c.Prefetch(ch.Context(), ch); err != nil {
			a.log.Warn("The companion JVM could not be made ready", "err", err)
		}
	}()
}

// withCompanion lets the companion run what the table does not.
func withCompanion(t *callable.Table, c *jvm.Companion) *callable.Table {
	t.Fallback, t.Observe = c, c.Observe
	return t
}
