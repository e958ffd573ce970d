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
	"sync"
	"time"
)

// maxJar bounds what is taken for an agent.jar, in bytes; real ones have 1.5 MB.
const maxJar = 64 << 20

// fetchTime bounds one download.
const fetchTime = 5 * time.Minute

// jarSource is where the controller's own agent.jar comes from: the version of
// the companion must be that of the controller.
type jarSource struct {
	file   string       // given (JENKINS_AGENT_FILE), or
	urls   []string     // roots of Jenkins, tried in turn
	client *http.Client // with our proxy and CA
	header http.Header
	dir    string // cache

	mu    sync.Mutex // one download at a time; guards fresh
	fresh string     // the jar as it was fetched or confirmed for this connection
}

// stale makes the next get ask the controller again.
func (s *jarSource) stale() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh = ""
}

// get returns the path of the jar, downloading it if the controller has
// another one than the cache.
func (s *jarSource) get(ctx context.Context) (string, error) {
	if s.file != "" {
		if _, err := inspectJar(s.file); err == nil || len(s.urls) == 0 {
			return s.file, err
		}
	}
	if len(s.urls) == 0 {
		return "", errors.New("jvm: there is no agent.jar: without -url it can't be fetched; name one with JENKINS_AGENT_FILE")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fresh != "" {
		if _, err := inspectJar(s.fresh); err == nil {
			return s.fresh, nil
		}
	}
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return "", err
	}
	path := filepath.Join(s.dir, "agent.jar")
	var errs []error
	for _, u := range s.urls {
		err := s.fetch(ctx, u, path)
		if err == nil {
			s.fresh = path
			return path, nil
		}
		errs = append(errs, err)
	}
	if _, bad := inspectJar(path); bad == nil {
		return path, nil // from an earlier time
	}
	return "", errors.Join(errs...)
}

// fetch brings the jar at path up to date from one root of Jenkins.
func (s *jarSource) fetch(ctx context.Context, root, path string) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(root, "/")+"/jnlpJars/agent.jar", nil)
	if err != nil {
		return err
	}
	for k, v := range s.header {
		req.Header[k] = v
	}
	etagFile := filepath.Join(s.dir, "agent.jar.etag")
	if etag, err := os.ReadFile(etagFile); err == nil {
		if _, err := inspectJar(path); err == nil {
			req.Header.Set("If-None-Match", string(etag))
			if fi, err := os.Stat(path); err == nil {
				req.Header.Set("If-Modified-Since", fi.ModTime().UTC().Format(http.TimeFormat))
			}
		}
	}
	client := *s.client
	client.CheckRedirect = func(to *http.Request, via []*http.Request) error {
		if to.URL.Host != req.URL.Host {
			for k := range s.header { // meant for the controller, and may be secret
				to.Header.Del(k)
			}
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("jvm: the controller's agent.jar can't be fetched: %w", err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotModified:
		return nil
	case http.StatusOK:
	default:
		return fmt.Errorf("jvm: the controller's agent.jar can't be fetched: %s answers %s", req.URL, resp.Status)
	}
	if err := s.store(path, resp.Body); err != nil {
		return err
	}
	etag := resp.Header.Get("ETag")
	if etag == "" {
		etag = `""` // then If-Modified-Since decides
	}
	_ = os.WriteFile(etagFile, []byte(etag), 0o666) // without it the jar is fetched again
	if t, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		_ = os.Chtimes(path, t, t)
	}
	return nil
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
