package hudson

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/jser"
)

var (
	filePathArrayDesc = jser.ArrayClass("[Lhudson.FilePath;", -1988419466279868382)
	noMatchesDesc     = jser.Serializable("hudson.FilePath$FileMaskNoMatchesFoundException", 1, remoting.InterruptedClass)
)

// registerGlobs adds what looks for files by Ant patterns.
func registerGlobs(t *callable.Table) {
	t.Register(
		callable.Entry{Class: "hudson.FilePath$ListGlob", Fields: []string{"includes", "excludes", "defaultExcludes"}, Source: "core", Run: listGlob},
		callable.Entry{Class: "hudson.FilePath$ValidateAntFileMask", Fields: []string{"fileMasks", "bound", "caseSensitive"}, Source: "core", Run: validateMask},
	)
}

func listGlob(ctx context.Context, c *callable.Call) (jser.Value, error) {
	rels, err := ant.List(ctx, c.Path, c.Object.Str("includes"), c.Object.Str("excludes"), c.Object.Bool("defaultExcludes"))
	if err != nil {
		return nil, globError(err)
	}
	return filePaths(c.Path, rels), nil
}

// filePaths is the FilePath[] of paths below dir.
func filePaths(dir string, rels []string) *jser.Array {
	out := make([]jser.Value, len(rels))
	for i, r := range rels {
		out[i] = filePath(filepath.Join(dir, r))
	}
	return &jser.Array{Class: filePathArrayDesc, Elems: out}
}

func validateMask(ctx context.Context, c *callable.Call) (jser.Value, error) {
	text, err := ant.ValidateMask(ctx, c.Path, c.Object.Str("fileMasks"), int(c.Object.Int("bound")), c.Object.Bool("caseSensitive"))
	var bound *ant.BoundError
	switch {
	case errors.As(err, &bound):
		return nil, remoting.Errorf(noMatchesDesc, "%v", bound)
	case err != nil:
		return nil, globError(err)
	case text == "":
		return nil, nil
	}
	return text, nil
}

// globError gives Ant's own complaints the class that FilePath gives them.
func globError(err error) error {
	var build *ant.BuildError
	if errors.As(err, &build) {
		return remoting.Errorf(remoting.IOExceptionClass, "%s", build.Text)
	}
	return err
}
