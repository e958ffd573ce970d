package hudson

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/hudson/archive"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerArchives adds what sends and receives whole trees as tar or zip:
// stash, unstash, archiveArtifacts, downloads of the workspace.
func registerArchives(t *callable.Table, a *Agent) {
	entry := func(class string, run callable.Func, accepts func(*callable.Call) error, fields ...string) callable.Entry {
		return callable.Entry{Class: "hudson.FilePath$" + class, Fields: fields, Source: "core", Accepts: accepts, Run: run}
	}
	t.Register(
		entry("Archive", archiveTree, knownArchive, "factory", "out", "scanner", "verificationRoot", "openOptions", "noFollowLinks"),
		entry("CopyRecursiveRemoteToLocal", sendTar, knownTar, "pipe", "scanner", "compression", "filenamesEncoding"),
		entry("WriteToTar", sendTar, knownTar, "pipe", "scanner", "compression", "filenamesEncoding"),
		entry("CopyRecursiveLocal", a.copyTree, knownScanner, "target", "scanner"),
		entry("UntarRemote", a.untarStream("in"), knownCompression, "compression", "in", "name"),
		entry("UntarFrom", a.untarStream("in"), knownCompression, "compression", "in"),
		entry("UntarLocal", a.untarFile, knownCompression, "compression", "filePath"),
		entry("ReadFromTar", a.untarStream("pipe"), knownCompression, "pipe", "description", "compression", "target", "filenamesEncoding"),
		// its name until core 2.319
		entry("ReadToTar", a.untarStream("pipe"), knownCompression, "pipe", "description", "compression"),
		entry("UnzipRemote", a.unzipStream, nil, "in"),
		entry("UnzipFrom", a.unzipStream, nil, "in"),
		entry("UnzipLocal", a.unzipFile, nil, "filePath"),
	)
}

// dirScanner makes a scanner of a hudson.util.DirScanner; those of plugins are
// errors.
func dirScanner(v jser.Value) (ant.DirScanner, error) {
	o, _ := v.(*jser.Object)
	if o == nil {
		return nil, fmt.Errorf("the scanner %s", jser.Describe(v))
	}
	switch o.Class.Name {
	case "hudson.util.DirScanner$Full":
		return ant.Full{}, nil
	case "hudson.util.DirScanner$Filter":
		accept, err := fileFilter(o.Get("filter"))
		return ant.Filter{Accept: accept}, err
	case "hudson.util.DirScanner$Glob":
		opts, err := openOptionsOf(o)
		g := ant.Glob{Includes: o.Str("includes"), DefaultExcludes: o.Bool("useDefaultExcludes"), NoFollow: opts.noFollow}
		if x, ok := o.Get("excludes").(string); ok {
			g.Excludes = &x
		}
		if follow, ok := o.Field("followSymlinks"); ok && follow == false { // from core 2.275 to 2.319
			g.NoFollow = true
		}
		return g, err
	case "hudson.FilePath$ExplicitlySpecifiedDirScanner":
		es, err := jser.Map(o.Get("files"))
		if err != nil {
			return nil, err
		}
		files := make(ant.Explicit, 0, len(es))
		for _, e := range es {
			name, ok1 := e.Key.(string)
			actual, ok2 := e.Value.(string)
			if !ok1 || !ok2 {
				return nil, fmt.Errorf("a scanner for %s", jser.Describe(e.Key))
			}
			files = append(files, ant.Named{Rel: name, Actual: actual})
		}
		return files, nil
	}
	return nil, fmt.Errorf("the scanner %s", o.Class.Name)
}

// compressed reads a hudson.FilePath$TarCompression.
func compressed(v jser.Value) (bool, error) {
	e, _ := v.(*jser.Enum)
	switch {
	case e != nil && e.Name == "NONE":
		return false, nil
	case e != nil && e.Name == "GZIP":
		return true, nil
	}
	return false, fmt.Errorf("the compression %s", jser.Describe(v))
}

