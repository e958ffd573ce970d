package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// serveImage serves a local image on loopback as a registry does, so that the
// builders have something to build upon. It returns its name there.
func (c *checker) serveImage(ctx context.Context, name string) (ref string, stop func(), err error) {
	dir, err := os.MkdirTemp(c.work, "registry-")
	if err != nil {
		return "", nil, err
	}
	if _, err := buildah(ctx, "push", "--quiet", name, "oci:"+dir+"/oci"); err != nil {
		return "", nil, err
	}
	blobs := filepath.Join(dir, "oci/blobs/sha256")
	index, err := os.ReadFile(filepath.Join(dir, "oci/index.json"))
	if err != nil {
		return "", nil, err
	}
	var top struct {
		Manifests []struct{ Digest, MediaType string }
	}
	if err := json.Unmarshal(index, &top); err != nil || len(top.Manifests) != 1 {
		return "", nil, fmt.Errorf("%s: index.json is not of one image: %v", name, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, last, _ := strings.Cut(r.URL.Path, "/v2/")
		what, digest := "", filepath.Base(last)
		if i := strings.LastIndex(last, "/"); i >= 0 {
			what = filepath.Base(last[:i])
		}
		switch what {
		case "manifests":
			if !strings.HasPrefix(digest, "sha256:") {
				digest = top.Manifests[0].Digest
			}
			rw.Header().Set("Content-Type", top.Manifests[0].MediaType)
		case "blobs":
			rw.Header().Set("Content-Type", "application/octet-stream")
		default:
			rw.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
			return // GET /v2/
		}
		rw.Header().Set("Docker-Content-Digest", digest)
		http.ServeFile(rw, r, filepath.Join(blobs, strings.TrimPrefix(digest, "sha256:")))
	})}
	go func() { _ = srv.Serve(l) }()
	return l.Addr().String() + "/base:1", func() { _ = srv.Close() }, nil
}
