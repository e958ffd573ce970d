package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

type file struct {
	name, content string
	mode          int64
}

// layer writes a layer and returns its digest.
func layer(t *testing.T, dir string, files ...file) string {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
	require.NoError(t, err)
	w := tar.NewWriter(z)
	for _, f := range files {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg}))
		_, err := w.Write([]byte(f.content))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	name := fmt.Sprintf("%064x", len(files)*1000+b.Len())
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644))
	return "sha256:" + name
}

const dpkg = `Package: git
Status: install ok installed
Architecture: amd64
Version: 1:2.39.5-0+deb12u2
Description: fast
 more: of this

Package: perl
Status: deinstall ok config-files
Architecture: amd64
Version: 5.36
`

func TestImage(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	program, err := os.ReadFile(self)
	require.NoError(t, err)
	dir := t.TempDir()
	below := layer(t, dir, file{"var/lib/dpkg/status", "Package: old\n", 0o644}, file{"usr/bin/gone", string(program), 0o755})
	above := layer(t, dir, file{"var/lib/dpkg/status", dpkg, 0o644}, file{"usr/bin/.wh.gone", "", 0o644}, file{"bin/agent", string(program), 0o755},
		file{"bin/script", "#!/bin/sh", 0o755}, file{"opt/java/release", "IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"17.0.1\"\n", 0o644},
		file{"var/lib/dpkg/status.d/busybox", "Package: busybox\nStatus: install ok installed\nVersion: 1\nArchitecture: arm64", 0o644})
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), fmt.Appendf(nil, `{"layers":[{"digest":%q},{"digest":%q}]}`, below, above), 0o644))

	b, err := ofImage(dir, "made")
	require.NoError(t, err)
	var names []string
	for _, c := range b.Components {
		if c.Type != "library" || strings.Contains(c.PURL, "pkg:deb") {
			names = append(names, c.Name+" "+c.PURL)
		}
	}
	require.Contains(t, names[0], "busybox pkg:deb/debian/busybox@1?arch=arm64")
	require.Equal(t, "git pkg:deb/debian/git@1%3A2.39.5-0%2Bdeb12u2?arch=amd64", names[1])
	require.Equal(t, "openjdk pkg:generic/openjdk@17.0.1", names[2])
	require.True(t, strings.HasPrefix(names[3], "/bin/agent "), names[3])
	require.Len(t, names, 4, "neither what was removed nor what is configured no more: %v", names)

	alone, err := ofProgram(self)
	require.NoError(t, err)
	for _, c := range b.Components {
		if c.Name == "/bin/agent" {
			require.Equal(t, alone.Metadata.Component.Hashes, c.Hashes)
		}
	}
}

func TestWrite(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	var once, twice bytes.Buffer
	for _, w := range []*bytes.Buffer{&once, &twice} {
		b, err := ofProgram(self)
		require.NoError(t, err)
		require.NoError(t, b.write(w))
	}
	require.Equal(t, once.String(), twice.String())
	var back map[string]any
	require.NoError(t, json.Unmarshal(once.Bytes(), &back))
	require.Equal(t, "CycloneDX", back["bomFormat"])
}

func TestRefusals(t *testing.T) {
	_, err := ofProgram("/etc/passwd")
	require.ErrorContains(t, err, "/etc/passwd")
	_, err = ofImage(t.TempDir(), "x")
	require.Error(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"layers":[{"digest":"sha256:00"}]}`), 0o644))
	_, err = ofImage(dir, "x")
	require.ErrorContains(t, err, "layer sha256:00")
}
