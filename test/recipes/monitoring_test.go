package recipes

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// metricNames lists what /metrics prints; a test of cmd/jenkins-agent holds the
// file against it. Of a histogram come three series a family.
func metricNames(t *testing.T) (names []string) {
	for line := range strings.Lines(string(read(t, "monitoring/metrics.txt"))) {
		f := strings.Fields(line)
		require.Greater(t, len(f), 2)
		if f[1] == "histogram" {
			names = append(names, f[0]+"_bucket", f[0]+"_sum", f[0]+"_count")
		} else {
			names = append(names, f[0])
		}
	}
	require.Greater(t, len(names), 20)
	return names
}

var (
	metricName = regexp.MustCompile(`\b(?:jenkins_agent|footman|process|go)_[a-z_]+\b`)
	labelName  = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)\s*"`)
	groupNames = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
)

// labels that our samples have, and those that Prometheus or the scrape
// configuration add.
var labels = strings.Fields("instance job namespace node label zone lifecycle le class route direction protocol profile role kind code")

// checkExpression looks at the names in one; its grammar is promtool's.
func checkExpression(t *testing.T, expr string) (used []string) {
	names := metricNames(t)
	used = metricName.FindAllString(expr, -1)
	require.NotEmpty(t, used, expr)
	for _, n := range used {
		require.Contains(t, names, n, "/metrics has no such line: %s", expr)
	}
	for _, m := range labelName.FindAllStringSubmatch(expr, -1) {
		require.Contains(t, labels, m[1], expr)
	}
	for _, m := range groupNames.FindAllStringSubmatch(expr, -1) {
		for _, l := range strings.Split(m[1], ",") {
			require.Contains(t, labels, strings.TrimSpace(l), expr)
		}
	}
	return used
}

type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []struct {
			Alert, Record, Expr, For string
			Labels, Annotations      map[string]string
		}
	}
}

func TestAlerts(t *testing.T) {
	var rules ruleFile
	require.NoError(t, yaml.UnmarshalStrict(read(t, "monitoring/alerts.yaml"), &rules))
	tests := string(readHere(t, "testdata/alerts-test.yaml"))
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			checkExpression(t, r.Expr)
			require.Contains(t, []string{"info", "warning", "critical"}, r.Labels["severity"], r.Alert)
			require.NotEmpty(t, r.Annotations["summary"], r.Alert)
			require.NotEmpty(t, r.Annotations["description"], r.Alert)
			require.Contains(t, tests, "alertname: "+r.Alert+"\n        exp_alerts:", "no test makes %s fire", r.Alert)
		}
	}
	require.GreaterOrEqual(t, n, 12)
}

func readHere(t *testing.T, path string) []byte {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

// promtool runs it in a directory with the rules and one more file.
func promtool(t *testing.T, name string, content []byte, args ...string) {
	program := tool(t, "promtool", "prometheus")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "alerts.yaml"), read(t, "monitoring/alerts.yaml"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), content, 0o600))
	c := exec.Command(program, append(args, name)...)
	c.Dir = dir
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestAlertsByPromtool(t *testing.T) {
	promtool(t, "alerts.yaml", read(t, "monitoring/alerts.yaml"), "check", "rules")
	promtool(t, "test.yaml", readHere(t, "testdata/alerts-test.yaml"), "test", "rules")
}

// Debian's Prometheus is built without Kubernetes: that part is looked at here,
// the rest by promtool.
var kubernetesDiscovery = regexp.MustCompile(`    kubernetes_sd_configs:\n(?:      .*\n)+`)

