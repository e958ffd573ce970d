package hudson

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/hudson/archive"
	"github.com/footman-ci/footman/remoting/jser"
)

// Hudson 1.395 (February 2011) is the last release before the fork and the
// oldest controller that is served. Most of its callables are anonymous, so
// that only the compiler's number tells FilePath.exists from FilePath.delete:
//
//	FileCallableWrapper{callable: FilePath$31{this$0, val$target, …}, this$0: FilePath}
//	                       │ number, serialVersionUID and fields are those of 1.395?
//	                       ▼
//	  object with the fields {target, …} ─▶ what runs FilePath$CopyRecursiveLocal today
//
// Numbers differ from release to release. What keeps "delete" from being
// executed for another release's "exists" is the serialVersionUID: it is the
// default one, a hash that covers the name and the signatures of the class.
// Later cores have no anonymous callables in FilePath at all.

// anonymous is FilePath$<number> of Hudson 1.395.
type anonymous struct {
	number int
	suid   int64
	method string   // of FilePath, for people
	fields []string // captured variables
	run    callable.Func
}

// explicitSUID marks classes that declare serialVersionUID = 1. They all have
// captured variables that no neighbour has.
const explicitSUID = 1

func (a *Agent) hudsonFiles() []anonymous {
	bare := func(f func(path string) (jser.Value, error)) callable.Func {
		return func(_ context.Context, c *callable.Call) (jser.Value, error) { return f(c.Path) }
	}
	remove := func(f func(string) []error) callable.Func {
		return func(ctx context.Context, c *callable.Call) (jser.Value, error) {
			return nil, removeWithRetries(ctx, c.Path, f)
		}
	}
	return []anonymous{
		{1, explicitSUID, "archive", []string{"factory", "out", "scanner"}, hudsonArchive},
		{4, explicitSUID, "unzipFrom", []string{"in"}, a.unzipStream},
		{5, -448043159720967473, "absolutize", nil, bare(func(p string) (jser.Value, error) { return absolute(p) })},
		{6, explicitSUID, "untarFrom", []string{"compression", "in"}, a.untarStream("in")},
		{7, 6253006972579157843, "toURI", nil, bare(func(p string) (jser.Value, error) { return jser.URI(fileURI(p)), nil })},
		{8, 3618440128614518993, "mkdirs", nil, bare(mkdirsCallable)},
		{9, 873999645217128003, "deleteRecursive", nil, remove(removeTree)},
		{10, 5101721042283138359, "deleteContents", nil, remove(removeContents)},
		{11, 3218561296146561777, "createTempFile", []string{"prefix", "suffix"}, createTempFile},
		{12, -2243813362328982998, "createTextTempFile", []string{"contents", "inThisDirectory", "prefix", "suffix"}, createTextTempFile},
		{13, 1322741809488055368, "createTempDir", []string{"prefix", "suffix"}, hudsonTempDir},
		{14, 2060515634565448977, "delete", nil, deleteFile},
		{15, -6473625066854757172, "exists", nil, bare(func(p string) (jser.Value, error) {
			_, err := os.Stat(p)
			return jser.Boolean(err == nil), nil
		})},
		{16, -4348977282381401876, "lastModified", nil, bare(func(p string) (jser.Value, error) {
			if fi, err := os.Stat(p); err == nil {
				return jser.Long(fi.ModTime().UnixMilli()), nil
			}
			return jser.Long(0), nil
		})},
		{17, 8767065240200781493, "touch", []string{"timestamp"}, touch},
		{18, -3942719907008882491, "isDirectory", nil, bare(func(p string) (jser.Value, error) {
			fi, err := os.Stat(p)
			return jser.Boolean(err == nil && fi.IsDir()), nil
		})},
		{19, 9202119524784756435, "length", nil, bare(func(p string) (jser.Value, error) {
			if fi, err := os.Stat(p); err == nil {
				return jser.Long(fi.Size()), nil
			}
			return jser.Long(0), nil
		})},
		{20, -7200088513829106040, "chmod", []string{"mask"}, chmod},
		{21, 6408390174890302093, "mode", nil, bare(func(p string) (jser.Value, error) {
			fi, err := os.Stat(p)
			if err != nil {
				return nil, err
			}
			return jser.Integer(int32(fi.Mode().Perm())), nil
		})},
		{22, -1434383320843473472, "list(FileFilter)", []string{"filter"}, listFilter},
		{23, 3584718080703383314, "list(String)", []string{"includes"}, hudsonList},
		{24, 8829259882184917545, "read", []string{"p"}, readPipe},
		{25, 8076625799219617859, "write()", nil, writePipe},
		{26, 1413164826173817464, "write(String,String)", []string{"content", "encoding"}, writeText},
		{27, 3193765857384943869, "digest", nil, bare(func(p string) (jser.Value, error) { return digest(p) })},
		{28, 3318461160748288599, "renameTo", []string{"target"}, renameTo},
		{29, -5673265614051730777, "moveAllChildrenTo", []string{"target"}, moveAllChildrenTo},
		{30, -1294683356142229198, "copyTo", []string{"out"}, copyTo},
		{31, -6598647498196649358, "copyRecursiveTo, on one node", []string{"excludes", "fileMask", "target"}, hudsonCopy},
		{32, -8359521044412223306, "copyRecursiveTo, to the agent", []string{"fileMask", "pipe"}, a.hudsonReceive},
		{33, 4266186960952579055, "copyRecursiveTo, from the agent", []string{"excludes", "fileMask", "pipe"}, hudsonSend},
		{34, 5930827284580896037, "validateAntFileMask", []string{"fileMasks"}, hudsonValidate},
	}
}

