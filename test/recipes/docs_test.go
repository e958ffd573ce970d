package recipes

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const root = "../.."

// sources is the text of all our programs and packages, without tests.
func sources(t *testing.T) string {
	var all strings.Builder
	for _, dir := range []string{"cmd", "remoting", "exec", "awsauth"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				all.Write(b)
			}
			return err
		}))
	}
	return strings.ReplaceAll(all.String(), `\"`, `"`)
}

var (
	tableRow   = regexp.MustCompile(`(?m)^\| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$`)
	quotedText = regexp.MustCompile("`([^`]+)`")
	// what stands where a source has a verb of fmt: names, numbers
	filledIn = regexp.MustCompile(`…|\b[0-9]{3}\b`)
)

// Texts by which people search must be those that the agent prints.
func TestTroubleshootingQuotesTheAgent(t *testing.T) {
	text, err := os.ReadFile(root + "/docs/troubleshooting.md")
	require.NoError(t, err)
	code := sources(t)
	ours := 0
	for _, row := range tableRow.FindAllStringSubmatch(string(text), -1) {
		quoted, by := row[1], row[2]
		switch {
		case by == "said by" || by == "---":
			continue
		case strings.HasPrefix(by, "agent"), by == "hold":
		default:
			require.Contains(t, []string{"Jenkins", "durable-task", "kubernetes plugin", "kubelet", "ECS", "systemd"}, by, quoted)
			continue
		}
		ours++
		found := quotedText.FindAllStringSubmatch(quoted, -1)
		require.NotEmpty(t, found, quoted)
		for _, m := range found {
			for _, part := range filledIn.Split(m[1], -1) {
				if part != "" {
					require.True(t, strings.Contains(code, part), "docs/troubleshooting.md quotes %q, and the agent says nothing with %q", m[1], part)
				}
			}
		}
	}
	require.Greater(t, ours, 30)
}

// Every option and variable that the pages of ours name must exist.
func TestDocsNameOptionsThatExist(t *testing.T) {
	code := sources(t)
	option := regexp.MustCompile("`(-[a-z][A-Za-z]+)[ `]")
	variable := regexp.MustCompile(`\bJENKINS_[A-Z_]*[A-Z]\b`)
	for _, page := range []string{"ec2", "fargate", "monitoring", "migration", "security", "troubleshooting", "kubernetes", "command-line"} {
		b, err := os.ReadFile(filepath.Join(root, "docs", page+".md"))
		require.NoError(t, err)
		for _, m := range option.FindAllStringSubmatch(string(b), -1) {
			require.Contains(t, code, `"`+m[1][1:]+`"`, "docs/%s.md names the option %s", page, m[1])
		}
		for _, name := range variable.FindAllString(string(b), -1) {
			require.Contains(t, code, name, "docs/%s.md", page)
		}
	}
}

// Links between the pages, to headings too, and to files of the repository.
func TestDocsLinks(t *testing.T) {
	pages, err := filepath.Glob(root + "/docs/*.md")
	require.NoError(t, err)
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	images := regexp.MustCompile("`(images/[A-Za-z0-9./_-]+)`")
	for _, page := range append(pages, root+"/README.md") {
		b, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			there, err := os.ReadFile(target)
			if fi, serr := os.Stat(target); serr == nil && fi.IsDir() {
				continue
			}
			require.NoError(t, err, "%s links to %s", page, m[0])
			if m[2] != "" {
				require.Contains(t, anchors(string(there)), m[2], "%s links to %s", page, m[0])
			}
		}
		for _, m := range images.FindAllStringSubmatch(string(b), -1) {
			_, err := os.Stat(filepath.Join(root, m[1]))
			require.NoError(t, err, "%s names %s", page, m[1])
		}
	}
}

// anchors are the ids that GitHub gives to headings.
func anchors(text string) (ids []string) {
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	for line := range strings.Lines(text) {
		if h, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			ids = append(ids, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(h)), ""), " ", "-"))
		}
	}
	return ids
}

func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(root + "/docs/monitoring.md")
	require.NoError(t, err)
	for line := range strings.Lines(string(read(t, "monitoring/metrics.txt"))) {
		name, _, _ := strings.Cut(line, " ")
		require.Contains(t, string(page), "`"+name, "docs/monitoring.md")
	}
}
