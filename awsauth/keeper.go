package awsauth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// Timing holds the Keeper's durations; zero values take the defaults.
type Timing struct {
	First   time.Duration // bound of the first round, 20 s
	Attempt time.Duration // bound of one STS call, 15 s
	Base    time.Duration // first retry is within this, 1 s; doubles
	Cap     time.Duration // retries are at most this far apart, 60 s
	Denied  time.Duration // after a refusal that waiting does not cure, 5 min
	Start   time.Duration // the first call waits at random up to this, 300 ms
	Poll    time.Duration // token and config files are looked at, 10 s
	Sweep   time.Duration // directories are looked through, 30 s
	Early   time.Duration // taken off the expiry in process files, 5 min
	// Warn lists the remaining lifetimes at which a failing refresh is warned
	// of again, falling: 20, 15, 5 min.
	Warn []time.Duration
}

func (t Timing) withDefaults() Timing {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&t.First, 20*time.Second)
	def(&t.Attempt, 15*time.Second)
	def(&t.Base, time.Second)
	def(&t.Cap, time.Minute)
	def(&t.Denied, 5*time.Minute)
	def(&t.Start, 300*time.Millisecond)
	def(&t.Poll, 10*time.Second)
	def(&t.Sweep, 30*time.Second)
	def(&t.Early, 5*time.Minute)
	if t.Warn == nil {
		t.Warn = []time.Duration{20 * time.Minute, 15 * time.Minute, 5 * time.Minute}
	}
	return t
}

// Options say what to resolve and where to write it.
type Options struct {
	// ConfigFile is the shared config; "" takes AWS_CONFIG_FILE, then "config" in
	// a Dir, then HOME/.aws/config. Only a file named here must exist.
	ConfigFile string
	// CredentialsFile; "" takes AWS_SHARED_CREDENTIALS_FILE, then HOME/.aws/credentials.
	CredentialsFile string
	// Profiles to resolve; empty takes all. "-" is the identity without a profile.
	Profiles []string
	Dirs     []Dir
	Share    Share
	GID      int // with ShareGroup; < 0 takes the directory's
	// WriteConfig also writes the generated config as DIR/config, if that is
	// missing, empty or ours.
	WriteConfig bool
	// ProcessCommand precedes the path in credential_process lines; "cat".
	ProcessCommand   string
	AllowEnvironment bool
	// Duration asks for longer sessions of web identity roles (15 min … 12 h);
	// 0 leaves it to STS (1 h).
	Duration time.Duration
	// Parallel bounds the STS calls at a time; 4.
	Parallel int
	Timing   Timing
	Log      *slog.Logger // nil discards
	Env      Env          // nil takes the process environment
	Issuer   Issuer       // nil asks AWS
}

// errGenerated says that the input is our own output.
var errGenerated = errors.New("this is the config that awsauth generates, not its input: give the ConfigMap's file with --config")

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

// past reports whether t is over, by the monotonic clock or by the wall clock:
// the first stands still while a machine sleeps, the second may be set.
func past(t time.Time) bool {
	now := time.Now()
	return !now.Before(t) || !now.Round(0).Before(t.Round(0))
}

// configPath finds the config file; must tells whether it has to exist.
func (k *Keeper) configPath() (name string, must bool) {
	if k.o.ConfigFile != "" {
		return k.o.ConfigFile, true
	}
	if f := k.o.Env("AWS_CONFIG_FILE"); f != "" {
		return f, false
	}
	for _, d := range k.o.Dirs {
		if b, err := readLimited(filepath.Join(d.Path, userConfig), maxConfigBytes); err == nil && len(strings.TrimSpace(string(b))) > 0 && !strings.HasPrefix(string(b), generatedMark) {
			return filepath.Join(d.Path, userConfig), false
		}
	}
	return filepath.Join(homeOf(k.o.Env), ".aws", "config"), false
}

func homeOf(env Env) string {
	if h := env("HOME"); h != "" {
		return h
	}
	if h, err := passwdHome(os.Getuid()); err == nil {
		return h
	}
	return "/"
}

