package hudson

import (
	"bytes"
	"context"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/footman-ci/footman/exec"
	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/hudson/ant"
	"github.com/footman-ci/footman/remoting/jser"
)

// registerCleanup adds the callable of the plugin ws-cleanup that deletes by
// pattern. Without patterns the plugin uses FilePath.deleteRecursive.
func registerCleanup(t *callable.Table, a *Agent) {
	t.Register(callable.Entry{Class: "hudson.plugins.ws_cleanup.Cleanup", Source: "ws-cleanup",
		Fields: []string{"patterns", "deleteDirs", "deleteCommand", "listener"}, Accepts: acceptsCleanup, Run: a.cleanup})
}

// acceptsCleanup looks at the listener where the command may fail and be
// reported there.
func acceptsCleanup(c *callable.Call) error {
	if c.Object.Str("deleteCommand") == "" {
		return nil
	}
	return knownListener(c)
}

// cleanup is Cleanup.invoke.
func (a *Agent) cleanup(ctx context.Context, c *callable.Call) (jser.Value, error) {
	patterns, err := jser.List(c.Object.Get("patterns"))
	if err != nil {
		return nil, remoting.Errorf(remoting.IOExceptionClass, "footman: the patterns of a cleanup can't be read: %v", err)
	}
	var includes, excludes []string
	for _, p := range patterns {
		o, ok := p.(*jser.Object)
		if !ok {
			return nil, remoting.Errorf(remoting.IllegalArgumentClass, "footman: a pattern of a cleanup is %s", jser.Describe(p))
		}
		if e, ok := o.Get("type").(*jser.Enum); ok && e != nil && e.Name == "EXCLUDE" {
			excludes = append(excludes, o.Str("pattern"))
		} else {
			includes = append(includes, o.Str("pattern"))
		}
	}
	if len(includes) == 0 {
		includes = []string{"**/*"}
	}
	found, err := ant.Find(ctx, c.Path, includes, excludes)
	if err != nil {
		return nil, archiveError(err)
	}
	remove := found.Files
	if c.Object.Bool("deleteDirs") {
		remove = append(remove, found.Dirs...)
	}
	command := c.Object.Str("deleteCommand")
	for _, rel := range append(remove, found.Links...) {
		path := filepath.Join(c.Path, rel)
		if command != "" {
			err = a.runDelete(ctx, c, deleteArgs(command, path))
		} else {
			err = removeWithRetries(ctx, path, removeTree)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// quotedOrBare splits a command at blanks outside of quotes.
var quotedOrBare = regexp.MustCompile(`"([^"]+)"|([^\s]+)`)

// deleteArgs is Cleanup.fixQuotesAndExpand: %s, or else the end, is the path.
func deleteArgs(command, path string) (args []string) {
	if strings.Contains(command, "%s") {
		command = strings.ReplaceAll(command, "%s", `"`+path+`"`)
	} else {
		command += " " + path
	}
	for _, m := range quotedOrBare.FindAllStringSubmatch(command, -1) {
		args = append(args, m[1]+m[2])
	}
	return args
}

// maxDeleteError bounds what is kept of the error output of a delete command.
const maxDeleteError = 1 << 20

// headBuffer keeps the beginning of what is written.
type headBuffer struct{ bytes.Buffer }

func (h *headBuffer) Write(p []byte) (int, error) {
	if room := maxDeleteError - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// nullWriter drops what a process prints.
type nullWriter struct{}

func (nullWriter) Write(p []byte) (int, error) { return len(p), nil }

func (a *Agent) runDelete(ctx context.Context, c *callable.Call, argv []string) error {
	var stderr headBuffer
	p, err := a.start(ctx, exec.Spec{Argv: argv, Env: a.Environ, Stdout: nullWriter{}, Stderr: &stderr})
	if err != nil {
		return startError(err)
	}
	code, err := p.Wait(ctx)
	if err != nil || code == 0 {
		return err
	}
	log, err := newStepLog(ctx, c)
	if err != nil {
		return err
	}
	defer log.close()
	log.printf("ERROR: Cleanup command '%s' failed with code %d:", strings.Join(argv, " "), code)
	_, _ = log.w.Write(stderr.Bytes())
	return nil
}
