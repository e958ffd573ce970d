// Package callable is the table of what the agent executes natively: Java
// class name → Go function. What is not in the table is not executed.
//
//	UserRequest ─▶ Table.Handle ─▶ unwrap FilePath wrappers ─▶ Entry.Run
//	                                     │ no entry, or fields it does not know
//	                                     └▶ Fallback, or an exception naming the class
package callable

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/jser"
)

// Call is one callable being executed.
type Call struct {
	*remoting.Call
	// Object is the callable itself, taken out of the wrappers of FilePath.
	Object *jser.Object
	// Path is FilePath.remote of a FileCallable, "" for other callables.
	Path string
}

// Func executes a callable. ctx ends when the controller cancels the request
// or the channel ends.
type Func func(ctx context.Context, c *Call) (jser.Value, error)

// Entry is one class that the agent executes.
type Entry struct {
	Class string // binary name, such as "hudson.FilePath$Mkdirs"
	// Fields are the serializable fields that Run understands. A request with
	// another field that is neither null nor zero is not for this entry: it
	// asks for something newer than Run.
	Fields []string
	// Source says where the class comes from and since when it has this form,
	// such as "core" or "durable-task 1.0".
	Source string
	Run    Func
	// Accepts, if set, looks at values that Fields can't express. An error
	// sends the request to the fallback and says why.
	Accepts func(c *Call) error
}

// Fallback executes what the table does not.
type Fallback interface {
	Handle(ctx context.Context, call *remoting.Call, why error) (jser.Value, error)
}

// Unsupported is the reason why the table does not execute a callable.
type Unsupported struct {
	Class  string
	Reason string // empty when the class is unknown altogether
}

func (u *Unsupported) Error() string {
	if u.Reason == "" {
		return fmt.Sprintf("footman: %s is not implemented natively", u.Class)
	}
	return fmt.Sprintf("footman: %s is not implemented natively with %s", u.Class, u.Reason)
}

// Table maps class names to entries. Register everything before the first
// Handle; after that it is safe for concurrent use.
type Table struct {
	Log      *slog.Logger // nil discards
	Fallback Fallback     // nil refuses what is unknown
	// Observe, if set, sees each call before it is executed natively.
	Observe func(*Call)
	// Seen, if set, is told once of each class and the way its calls go.
	Seen func(class, route string)

	entries map[string]*entry
	unknown sync.Map     // class name → *foreignCalls
	others  foreignCalls // of classes beyond maxUnknown
}

// foreignCalls counts the calls of a class that were not for the table.
type foreignCalls struct{ relayed, refused atomic.Int64 }

type entry struct {
	Entry
	calls atomic.Int64
}

// Ways that a call can go.
const (
	RouteNative  = "native"  // executed by us
	RouteRelayed = "relayed" // executed, or answered, by the fallback
	RouteRefused = "refused" // answered with an exception of ours
)

// Count is how often a class was asked for and went one way.
type Count struct {
	Class string
	Route string
	Calls int64
}

// Register adds entries. Registering a class twice is a mistake of ours and
// panics.
func (t *Table) Register(es ...Entry) {
	if t.entries == nil {
		t.entries = map[string]*entry{}
	}
	for _, e := range es {
		if t.entries[e.Class] != nil {
			panic("callable: " + e.Class + " is registered twice")
		}
		t.entries[e.Class] = &entry{Entry: e}
	}
}

// Entries lists the table by class name.
func (t *Table) Entries() []Entry {
	out := make([]Entry, 0, len(t.entries))
	for _, e := range t.entries {
		out = append(out, e.Entry)
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Class, b.Class) })
	return out
}

// Counts lists every class that was asked for so far, by name and way; what is
// beyond maxUnknown is one line, OtherClasses.
func (t *Table) Counts() []Count {
	var out []Count
	for _, e := range t.entries {
		if n := e.calls.Load(); n > 0 {
			out = append(out, Count{e.Class, RouteNative, n})
		}
	}
	t.unknown.Range(func(k, v any) bool {
		f := v.(*foreignCalls)
		if n := f.relayed.Load(); n > 0 {
			out = append(out, Count{k.(string), RouteRelayed, n})
		}
		if n := f.refused.Load(); n > 0 {
			out = append(out, Count{k.(string), RouteRefused, n})
		}
		return true
	})
	if n := t.others.relayed.Load(); n > 0 {
		out = append(out, Count{OtherClasses, RouteRelayed, n})
	}
	if n := t.others.refused.Load(); n > 0 {
		out = append(out, Count{OtherClasses, RouteRefused, n})
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(strings.Compare(a.Class, b.Class), strings.Compare(a.Route, b.Route))
	})
	return out
}

