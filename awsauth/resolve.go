package awsauth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// refresh makes one attempt at a node whose source is good, and books the
// outcome. The caller has set inFlight.
func (k *Keeper) refresh(ctx context.Context, n *node) {
	k.mu.Lock()
	want := k.wantedBy(n)
	k.mu.Unlock()
	g, err := k.obtain(ctx, n, want)
	k.mu.Lock()
	said := false
	switch {
	case err == nil:
		k.book(n, g)
		said = true
	case ctx.Err() != nil:
		if n.err == nil {
			n.err = err
		}
	default:
		said = k.fail(n, want, err)
	}
	k.mu.Unlock()
	if said {
		k.writeAll()
	}
	// In flight until written: who waits for us wants the files.
	k.mu.Lock()
	n.inFlight = false
	k.mu.Unlock()
}

// fail books a failed attempt and sets the time of the next. It reports whether
// the error is news. Keeper.mu is held.
func (k *Keeper) fail(n *node, want string, err error) (news bool) {
	n.failures++
	n.final = !retryable(err)
	// Full jitter: anywhere between now and the growing bound, so that hundreds
	// of pods refused together do not come back together.
	bound := k.t.Denied
	if !n.final {
		bound = min(k.t.Cap, k.t.Base<<min(n.failures-1, 20))
	}
	wait := rand.N(bound) + bound/20
	if left := time.Until(n.grant.expiresHere()); n.have && !n.grant.Expires.IsZero() && left > k.t.Base && left < wait {
		wait = rand.N(left) // one more try before the end
	}
	n.due = time.Now().Add(wait)
	news = n.err == nil || n.err.Error() != err.Error()
	n.err = err
	say := k.log.Debug
	if news {
		say = k.log.Warn
	}
	say("credentials not obtained", "profile", displayName(want), "role", n.link.RoleARN, "attempt", n.failures, "next", wait.Round(time.Millisecond).String(), "err", err)
	return news
}

// half is the time of the next refresh: half the life, ± 10 %.
func (k *Keeper) half(g Grant) time.Time {
	if g.Expires.IsZero() {
		return g.Received.Add(time.Hour)
	}
	h := g.life() / 2
	return g.Received.Add(h - h/10 + rand.N(h/5+1))
}

// obtain makes one attempt at a node's link.
func (k *Keeper) obtain(ctx context.Context, n *node, want string) (Grant, error) {
	k.mu.Lock()
	l, src := n.link, n.source
	var from Grant
	if src != nil {
		from = src.grant
	}
	k.mu.Unlock()
	r := Request{Kind: l.Kind, RoleARN: l.RoleARN, ExternalID: l.ExternalID, Region: l.Region, SessionName: l.SessionName,
		Seconds: l.seconds(int(k.o.Duration.Seconds())), Source: from.Credentials}
	if r.SessionName == "" {
		r.SessionName = sessionNameFor(k.o.Env("HOSTNAME"))
	}
	switch l.Kind {
	case KindStatic:
		return Grant{Credentials: NewCredentials(l.keyID, l.secret, l.session, time.Time{}), Received: time.Now()}, nil
	case KindWebIdentity:
		// Read at each call: kubelet replaces the token long before it expires.
		text, err := readToken(l.TokenFile)
		if err != nil {
			return Grant{}, &ResolveError{want, l, &IssueError{Message: err.Error(), Retry: true}}
		}
		r.Token = strings.TrimSpace(text)
	}
	g, err := k.call(ctx, r)
	if e, ok := errors.AsType[*IssueError](err); ok && e.Code == "ValidationError" && r.Seconds > 3600 {
		k.log.Warn("STS refuses the session length; asking for one hour", "role", l.RoleARN, "seconds", r.Seconds, "err", err)
		r.Seconds = 3600
		g, err = k.call(ctx, r)
	}
	if err == nil {
		return g, nil
	}
	if e, ok := errors.AsType[*IssueError](err); ok && src != nil && src.link.Kind != KindStatic {
		switch e.Code {
		case "ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException":
			// The source's keys are not what we think: fetch them anew first.
			e.Retry = true
			k.mu.Lock()
			if src.grant.KeyID == from.KeyID {
				src.have, src.due = false, time.Now()
			}
			k.mu.Unlock()
		}
	}
	return Grant{}, &ResolveError{want, l, err}
}

// call makes one bounded, counted call.
func (k *Keeper) call(ctx context.Context, r Request) (Grant, error) {
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return Grant{}, &IssueError{Message: "given up", Retry: true}
	}
	c, cancel := context.WithTimeout(ctx, k.t.Attempt)
	defer cancel()
	g, err := k.issuer.Issue(c, r)
	code := "ok"
	if err != nil {
		code = "error"
		if e, ok := errors.AsType[*IssueError](err); ok && e.Code != "" {
			code = e.Code
		}
	}
	k.mu.Lock()
	if key := r.Kind + "|" + code; k.calls[key] > 0 || len(k.calls) < 100 { // codes come from outside
		k.calls[key]++
	}
	k.mu.Unlock()
	if err == nil && !g.Expires.IsZero() && g.life() <= 0 {
		err = &IssueError{Message: fmt.Sprintf("the credentials given expired at %s; the clock of STS or ours is wrong", stsTime(g.Expires)), Retry: true}
	}
	return g, err
}

// book stores a grant and watches the clock. Keeper.mu is held.
func (k *Keeper) book(n *node, g Grant) {
	if n.failures > 0 {
		k.log.Info("credentials are refreshed again", "role", n.link.RoleARN, "failures", n.failures)
	}
	n.grant, n.have = g, true
	n.failures, n.err, n.final, n.warned = 0, nil, false, 0
	n.renewed++
	n.due = k.half(g)
	if n.link.Kind != KindStatic {
		k.log.Info("credentials obtained", "role", n.link.RoleARN, "key", g.KeyID, "expires", stsTime(g.Expires))
	}
	if g.ServerTime.IsZero() {
		return
	}
	before := k.skew
	k.skew = g.skew().Truncate(time.Second)
	if off := k.skew.Abs(); off > time.Minute && (before-k.skew).Abs() > 10*time.Second {
		where := "ahead of"
		if k.skew < 0 {
			where = "behind"
		}
		k.log.Warn("the node's clock is wrong: tools compare expiries with it, and AWS refuses signatures 5 minutes off", "clock", off.String()+" "+where+" STS")
	}
}

// retryable reports whether waiting may cure an error.
func retryable(err error) bool {
	e, ok := errors.AsType[*IssueError](err)
	return !ok || e.Retry
}
