package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
)

// textHandler prints records as people read them: time, level, message, then
// the attributes.
//
//	2026-11-21 15:04:05.000 INFO  Connected protocol=WebSocket
type textHandler struct {
	mu    *sync.Mutex // guards w
	w     io.Writer
	level slog.Leveler
	attrs string // of WithAttrs, printed already
}

func newTextHandler(w io.Writer, opt *slog.HandlerOptions) slog.Handler {
	h := &textHandler{mu: new(sync.Mutex), w: w, level: slog.LevelInfo}
	if opt.Level != nil {
		h.level = opt.Level
	}
	return h
}

// Enabled implements slog.Handler.
func (h *textHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs implements slog.Handler.
func (h *textHandler) WithAttrs(as []slog.Attr) slog.Handler {
	var b strings.Builder
	for _, a := range as {
		appendAttr(&b, a)
	}
	c := *h
	c.attrs += b.String()
	return &c
}

// WithGroup implements slog.Handler; names are short enough without groups.
func (h *textHandler) WithGroup(string) slog.Handler { return h }

// Handle implements slog.Handler.
func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	level := r.Level.String()
	if r.Level == slog.LevelWarn {
		level = "WARNING"
	}
	fmt.Fprintf(&b, "%s %-7s %s", r.Time.Format("2006-01-02 15:04:05.000"), level, r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

func appendAttr(b *strings.Builder, a slog.Attr) {
	v := a.Value.Resolve().String()
	if v == "" || strings.ContainsAny(v, " \t\n\"=") {
		v = strconv.Quote(v)
	}
	b.WriteString(" " + a.Key + "=" + v)
}