// load reads the config files and replaces the plan if they changed. On an
// error the old plan stays in force.
func (k *Keeper) load() error {
	name, must := k.configPath()
	config, err := readLimited(name, maxConfigBytes)
	if err != nil && (must || !errors.Is(err, os.ErrNotExist)) {
		return fmt.Errorf("awsauth: config: %w", err)
	}
	credName := k.o.CredentialsFile
	if credName == "" {
		credName = k.o.Env("AWS_SHARED_CREDENTIALS_FILE")
	}
	if credName == "" {
		credName = filepath.Join(homeOf(k.o.Env), ".aws", "credentials")
	}
	creds, err := readLimited(credName, maxConfigBytes)
	if err != nil {
		creds = nil
		if k.o.CredentialsFile != "" {
			return fmt.Errorf("awsauth: credentials: %w", err)
		}
	}
	input := CacheArgs{RoleARN: string(config), ExternalID: string(creds)}.Key()
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.plan != nil && k.input == input {
		return nil
	}
	c := ParseConfig(config, creds)
	if c.Generated {
		return fmt.Errorf("awsauth: %s: %w", name, errGenerated)
	}
	again := k.plan != nil
	k.plan, k.input = NewPlan(c, k.o.Env, PlanOptions{Profiles: k.o.Profiles, AllowEnvironment: k.o.AllowEnvironment}), input
	k.log.Info("profiles planned", "config", name, "profiles", len(k.plan.Targets), "again", again)
	for _, p := range k.plan.Problems {
		level := slog.LevelError
		if p.Warning {
			level = slog.LevelWarn
		}
		k.log.Log(context.Background(), level, "config problem", "config", name, "problem", p.String())
	}
	// Nodes live on by identity: a profile that did not change keeps its grant.
	keep := map[string]bool{}
	start := time.Now().Add(rand.N(k.t.Start + 1))
	for _, t := range k.plan.Targets {
		if t.Leaf == nil {
			continue
		}
		var src *node
		for _, l := range t.Leaf.Chain() {
			keep[l.id] = true
			n := k.nodes[l.id]
			if n == nil {
				n = &node{due: start}
				k.nodes[l.id] = n
			}
			n.link, n.source = l, src
			src = n
		}
	}
	for id := range k.nodes {
		if !keep[id] {
			delete(k.nodes, id)
		}
	}
	return nil
}

