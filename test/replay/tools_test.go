package replay

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// toolServer stands for the web server of recording 28, which had one tool as
// mvn.zip and mvn.tgz. Everything else is not found.
type toolServer struct{}

const (
	toolName = "apache-maven-0.0/bin/mvn"
	toolText = "#!/bin/sh\necho \"fake maven $0 $@\"\n"
)

func (toolServer) RoundTrip(q *http.Request) (*http.Response, error) {
	var b bytes.Buffer
	status := http.StatusOK
	switch {
	case strings.HasSuffix(q.URL.Path, "/mvn.zip"):
		z := zip.NewWriter(&b)
		f, err := z.Create(toolName)
		if err != nil {
			return nil, err
		}
		_, _ = io.WriteString(f, toolText)
		_ = z.Close()
	case strings.HasSuffix(q.URL.Path, "/mvn.tgz"):
		g := gzip.NewWriter(&b)
		w := tar.NewWriter(g)
		_ = w.WriteHeader(&tar.Header{Name: toolName, Mode: 0o644, Size: int64(len(toolText)), Format: tar.FormatGNU})
		_, _ = io.WriteString(w, toolText)
		_ = w.Close()
		_ = g.Close()
	default:
		status = http.StatusNotFound
	}
	return &http.Response{Status: fmt.Sprint(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
		Body: io.NopCloser(&b), ContentLength: int64(b.Len()), Request: q}, nil
}
