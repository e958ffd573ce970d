package remoting

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Connection is an established Transport that can say what it is.
type Connection interface {
	Transport
	Protocol() string   // "WebSocket", "JNLP4-connect", "Standard in/out"
	RemoteAddr() string // for logs
}

// Engine keeps an agent connected: dial, serve, and again. A connection is an
// episode; the Engine, its cookie (inside Dial) and the processes of builds
// outlive it. Set the fields before Run and don't change them later.
type Engine struct {
	// Dial makes one attempt to connect. It must end when ctx does.
	Dial func(ctx context.Context) (Connection, error)
	// Channel configures the channel of each episode.
	Channel Config
	Log     *slog.Logger

	// NoReconnect ends Run with the first connection, and on a first attempt
	// that fails.
	NoReconnect bool
	// NoReconnectAfter ends Run when the controller could not be reached for
	// that long; 0 means never.
	NoReconnectAfter time.Duration
	// Permanent reports whether an error of Dial will not go away by itself: a
	// wrong secret, an unknown name. Such errors are tolerated for
	// PermanentGrace, because a controller that is starting may know its nodes
	// a little later; 0 means 2 minutes, negative for ever.
	Permanent      func(error) bool
	PermanentGrace time.Duration
	// Backoff is the wait between attempts.
	Backoff Backoff

	// Online and Offline, if set, are called at the borders of an episode.
	Online  func(*Channel, Connection)
	Offline func(err error)

	mu      sync.Mutex // guards the fields below
	channel *Channel
	leave   bool
}

// Backoff is a wait that doubles between Min and Max and is cut by a random
// part of up to half, so that a fleet does not come back in step.
type Backoff struct {
	Min, Max time.Duration // defaults 0.5 s and 10 s
}

func (b Backoff) wait(attempt int) time.Duration {
	lo, hi := b.Min, b.Max
	if lo <= 0 {
		lo = 500 * time.Millisecond
	}
	if hi < lo {
		hi = max(lo, 10*time.Second)
	}
	d := hi
	if attempt < 16 && lo<<attempt < hi {
		d = lo << attempt
	}
	return d - time.Duration(rand.Int64N(int64(d)/2+1))
}

// GaveUpError ends Run: the controller refused for good, or was away too long.
type GaveUpError struct {
	Last  error // of the last attempt
	After time.Duration
}

func (e *GaveUpError) Error() string {
	return fmt.Sprintf("remoting: giving up after %s: %v", e.After.Round(time.Second), e.Last)
}

func (e *GaveUpError) Unwrap() error { return e.Last }

// Leave makes the current episode the last one (KubernetesSlave's
// SlaveDisconnector): when it ends, Run returns nil.
func (e *Engine) Leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.leave = true
}

func (e *Engine) leaving() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.leave || e.NoReconnect
}

// Current is the channel of the running episode, nil between episodes.
func (e *Engine) Current() *Channel {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.channel
}

func (e *Engine) set(c *Channel) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.channel = c
}

// Run connects and serves until ctx ends, the Engine is told to leave, or it
// gives up. It returns nil when the agent is to end in peace, a *GaveUpError,
// or the cause of ctx.
func (e *Engine) Run(ctx context.Context) error {
	if e.Log == nil {
		e.Log = slog.New(slog.DiscardHandler)
	}
	for {
		conn, err := e.connect(ctx)
		if err != nil {
			return err
		}
		err = e.serve(ctx, conn)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if e.leaving() {
			e.Log.Info("Terminated", "reason", err)
			return nil
		}
		e.Log.Info("Terminated; reconnecting", "reason", err)
	}
}

// serve runs one episode.
func (e *Engine) serve(ctx context.Context, conn Connection) error {
	cfg := e.Channel
	if cfg.Log == nil {
		cfg.Log = e.Log
	}
	ch := NewChannel(conn, cfg)
	e.set(ch)
	defer e.set(nil)
	e.Log.Info("Connected", "protocol", conn.Protocol(), "to", conn.RemoteAddr())
	if e.Online != nil {
		e.Online(ch, conn)
	}
	// When ctx ends the controller is told in order; Serve then ends by itself.
	stop := context.AfterFunc(ctx, func() {
		bye, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		_ = ch.Close(bye)
	})
	defer stop()
	err := ch.Serve(context.Background())
	if e.Offline != nil {
		e.Offline(err)
	}
	return err
}

// connect dials until it succeeds or has reason to give up.
func (e *Engine) connect(ctx context.Context) (Connection, error) {
	start := time.Now()
	var refusedSince time.Time
	for attempt := 0; ; attempt++ {
		conn, err := e.Dial(ctx)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		away := time.Since(start)
		permanent := e.Permanent != nil && e.Permanent(err)
		if !permanent {
			refusedSince = time.Time{}
		} else if refusedSince.IsZero() {
			refusedSince = time.Now()
		}
		switch {
		case e.leaving():
			return nil, &GaveUpError{err, away}
		case e.NoReconnectAfter > 0 && away >= e.NoReconnectAfter:
			return nil, &GaveUpError{err, away}
		case permanent && e.graceOver(refusedSince):
			return nil, &GaveUpError{err, away}
		}
		wait := e.Backoff.wait(attempt)
		if e.NoReconnectAfter > 0 {
			wait = min(wait, e.NoReconnectAfter-away)
		}
		e.Log.Warn("Could not connect; trying again", "in", wait.Round(time.Millisecond), "err", err)
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (e *Engine) graceOver(since time.Time) bool {
	grace := e.PermanentGrace
	if grace == 0 {
		grace = 2 * time.Minute
	}
	return grace > 0 && time.Since(since) >= grace
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
