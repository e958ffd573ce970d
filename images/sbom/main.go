// Command sbom prints a bill of materials as CycloneDX 1.6, of a Go program or of
// an image that was pushed to a directory:
//
//	go run ./images/sbom bin/linux-amd64/jenkins-agent > jenkins-agent.cdx.json
//	buildah push NAME dir:DIR; go run ./images/sbom DIR NAME > image.cdx.json
//
//	program   its modules, as `go version -m` tells them
//	image     every Go program in it and its modules, Debian's packages, the JRE
//
// The output depends on the input alone: no time, no serial number.
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
)

type bom struct {
	Format     string      `json:"bomFormat"`
	Spec       string      `json:"specVersion"`
	Version    int         `json:"version"`
	Metadata   metadata    `json:"metadata"`
	Components []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref,omitempty"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	PURL       string     `json:"purl,omitempty"`
	Hashes     []hash     `json:"hashes,omitempty"`
	Properties []property `json:"properties,omitempty"`
}

type hash struct {
	Alg     string `json:"alg"`
	Content string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func main() {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: sbom PROGRAM | sbom DIRECTORY NAME")
		os.Exit(64)
	}
	var b *bom
	var err error
	if len(os.Args) == 3 {
		b, err = ofImage(os.Args[1], os.Args[2])
	} else {
		b, err = ofProgram(os.Args[1])
	}
	if err == nil {
		err = b.write(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func (b *bom) write(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(b)
}

func newBOM(main component) *bom {
	return &bom{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: metadata{main}, Components: []component{}}
}

// ofProgram is the bill of the program at path.
func ofProgram(path string) (*bom, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b := newBOM(program(filepath.Base(path), data, info))
	b.Components = modules(info)
	return b, nil
}

// program is the component of a Go program.
func program(name string, data []byte, info *debug.BuildInfo) component {
	sum := sha256.Sum256(data)
	p := component{Type: "application", Name: name, Version: info.Main.Version, PURL: purl(&info.Main),
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}}
	for _, s := range info.Settings {
		switch s.Key {
		case "GOOS", "GOARCH", "CGO_ENABLED", "vcs.revision":
			p.Properties = append(p.Properties, property{"go:" + s.Key, s.Value})
		}
	}
	return p
}

// modules are what a Go program was made of.
func modules(info *debug.BuildInfo) []component {
	std := "pkg:golang/std@" + info.GoVersion
	list := []component{{Type: "library", Ref: std, Name: "std", Version: info.GoVersion, PURL: std}}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		list = append(list, component{Type: "library", Ref: purl(m), Name: m.Path, Version: m.Version, PURL: purl(m)})
	}
	return list
}

func purl(m *debug.Module) string {
	p := "pkg:golang/" + m.Path
	if m.Version != "" && m.Version != "(devel)" {
		p += "@" + m.Version
	}
	return p
}
