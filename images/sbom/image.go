package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ofImage is the bill of an image in a directory, as skopeo and buildah push it
// there.
func ofImage(dir, name string) (*bom, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, err
	}
	var m struct {
		Layers []struct{ Digest string }
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("%s: manifest.json: %w", dir, err)
	}
	found := map[string]content{} // by path, as the last layer has it
	for _, l := range m.Layers {
		if err := readLayer(filepath.Join(dir, strings.TrimPrefix(l.Digest, "sha256:")), found); err != nil {
			return nil, fmt.Errorf("%s: layer %s: %w", dir, l.Digest, err)
		}
	}
	b := newBOM(component{Type: "container", Name: name})
	for _, path := range slices.Sorted(maps.Keys(found)) {
		b.Components = append(b.Components, found[path].components...)
	}
	// Programs share modules, and a package may be listed twice.
	slices.SortStableFunc(b.Components, func(x, y component) int { return strings.Compare(x.PURL+x.Name, y.PURL+y.Name) })
	b.Components = slices.CompactFunc(b.Components, func(x, y component) bool {
		return x.Type == y.Type && x.Name == y.Name && x.PURL == y.PURL && slices.Equal(x.Hashes, y.Hashes)
	})
	return b, nil
}

// content is what a file of an image says about what is in the image.
type content struct{ components []component }

// readLayer adds what a layer has, and takes away what it removes.
func readLayer(file string, found map[string]content) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		if base, gone := strings.CutPrefix(path.Base(name), ".wh."); gone {
			delete(found, path.Join(path.Dir(name), base))
			continue
		}
		delete(found, name)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		var list []component
		switch {
		case name == "/var/lib/dpkg/status", path.Dir(name) == "/var/lib/dpkg/status.d":
			list, err = debs(r)
		case path.Base(name) == "release" && path.Dir(name) == "/opt/java":
			list, err = jre(r)
		case h.Mode&0o111 != 0:
			list, err = goProgram(name, r)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if list != nil {
			found[name] = content{list}
		}
	}
}

// debs are the packages that dpkg knows as installed (deb-control(5)).
func debs(r io.Reader) ([]component, error) {
	var list []component
	fields := map[string]string{}
	flush := func() {
		name, version := fields["Package"], fields["Version"]
		if name != "" && version != "" && strings.HasSuffix(fields["Status"], " installed") {
			p := "pkg:deb/debian/" + name + "@" + strings.ReplaceAll(strings.ReplaceAll(version, "+", "%2B"), ":", "%3A") + "?arch=" + fields["Architecture"]
			list = append(list, component{Type: "library", Ref: p, Name: name, Version: version, PURL: p})
		}
		clear(fields)
	}
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if s.Text() == "" {
			flush()
		} else if k, v, ok := strings.Cut(s.Text(), ": "); ok && !strings.HasPrefix(k, " ") {
			fields[k] = v
		}
	}
	flush()
	return list, s.Err()
}

// jre is the Java runtime, from the file that jlink writes.
func jre(r io.Reader) ([]component, error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		if v, ok := strings.CutPrefix(s.Text(), "JAVA_VERSION="); ok {
			v = strings.Trim(v, `"`)
			p := "pkg:generic/openjdk@" + v
			return []component{{Type: "platform", Ref: p, Name: "openjdk", Version: v, PURL: p}}, nil
		}
	}
	return nil, s.Err()
}

// goProgram is a program that was written in Go and its modules; nothing when it
// is something else.
func goProgram(name string, r io.Reader) ([]component, error) {
	head := make([]byte, 4)
	if _, err := io.ReadFull(r, head); err != nil || string(head) != "\x7fELF" {
		return nil, nil
	}
	rest, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	data := append(head, rest...)
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		return nil, nil
	}
	return append([]component{program(name, data, info)}, modules(info)...), nil
}
