package controller

import (
	"archive/zip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/footman-ci/footman/remoting/jser"
)

// Jars makes a ClassSource from jar files, for an official agent on this
// controller; Jenkins' own jars are needed, none of which are part of this
// project. Each argument is a jar, a pattern of filepath.Glob, or a list of
// either separated as in a class path. The jars stay open until close is called.
func Jars(paths ...string) (source ClassSource, closeAll func(), err error) {
	index := map[string]*zip.File{}
	var open []io.Closer
	closeAll = func() {
		for _, c := range open {
			_ = c.Close()
		}
	}
	for _, list := range paths {
		for _, pattern := range filepath.SplitList(list) {
			files, err := filepath.Glob(pattern)
			if err == nil && len(files) == 0 {
				err = os.ErrNotExist
			}
			if err != nil {
				closeAll()
				return nil, nil, fmt.Errorf("controller: classes %s: %w", pattern, err)
			}
			for _, file := range files {
				z, err := zip.OpenReader(file)
				if err != nil {
					closeAll()
					return nil, nil, fmt.Errorf("controller: %s: %w", file, err)
				}
				open = append(open, z)
				for _, f := range z.File {
					if _, twice := index[f.Name]; !twice && !strings.HasSuffix(f.Name, "/") {
						index[f.Name] = f
					}
				}
			}
		}
	}
	return func(resource string) ([]byte, bool) {
		f := index[strings.TrimPrefix(resource, "/")]
		if f == nil {
			return nil, false
		}
		r, err := f.Open()
		if err != nil {
			return nil, false
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return b, err == nil
	}, closeAll, nil
}

// Invoke runs a Callable of that class on the agent: serialVersionUID 1, no
// fields, known to Options.Classes. No agent has it natively, so a JVM must load
// and run it.
func (n *Node) Invoke(ctx context.Context, class string) (jser.Value, error) {
	c, err := n.channel(ctx)
	if err != nil {
		return nil, err
	}
	t := c.templates["GetClockDifference2"]
	d := jser.Serializable(class, 1, nil)
	d.Annotation = t.callable().Class.Annotation // Jenkins' class loader
	payload, err := t.encode(jser.New(d))
	if err != nil {
		return nil, fmt.Errorf("controller: %s: %w", class, err)
	}
	return c.send(ctx, t, payload)
}