// registerHudson adds what Hudson 1.395 sends and no later core does. unzip and
// untar of a file (2 and 3) are left out: they may read from the controller.
func registerHudson(t *callable.Table, a *Agent) {
	const source = "Hudson 1.395"
	for _, f := range a.hudsonFiles() {
		t.Register(f.entry(source))
	}
	t.Register(
		// On Windows it offers to install a service.
		constant("hudson.lifecycle.WindowsSlaveInstaller", source, nil, "rootDir"),
		constant("hudson.slaves.ConnectionActivityMonitor$PingCommand", source, nil),
		constant("hudson.node_monitors.ResponseTimeMonitor$NoopTask", source, nil),
		answer("hudson.model.Slave$GetSystemTime", source, func(*callable.Call) (jser.Value, error) {
			return jser.Long(time.Now().UnixMilli()), nil
		}),
		callable.Entry{Class: "hudson.tasks.Fingerprinter$1", Source: source, Fields: []string{"val$buildTimestamp", "val$targets"},
			Accepts: suid(2125862872680301499), Run: hudsonFingerprints},
	)
}

// suid accepts exactly one version of a class.
func suid(want int64) func(*callable.Call) error {
	return func(c *callable.Call) error {
		if got := c.Object.Class.SUID; got != want {
			return fmt.Errorf("the serialVersionUID %d (that of Hudson 1.395 is %d)", got, want)
		}
		return nil
	}
}

// captured is the prefix of the fields that hold captured variables.
const captured = "val$"

func (f anonymous) entry(source string) callable.Entry {
	fields := make([]string, len(f.fields))
	for i, n := range f.fields {
		fields[i] = captured + n
	}
	return callable.Entry{
		Class: fmt.Sprintf("hudson.FilePath$%d", f.number), Source: source + " " + f.method, Fields: fields, Accepts: f.accepts,
		Run: func(ctx context.Context, c *callable.Call) (jser.Value, error) { return f.run(ctx, f.named(c)) },
	}
}

