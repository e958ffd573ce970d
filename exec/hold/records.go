package hold

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// record is one NUL-terminated "name=value" of a control frame. Arguments and
// environments cannot contain NUL, so any of them fits without quoting. Names
// may occur again; unknown names are skipped, so that a minor version may add
// some.
type record struct{ name, value string }

type records []record

func (rs *records) add(name, value string)    { *rs = append(*rs, record{name, value}) }
func (rs *records) addInt(name string, n int) { rs.add(name, strconv.Itoa(n)) }

func (rs records) get(name string) string {
	for _, r := range rs {
		if r.name == name {
			return r.value
		}
	}
	return ""
}

func (rs records) all(name string) (out []string) {
	for _, r := range rs {
		if r.name == name {
			out = append(out, r.value)
		}
	}
	return out
}

// number is 0 without the record.
func (rs records) number(name string, low, high int) (int, error) {
	s := rs.get(name)
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, protocolf("%s is not a number from %d to %d", name, low, high)
	}
	return n, nil
}

func (rs records) encode() ([]byte, error) {
	n := 0
	for _, r := range rs {
		n += len(r.name) + len(r.value) + 2
	}
	b := make([]byte, 0, n)
	for _, r := range rs {
		if strings.IndexByte(r.value, 0) >= 0 {
			return nil, fmt.Errorf("hold: invalid null character in %s", r.name)
		}
		b = append(b, r.name...)
		b = append(b, '=')
		b = append(b, r.value...)
		b = append(b, 0)
	}
	return b, nil
}

// maxRecords bounds one frame; a command line may have many short arguments.
const maxRecords = 1 << 17

func parseRecords(b []byte) (records, error) {
	if len(b) > 0 && b[len(b)-1] != 0 {
		return nil, protocolf("the last record is not ended")
	}
	n := bytes.Count(b, []byte{0})
	if n > maxRecords {
		return nil, protocolf("%d records, at most %d are allowed", n, maxRecords)
	}
	rs := make(records, 0, n)
	for len(b) > 0 {
		end := bytes.IndexByte(b, 0)
		name, value, ok := strings.Cut(string(b[:end]), "=")
		if !ok || name == "" {
			return nil, protocolf("a record without a name")
		}
		rs = append(rs, record{name, value})
		b = b[end+1:]
	}
	return rs, nil
}

func (c *conn) sendRecords(t frameType, rs records) error {
	b, err := rs.encode()
	if err != nil {
		return err
	}
	return c.send(t, b)
}

// Size is that of a terminal.
type Size struct{ Rows, Cols int }

// Command is what a hold is asked to run.
type Command struct {
	Argv []string
	// Env overrides the environment of the container, "KEY=value".
	Env []string
	// Prepend puts "KEY=value" before what the container has, with a colon
	// between: the PATH of an image must survive a PATH+X of the pipeline.
	Prepend []string
	// Dir is the directory to run in, "" is the hold's own.
	Dir string
	// Root is where the caller sees the shared volume. Where the container sees
	// it elsewhere, that prefix is replaced in Argv, Env and Dir.
	Root string
	// Terminal asks for a pty of that size: one stream of output, a session of
	// its own, hang-up when the caller goes.
	Terminal *Size
	// Echo lets the terminal repeat what is sent to it, for a caller who types.
	Echo bool
	// Detach lets the command run on when the caller goes; its input ends then
	// and its output is dropped.
	Detach bool
	// Merge sends both outputs as one stream, in their order.
	Merge bool
	// NoStdin is an empty input.
	NoStdin bool
	// LeakWait is exec.Spec's.
	LeakWait time.Duration
	// Writable are directories that the command is about to write to; when one
	// exists and may not be written, the command is refused with the reason.
	Writable []string
}

func (c Command) records() records {
	var rs records
	for _, a := range c.Argv {
		rs.add("arg", a)
	}
	for _, e := range c.Env {
		rs.add("env", e)
	}
	for _, e := range c.Prepend {
		rs.add("prepend", e)
	}
	for _, w := range c.Writable {
		rs.add("writable", w)
	}
	for _, r := range []record{{"cwd", c.Dir}, {"root", c.Root}} {
		if r.value != "" {
			rs = append(rs, r)
		}
	}
	if c.Terminal != nil {
		rs.add("terminal", "1")
		rs.addInt("rows", c.Terminal.Rows)
		rs.addInt("cols", c.Terminal.Cols)
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"detach", c.Detach}, {"merge", c.Merge}, {"nostdin", c.NoStdin}, {"echo", c.Echo}} {
		if f.set {
			rs.add(f.name, "1")
		}
	}
	if c.LeakWait > 0 {
		rs.addInt("leakwait", int(c.LeakWait/time.Millisecond))
	}
	return rs
}

func parseCommand(rs records) (Command, error) {
	c := Command{Argv: rs.all("arg"), Env: rs.all("env"), Prepend: rs.all("prepend"), Dir: rs.get("cwd"), Root: rs.get("root"),
		Detach: rs.get("detach") == "1", Merge: rs.get("merge") == "1", NoStdin: rs.get("nostdin") == "1", Echo: rs.get("echo") == "1", Writable: rs.all("writable")}
	if len(c.Argv) == 0 {
		return c, protocolf("a command without arguments")
	}
	for _, kv := range append(c.Env[:len(c.Env):len(c.Env)], c.Prepend...) {
		if name, _, ok := strings.Cut(kv, "="); !ok || name == "" {
			return c, protocolf("a variable without a name or a value")
		}
	}
	if rs.get("terminal") == "1" {
		size, err := parseSize(rs)
		if err != nil {
			return c, err
		}
		c.Terminal = &size
	}
	ms, err := rs.number("leakwait", 0, int(time.Hour/time.Millisecond))
	c.LeakWait = time.Duration(ms) * time.Millisecond
	return c, err
}

func parseSize(rs records) (s Size, err error) {
	if s.Rows, err = rs.number("rows", 0, 65535); err != nil {
		return s, err
	}
	s.Cols, err = rs.number("cols", 0, 65535)
	return s, err
}

func (s Size) records() (rs records) {
	rs.addInt("rows", s.Rows)
	rs.addInt("cols", s.Cols)
	return rs
}

// Refused is why a hold did not run a command. Code is what a shell would exit
// with: 127 for a program that is not there, 126 for one that may not be run.
type Refused struct {
	Code int
	Text string
}

func (r *Refused) Error() string { return r.Text }
