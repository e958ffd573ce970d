package hudson

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/footman-ci/footman/remoting"
	"github.com/footman-ci/footman/remoting/callable"
	"github.com/footman-ci/footman/remoting/classfile"
	"github.com/footman-ci/footman/remoting/jser"
)

// suids knows the serialVersionUIDs of classes that don't declare one. Java
// computes them from the class file, and refuses an answer with another.
//
//	descriptor of ours ──▶ known for (loader, class)? ──▶ descriptor with the controller's number
//	                             │ no: ours for now
//	                             └▶ IClassLoader.fetch ─▶ classfile.SUID ─▶ different: log once
//
// Numbers belong to a connection: oids of loaders start anew with each.
type suids struct {
	mu     sync.Mutex // guards the fields below
	ch     *remoting.Channel
	known  map[suidKey]*suidEntry
	logged map[string]bool // classes whose drift was told
}

type suidKey struct {
	loader int32
	class  string
}

type suidEntry struct {
	ready chan struct{} // closed when suid and err are set
	suid  int64
	err   error
}

// maxSUIDs bounds the table; more classes than that are fetched every time.
const maxSUIDs = 1000

// fetchTimeout ends the wait for a class file.
const fetchTimeout = 30 * time.Second

// entry finds or makes an entry; fresh says that the caller must fill it.
func (s *suids) entry(ch *remoting.Channel, k suidKey) (e *suidEntry, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch != ch {
		s.ch, s.known = ch, map[suidKey]*suidEntry{}
	}
	if e := s.known[k]; e != nil {
		return e, false
	}
	e = &suidEntry{ready: make(chan struct{})}
	if len(s.known) < maxSUIDs {
		s.known[k] = e
	}
	return e, true
}

func (s *suids) drop(ch *remoting.Channel, k suidKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ch == ch {
		delete(s.known, k)
	}
}

// fill fetches the class. A failure is not remembered.
func (s *suids) fill(ctx context.Context, ch *remoting.Channel, k suidKey, e *suidEntry) {
	defer close(e.ready)
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	e.suid, e.err = fetchSUID(ctx, ch, k)
	if e.err != nil {
		s.drop(ch, k)
	}
}

func fetchSUID(ctx context.Context, ch *remoting.Channel, k suidKey) (int64, error) {
	file, err := ch.FetchClass(ctx, k.loader, k.class)
	if err != nil {
		return 0, fmt.Errorf("hudson: class file of %s: %w", k.class, err)
	}
	class, err := classfile.Parse(file)
	if err != nil {
		return 0, fmt.Errorf("hudson: class file of %s: %w", k.class, err)
	}
	if class.Name != k.class {
		return 0, fmt.Errorf("hudson: class file of %s holds %s", k.class, class.Name)
	}
	suid, ok := class.SUID()
	if !ok {
		return 0, fmt.Errorf("hudson: %s computes its serialVersionUID", k.class)
	}
	return suid, nil
}

// SUID is the serialVersionUID that the controller has for a class, from its
// class file. loader is the oid of the class loader, as in Call.Loader. The
// first call for a class asks the controller; failures are not remembered.
func (a *Agent) SUID(ctx context.Context, ch *remoting.Channel, loader int32, class string) (int64, error) {
	k := suidKey{loader, class}
	e, fresh := a.suids.entry(ch, k)
	if fresh {
		a.suids.fill(ctx, ch, k, e)
	}
	select {
	case <-e.ready:
		return e.suid, e.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// implicit returns the descriptor to answer with for a class without a declared
// serialVersionUID. With CheckClasses the controller's number is looked up in
// the background the first time, and used once it is there; without, and until
// then, it is ours.
func (a *Agent) implicit(c *callable.Call, d *jser.ClassDesc) *jser.ClassDesc {
	if !a.CheckClasses || c.Loader <= 0 {
		return d
	}
	k := suidKey{c.Loader, d.Name}
	e, fresh := a.suids.entry(c.Channel, k)
	if fresh {
		ch := c.Channel
		go func() { // ends with the answer, the channel or fetchTimeout
			a.suids.fill(context.Background(), ch, k, e)
			a.suids.drift(a, d, e)
		}()
		return d
	}
	select {
	case <-e.ready:
	default:
		return d
	}
	if e.err != nil || e.suid == d.SUID {
		return d
	}
	other := *d
	other.SUID = e.suid
	return &other
}

// drift tells once that the controller's class is not the one that we know.
func (s *suids) drift(a *Agent, d *jser.ClassDesc, e *suidEntry) {
	if a.Log == nil || (e.err == nil && e.suid == d.SUID) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logged[d.Name] {
		return
	}
	if s.logged == nil {
		s.logged = map[string]bool{}
	}
	s.logged[d.Name] = true
	if e.err != nil {
		a.Log.Info("the serialVersionUID of a class could not be checked", "class", d.Name, "err", e.err)
		return
	}
	a.Log.Warn("a class of the controller is not the one that this agent was made for; answers use its serialVersionUID, please report it",
		"class", d.Name, "known", d.SUID, "controller", e.suid)
}