// archiver makes what a hudson.util.io.ArchiverFactory creates on top of w.
func archiver(v jser.Value, w io.Writer) (archive.Archiver, error) {
	o, _ := v.(*jser.Object)
	switch jser.Name(v) {
	case "hudson.util.io.ArchiverFactory$TarArchiverFactory":
		gz, err := compressed(o.Get("method"))
		if err != nil {
			return nil, err
		}
		return archive.NewTarWriter(w, archive.TarOptions{Gzip: gz}), nil
	case "hudson.util.io.ArchiverFactory$ZipArchiverFactory":
		opts, err := openOptionsOf(o)
		return archive.NewZipWriter(w, archive.ZipOptions{Prefix: o.Str("prefix"), NoFollow: opts.noFollow}), err
	}
	return nil, fmt.Errorf("the archiver %s", jser.Describe(v))
}

func knownScanner(c *callable.Call) error {
	_, err := dirScanner(c.Object.Get("scanner"))
	return err
}

func knownCompression(c *callable.Call) error {
	_, err := compressed(c.Object.Get("compression"))
	return err
}

func knownTar(c *callable.Call) error {
	if e := strings.ToUpper(c.Object.Str("filenamesEncoding")); e != "" && e != "UTF-8" && e != "US-ASCII" {
		return fmt.Errorf("file names in %s", e)
	}
	return errors.Join(knownScanner(c), knownCompression(c))
}

func knownArchive(c *callable.Call) error {
	f := c.Object.Obj("factory")
	if f == nil {
		return errors.New("no factory")
	}
	switch f.Class.Name {
	case "hudson.util.io.ArchiverFactory$TarArchiverFactory":
		if _, err := compressed(f.Get("method")); err != nil {
			return err
		}
	case "hudson.util.io.ArchiverFactory$ZipArchiverFactory":
		if _, err := openOptionsOf(f); err != nil {
			return err
		}
	default:
		return fmt.Errorf("the archiver %s", f.Class.Name)
	}
	return errors.Join(knownScanner(c), knownOpenOptions(c))
}

func archiveTree(ctx context.Context, c *callable.Call) (jser.Value, error) {
	opts, err := openOptionsOf(c.Object)
	if err != nil {
		return nil, err
	}
	scanner, err := dirScanner(c.Object.Get("scanner"))
	if err != nil {
		return nil, err
	}
	return writeArchive(ctx, c, func(a archive.Archiver) error {
		root := c.Object.Str("verificationRoot")
		return scanner.Scan(ctx, c.Path, ant.Without(a, strings.TrimRight(root, "/"), opts.noFollow, opts.noTmp))
	})
}

// writeArchive sends what scan finds to the call's stream, as its factory says.
func writeArchive(ctx context.Context, c *callable.Call, scan func(archive.Archiver) error) (jser.Value, error) {
	out, err := c.Writer(ctx, c.Object.Get("out"))
	if err != nil {
		return nil, err
	}
	a, err := archiver(c.Object.Get("factory"), out)
	if err != nil {
		return nil, err
	}
	n, err := archive.WriteTree(a, scan)
	if err != nil {
		// The stream is released but not closed, as by an Archiver of Java
		// whose last entry is not complete.
		return nil, archiveError(err)
	}
	return jser.Integer(int32(n)), out.Close()
}

// sendTar ends the pipe in any case, so that its reader at the other end gets
// on; what went wrong is the answer to the call.
func sendTar(ctx context.Context, c *callable.Call) (jser.Value, error) {
	scanner, err := dirScanner(c.Object.Get("scanner"))
	if err != nil {
		return nil, err
	}
	gz, err := compressed(c.Object.Get("compression"))
	if err != nil {
		return nil, err
	}
	out, err := c.Writer(ctx, c.Object.Get("pipe"))
	if err != nil {
		return nil, err
	}
	n, err := archive.WriteTree(archive.NewTarWriter(out, archive.TarOptions{Gzip: gz}),
		func(a archive.Archiver) error { return scanner.Scan(ctx, c.Path, a) })
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, archiveError(err)
	}
	return jser.Integer(int32(n)), nil
}

// untarStream unpacks the tar that a field of the call brings: UntarRemote,
// UntarFrom and ReadFromTar differ only in what messages call it.
func (a *Agent) untarStream(field string) callable.Func {
	return func(ctx context.Context, c *callable.Call) (jser.Value, error) {
		opts, err := a.readOptions(c)
		if err != nil {
			return nil, err
		}
		return nil, a.receive(ctx, c, field, func(ctx context.Context, r io.Reader) error {
			_, err := archive.ReadTar(ctx, r, c.Path, opts)
			return err
		})
	}
}

