package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNativeGit checks that git is ours exactly where no companion can run.
func TestNativeGit(t *testing.T) {
	dir := t.TempDir()
	java := filepath.Join(dir, "java")
	require.NoError(t, os.WriteFile(java, []byte("#!/bin/sh\n"), 0o755))
	t.Setenv("JENKINS_JAVA_BIN", "")
	t.Setenv("JAVA_HOME", "")
	for _, c := range []struct {
		companion, path string
		want            bool
	}{
		{"off", dir, true}, {"auto", dir, false}, {"", dir, false}, {"eager", dir, false}, {java, "", false},
		{"auto", "/nonexistent", true}, {"", "/nonexistent", true}, {"eager", "/nonexistent", true}, {"/nonexistent/java", dir, true},
	} {
		t.Setenv("PATH", c.path)
		a := &agent{o: options{companion: c.companion}}
		require.Equal(t, c.want, a.nativeGit(), "%+v", c)
	}
}
