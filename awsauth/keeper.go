package awsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Keeper resolves the profiles of a config and keeps their files fresh. Its
// methods may be called from several goroutines, Run and Once from one each.
type Keeper struct {
	o      Options
	t      Timing
	log    *slog.Logger
	issuer Issuer
	closer func()
	stores []*store
	slots  chan struct{}
	ready  chan struct{}
	once   sync.Once

	mu      sync.Mutex
	plan    *Plan
	nodes   map[string]*node
	tokens  map[string]string // token file → exact text
	input   string            // fingerprint of the config files
	loadErr string            // of the loop alone
	calls   map[string]int    // "kind|code" → count
	skew    time.Duration
	dirErrs map[string]string

	writeMu sync.Mutex // serialises all writing
	written map[*store]map[string]bool
	retired map[string]time.Time // old token-keyed names and when to drop them
}

// node is the state of one link, under Keeper.mu.
type node struct {
	link     *Link
	source   *node
	grant    Grant
	have     bool
	due      time.Time // next attempt
	failures int
	err      error // of the last attempt, nil after a good one
	final    bool  // err is a refusal: waiting does not cure it
	inFlight bool  // one call for a link at a time
	warned   int   // entries of Timing.Warn already said
	renewed  int
}

// New prepares a Keeper; it makes no call and writes nothing.
func New(o Options) (*Keeper, error) {
	if o.Env == nil {
		o.Env = os.Getenv
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.ProcessCommand == "" {
		o.ProcessCommand = "cat"
	}
	if strings.ContainsAny(o.ProcessCommand, "\r\n") {
		return nil, errors.New("awsauth: the process command must be one line")
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	if o.Share == "" {
		o.Share = ShareAuto
	}
	if o.Duration != 0 && (o.Duration < 15*time.Minute || o.Duration > 12*time.Hour) {
		return nil, fmt.Errorf("awsauth: duration %s is outside 15m … 12h, which STS allows", o.Duration)
	}
	if len(o.Dirs) == 0 {
		return nil, errors.New("awsauth: no directory to write to; give --aws-dir")
	}
	k := &Keeper{o: o, t: o.Timing.withDefaults(), log: o.Log, issuer: o.Issuer, closer: func() {},
		slots: make(chan struct{}, o.Parallel), ready: make(chan struct{}), nodes: map[string]*node{}, tokens: map[string]string{},
		calls: map[string]int{}, dirErrs: map[string]string{}, written: map[*store]map[string]bool{}, retired: map[string]time.Time{}}
	if k.issuer == nil {
		sdk, err := NewSDKIssuer(o.Env)
		if err != nil {
			return nil, err
		}
		k.issuer, k.closer = sdk, sdk.Close
	}
	for _, d := range o.Dirs {
		s := newStore(d, o.Share, o.GID, o.Env, k.log)
		k.stores = append(k.stores, s)
		k.written[s] = map[string]bool{}
	}
	return k, nil
}

// Start begins to keep in the background and returns at once. The agent waits
// on Ready before it connects: that channel is closed after the first round or
// Timing.First, whichever is earlier, and failures are logged, never fatal.
// done is closed when everything has stopped after ctx ended.
func Start(ctx context.Context, o Options) (k *Keeper, done <-chan struct{}, err error) {
	if k, err = New(o); err != nil {
		return nil, nil, err
	}
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		if err := k.Run(ctx); err != nil {
			k.log.Error("awsauth stopped", "err", err)
		}
	}()
	return k, ch, nil
}

// Run keeps profiles until ctx ends, which is not an error.
func Run(ctx context.Context, o Options) error {
	k, err := New(o)
	if err != nil {
		return err
	}
	return k.Run(ctx)
}

// Ready is closed once the first round is over, well or not.
func (k *Keeper) Ready() <-chan struct{} { return k.ready }

// Once resolves every wanted profile, writes the files and returns. The error
// joins one *ResolveError or defect for each profile that is not fresh.
func (k *Keeper) Once(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, k.t.First, fmt.Errorf("awsauth: not finished after %s", k.t.First))
	defer cancel()
	defer k.shut()
	if err := k.load(); err != nil {
		return err
	}
	k.loop(ctx, true)
	return k.Err()
}

// Run keeps the files fresh until ctx ends. It returns an error only if it
// cannot begin: a named config that cannot be read is waited for instead.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.shut()
	if err := k.load(); err != nil {
		k.log.Error("config not usable yet; looking again", "err", err)
	}
	k.loop(ctx, false)
	return nil
}

func (k *Keeper) shut() {
	k.once.Do(func() { close(k.ready) })
	k.writeMu.Lock()
	for _, s := range k.stores {
		s.close()
	}
	k.writeMu.Unlock()
	k.closer()
}

// Err joins what keeps wanted profiles from being fresh, nil if all are.
// Profiles that are left to the tools count only when they were named.
func (k *Keeper) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	if k.plan == nil {
		return errors.New("awsauth: no config was read")
	}
	for _, t := range k.plan.Targets {
		switch n := k.nodeOf(t); {
		case t.Err != nil:
			errs = append(errs, fmt.Errorf("awsauth: profile %s: %w", t.Name(), t.Err))
		case n != nil && !k.fresh(n) && k.blame(n) != nil:
			errs = append(errs, targetErr(t, k.blame(n)))
		case n != nil && !k.fresh(n):
			errs = append(errs, fmt.Errorf("awsauth: profile %s: %s %s: no answer within the time allowed", t.Name(), t.Leaf.Kind, t.Leaf.RoleARN))
		case n == nil && t.Skip != "" && slices.Contains(k.o.Profiles, t.Profile) && t.Profile != "":
			errs = append(errs, fmt.Errorf("awsauth: profile %s is left to the tools: %s", t.Name(), t.Skip))
		}
	}
	for _, s := range k.stores {
		if e := k.dirErrs[s.dir.Path]; e != "" {
			errs = append(errs, errors.New(e))
		}
	}
	return errors.Join(errs...)
}

// targetErr names the profile that was wanted in an error that another profile
// with the same chain met first.
func targetErr(t *Target, err error) error {
	re, ok := errors.AsType[*ResolveError](err)
	if !ok || re.Profile == t.Profile {
		return err
	}
	c := *re
	c.Profile = t.Profile
	if re.Link == t.Leaf {
		own := *re.Link
		own.Profile = t.Profile
		c.Link = &own
	}
	return &c
}

func (k *Keeper) nodeOf(t *Target) *node {
	if t.Leaf == nil {
		return nil
	}
	return k.nodes[t.Leaf.id]
}

// fresh reports whether a node's grant has not expired.
func (k *Keeper) fresh(n *node) bool {
	return n.have && (n.grant.Expires.IsZero() || !past(n.grant.expiresHere()))
}
