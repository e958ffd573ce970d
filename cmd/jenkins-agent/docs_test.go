package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Options that nobody can look up are half an option.
func TestEveryOptionIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/command-line.md")
	require.NoError(t, err)
	aws, err := os.ReadFile("../../docs/awsauth.md")
	require.NoError(t, err)
	for _, f := range agentFlags() {
		for _, name := range f.Names() {
			require.Contains(t, string(page), "-"+name, "docs/command-line.md")
		}
	}
	for _, f := range agentAWSFlags() {
		if name := f.Names()[0]; strings.HasPrefix(name, "aws") {
			require.Contains(t, string(aws)+string(page), name, "docs/awsauth.md")
		}
	}
}
