// Command canonical makes an image that was pushed to a directory say nothing of
// how it came about, so that two builds of the same have the same digest:
//
//	buildah push NAME dir:DIR      manifest.json, blobs
//	go run ./images/canonical DIR  prints sha256:… of the new manifest
//	buildah pull dir:DIR
//
// buildah's docker format, which HEALTHCHECK needs, writes the id of the build's
// container and its host name into the config. Layers stay as they are.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: canonical DIRECTORY")
		os.Exit(64)
	}
	digest, err := rewrite(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "canonical:", err)
		os.Exit(1)
	}
	fmt.Println(digest)
}

type object = map[string]any

// rewrite cleans the image in dir and returns the digest of its manifest.
func rewrite(dir string) (string, error) {
	manifest, err := readObject(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return "", err
	}
	entry, ok := manifest["config"].(object)
	old, _ := entry["digest"].(string)
	oldHex, isSHA := strings.CutPrefix(old, "sha256:")
	if !ok || !isSHA || oldHex != filepath.Base(oldHex) {
		return "", errors.New("manifest.json names no config: is it a list?")
	}
	config, err := readObject(filepath.Join(dir, oldHex))
	if err != nil {
		return "", err
	}
	clean(config)
	b, err := encode(config)
	if err != nil {
		return "", err
	}
	entry["digest"], entry["size"] = digestOf(b), len(b)
	if err := os.Remove(filepath.Join(dir, oldHex)); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, strings.TrimPrefix(digestOf(b), "sha256:")), b, 0o644); err != nil {
		return "", err
	}
	if b, err = encode(manifest); err != nil {
		return "", err
	}
	return digestOf(b), os.WriteFile(filepath.Join(dir, "manifest.json"), b, 0o644)
}

// clean takes out what differs from build to build, and what only repeats the
// rest (container_config, which the image specification has dropped).
func clean(config object) {
	for _, k := range []string{"container", "container_config", "docker_version", "id", "parent"} {
		delete(config, k)
	}
	if c, ok := config["config"].(object); ok {
		delete(c, "Hostname")
		delete(c, "Domainname")
		delete(c, "Image")
		if labels, ok := c["Labels"].(object); ok {
			delete(labels, "io.buildah.version")
		}
	}
	steps, _ := config["history"].([]any)
	for _, s := range steps {
		// "FROM NAME", where NAME is any of those that the base has here.
		if step, ok := s.(object); ok {
			delete(step, "comment")
		}
	}
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func readObject(path string) (object, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var o object
	if err := d.Decode(&o); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return o, nil
}

// encode writes keys in order, so that the same object has the same bytes.
func encode(o object) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(o)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
