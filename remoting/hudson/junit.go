package hudson

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/hudson/junit"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerJUnit adds what the plugin junit sends to read reports: the pattern
// goes to Ant's scanner, the reports to package junit, its result into the
// object graph of junit_graph.go.
func registerJUnit(t *callable.Table) {
	const parser = "hudson.tasks.junit.JUnitParser$"
	common := []string{"testResults", "nowMaster", "allowEmptyResults", "keepLongStdio", "pipelineTestDetails", "listener"}
	t.Register(
		callable.Entry{Class: parser + "DirectParseResultCallable", Source: "junit 1.32", Accepts: acceptsParse, Run: parseReports,
			Fields: append([]string{"buildStartTimeInMillis", "buildTimeInMillis", "buildTime", "stdioRetention", "keepProperties",
				"keepTestNames", "skipOldReports"}, common...)},
		// Until 2020-08; old reports are always skipped.
		callable.Entry{Class: parser + "ParseResultCallable", Source: "junit 1.0 to 1.40", Accepts: acceptsParse, Run: parseReports,
			Fields: append([]string{"buildTime"}, common...)},
	)
}

// acceptsParse looks at the listener only where something may be printed, and
// at the enum.
func acceptsParse(c *callable.Call) error {
	if name, ok := c.Object.Get("stdioRetention").(*jser.Enum); ok && name != nil {
		if _, known := junit.ParseStdioRetention(name.Name); !known {
			return fmt.Errorf("the retention %s", name.Name)
		}
	}
	if c.Object.Bool("allowEmptyResults") {
		_, err := parseListener(c.Object.Get("listener"))
		return err
	}
	return nil
}

// parseReports is JUnitParser$ParseResultCallable.invoke.
func parseReports(ctx context.Context, c *callable.Call) (jser.Value, error) {
	o := c.Object
	files, err := ant.New(o.Str("testResults"), "").ScanContext(ctx, c.Path)
	if err != nil {
		return nil, buildException(err)
	}
	opts, err := parseOptions(o)
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: the request to read test reports can't be read: %v", err)
	}
	opts.Println = func(line string) { printTo(ctx, c, line) }
	if old, ok := o.Field("buildTime"); ok && len(files) > 0 {
		// The clock of the controller, as this machine's.
		start, _ := old.(int64)
		start += time.Now().UnixMilli() - o.Long("nowMaster")
		if files, err = onlyNew(c.Path, files, start); err != nil {
			return nil, err
		}
	}
	res, err := junit.ParseContext(ctx, opts, c.Path, files)
	if err != nil {
		return nil, junitError(err)
	}
	return testResult(res, o), nil
}

func parseOptions(o *jser.Object) (junit.Options, error) {
	opts := junit.Options{
		BuildStartTimeMillis: o.Long("buildStartTimeInMillis"),
		BuildTimeMillis:      o.Long("buildTimeInMillis"),
		KeepProperties:       o.Bool("keepProperties"),
		KeepTestNames:        o.Bool("keepTestNames"),
		AllowEmptyResults:    o.Bool("allowEmptyResults"),
		SkipOldReports:       o.Bool("skipOldReports"),
	}
	if e, ok := o.Get("stdioRetention").(*jser.Enum); ok && e != nil {
		opts.StdioRetention, _ = junit.ParseStdioRetention(e.Name)
	} else if o.Bool("keepLongStdio") {
		opts.StdioRetention = junit.RetainAll
	}
	if d := o.Obj("pipelineTestDetails"); d != nil {
		p := &junit.PipelineTestDetails{}
		if id, ok := d.Get("nodeId").(string); ok {
			p.NodeID = &id
		}
		var err error
		if p.EnclosingBlocks, err = jser.Strings(d.Get("enclosingBlocks")); err != nil {
			return opts, err
		}
		if p.EnclosingBlockNames, err = jser.Strings(d.Get("enclosingBlockNames")); err != nil {
			return opts, err
		}
		opts.Pipeline = p
	}
	return opts, nil
}

// printTo prints one line to the field listener. A PrintStream swallows
// errors, so this does.
func printTo(ctx context.Context, c *callable.Call, line string) {
	if w, err := openListener(ctx, c); err == nil {
		_ = w.println(line)
		_ = w.finish()
	}
}

// openListener opens the field listener of a callable.
func openListener(ctx context.Context, c *callable.Call) (*listenerWriter, error) {
	l, err := parseListener(c.Object.Get("listener"))
	if err != nil {
		return nil, err
	}
	return newOpener(c.Call).listen(ctx, l, false)
}

// onlyNew is the rule of junit before skipOldReports: reports from before the
// build are left out, and it is a failure when there are no others.
func onlyNew(dir string, files []string, start int64) ([]string, error) {
	var fresh []string
	var age time.Duration
	for i, f := range files {
		fi, err := os.Stat(filepath.Join(dir, f))
		if err != nil || fi.ModTime().UnixMilli()+3000 >= start {
			fresh = append(fresh, f)
		} else if i == 0 {
			age = time.Duration(start-fi.ModTime().UnixMilli()) * time.Millisecond
		}
	}
	if len(fresh) > 0 {
		return fresh, nil
	}
	return nil, remoting.Errorf(abortClass, "Test reports were found but none of them are new. Did tests run? \nFor example, %s is %s old\n",
		filepath.Join(dir, files[0]), age.Round(time.Second))
}

// buildException is what Ant's scanner throws where FilePath does not come in
// between; the controller has Ant's class in its core.
func buildException(err error) error {
	var build *ant.BuildError
	if errors.As(err, &build) {
		return remoting.Errorf(illegalStateClass, "%s", build.Text)
	}
	return err
}

// abortClass is hudson.AbortException, whose message is shown without a stack
// trace.
var (
	abortClass        = jser.Serializable("hudson.AbortException", 1, jser.IOExceptionClass)
	illegalStateClass = remoting.IllegalStateClass
	nullPointerClass  = jser.Serializable("java.lang.NullPointerException", 5162710183389028792, jser.RuntimeExceptionClass)
)

var junitClasses = map[string]*jser.ClassDesc{
	junit.ClassAbort:        abortClass,
	junit.ClassIO:           jser.IOExceptionClass,
	junit.ClassFileNotFound: jser.FileNotFoundExceptionClass,
	junit.ClassNullPointer:  nullPointerClass,
	junit.ClassNoSuchFile:   jser.NoSuchFileExceptionClass,
	junit.ClassAccessDenied: jser.AccessDeniedExceptionClass,
	junit.ClassFileSystem:   jser.FileSystemExceptionClass,
}

// junitError makes the exception that Java would throw.
func junitError(err error) error {
	var t *junit.Throwable
	if !errors.As(err, &t) {
		return err
	}
	class := junitClasses[t.Class]
	if class == nil { // of a library that may not be there
		return remoting.Errorf(jser.IOExceptionClass, "%s: %s", t.Class, t.Message)
	}
	e := remoting.Errorf(class, "%s", t.Message)
	if class.Is(jser.FileSystemExceptionClass.Name) {
		e.NoText, e.Fields = true, []jser.Value{t.Message, nil}
	}
	if t.Cause != nil {
		e.Cause = junitError(t.Cause)
	}
	return e
}

// sortedMap makes a java.util.HashMap with its keys in order, so that equal
// maps are written equally.
func sortedMap(m map[string]string) *jser.Object {
	es := make([]jser.Entry, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		es = append(es, jser.Entry{Key: k, Value: m[k]})
	}
	o := jser.HashMap(es...)
	if len(es) == 0 {
		o.Data[0].Values[1] = int32(0) // threshold of a map that never had an entry
	}
	return o
}
