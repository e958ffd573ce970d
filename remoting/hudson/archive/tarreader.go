package archive

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"strings"
)

// ReadOptions are the settings of ReadTar and ReadZip.
type ReadOptions struct {
	// Name is what messages call the archive: the file's name, "input stream", or target path "/" description.
	Name   string
	Gzip   bool // ReadTar: TarCompression.GZIP
	Limits Limits
	// Decode turns names that are not UTF-8 into it (field filenamesEncoding); nil leaves bytes as they are.
	Decode func(string) string
	// Log gets what Java only tells its own log, links that could not be made above all. May be nil.
	Log *slog.Logger
}

// ReadTar unpacks a tar into dir, as hudson.FilePath.readFromTar does, and returns the number of entries. dir is made if
// there is any entry. Permissions and times are set for files only, and only the lower nine bits of the former.
//
// Errors: a *Failure "Failed to extract NAME" with the reason as its cause, as in Java; data that is not gzip at all, or
// no data, is a *Failure without that wrapping. ctx is looked at between entries: to end a ReadTar that waits, close r.
// ReadTar does not close r, and returns at the end of the tar without waiting for that of r: the caller closes r, as Java
// does. With Gzip a goroutine may be reading r until then.
func ReadTar(ctx context.Context, r io.Reader, dir string, opts ReadOptions) (entries int, err error) {
	t, err := newTree(dir, opts.Log, opts.Limits)
	if err != nil {
		return 0, err
	}
	defer t.close()
	packed := &counter{r: r}
	t.meter.packed = packed.n.Load
	var in io.Reader = packed
	if opts.Gzip {
		d, err := newDecompressor(packed)
		if err != nil {
			return 0, err
		}
		defer d.stop()
		in = d
	}
	x := tarExtractor{tree: t, opts: opts}
	if err := x.run(ctx, tar.NewReader(in)); err != nil {
		return x.count, &Failure{ClassIO, "Failed to extract " + opts.Name, tarFailure(err)}
	}
	return x.count, nil
}

type tarExtractor struct {
	*tree
	opts  ReadOptions
	count int
}

func (x *tarExtractor) run(ctx context.Context, r *tar.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := r.Next()
		if err == io.EOF {
			return nil
		} else if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		if err := x.meter.entry(); err != nil {
			return err
		}
		if err := x.entry(h, r); err != nil {
			return err
		}
		x.count++
	}
}

// entry unpacks one entry. The checks and their texts are those of readFromTar, in its order. Cores after 2.541 refuse
// every link on the way; before, stashes were unpacked over a workspace with links in it, and as long as those stay in
// the target that does no harm.
func (x *tarExtractor) entry(h *tar.Header, data io.Reader) error {
	name, target := h.Name, h.Linkname
	if x.opts.Decode != nil {
		name, target = x.opts.Decode(name), x.opts.Decode(target)
	}
	if strings.ContainsRune(name, 0) {
		return failure("Nul character not allowed: %q", name)
	}
	// an absolute name is taken below the target, as new File(baseDir, name) does
	rel := path.Clean(strings.TrimLeft(name, "/"))
	if !filepath.IsLocal(rel) {
		return failure("Tar %s contains illegal file name that breaks out of the target directory: %s", x.opts.Name, name)
	}
	if x.throughLink(strings.Trim(name, "/")) && (strings.Contains(name, "..") || x.outside(path.Dir(rel))) {
		return failure("Tar %s attempts to write to file with symlink in path: %s", x.opts.Name, name)
	}
	switch {
	case h.Typeflag == tar.TypeDir || strings.HasSuffix(name, "/"):
		return x.mkdir(rel)
	case h.Typeflag == tar.TypeSymlink:
		return x.symlink(rel, target)
	}
	if x.isLink(rel) && x.outside(rel) {
		return failure("Tar '%s' entry '%s' would write through existing symlink: %s", x.opts.Name, name, x.full(rel))
	}
	if h.Typeflag == tar.TypeLink {
		old := path.Clean(strings.TrimLeft(target, "/"))
		if filepath.IsLocal(old) && !x.throughLink(strings.TrimLeft(target, "/")) && x.link(rel, old) {
			return nil
		}
	}
	n, err := x.file(rel, data, fs.FileMode(h.Mode&0o777), h.ModTime)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return failure("unexpected EOF with %d bytes unread", h.Size-n)
	}
	return err
}

// tarFailure words what archive/tar says.
func tarFailure(err error) error {
	switch {
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return &Failure{ClassIO, "Error detected parsing the header", err}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return failure("unexpected EOF in the middle of an entry")
	}
	return err
}
