package controller

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/footman-ci/footman/remoting/jser"
)

// file runs a FilePath callable on a path of the agent. fill gets the callable
// inside its wrapper.
func (c *conn) file(ctx context.Context, name, path string, fill func(callable *jser.Object)) (jser.Value, error) {
	return c.call(ctx, name, func(o *jser.Object) {
		inner := setPath(o, path)
		if fill != nil {
			fill(inner)
		}
	})
}

func (n *Node) file(ctx context.Context, name, path string, fill func(*jser.Object)) (jser.Value, error) {
	c, err := n.channel(ctx)
	if err != nil {
		return nil, err
	}
	return c.file(ctx, name, path, fill)
}

// Ping is hudson.remoting.PingThread$Ping.
func (n *Node) Ping(ctx context.Context) error {
	c, err := n.channel(ctx)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, "Ping", nil)
	return err
}

// Exists is FilePath.exists.
func (n *Node) Exists(ctx context.Context, path string) (bool, error) {
	v, err := n.file(ctx, "Exists", path, nil)
	b, _ := jser.Unbox(v).(bool)
	return b, err
}

// RepeatExists returns FilePath.exists with a request that is encoded once: what
// it takes is the agent's time rather than the controller's.
func (n *Node) RepeatExists(ctx context.Context, path string) (func(context.Context) error, error) {
	c, err := n.channel(ctx)
	if err != nil {
		return nil, err
	}
	t := c.templates["Exists"]
	o := t.callable()
	setPath(o, path)
	payload, err := t.encode(o)
	return func(ctx context.Context) error {
		_, err := c.send(ctx, t, payload)
		return err
	}, err
}

// IsDirectory is FilePath.isDirectory.
func (n *Node) IsDirectory(ctx context.Context, path string) (bool, error) {
	v, err := n.file(ctx, "IsDirectory", path, nil)
	b, _ := jser.Unbox(v).(bool)
	return b, err
}

// Mkdirs is FilePath.mkdirs.
func (n *Node) Mkdirs(ctx context.Context, path string) error {
	_, err := n.file(ctx, "Mkdirs", path, nil)
	return err
}

// Delete is FilePath.delete.
func (n *Node) Delete(ctx context.Context, path string) error {
	_, err := n.file(ctx, "Delete", path, nil)
	return err
}

// DeleteRecursive is FilePath.deleteRecursive.
func (n *Node) DeleteRecursive(ctx context.Context, path string) error {
	_, err := n.file(ctx, "DeleteRecursive", path, nil)
	return err
}

// WriteFile is the pipeline step writeFile: FilePath.write(content, "UTF-8").
func (n *Node) WriteFile(ctx context.Context, path, content string) error {
	_, err := n.file(ctx, "Write", path, func(c *jser.Object) { set(c, "content", content) })
	return err
}

// ReadFile copies a file of the agent to w through a Pipe (FilePath.read), and
// returns its length in bytes.
func (n *Node) ReadFile(ctx context.Context, path string, w io.Writer) (int64, error) {
	c, err := n.channel(ctx)
	if err != nil {
		return 0, err
	}
	s := c.open(w)
	_, err = c.file(ctx, "Read", path, func(o *jser.Object) { s.put(o.Obj("p")) })
	size, serr := s.close()
	if err == nil {
		err = serr // the EOF's exception
	}
	return size, err
}

// WritePipe copies r to a file of the agent through a stream
// (FilePath.write()), and returns its length there in bytes, which the agent
// says once all of it is written.
func (n *Node) WritePipe(ctx context.Context, path string, r io.Reader) (int64, error) {
	c, err := n.channel(ctx)
	if err != nil {
		return 0, err
	}
	v, err := c.file(ctx, "WritePipe", path, nil)
	if err != nil {
		return 0, err
	}
	oid, ok := streamOID(v)
	if !ok {
		return 0, &jser.TypeError{Want: "a stream", Got: v}
	}
	if err := c.pump(oid, r); err != nil {
		return 0, err
	}
	v, err = c.file(ctx, "Length", path, nil)
	l, _ := jser.Unbox(v).(int64)
	return l, err
}

// ListGlob is FilePath.list(includes, excludes): paths of files.
func (n *Node) ListGlob(ctx context.Context, dir, includes, excludes string) ([]string, error) {
	v, err := n.file(ctx, "ListGlob", dir, func(c *jser.Object) {
		set(c, "includes", includes)
		set(c, "excludes", excludes)
	})
	if err != nil {
		return nil, err
	}
	list, err := jser.List(v)
	if err != nil {
		return nil, err
	}
	paths := make([]string, 0, len(list))
	for _, e := range list {
		f, ok := e.(*jser.Object)
		if !ok {
			return nil, &jser.TypeError{Want: "a FilePath", Got: e}
		}
		paths = append(paths, f.Str("remote"))
	}
	return paths, nil
}

// Stash copies what matches includes in dir as tar.gz to w (FilePath.archive),
// and returns the number of files.
func (n *Node) Stash(ctx context.Context, dir, includes string, w io.Writer) (int, error) {
	c, err := n.channel(ctx)
	if err != nil {
		return 0, err
	}
	s := c.open(w)
	v, err := c.file(ctx, "Archive", dir, func(o *jser.Object) {
		s.put(o.Obj("out"))
		set(o.Obj("scanner"), "includes", includes)
	})
	_, serr := s.close()
	if err == nil {
		err = serr
	}
	count, _ := jser.Unbox(v).(int32)
	return int(count), err
}

// Unstash unpacks a tar.gz into dir (FilePath.untarFrom): the agent asks for the
// data with a Pipe$ConnectCommand.
func (n *Node) Unstash(ctx context.Context, dir string, r io.Reader) error {
	c, err := n.channel(ctx)
	if err != nil {
		return err
	}
	connect := make(chan int32, 1)
	c.mu.Lock()
	oid := c.nextOID
	c.nextOID++
	c.sources[oid] = connect
	c.mu.Unlock()
	call, answered := context.WithCancel(context.WithoutCancel(ctx))
	pumped := make(chan error, 1)
	go func() {
		select {
		case theirs := <-connect:
			w := c.window(theirs) // an agent that has all it wants stops reading
			defer context.AfterFunc(call, func() { w.kill(errAnswered) })()
			pumped <- c.pump(theirs, r)
		case <-call.Done():
			pumped <- nil
		}
	}()
	_, err = c.file(ctx, "UntarRemote", dir, func(o *jser.Object) {
		in := o.Obj("in")
		for _, e := range in.Data[len(in.Data)-1].Extra {
			if pipe, ok := e.(*jser.Object); ok {
				setOID(pipe, oid)
			}
		}
	})
	answered()
	c.mu.Lock()
	delete(c.sources, oid)
	c.mu.Unlock()
	if perr := <-pumped; err == nil && perr != nil && !errors.Is(perr, errAnswered) {
		err = fmt.Errorf("controller: unstash: %w", perr)
	}
	return err
}

var errAnswered = errors.New("controller: the call is over")
