package main

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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
	cfg.URLs = a.o.urls
	if a.o.credentials != "" {
		cfg.Header = cfg.Header.Clone()
		if cfg.Header == nil {
			cfg.Header = http.Header{}
		}
		if cfg.Header.Get("Authorization") == "" {
			cfg.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(a.o.credentials)))
		}
	}
	if t, ok := client.Transport.(*http.Transport); ok && a.o.proxyCredentials != "" {
		t = t.Clone()
		t.Proxy = proxyWith(a.o.proxyCredentials)
		cfg.HTTP = &http.Client{Transport: t}
	}
	if cfg.IdleStop = a.o.companionIdle; cfg.IdleStop <= 0 {
		cfg.IdleStop = -1
	}
	switch m := a.o.companion; m {
	case "", "auto", "eager":
	case "off":
		cfg.Off = true
	default:
		cfg.Java = m
	}
	for _, name := range []string{"JENKINS_JAVA_OPTS", "JAVA_OPTS"} {
		if o := os.Getenv(name); o != "" {
			opts, err := splitWords(o)
			if err != nil {
				return nil, usagef("%s: %v", name, err)
			}
			cfg.JavaOptions = opts
			break
		}
	}
	cfg.Dir = filepath.Join(os.TempDir(), fmt.Sprintf("jenkins-agent-companion-%d", os.Getuid()))
	if a.o.workDir != "" {
		cfg.Dir = companionDir(a.o.workDir, a.o.internalDir)
		cfg.JarCache = filepath.Join(a.o.workDir, a.o.internalDir, "jarCache") // that of the official agent
	}
	if a.o.jarCache != "" {
		cfg.JarCache = a.o.jarCache
	}
	return jvm.New(cfg), nil
}

// nativeGit tells whether git clients are ours: where no companion can run. Where
// one can, it runs the plugin's own.
func (a *agent) nativeGit() bool {
	java := ""
	switch m := a.o.companion; m {
	case "off":
		return true
	case "", "auto", "eager":
	default:
		java = m
	}
	_, err := jvm.FindJava(java)
	return err != nil
}

// companionDir is where facts about the controller's need of a JVM are kept.
func companionDir(workDir, internalDir string) string {
	return filepath.Join(workDir, internalDir, "companion")
}

// proxyWith takes the proxy from the environment and gives it credentials that
// it does not name itself.
func proxyWith(credentials string) func(*http.Request) (*url.URL, error) {
	return func(r *http.Request) (*url.URL, error) {
		u, err := http.ProxyFromEnvironment(r)
		if u == nil || err != nil || u.User != nil {
			return u, err
		}
		with := *u
		user, password, _ := strings.Cut(credentials, ":")
		with.User = url.UserPassword(user, password)
		return &with, nil
	}
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

// prefetch starts the companion at once when it was asked for, and has its jar
// ready for a controller that needed it before.
func (a *agent) prefetch(c *jvm.Companion, ch *remoting.Channel) {
	switch {
	case a.o.companion == "eager":
		go func() {
			if err := c.Prefetch(ch.Context(), ch); err != nil {
				a.log.Warn("The companion JVM could not be made ready", "err", err)
			}
		}()
	case a.o.companion != "off" && c.Needed():
		go func() {
			if err := c.FetchJar(ch.Context()); err != nil {
				a.log.Debug("agent.jar could not be made ready", "err", err)
			}
		}()
	}
}

// withCompanion lets the companion run what the table does not.
func withCompanion(t *callable.Table, c *jvm.Companion) *callable.Table {
	t.Fallback, t.Observe = c, c.Observe
	if dir := c.StateDir(); dir != "" {
		t.Seen = newSeen(filepath.Join(dir, seenFile)).note
	}
	return t
}
