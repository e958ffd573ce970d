package hudson

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/jser"
)

// endOfStream is how long the end of a stream is waited for once everything
// that was wanted of it has been read.
const endOfStream = 300 * time.Millisecond

// receive runs read with the stream that a field of the call brings. The
// sender normally has little more to say after the last byte that read takes;
// that is awaited, because a stream closed before its end makes the controller
// log an error.
func (a *Agent) receive(ctx context.Context, c *callable.Call, field string, read func(ctx context.Context, r io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // also ends a decompressor that still waits for the stream
	in, err := c.Reader(ctx, c.Object.Get(field))
	if err != nil {
		return err
	}
	defer in.Close()
	if err := read(ctx, in); err != nil {
		return archiveError(err)
	}
	t := time.AfterFunc(endOfStream, cancel)
	defer t.Stop()
	_, _ = io.CopyBuffer(io.Discard, onlyReader{in}, make([]byte, 4096))
	return nil
}

// fileOf is the path that an error of package os is about.
func fileOf(err error) (string, bool) {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Path, true
	case errors.As(err, &l):
		return l.Old, true
	}
	return "", false
}

func knownOpenOptions(c *callable.Call) error {
	_, err := openOptionsOf(c.Object)
	return err
}

// openRegular opens a file for reading without waiting for the other end of a
// FIFO, where Java waits for ever: one without a writer reads as empty.
func openRegular(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// openChecked is FilePath.newInputStreamDenyingSymlinkAsNeeded.
func openChecked(c *callable.Call) (*os.File, error) {
	opts, err := openOptionsOf(c.Object)
	if err != nil {
		return nil, err
	}
	root := c.Object.Str("verificationRoot")
	if opts.tmpDir(c.Path, root) {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "Tmp directory is prohibited.")
	}
	if !opts.noFollow {
		return openRegular(c.Path)
	}
	if opts.link(c.Path, root) {
		return nil, errLinks()
	}
	f, err := os.OpenFile(c.Path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if opts.link(c.Path, root) { // once more, should a link have come in between
		f.Close()
		return nil, errLinks()
	}
	return f, nil
}

func errLinks() error {
	return remoting.Errorf(remoting.IOExceptionClass, "Symlinks are prohibited.")
}

func hasSymlink(_ context.Context, c *callable.Call) (jser.Value, error) {
	opts, err := openOptionsOf(c.Object)
	if err != nil {
		return nil, err
	}
	return jser.Boolean(opts.link(c.Path, c.Object.Str("verificationRoot"))), nil
}
