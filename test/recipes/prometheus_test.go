package recipes

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/test/controller"
	"github.com/footman-ci/footman/test/output"
)

// TestPrometheusAndAnAgent lets a Prometheus ask a real agent, and asks it what
// the dashboard would and how the alerts are.
func TestPrometheusAndAnAgent(t *testing.T) {
	program := tool(t, "prometheus", "prometheus")
	dir := t.TempDir()
	build := exec.Command("go", "build", "-tags", "urfave_cli_no_docs", "-o", dir+"/jenkins-agent", "./cmd/jenkins-agent")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	jenkins := controller.New(controller.Options{})
	require.NoError(t, jenkins.Start())
	t.Cleanup(func() { _ = jenkins.Close() })
	n := jenkins.Node("n1", dir+"/work")
	log := running(t, exec.Command(dir+"/jenkins-agent", "-url", jenkins.URL(), "-webSocket", "-name", "n1", "-secret", n.Secret(),
		"-workDir", dir+"/work", "-http", "127.0.0.1:0", "-pingInterval", "200ms"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, n.WaitOnline(ctx))
	at := regexp.MustCompile(`at=(127\.0\.0\.1:\d+)`)
	require.Eventually(t, func() bool { return at.MatchString(log.String()) }, 20*time.Second, 10*time.Millisecond)

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listen := l.Addr().String()
	l.Close()
	require.NoError(t, os.WriteFile(dir+"/alerts.yaml", read(t, "monitoring/alerts.yaml"), 0o600))
	require.NoError(t, os.WriteFile(dir+"/prometheus.yaml", []byte(`
global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [alerts.yaml]
scrape_configs:
- job_name: agents
  static_configs: [{targets: ["`+at.FindStringSubmatch(log.String())[1]+`"]}]
`), 0o600))
	running(t, exec.Command(program, "--config.file="+dir+"/prometheus.yaml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+listen))
	p := prometheus{t, "http://" + listen}
	_, err = n.Sh(ctx, "echo hello", controller.ShOptions{})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		v, err := p.query("count_over_time(jenkins_agent_up[1m])")
		return err == nil && len(v) == 1 && v[0] != "1" && v[0] != "2"
	}, 30*time.Second, 100*time.Millisecond, "it scrapes")

	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	require.NoError(t, json.Unmarshal(read(t, "monitoring/grafana-dashboard.json"), &dashboard))
	// Nothing of the kind has happened, or this machine has no such numbers.
	empty := regexp.MustCompile(`awsauth|cgroup|> 0$|route!="native"`)
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expr := strings.NewReplacer("$__rate_interval", "30s", "$__range", "1m", "$job", ".*", "$instance", ".*").Replace(target.Expr)
			v, err := p.query(expr)
			require.NoError(t, err, expr)
			if !empty.MatchString(expr) {
				require.NotEmpty(t, v, "%s: %s", panel.Title, expr)
				require.NotContains(t, v, "NaN", "%s: %s", panel.Title, expr)
			}
		}
	}
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError, State string }
			}
		}
	}
	require.Eventually(t, func() bool {
		p.get("/api/v1/rules", &rules)
		unknown := 0
		for _, g := range rules.Data.Groups {
			for _, r := range g.Rules {
				if r.Health == "unknown" {
					unknown++
				}
			}
		}
		return len(rules.Data.Groups) == 2 && unknown == 0
	}, 30*time.Second, 100*time.Millisecond)
	for _, g := range rules.Data.Groups {
		for _, r := range g.Rules {
			require.Equal(t, "ok", r.Health, "%s: %s", r.Name, r.LastError)
			require.Equal(t, "inactive", r.State, r.Name)
		}
	}
}

// running starts a program that ends with the test.
func running(t *testing.T, c *exec.Cmd) *output.Buffer {
	log := &output.Buffer{}
	c.Stdout, c.Stderr = log, log
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(c.Path), log)
		}
	})
	return log
}

type prometheus struct {
	t   *testing.T
	url string
}

func (p prometheus) get(path string, to any) {
	resp, err := http.Get(p.url + path)
	if err != nil {
		return // it starts
	}
	defer resp.Body.Close()
	_ = json.NewDecoder(resp.Body).Decode(to)
}

// query returns the values of an instant vector.
func (p prometheus) query(expr string) (values []string, err error) {
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     []struct{ Value [2]any }
		}
	}
	p.get("/api/v1/query?query="+url.QueryEscape(expr), &answer)
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s %s", answer.Status, answer.Error)
	}
	for _, r := range answer.Data.Result {
		values = append(values, fmt.Sprint(r.Value[1]))
	}
	return values, nil
}