// accepts compares the class with that of 1.395: not only the fields that are
// set, as the table does, but all that it declares.
func (f anonymous) accepts(c *callable.Call) error {
	if err := suid(f.suid)(c); err != nil {
		return err
	}
	declared := 0
	for _, d := range c.Object.Class.Fields {
		if d.Name != "this$0" {
			declared++
		}
	}
	for _, n := range f.fields {
		if _, ok := c.Object.Field(captured + n); !ok || declared != len(f.fields) {
			return fmt.Errorf("other fields than Hudson 1.395")
		}
	}
	if declared != len(f.fields) {
		return fmt.Errorf("other fields than Hudson 1.395")
	}
	switch f.number {
	case 1:
		return knownHudsonArchive(f.named(c))
	case 6:
		return knownCompression(f.named(c))
	case 22:
		return knownFilter(f.named(c))
	}
	return nil
}

// named gives captured variables the names that the fields of later classes
// have, and callables that are no FileCallables the path of the FilePath
// around them.
func (f anonymous) named(c *callable.Call) *callable.Call {
	class := *c.Object.Class
	class.Fields = append([]jser.Field(nil), class.Fields...)
	for i := range class.Fields {
		class.Fields[i].Name = strings.TrimPrefix(class.Fields[i].Name, captured)
	}
	object := *c.Object
	object.Class = &class
	object.Data = append([]jser.ClassData(nil), object.Data...)
	for i := range object.Data {
		if object.Data[i].Desc == c.Object.Class {
			object.Data[i].Desc = &class
		}
	}
	n := &callable.Call{Call: c.Call, Object: &object, Path: c.Path}
	if outer := c.Object.Obj("this$0"); outer != nil && c.Object == c.Callable {
		n.Path = outer.Str("remote")
	}
	return n
}

// hudsonGlob is hudson.util.DirScanner$Glob of that time: default excludes
// always apply, and nobody knows links.
func hudsonGlob(c *callable.Call, includes, excludes string) ant.Glob {
	g := ant.Glob{Includes: c.Object.Str(includes), DefaultExcludes: true}
	if x, ok := c.Object.Get(excludes).(string); ok {
		g.Excludes = &x
	}
	return g
}

// followLinks hides from a scanner that a visitor knows links.
type followLinks struct{ ant.Visitor }

func (followLinks) UnderstandsSymlink() bool { return false }

// hudsonSend is half of copyRecursiveTo, which archives artifacts.
func hudsonSend(ctx context.Context, c *callable.Call) (jser.Value, error) {
	out, err := c.Writer(ctx, c.Object.Get("pipe"))
	if err != nil {
		return nil, err
	}
	n, err := archive.WriteTree(archive.NewTarWriter(out, archive.TarOptions{Gzip: true}), func(a archive.Archiver) error {
		return hudsonGlob(c, "fileMask", "excludes").Scan(ctx, c.Path, followLinks{a})
	})
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, archiveError(err)
	}
	return jser.Integer(int32(n)), nil
}

func (a *Agent) hudsonReceive(ctx context.Context, c *callable.Call) (jser.Value, error) {
	opts := archive.ReadOptions{Gzip: true, Limits: a.ArchiveLimits, Log: a.Log, Name: c.Object.Str("fileMask")}
	if from := c.Object.Obj("this$0"); from != nil {
		opts.Name = from.Str("remote") + "/" + opts.Name
	}
	return nil, a.receive(ctx, c, "pipe", func(ctx context.Context, r io.Reader) error {
		_, err := archive.ReadTar(ctx, r, c.Path, opts)
		return err
	})
}

func hudsonCopy(ctx context.Context, c *callable.Call) (jser.Value, error) {
	to, err := target(c)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(c.Path); err != nil {
		return jser.Integer(0), nil
	}
	n, err := copyScanned(ctx, to, nil, func(v ant.Visitor) error {
		return hudsonGlob(c, "fileMask", "excludes").Scan(ctx, c.Path, followLinks{v})
	})
	if err != nil {
		return nil, err
	}
	return jser.Integer(n), nil
}

// hudsonScanner reads a DirScanner of that time.
func hudsonScanner(c *callable.Call) (ant.DirScanner, error) {
	o := c.Object.Obj("scanner")
	if jser.Name(c.Object.Get("scanner")) == "hudson.util.DirScanner$Glob" {
		return hudsonGlob(&callable.Call{Object: o}, "includes", "excludes"), nil
	}
	return dirScanner(c.Object.Get("scanner"))
}