func TestScrapeConfig(t *testing.T) {
	text := read(t, "monitoring/prometheus.yaml")
	found := kubernetesDiscovery.FindAll(text, -1)
	require.Len(t, found, 1)
	var sd struct {
		Configs []struct {
			Role       string `json:"role"`
			Namespaces struct {
				Names []string `json:"names"`
			} `json:"namespaces"`
			Selectors []struct {
				Role, Label, Field string
			} `json:"selectors"`
		} `json:"kubernetes_sd_configs"`
	}
	require.NoError(t, yaml.UnmarshalStrict(found[0], &sd))
	require.Equal(t, "pod", sd.Configs[0].Role)
	require.Equal(t, "pod", sd.Configs[0].Selectors[0].Role)
	require.Equal(t, "jenkins=slave", sd.Configs[0].Selectors[0].Label, "KubernetesCloud.DEFAULT_POD_LABELS")
	promtool(t, "prometheus.yaml", kubernetesDiscovery.ReplaceAll(text, nil), "check", "config")
}

func TestScrapeConfigOfTheSidecar(t *testing.T) {
	promtool(t, "sidecar.yaml", read(t, "monitoring/prometheus-sidecar.yaml"), "check", "config", "--agent")
}

func TestPodMonitor(t *testing.T) {
	var m struct {
		APIVersion string            `json:"apiVersion"`
		Kind       string            `json:"kind"`
		Metadata   map[string]string `json:"metadata"`
		Spec       struct {
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			Endpoints []struct {
				Port, Path, Interval string
				Relabelings          []struct {
					SourceLabels []string `json:"sourceLabels"`
					TargetLabel  string   `json:"targetLabel"`
				} `json:"relabelings"`
			} `json:"podMetricsEndpoints"`
		} `json:"spec"`
	}
	require.NoError(t, yaml.UnmarshalStrict(read(t, "monitoring/podmonitor.yaml"), &m))
	require.Equal(t, "monitoring.coreos.com/v1", m.APIVersion)
	require.Equal(t, "PodMonitor", m.Kind)
	require.Equal(t, map[string]string{"jenkins": "slave"}, m.Spec.Selector.MatchLabels)
	require.Len(t, m.Spec.Endpoints, 1)
	require.Equal(t, "agent-http", m.Spec.Endpoints[0].Port)
	require.Contains(t, string(read(t, "monitoring/prometheus.yaml")), "regex: agent-http")
}

func TestDashboard(t *testing.T) {
	type target struct{ Expr, LegendFormat, RefID string }
	var d struct {
		UID, Title    string
		SchemaVersion int
		Panels        []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []target
		}
		Templating struct {
			List []struct{ Name string }
		}
		Annotations struct {
			List []struct{ Expr string }
		}
	}
	text := read(t, "monitoring/grafana-dashboard.json")
	require.NoError(t, json.Unmarshal(text, &d))
	require.NotEmpty(t, d.UID)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	for _, m := range regexp.MustCompile(`\$\{?([a-z_]+)`).FindAllStringSubmatch(string(text), -1) {
		require.True(t, slices.Contains(variables, m[1]) || strings.HasPrefix(m[1], "__"), "the variable $%s is not declared", m[1])
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	var exprs []string
	for _, p := range d.Panels {
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, taken[at], "%s lies on another panel", p.Title)
				taken[at] = p.Title
			}
		}
		require.Equal(t, p.Type == "row", len(p.Targets) == 0, p.Title)
		for _, x := range p.Targets {
			exprs = append(exprs, x.Expr)
		}
	}
	for _, a := range d.Annotations.List {
		exprs = append(exprs, a.Expr)
	}
	require.Greater(t, len(exprs), 20)
	shown := map[string]bool{}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range exprs {
		e = strings.NewReplacer("$__rate_interval", "5m", "$__range", "1h", "$job", ".*", "$instance", ".*").Replace(e)
		require.NotContains(t, e, "$")
		for _, n := range checkExpression(t, e) {
			shown[n] = true
		}
		fmt.Fprintf(&rules, "  - record: dashboard:%d\n    expr: %q\n", i, e)
	}
	for _, n := range metricNames(t) {
		if strings.HasPrefix(n, "jenkins_agent_") && !slices.Contains([]string{"jenkins_agent_state_seconds"}, n) {
			require.True(t, shown[n], "no panel shows %s", n)
		}
	}
	promtool(t, "dashboard.yaml", []byte(rules.String()), "check", "rules")
}
