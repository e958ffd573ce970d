package jvm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// maxJar bounds what is taken for an agent.jar, in bytes; real ones have 1.5 MB.
const maxJar = 64 << 20

// jarSource is where the controller's own agent.jar comes from: the version of
// the companion must be that of the controller.
type jarSource struct {
	file   string       // given (JENKINS_AGENT_FILE), or
	url    string       // the root of Jenkins
	client *http.Client // with our proxy and CA
	header http.Header
	dir    string // cache
}

// get returns the path of the jar, downloading it if the controller has
// another one than the cache.
func (s *jarSource) get(ctx context.Context) (string, error) {
	if s.file != "" {
		if _, err := inspectJar(s.file); err == nil || s.url == "" {
			return s.file, err
		}
	}
	if s.url == "" {
		return "", errors.New("jvm: there is no agent.jar: without -url it can't be fetched; name one with JENKINS_AGENT_FILE")
	}
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(s.url, "/")+"/jnlpJars/agent.jar", nil)
	if err != nil {
		return "", err
	}
	for k, v := range s.header {
		req.Header[k] = v
	}
	path := filepath.Join(s.dir, "agent.jar")
	etagFile := filepath.Join(s.dir, "agent.jar.etag")
	if etag, err := os.ReadFile(etagFile); err == nil {
		if _, err := inspectJar(path); err == nil {
			req.Header.Set("If-None-Match", string(etag))
			if fi, err := os.Stat(path); err == nil {
				req.Header.Set("If-Modified-Since", fi.ModTime().UTC().Format(http.TimeFormat))
			}
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return s.cachedOr(path, fmt.Errorf("jvm: the controller's agent.jar can't be fetched: %w", err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotModified:
		return path, nil
	case http.StatusOK:
	default:
		return s.cachedOr(path, fmt.Errorf("jvm: the controller's agent.jar can't be fetched: %s answers %s", req.URL, resp.Status))
	}
	if err := s.store(path, resp.Body); err != nil {
		return "", err
	}
	etag := resp.Header.Get("ETag")
	if etag == "" {
		etag = `""` // then If-Modified-Since decides
	}
	_ = os.WriteFile(etagFile, []byte(etag), 0o666) // without it the jar is fetched again
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		_ = os.Chtimes(path, t, t)
	}
	return path, nil
}

// cachedOr falls back to a jar from an earlier time.
func (s *jarSource) cachedOr(path string, err error) (string, error) {
	if _, bad := inspectJar(path); bad == nil {
		return path, nil
	}
	return "", err
}

// store writes a jar under another name, checks it, and moves it into place.
func (s *jarSource) store(path string, r io.Reader) error {
	tmp, err := os.CreateTemp(s.dir, "agent-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	n, err := io.Copy(tmp, io.LimitReader(r, maxJar+1))
	err = errors.Join(err, tmp.Close())
	if err == nil && n > maxJar {
		err = fmt.Errorf("jvm: the controller's agent.jar has more than %d bytes", maxJar)
	}
	if err == nil {
		_, err = inspectJar(tmp.Name())
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(tmp.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