func knownHudsonArchive(c *callable.Call) error {
	if _, err := hudsonScanner(c); err != nil {
		return err
	}
	f := c.Object.Obj("factory")
	switch jser.Name(c.Object.Get("factory")) {
	case "hudson.util.io.ArchiverFactory$TarArchiverFactory":
		_, err := compressed(f.Get("method"))
		return err
	case "hudson.util.io.ArchiverFactory$ZipArchiverFactory":
		return nil
	}
	return fmt.Errorf("the archiver %s", jser.Describe(c.Object.Get("factory")))
}

func hudsonArchive(ctx context.Context, c *callable.Call) (jser.Value, error) {
	scanner, err := hudsonScanner(c)
	if err != nil {
		return nil, err
	}
	return writeArchive(ctx, c, func(a archive.Archiver) error { return scanner.Scan(ctx, c.Path, followLinks{a}) })
}

func hudsonTempDir(_ context.Context, c *callable.Call) (jser.Value, error) {
	f, err := tempFile(c.Path, c.Object.Str("prefix"), c.Object.Str("suffix"))
	if err != nil {
		return nil, ioReason(err)
	}
	name := f.Name()
	f.Close()
	if err := os.Remove(name); err != nil {
		return nil, err
	}
	return filepath.Base(name), os.Mkdir(name, 0o777)
}

func hudsonList(ctx context.Context, c *callable.Call) (jser.Value, error) {
	rels, err := ant.List(ctx, c.Path, c.Object.Str("includes"), "", true)
	if err != nil {
		return nil, globError(err)
	}
	return filePaths(c.Path, rels), nil
}

func hudsonValidate(ctx context.Context, c *callable.Call) (jser.Value, error) {
	text, err := ant.ValidateMask(ctx, c.Path, c.Object.Str("fileMasks"), math.MaxInt32, true)
	if err != nil || text == "" {
		return nil, globError(err)
	}
	return text, nil
}

var fingerprintRecordDesc = jser.Serializable("hudson.tasks.Fingerprinter$1Record", 1, nil, jser.Prim("produced", 'Z'),
	jser.Ref("fileName", "java.lang.String"), jser.Ref("md5sum", "java.lang.String"), jser.Ref("relativePath", "java.lang.String"),
	jser.Ref("this$0", "hudson.tasks.Fingerprinter"))

// hudsonFingerprints lists the checksums of files.
func hudsonFingerprints(ctx context.Context, c *callable.Call) (jser.Value, error) {
	rels, err := ant.List(ctx, c.Path, c.Object.Str(captured+"targets"), "", true)
	if err != nil {
		return nil, globError(err)
	}
	since := c.Object.Long(captured + "buildTimestamp")
	var out []jser.Value
	for _, r := range rels {
		path := filepath.Join(c.Path, r)
		sum, err := digest(path)
		if err != nil {
			return nil, err
		}
		fi, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		// Clocks of file systems may be 2 s off.
		produced := since <= fi.ModTime().UnixMilli()+2000
		out = append(out, jser.New(fingerprintRecordDesc, produced, filepath.Base(path), sum, r, nil))
	}
	return jser.ArrayList(out...), nil
}

// hudsonEnvVars is hudson.EnvVars as Hudson 1.395 has it: the class had no
// explicit serialVersionUID then.
var hudsonEnvVarsDesc = jser.Serializable("hudson.EnvVars", 8355796526435837590, jser.TreeMapClass(), jser.Ref("platform", "hudson.Platform"))

// envVarsFor makes the EnvVars that the controller of a call can read.
func envVarsFor(ch *remoting.Channel, m map[string]string) *jser.Object {
	env := envVars(m)
	if ch.Config().UserResponses {
		env.Class, env.Data[1].Desc = hudsonEnvVarsDesc, hudsonEnvVarsDesc
	}
	return env
}