func (a *Agent) unzipStream(ctx context.Context, c *callable.Call) (jser.Value, error) {
	return nil, a.receive(ctx, c, "in", func(ctx context.Context, r io.Reader) error {
		_, err := archive.ReadZip(ctx, r, c.Path, archive.ReadOptions{Limits: a.ArchiveLimits, Log: a.Log})
		return err
	})
}

// readOptions are those of the callables that unpack tar.
func (a *Agent) readOptions(c *callable.Call) (archive.ReadOptions, error) {
	opts := archive.ReadOptions{Name: "input stream", Limits: a.ArchiveLimits, Log: a.Log}
	var err error
	if opts.Gzip, err = compressed(c.Object.Get("compression")); err != nil {
		return opts, err
	}
	switch {
	case strings.HasSuffix(c.Object.Class.Name, "$UntarRemote"):
		opts.Name = c.Object.Str("name")
	case c.Object.Get("description") != nil:
		opts.Name = archiveFile(c, "target") + "/" + c.Object.Str("description")
	}
	if charset := c.Object.Str("filenamesEncoding"); charset != "" {
		enc, err := charsetByName(charset)
		if err != nil {
			return opts, err
		}
		if enc != nil {
			opts.Decode = func(s string) string {
				if u, err := decodeText([]byte(s), charset); err == nil {
					return u
				}
				return s
			}
		}
	}
	return opts, nil
}

// archiveFile is FilePath.remote of a field, or of the FilePath around the
// callable, which it was until core 2.319.
func archiveFile(c *callable.Call, field string) string {
	for _, f := range []string{field, "this$0"} {
		if o := c.Object.Obj(f); o != nil {
			return o.Str("remote")
		}
	}
	return c.Path
}

func (a *Agent) untarFile(ctx context.Context, c *callable.Call) (jser.Value, error) {
	opts, err := a.readOptions(c)
	if err != nil {
		return nil, err
	}
	file := archiveFile(c, "filePath")
	opts.Name = path.Base(filepath.Clean(file))
	f, err := openRegular(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_, err = archive.ReadTar(ctx, f, c.Path, opts)
	return nil, archiveError(err)
}

func (a *Agent) unzipFile(ctx context.Context, c *callable.Call) (jser.Value, error) {
	_, err := archive.ReadZipFile(ctx, archiveFile(c, "filePath"), c.Path, archive.ReadOptions{Limits: a.ArchiveLimits, Log: a.Log})
	return nil, archiveError(err)
}

// buildDesc is Ant's own exception. Its location must not be null.
var (
	locationDesc = jser.Serializable("org.apache.tools.ant.Location", 1, nil,
		jser.Prim("columnNumber", 'I'), jser.Prim("lineNumber", 'I'), jser.Ref("fileName", "java.lang.String"))
	buildDesc = jser.Serializable("org.apache.tools.ant.BuildException", -5419014565354664240, jser.RuntimeExceptionClass,
		jser.Ref("location", "org.apache.tools.ant.Location"))
)

// archiveError gives the errors of packages archive and ant the classes that
// they have in Java, down the chain of causes.
func archiveError(err error) error {
	var build *ant.BuildError
	switch e := err.(type) {
	case nil:
		return nil
	case *archive.Failure:
		class := remoting.IOExceptionClass
		switch e.Class {
		case archive.ClassEOF:
			class = remoting.EOFClass
		case archive.ClassZip:
			class = remoting.ZipExceptionClass
		}
		if errors.Is(e.Cause, context.Canceled) {
			return e.Cause
		}
		x := &remoting.Exception{Class: class, Message: e.Text, NoText: e.Text == ""}
		if e.Cause != nil {
			x.Cause = asException(archiveError(e.Cause))
		}
		return x
	}
	if errors.As(err, &build) {
		return &remoting.Exception{Class: buildDesc, Message: build.Text, Fields: []jser.Value{jser.New(locationDesc, int32(0), int32(0), nil)}}
	}
	return err
}

// asException makes an error fit to be a cause.
func asException(err error) error {
	var e *remoting.Exception
	if errors.As(err, &e) {
		return e
	}
	if file, ok := fileOf(err); ok {
		return remoting.FileError(file, err)
	}
	return remoting.Errorf(remoting.IOExceptionClass, "%v", err)
}
