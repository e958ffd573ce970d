package hudson

import (
	"context"
	"encoding/binary"
	"log/slog"
	"strings"
	"sync"

	"github.com/footman-ci/footman/remoting/jser"
)

// LogBuffer is a slog.Handler that keeps the last records for the log page of
// the node and passes all on. The zero value is not usable; see NewLogBuffer.
type LogBuffer struct {
	next slog.Handler
	ring *ring
}

type ring struct {
	mu   sync.Mutex // guards the fields below
	recs []logRecord
	at   int
	seq  int64
}

type logRecord struct {
	level  slog.Level
	millis int64
	text   string
	seq    int64
}

// NewLogBuffer keeps up to size records and passes them on to next.
func NewLogBuffer(next slog.Handler, size int) *LogBuffer {
	return &LogBuffer{next, &ring{recs: make([]logRecord, 0, size)}}
}

// Enabled implements slog.Handler.
func (b *LogBuffer) Enabled(ctx context.Context, l slog.Level) bool { return b.next.Enabled(ctx, l) }

// WithAttrs implements slog.Handler.
func (b *LogBuffer) WithAttrs(as []slog.Attr) slog.Handler {
	return &LogBuffer{b.next.WithAttrs(as), b.ring}
}

// WithGroup implements slog.Handler.
func (b *LogBuffer) WithGroup(g string) slog.Handler { return &LogBuffer{b.next.WithGroup(g), b.ring} }

// Handle implements slog.Handler.
func (b *LogBuffer) Handle(ctx context.Context, r slog.Record) error {
	var s strings.Builder
	s.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		s.WriteString(" " + a.Key + "=" + a.Value.String())
		return true
	})
	b.ring.add(logRecord{level: r.Level, millis: r.Time.UnixMilli(), text: s.String()})
	return b.next.Handle(ctx, r)
}

func (r *ring) add(rec logRecord) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	rec.seq = r.seq
	if len(r.recs) < cap(r.recs) {
		r.recs = append(r.recs, rec)
		return
	}
	if len(r.recs) == 0 {
		return
	}
	r.recs[r.at] = rec
	r.at = (r.at + 1) % len(r.recs)
}

var (
	levelDesc = jser.Serializable("java.util.logging.Level", -8176160795706313070, nil,
		jser.Prim("value", 'I'), jser.Ref("name", "java.lang.String"), jser.Ref("resourceBundleName", "java.lang.String"))
	logRecordDesc = jser.Custom("java.util.logging.LogRecord", 5372048053134512534, nil,
		jser.Prim("longThreadID", 'J'), jser.Prim("millis", 'J'), jser.Prim("nanoAdjustment", 'I'), jser.Prim("sequenceNumber", 'J'), jser.Prim("threadID", 'I'),
		jser.Ref("level", "java.util.logging.Level"), jser.Ref("loggerName", "java.lang.String"), jser.Ref("message", "java.lang.String"),
		jser.Ref("resourceBundleName", "java.lang.String"), jser.Ref("sourceClassName", "java.lang.String"),
		jser.Ref("sourceMethodName", "java.lang.String"), jser.Ref("thrown", "java.lang.Throwable"))
)

// records lists the kept records, newest first as the controller shows them,
// as java.util.logging.LogRecords.
func (b *LogBuffer) records() *jser.Object {
	r := b.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	const bundle = "sun.util.logging.resources.logging"
	levels := map[string]jser.Value{}
	level := func(name string, value int32) jser.Value {
		if levels[name] == nil {
			levels[name] = jser.New(levelDesc, value, name, bundle)
		}
		return levels[name]
	}
	// LogRecord.writeObject: version 1.0, and -1 for no parameters.
	tail := jser.Block(binary.BigEndian.AppendUint32([]byte{1, 0}, 0xFFFFFFFF))
	var out []jser.Value
	for i := len(r.recs) - 1; i >= 0; i-- {
		rec := r.recs[(r.at+i)%len(r.recs)]
		l := level("INFO", 800)
		switch {
		case rec.level >= slog.LevelError:
			l = level("SEVERE", 1000)
		case rec.level >= slog.LevelWarn:
			l = level("WARNING", 900)
		case rec.level < slog.LevelInfo:
			l = level("FINE", 500)
		}
		o := &jser.Object{Class: logRecordDesc, Data: []jser.ClassData{{Desc: logRecordDesc, Extra: []jser.Value{tail},
			Values: []jser.Value{int64(1), rec.millis, int32(0), rec.seq, int32(1), l, "footman", rec.text, nil, "footman.Agent", "run", nil}}}}
		out = append(out, o)
	}
	return jser.ArrayList(out...)
}
