package hudson

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/archive"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerDownloads adds what the agent fetches by itself: archives of tools,
// and artifacts that an artifact manager keeps elsewhere.
func registerDownloads(t *callable.Table, a *Agent) {
	t.Register(
		callable.Entry{Class: "hudson.FilePath$Unpack", Fields: []string{"archive"}, Source: "core", Accepts: fetchable("archive"), Run: a.unpack},
		fileCallable("hudson.tools.ZipExtractionInstaller$ChmodRecAPlusX", "core", func(p string) (jser.Value, error) {
			executable(p, nil)
			return nil, nil
		}),
		callable.Entry{Class: "hudson.plugins.copyartifact.CopyArtifact$CopyURLWithFingerprinting", Fields: []string{"u", "listener", "client"},
			Source: "copyartifact 680", Accepts: fetchable("u"), Run: a.copyURL},
	)
}

// fileCallable is an entry for a FileCallable of any class that needs only the
// path.
func fileCallable(class, source string, run func(path string) (jser.Value, error)) callable.Entry {
	return callable.Entry{Class: class, Source: source,
		Run: func(_ context.Context, c *callable.Call) (jser.Value, error) { return run(c.Path) }}
}

// javaURL is java.net.URL.toExternalForm.
func javaURL(v jser.Value) (string, bool) {
	o, _ := v.(*jser.Object)
	if o == nil || o.Class.Name != "java.net.URL" {
		return "", false
	}
	s := o.Str("protocol") + ":"
	if a := o.Str("authority"); a != "" {
		s += "//" + a
	}
	s += o.Str("file")
	if ref, ok := o.Get("ref").(string); ok {
		s += "#" + ref
	}
	return s, true
}

func fetchable(field string) func(*callable.Call) error {
	return func(c *callable.Call) error {
		s, ok := javaURL(c.Object.Get(field))
		if !ok {
			return fmt.Errorf("the URL %s", jser.Describe(c.Object.Get(field)))
		}
		protocol, _, _ := strings.Cut(s, ":")
		switch protocol {
		case "http", "https", "file":
			return nil
		}
		return fmt.Errorf("a URL of the protocol %s", protocol)
	}
}

var (
	socketDesc      = jser.Serializable("java.net.SocketException", -5935874303556886934, jser.IOExceptionClass)
	connectDesc     = jser.Serializable("java.net.ConnectException", 3831404271622369215, socketDesc)
	unknownHostDesc = jser.Serializable("java.net.UnknownHostException", -4639126076052875403, jser.IOExceptionClass)
)

// shownURL is a URL for messages: without a password, and with query false
// without what may be a signature.
func shownURL(location string, query bool) string {
	u, err := url.Parse(location)
	if err != nil {
		return "the URL"
	}
	if !query {
		u.RawQuery, u.Fragment = "", ""
	}
	if u.User == nil {
		if query {
			return location
		}
		return u.String()
	}
	return u.Redacted()
}

// get opens a URL with the words of java.net.HttpURLConnection for what goes
// wrong, where the URL is called shown. Redirects are followed.
func (a *Agent) get(ctx context.Context, location, shown string) (io.ReadCloser, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: the URL can't be read: %v", errors.Unwrap(err))
	}
	if u.Scheme == "file" {
		f, err := openRegular(u.Path)
		if err != nil {
			return nil, fileNotFound(u.Path, err)
		}
		return f, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: a request for %s can't be made", shown)
	}
	// Or the transport would ask for gzip and unpack a .tar.gz on the way.
	req.Header.Set("Accept-Encoding", "identity")
	client := a.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, httpError(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp.Body, nil
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone {
		return nil, remoting.Errorf(remoting.FileNotFoundClass, "%s", shown)
	}
	return nil, remoting.Errorf(remoting.IOExceptionClass, "Server returned HTTP response code: %d for URL: %s", resp.StatusCode, shown)
}

// httpError drops the URL, which may hold a password, from the errors of
// net/http.
func httpError(err error) error {
	var u *url.Error
	var dns *net.DNSError
	if errors.As(err, &u) {
		err = u.Err
	}
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &dns) && dns.IsNotFound:
		return remoting.Errorf(unknownHostDesc, "%s", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return remoting.Errorf(connectDesc, "Connection refused")
	}
	return remoting.Errorf(remoting.IOExceptionClass, "%v", err)
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// unpack downloads an archive and unpacks it on the way, as
// FilePath.installIfNecessaryFrom asks for before it tries from the
// controller. A zip goes through a temporary file.
func (a *Agent) unpack(ctx context.Context, c *callable.Call) (jser.Value, error) {
	location, ok := javaURL(c.Object.Get("archive"))
	if !ok {
		return nil, errNoURL(c.Object.Get("archive"))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	shown := shownURL(location, true)
	body, err := a.get(ctx, location, shown)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	in := &counter{r: body}
	opts := archive.ReadOptions{Name: "input stream", Gzip: true, Limits: a.ArchiveLimits, Log: a.Log}
	if strings.HasSuffix(location, ".zip") {
		_, err = archive.ReadZip(ctx, in, c.Path, opts)
	} else {
		_, err = archive.ReadTar(ctx, in, c.Path, opts)
	}
	if err == nil {
		return nil, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	x := remoting.Errorf(remoting.IOExceptionClass, "Failed to unpack %s (%d bytes read)", shown, in.n)
	x.Cause = asException(archiveError(err))
	return nil, x
}

// executable gives all files below a path the x bits. Links are followed, but
// not into a directory that they are in.
func executable(path string, above []os.FileInfo) {
	fi, err := os.Stat(path)
	if err != nil {
		return
	}
	if fi.Mode().IsRegular() {
		_ = os.Chmod(path, fi.Mode()|0o111)
		return
	}
	for _, a := range above {
		if os.SameFile(a, fi) {
			return
		}
	}
	if !fi.IsDir() {
		return
	}
	above = append(above, fi)
	for _, n := range readNames(path) {
		executable(filepath.Join(path, n), above)
	}
}

// copyURL downloads an artifact and answers the MD5 of what it wrote. The URL
// is often signed, so it is in no message.
func (a *Agent) copyURL(ctx context.Context, c *callable.Call) (jser.Value, error) {
	location, ok := javaURL(c.Object.Get("u"))
	if !ok {
		return nil, errNoURL(c.Object.Get("u"))
	}
	if err := mkdirs(filepath.Dir(c.Path)); err != nil {
		return nil, err
	}
	shown := shownURL(location, false)
	var err error
	for try := 1; ; try++ {
		var sum []byte
		if sum, err = a.download(ctx, location, shown, c.Path); err == nil {
			return jser.ByteArray(sum), nil
		}
		if _, local := fileOf(err); local || try == downloadTries || ctx.Err() != nil {
			break
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	x := remoting.Errorf(remoting.IOExceptionClass, "Failed to download %s to %s", shown, c.Path)
	x.Cause = asException(err)
	return nil, x
}

const downloadTries = 3

func (a *Agent) download(ctx context.Context, location, shown, path string) (sum []byte, err error) {
	body, err := a.get(ctx, location, shown)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return nil, err
	}
	h := md5.New() // of fingerprints
	_, err = io.CopyBuffer(io.MultiWriter(f, h), onlyReader{body}, make([]byte, copyBuffer))
	return h.Sum(nil), errors.Join(err, f.Close())
}
