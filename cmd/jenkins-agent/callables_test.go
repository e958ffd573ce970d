package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
)

func callablesOutput(t *testing.T, args ...string) string {
	var out bytes.Buffer
	app := &cli.App{Name: "jenkins-agent", Writer: &out, Commands: []*cli.Command{callablesCommand()}}
	require.NoError(t, app.Run(append([]string{"jenkins-agent", "callables"}, args...)))
	return out.String()
}

// TestCallablesPage holds the page in docs against the registry.
func TestCallablesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/callables.md")
	require.NoError(t, err)
	if callablesOutput(t, "-markdown") != string(page) {
		t.Fatal("docs/callables.md is out of date; make it anew:\n\tgo run ./cmd/jenkins-agent callables -markdown > docs/callables.md")
	}
}

func TestCallables(t *testing.T) {
	text := callablesOutput(t)
	lines := strings.Split(strings.TrimSpace(text), "\n")
	column := strings.Index(lines[0], "FOR")
	for i, l := range lines {
		require.Greater(t, len(l), column, l)
		require.Equal(t, byte(' '), l[column-1], l)
		require.NotEqual(t, byte(' '), l[column], "line %d has no family: add its prefix in remoting/hudson/families.go: %s", i+1, l)
	}
	var list []listed
	require.NoError(t, json.Unmarshal([]byte(callablesOutput(t, "-json")), &list))
	require.Len(t, list, len(lines)-1)
	for _, l := range list {
		require.NotEmpty(t, l.Source, l.Class)
		require.NotNil(t, l.Fields, l.Class)
	}
}
