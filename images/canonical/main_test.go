package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// image writes what `buildah push NAME dir:DIR` leaves.
func image(t *testing.T, container, hostname, layer string) string {
	dir := t.TempDir()
	config := fmt.Sprintf(`{"created":"2026-11-21T17:16:23Z","container":%q,"container_config":{"Hostname":%q},`+
		`"config":{"Hostname":%q,"User":"1000","Healthcheck":{"Interval":30000000000},"Labels":{"a":"<b>","io.buildah.version":"1"}},`+
		`"history":[{"created_by":"COPY","comment":"FROM %[1]s"}]}`, container, hostname, hostname)
	digest := digestOf([]byte(config))
	require.NoError(t, os.WriteFile(filepath.Join(dir, strings.TrimPrefix(digest, "sha256:")), []byte(config), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"),
		fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q,"size":%d},"layers":[{"digest":%q}]}`, digest, len(config), layer), 0o644))
	return dir
}

func TestRewrite(t *testing.T) {
	one, err := rewrite(image(t, "c1", "h1", "sha256:aa"))
	require.NoError(t, err)
	two := image(t, "c2", "h2", "sha256:aa")
	second, err := rewrite(two)
	require.NoError(t, err)
	require.Equal(t, one, second, "the container's id and host name make no difference")
	other, err := rewrite(image(t, "c1", "h1", "sha256:bb"))
	require.NoError(t, err)
	require.NotEqual(t, one, other, "the layers do")

	again, err := rewrite(two)
	require.NoError(t, err)
	require.Equal(t, one, again, "a second time changes nothing")
	m, err := readObject(filepath.Join(two, "manifest.json"))
	require.NoError(t, err)
	digest := m["config"].(object)["digest"].(string)
	b, err := os.ReadFile(filepath.Join(two, strings.TrimPrefix(digest, "sha256:")))
	require.NoError(t, err)
	require.JSONEq(t, `{"created":"2026-11-21T17:16:23Z","config":{"User":"1000","Healthcheck":{"Interval":30000000000},"Labels":{"a":"<b>"}},"history":[{"created_by":"COPY"}]}`, string(b))
	require.Equal(t, digest, digestOf(b))
	files, err := os.ReadDir(two)
	require.NoError(t, err)
	require.Len(t, files, 2, "the old config is gone")
}

func TestRewriteRefuses(t *testing.T) {
	for name, manifest := range map[string]string{
		"no JSON": "{", "a list": `{"manifests":[]}`, "a path": `{"config":{"digest":"sha256:../x"}}`, "no such config": `{"config":{"digest":"sha256:00"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(manifest), 0o644))
			_, err := rewrite(dir)
			require.Error(t, err)
		})
	}
	_, err := rewrite(t.TempDir())
	require.Error(t, err)
}