// Handle implements remoting.Handler.
func (t *Table) Handle(ctx context.Context, rc *remoting.Call) (jser.Value, error) {
	c := unwrap(rc)
	e := t.entries[c.Object.Class.Name]
	why := t.check(e, c)
	if why == nil {
		t.counted(&e.calls, e.Class, RouteNative)
		if t.Observe != nil {
			t.Observe(c)
		}
		return e.Run(ctx, c)
	}
	class := ClassOf(c.Object)
	calls, first := t.count(class)
	if t.Fallback != nil {
		v, err := t.Fallback.Handle(ctx, rc, why)
		if err == nil || errors.Is(err, remoting.ErrAnswered) {
			t.counted(&calls.relayed, class, RouteRelayed)
		} else {
			t.counted(&calls.refused, class, RouteRefused)
		}
		return v, err
	}
	t.counted(&calls.refused, class, RouteRefused)
	if first && t.Log != nil {
		t.Log.Warn("a callable is not implemented natively; its call fails", "class", c.Object.Class.Name, "reason", why)
	}
	return nil, remoting.Errorf(remoting.IOExceptionClass,
		"%v. It needs a Java runtime in the agent's image, or the official agent; see 'jenkins-agent callables' for what is native", why)
}

func (t *Table) counted(n *atomic.Int64, class, route string) {
	if n.Add(1) == 1 && t.Seen != nil {
		t.Seen(class, route)
	}
}

// maxUnknown bounds what a controller can make us remember.
const maxUnknown = 1000

// OtherClasses stands in Counts for the classes beyond that.
const OtherClasses = "other"

// count finds the counters of an unknown class; first tells whether it is new.
func (t *Table) count(class string) (calls *foreignCalls, first bool) {
	if n, ok := t.unknown.Load(class); ok {
		return n.(*foreignCalls), false
	}
	size := 0
	t.unknown.Range(func(any, any) bool { size++; return true })
	if size >= maxUnknown {
		return &t.others, false
	}
	n, seen := t.unknown.LoadOrStore(class, new(foreignCalls))
	return n.(*foreignCalls), !seen
}

// ClassOf names what a callable is: its class, or for a lambda the class that
// it was written in (java.lang.invoke.SerializedLambda.implClass, which has
// slashes for dots).
func ClassOf(o *jser.Object) string {
	if o.Class.Name == "java.lang.invoke.SerializedLambda" {
		if c := o.Str("implClass"); c != "" {
			return strings.ReplaceAll(c, "/", ".") + " (lambda)"
		}
	}
	return o.Class.String()
}

func (t *Table) check(e *entry, c *Call) error {
	class := ClassOf(c.Object)
	if e == nil {
		return &Unsupported{Class: class}
	}
	for i := range c.Object.Data {
		cd := &c.Object.Data[i]
		for j, v := range cd.Values {
			if name := cd.Desc.Fields[j].Name; !isZero(v) && !slices.Contains(e.Fields, name) && name != "this$0" {
				return &Unsupported{class, "the field " + name}
			}
		}
	}
	if e.Accepts != nil {
		if err := e.Accepts(c); err != nil {
			return &Unsupported{class, err.Error()}
		}
	}
	return nil
}

func isZero(v jser.Value) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return !v
	case int8:
		return v == 0
	case uint16:
		return v == 0
	case int16:
		return v == 0
	case int32:
		return v == 0
	case int64:
		return v == 0
	case float32:
		return v == 0
	case float64:
		return v == 0
	}
	return false
}

// unwrap takes a FileCallable out of what FilePath.act and actAsync send:
// FilePath$FileCallableWrapper {callable, filePath} (before core 2.319 an inner
// class with this$0) and FilePath$CallableWith {task, this$0}.
func unwrap(rc *remoting.Call) *Call {
	c := &Call{Call: rc, Object: rc.Callable}
	inner, path := "", ""
	switch rc.Callable.Class.Name {
	case "hudson.FilePath$FileCallableWrapper":
		inner, path = "callable", "filePath"
	case "hudson.FilePath$CallableWith":
		inner, path = "task", "this$0"
	default:
		return c
	}
	file := rc.Callable.Obj(path)
	if file == nil {
		file = rc.Callable.Obj("this$0")
	}
	object := rc.Callable.Obj(inner)
	if object == nil || file == nil {
		return c
	}
	c.Object, c.Path = object, file.Str("remote")
	if object.Class.Mark > 0 {
		c.Loader = object.Class.Mark
	}
	return c
}
