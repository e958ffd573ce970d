package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
)

// imageFiles lists the files in the layers of a docker archive, without
// directories, sorted and each once.
func imageFiles(archive string) ([]string, error) {
	b, err := os.ReadFile(archive)
	if err != nil {
		return nil, err
	}
	var manifests []struct{ Layers []string }
	inner := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(b)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", archive, err)
		}
		if inner[h.Name], err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("%s: %w", archive, err)
		}
	}
	if err := json.Unmarshal(inner["manifest.json"], &manifests); err != nil || len(manifests) != 1 {
		return nil, fmt.Errorf("%s: manifest.json is not of one image: %v", archive, err)
	}
	var files []string
	for _, l := range manifests[0].Layers {
		z, err := gzip.NewReader(bytes.NewReader(inner[l]))
		if err != nil {
			return nil, fmt.Errorf("%s: layer %s: %w", archive, l, err)
		}
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if err == io.EOF {
				break
			} else if err != nil {
				return nil, fmt.Errorf("%s: layer %s: %w", archive, l, err)
			}
			if h.Typeflag != tar.TypeDir {
				files = append(files, path.Clean("/"+h.Name))
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}