// leaves are the nodes that some target wants, each once.
func (k *Keeper) leaves() []*node {
	var out []*node
	if k.plan == nil {
		return nil
	}
	seen := map[*node]bool{}
	for _, t := range k.plan.Targets {
		if n := k.nodeOf(t); n != nil && !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// wantedBy is the first target of a node, to name in errors.
func (k *Keeper) wantedBy(n *node) string {
	for _, t := range k.plan.Targets {
		if k.nodeOf(t) == n && t.Profile != "" {
			return t.Profile
		}
	}
	return ""
}

// loop is the scheduler. With once it ends as soon as every leaf is fresh or
// refused. All STS calls run beside it, so that a slow answer delays neither
// warnings nor the deletion of expired files.
func (k *Keeper) loop(ctx context.Context, once bool) {
	var wg sync.WaitGroup
	defer wg.Wait()
	done := make(chan struct{}, 1)
	k.writeAll()
	now := time.Now()
	poll, sweep, first := now.Add(k.t.Poll), now.Add(k.t.Sweep), now.Add(k.t.First)
	for {
		now = time.Now()
		if !now.Before(poll) {
			poll = now.Add(k.t.Poll)
			k.poll()
		}
		if !now.Before(sweep) {
			sweep = now.Add(k.t.Sweep)
			k.sweep()
		}
		wake := poll
		if sweep.Before(wake) {
			wake = sweep
		}
		settled, expired := true, false
		k.mu.Lock()
		for _, n := range k.leaves() {
			if n.have && !n.grant.Expires.IsZero() {
				end := n.grant.expiresHere()
				k.warnLeft(n, end.Sub(now))
				if past(end) {
					n.have, expired = false, true
					k.log.Error("credentials expired, files deleted", "profile", displayName(k.wantedBy(n)), "role", n.link.RoleARN, "err", k.blame(n))
				} else if end.Before(wake) {
					wake = end
				}
			}
			if !n.have && !refused(n) {
				settled = false
			}
			if once && (n.have || refused(n)) {
				continue
			}
			run, at := k.next(n)
			if run == nil {
				if !at.IsZero() && at.Before(wake) {
					wake = at
				}
				continue
			}
			run.inFlight = true
			wg.Add(1)
			go func() {
				defer wg.Done()
				k.refresh(ctx, run)
				select {
				case done <- struct{}{}:
				default:
				}
			}()
		}
		k.mu.Unlock()
		if expired {
			k.writeAll()
		}
		if settled || !now.Before(first) {
			k.once.Do(func() { close(k.ready) })
		} else if first.Before(wake) {
			wake = first
		}
		if settled && once {
			wg.Wait()
			return
		}
		timer := time.NewTimer(time.Until(wake))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-done:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// next finds what to do for a node: an attempt to make now (of the node or of a
// source it lacks), or the time to look again, zero if an answer is awaited.
func (k *Keeper) next(n *node) (run *node, at time.Time) {
	switch {
	case n.inFlight:
		return nil, time.Time{}
	case !past(n.due):
		return nil, n.due
	case n.source == nil || k.good(n.source):
		return n, time.Time{}
	}
	return k.next(n.source)
}

// good reports whether a source's grant lasts long enough to call with.
func (k *Keeper) good(n *node) bool {
	return n.have && (n.grant.Expires.IsZero() || !past(n.grant.expiresHere().Add(-min(k.t.Early, n.grant.life()/3))))
}

// refused reports whether a node or a source that it lacks was refused.
func refused(n *node) bool {
	for ; n != nil && !n.have; n = n.source {
		if n.final {
			return true
		}
	}
	return false
}

// blame is why a node is not fresh: its own failure or that of a source.
func (k *Keeper) blame(n *node) error {
	for ; n != nil; n = n.source {
		if n.err != nil {
			return n.err
		}
		if n.have && !past(n.due) {
			return nil
		}
	}
	return nil
}

// warnLeft says once per threshold that a failing refresh is running out of
// time.
func (k *Keeper) warnLeft(n *node, left time.Duration) {
	err := k.blame(n)
	if err == nil {
		return
	}
	said := false
	for n.warned < len(k.t.Warn) && left <= k.t.Warn[n.warned] {
		n.warned++
		said = true
	}
	if said && left > 0 {
		k.log.Warn("credentials are not being refreshed", "profile", displayName(k.wantedBy(n)), "role", n.link.RoleARN, "left", left.Round(time.Second).String(), "failures", n.failures, "err", err)
	}
}

// poll notices rotated tokens and changed configs.
func (k *Keeper) poll() {
	err := k.load()
	if msg := fmt.Sprint(err); err != nil && msg != k.loadErr {
		k.log.Warn("config cannot be read; what was read before stays in force", "err", err)
		k.loadErr = msg
	} else if err == nil {
		k.loadErr = ""
	}
	k.mu.Lock()
	var rotated []string
	for file, old := range k.tokens {
		if now, err := readToken(file); err == nil && now != old {
			k.tokens[file] = now
			rotated = append(rotated, file)
			if p := k.plan; p != nil {
				for _, name := range k.tokenNames(p, file, old) {
					k.retired[name] = time.Now().Add(2 * k.t.Poll)
				}
			}
			for _, n := range k.nodes {
				// A refusal may have been the old token's.
				if n.link.Kind == KindWebIdentity && n.link.TokenFile == file && n.err != nil {
					n.final, n.due = false, time.Now().Add(rand.N(k.t.Base))
				}
			}
		}
	}
	k.mu.Unlock()
	for _, f := range rotated {
		k.log.Info("token rotated; cache files renamed to its key", "token", f)
	}
	k.writeAll()
}

// tokenNames are the cache files keyed with one text of a token.
func (k *Keeper) tokenNames(p *Plan, file, text string) []string {
	var keyed, plain []string
	for _, t := range p.Targets {
		if t.Leaf == nil {
			continue
		}
		plain = append(plain, cacheNames(t.Leaf, nil, func(string) string { return "" })...)
		keyed = append(keyed, cacheNames(t.Leaf, k.pod(), func(f string) string {
			if f == file {
				return text
			}
			return ""
		})...)
	}
	return slices.DeleteFunc(keyed, func(n string) bool { return slices.Contains(plain, n) })
}

// pod is the link of the IRSA variables, nil if there is none.
func (k *Keeper) pod() *Link {
	if k.plan.Default != nil && k.plan.Default.Leaf != nil && k.plan.Default.Leaf.Kind == KindWebIdentity {
		return k.plan.Default.Leaf
	}
	return nil
}

// sweep repairs the directories.
func (k *Keeper) sweep() {
	k.writeMu.Lock()
	for _, s := range k.stores {
		for _, name := range s.changed() {
			delete(s.wrote, name)
			k.log.Info("a file was changed by someone else and is written anew", "dir", s.dir.Path, "name", name)
		}
		s.sweep()
	}
	k.writeMu.Unlock()
	k.writeAll()
}

// writeAll brings every directory in line with the state: fresh grants are
// written, files of expired or forgotten ones deleted.
func (k *Keeper) writeAll() {
	k.writeMu.Lock()
	defer k.writeMu.Unlock()
	k.mu.Lock()
	plan := k.plan
	if plan == nil {
		k.mu.Unlock()
		return
	}
	files := map[string][]byte{}
	possible := map[string]bool{}
	for _, t := range plan.Targets {
		n := k.nodeOf(t)
		if n == nil {
			continue
		}
		possible[processName(t.Profile)] = true
		for _, name := range cacheNames(t.Leaf, k.pod(), k.token) {
			possible[name] = true
		}
		if !k.fresh(n) {
			continue
		}
		files[processName(t.Profile)] = processEntry(n.grant, min(k.t.Early, n.grant.life()/3))
		if n.grant.session == "" {
			continue
		}
		for _, name := range cacheNames(t.Leaf, k.pod(), k.token) {
			files[name] = cacheEntry(n.grant)
		}
	}
	now := time.Now()
	for name, until := range k.retired {
		if files[name] != nil || !now.Before(until) {
			delete(k.retired, name)
		}
	}
	retired := make(map[string]bool, len(k.retired))
	for name := range k.retired {
		retired[name] = true
	}
	round := round{plan, files, possible, retired}
	k.mu.Unlock()

	for _, s := range k.stores {
		err := k.writeDir(s, round)
		msg := ""
		if err != nil {
			msg = err.Error()
		}
		k.mu.Lock()
		if k.dirErrs[s.dir.Path] != msg && err != nil {
			k.log.Error("directory cannot be written", "dir", s.dir.Path, "err", err)
		}
		k.dirErrs[s.dir.Path] = msg
		k.mu.Unlock()
	}
}

// round is what one pass of writing is to bring about.
type round struct {
	plan     *Plan
	files    map[string][]byte // to be there, with this content
	possible map[string]bool   // names of wanted profiles, fresh or not
	retired  map[string]bool   // to stay a little longer
}

func (k *Keeper) writeDir(s *store, r round) error {
	if err := s.open(); err != nil {
		return err
	}
	if !s.ours(configName) {
		return fmt.Errorf("awsauth: %s/%s is not ours and stays; remove it or use another directory", s.dir.Path, configName)
	}
	mine := k.written[s]
	if s.adopted == nil {
		// A predecessor (an init container, an agent that was restarted) left a
		// list of what it wrote. Its files serve until they expire.
		s.adopted = map[string]time.Time{}
		for _, name := range readStatusFiles(s) {
			mine[name] = true
			if data, err := s.read(name); err == nil {
				s.adopted[name] = expiryOf(data)
			}
		}
	}
	for _, name := range sortedKeys(r.files) {
		if err := s.put(name, r.files[name]); err != nil {
			return err
		}
		mine[name] = true
		delete(s.adopted, name)
	}
	for name := range mine {
		adopted := r.possible[name] && time.Now().Before(s.adopted[name])
		if r.files[name] == nil && !r.retired[name] && !adopted {
			s.remove(name)
			delete(mine, name)
		}
	}
	config := generatedConfig(r.plan, s.dir, k.o.ProcessCommand)
	if err := s.put(configName, config); err != nil {
		return err
	}
	if k.o.WriteConfig {
		if s.ours(userConfig) {
			if err := s.put(userConfig, config); err != nil {
				return err
			}
		} else {
			s.once("userconfig", slog.LevelWarn, "config is the user's and stays; mount the ConfigMap elsewhere and give it with --config", "name", userConfig)
		}
	}
	return s.put(statusName, k.statusFile(sortedKeys(mine)))
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for n := range m {
		keys = append(keys, n)
	}
	slices.Sort(keys)
	return keys
}

// token returns the text of a token file as last read, reading it if needed.
func (k *Keeper) token(file string) string {
	if t, ok := k.tokens[file]; ok {
		return t
	}
	t, err := readToken(file)
	if err != nil {
		return ""
	}
	k.tokens[file] = t
	return t
}

// cleanName guards what is read back from a status file: only our own kinds of
// names, so that a forged list cannot make us delete anything else.
func cleanName(name string) bool {
	dir, base := path.Split(name)
	switch strings.TrimSuffix(dir, "/") {
	case cacheDir:
		return isCacheName(base)
	case agentDir:
		return strings.HasSuffix(base, ".json") && !strings.HasPrefix(base, ".") && name != statusName
	}
	return false
}
