package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every image has checks, and more than its config is looked at.
func TestChecksOfEveryImage(t *testing.T) {
	files, err := filepath.Glob("../../images/*/Dockerfile")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		name := filepath.Base(filepath.Dir(f))
		require.Greater(t, len(checksOf(name)), 2, name)
		require.Len(t, checksOf(name+":arm64"), len(checksOf(name)), "a tag makes no difference")
	}
}

func TestBundle(t *testing.T) {
	im := &image{config: imageConfig{Entrypoint: []string{"/kaniko/jenkins-agent"}, Env: []string{"A=b"}}}
	type config struct {
		Root    struct{ Readonly bool }
		Mounts  []struct{ Destination, Source string }
		Linux   struct{ CgroupsPath string }
		Process struct {
			Args, Env       []string
			Cwd             string
			NoNewPrivileges bool
			User            struct {
				UID, GID       int
				AdditionalGids []int
			}
			Capabilities map[string][]string
		}
	}
	read := func(s spec) (c config) {
		dir := t.TempDir()
		require.NoError(t, bundle(dir, "/root", "", im, s))
		b, err := os.ReadFile(filepath.Join(dir, "config.json"))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &c))
		return c
	}
	c := read(spec{uid: 5, groups: []int{7}, readOnly: true, caps: containerCaps, env: []string{"C=d"}, volumes: []volume{{source: "/s", target: "/t"}}})
	require.Equal(t, []string{"/kaniko/jenkins-agent"}, c.Process.Args)
	require.Equal(t, []string{"A=b", "C=d"}, c.Process.Env)
	require.True(t, c.Root.Readonly)
	require.True(t, c.Process.NoNewPrivileges)
	require.Equal(t, []int{7}, c.Process.User.AdditionalGids)
	require.Equal(t, "/", c.Process.Cwd)
	require.Empty(t, c.Process.Capabilities["effective"], "only root has them without asking")
	require.Equal(t, "/t", c.Mounts[len(c.Mounts)-1].Destination)

	c = read(spec{args: []string{"/elsewhere", "-version"}, grow: true, caps: containerCaps})
	require.Equal(t, []string{"/elsewhere", "-version"}, c.Process.Args)
	require.False(t, c.Process.NoNewPrivileges)
	require.Equal(t, containerCaps, c.Process.Capabilities["effective"])
	require.Equal(t, []string{"A=b"}, im.config.Env, "the image's own environment is as it was")
}

func TestImageFiles(t *testing.T) {
	pack := func(z bool, files ...string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := 0; i+1 < len(files); i += 2 {
			h := &tar.Header{Name: files[i], Size: int64(len(files[i+1])), Typeflag: tar.TypeReg}
			if files[i+1] == "" {
				h.Typeflag = tar.TypeDir
			}
			require.NoError(t, w.WriteHeader(h))
			_, err := w.Write([]byte(files[i+1]))
			require.NoError(t, err)
		}
		require.NoError(t, w.Close())
		if !z {
			return b.Bytes()
		}
		var out bytes.Buffer
		g := gzip.NewWriter(&out)
		_, err := g.Write(b.Bytes())
		require.NoError(t, err)
		require.NoError(t, g.Close())
		return out.Bytes()
	}
	name := filepath.Join(t.TempDir(), "x.tar")
	archive := pack(false, "l1", string(pack(true, "etc", "", "b", "1", "./a", "2")), "l2", string(pack(true, "a", "3")), "manifest.json", `[{"Layers":["l1","l2"]}]`)
	require.NoError(t, os.WriteFile(name, archive, 0o644))
	files, err := imageFiles(name)
	require.NoError(t, err)
	require.Equal(t, []string{"/a", "/b"}, files)

	require.NoError(t, os.WriteFile(name, pack(false, "other", "x"), 0o644))
	_, err = imageFiles(name)
	require.ErrorContains(t, err, "manifest.json")
}

func TestTail(t *testing.T) {
	require.Empty(t, tail(""))
	require.Equal(t, "\nx", tail("x"))
	require.Less(t, len(tail(string(make([]byte, 10_000)))), 2100)
}
