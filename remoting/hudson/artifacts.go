package hudson

import (
	"context"
	"os"
	"path"
	"path/filepath"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerArtifacts adds what finds the files of archiveArtifacts and
// fingerprint.
func registerArtifacts(t *callable.Table, _ *Agent) {
	t.Register(
		callable.Entry{Class: "hudson.tasks.ArtifactArchiver$ListFiles", Source: "core",
			Fields: []string{"includes", "excludes", "defaultExcludes", "caseSensitive", "followSymlinks"}, Run: listArtifacts},
		callable.Entry{Class: "org.jenkinsci.plugins.workflow.steps.ArtifactArchiverStepExecution$ListFiles", Source: "workflow-basic-steps 1.0",
			Fields: []string{"includes", "excludes"}, Run: listArtifacts},
		callable.Entry{Class: "hudson.tasks.Fingerprinter$FindRecords", Source: "core",
			Fields: []string{"targets", "excludes", "defaultExcludes", "caseSensitive", "buildTimestamp"}, Run: findRecords},
	)
}

// artifactScanner reads the fields that say how to look for files. A class
// without one of them uses the default of hudson.Util.createFileSet.
func artifactScanner(o *jser.Object, includes string) ant.Scanner {
	s := ant.New(o.Str(includes), o.Str("excludes"))
	for name, v := range map[string]*bool{"defaultExcludes": &s.DefaultExcludes, "caseSensitive": &s.CaseSensitive, "followSymlinks": &s.FollowSymlinks} {
		if b, ok := o.Field(name); ok {
			*v = b == true
		}
	}
	return s
}

// listArtifacts answers a map from the name that an artifact gets to the name
// of the file: the same.
func listArtifacts(ctx context.Context, c *callable.Call) (jser.Value, error) {
	rels, err := artifactScanner(c.Object, "includes").ScanContext(ctx, c.Path)
	if err != nil {
		return nil, archiveError(err)
	}
	es := make([]jser.Entry, len(rels))
	for i, r := range rels {
		es[i] = jser.Entry{Key: r, Value: r}
	}
	return jser.HashMap(es...), nil
}

var recordDesc = jser.Serializable("hudson.tasks.Fingerprinter$Record", 1, nil, jser.Prim("produced", 'Z'),
	jser.Ref("fileName", "java.lang.String"), jser.Ref("md5sum", "java.lang.String"), jser.Ref("relativePath", "java.lang.String"))

// timeMargin is what a file may be older than its build and still be of it.
const timeMargin = 2000 // ms

func findRecords(ctx context.Context, c *callable.Call) (jser.Value, error) {
	rels, err := artifactScanner(c.Object, "targets").ScanContext(ctx, c.Path)
	if err != nil {
		return nil, archiveError(err)
	}
	start := c.Object.Long("buildTimestamp")
	out := make([]jser.Value, 0, len(rels))
	for _, r := range rels {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		file := filepath.Join(c.Path, r)
		var modified int64 // 0 for a file that is gone, as java.io.File.lastModified
		if fi, err := os.Stat(file); err == nil {
			modified = fi.ModTime().UnixMilli()
		}
		md5sum, err := digest(file)
		if err != nil {
			x := remoting.Errorf(remoting.IOExceptionClass, "Failed to compute digest for %s", file)
			x.Cause = asException(err)
			return nil, x
		}
		out = append(out, jser.New(recordDesc, start <= modified+timeMargin, path.Base(r), md5sum, r))
	}
	return jser.ArrayList(out...), nil
}
