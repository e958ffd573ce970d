package exec

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// BufferLimits bound what a PipeReader keeps while nobody reads. Zero fields
// take the defaults.
type BufferLimits struct {
	Memory int           // bytes in memory, 64 KiB
	Spill  int64         // bytes in an unlinked temporary file after that, 64 MiB; <0 = none
	Dir    string        // of that file, os.TempDir
	Stall  time.Duration // how long a full buffer may hold the process up before output is dropped, 30 s
}

func (l BufferLimits) withDefaults() BufferLimits {
	if l.Memory <= 0 {
		l.Memory = 64 << 10
	}
	if l.Spill == 0 {
		l.Spill = 64 << 20
	}
	if l.Stall <= 0 {
		l.Stall = 30 * time.Second
	}
	return l
}

// PipeReader is the output of a process that the caller may read, late or never
// (Java: Proc.getStdout with SELFPUMP_OUTPUT).
//
// Until the first Read, output is kept in memory, then in a temporary file, so
// that the process runs on; when both are full it is held up for Stall, and from
// then on output is dropped. From the first Read on, nothing is dropped: a slow
// reader holds up the process, as a pipe does.
type PipeReader struct {
	r      *os.File
	limits BufferLimits

	mu       sync.Mutex // guards all below
	changed  sync.Cond
	mem      []byte
	spill    *os.File
	from, to int64 // what of spill is not read yet; it is younger than mem
	noSpill  bool  // the file could not be made or written
	reading  bool  // Read was called
	dropping bool
	exited   bool // the process, not its descendants
	closed   bool
	lost     int64
	end      error // set when the pipe has ended
}

// DroppedError ends a stream of which a part was dropped.
type DroppedError struct{ Bytes int64 }

func (e *DroppedError) Error() string {
	return fmt.Sprintf("exec: %d bytes of output were dropped, because nobody read them in time", e.Bytes)
}

func newPipeReader(r *os.File, limits BufferLimits) *PipeReader {
	p := &PipeReader{r: r, limits: limits.withDefaults()}
	p.changed.L = &p.mu
	go p.run()
	return p
}

// NewPipeReader reads the pipe r, which it takes over, into a PipeReader, for
// output that comes from elsewhere than a process of ours. exited is closed when
// whoever writes has ended.
func NewPipeReader(r *os.File, limits BufferLimits, exited <-chan struct{}) *PipeReader {
	p := newPipeReader(r, limits)
	go func() {
		<-exited
		p.processExited()
	}()
	return p
}

func (p *PipeReader) run() {
	src := newReadiness(p.r)
	for {
		b, n, err := src.next()
		if n > 0 {
			p.keep(b[:n])
		}
		if b != nil {
			buffers.Put(b)
		}
		if err != nil {
			p.finish(err)
			return
		}
	}
}

func (p *PipeReader) finish(err error) {
	p.r.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end = err
	if p.closed {
		p.free()
	}
	p.changed.Broadcast()
}

// keep stores b, waiting for room where that is due.
func (p *PipeReader) keep(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stalled bool
	var stall *time.Timer
	for len(b) > 0 && !p.closed {
		if p.dropping {
			p.lost += int64(len(b))
			return
		}
		spilled := p.from < p.to
		if room := p.limits.Memory - len(p.mem); !spilled && room > 0 {
			n := min(room, len(b))
			p.mem = append(p.mem, b[:n]...)
			b = b[n:]
			p.changed.Broadcast()
			continue
		}
		if !p.reading && p.spillOver(b) {
			p.changed.Broadcast()
			return
		}
		if !p.reading && (stalled || p.exited) {
			p.dropping = true
			continue
		}
		if stall == nil && !p.reading {
			stall = time.AfterFunc(p.limits.Stall, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				stalled = true
				p.changed.Broadcast()
			})
			defer stall.Stop()
		}
		p.changed.Wait()
	}
}

// spillOver writes b to the file if it may.
func (p *PipeReader) spillOver(b []byte) bool {
	if p.noSpill || p.to+int64(len(b)) > p.limits.Spill {
		return false
	}
	if p.spill == nil {
		f, err := os.CreateTemp(p.limits.Dir, "footman-output-*")
		if err != nil {
			p.noSpill = true
			return false
		}
		os.Remove(f.Name())
		p.spill = f
	}
	if _, err := p.spill.WriteAt(b, p.to); err != nil {
		p.noSpill = true
		return false
	}
	p.to += int64(len(b))
	return true
}

// Read waits for output. At the end of the stream it returns io.EOF, or a
// *DroppedError; after Close os.ErrClosed.
func (p *PipeReader) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b) == 0 {
		return 0, nil
	}
	if !p.reading {
		p.reading = true
		p.changed.Broadcast()
	}
	for {
		switch {
		case p.closed:
			return 0, os.ErrClosed
		case len(p.mem) > 0:
			n := copy(b, p.mem)
			if p.mem = p.mem[n:]; len(p.mem) == 0 {
				p.mem = nil
			}
			p.changed.Broadcast()
			return n, nil
		case p.from < p.to:
			return p.readSpill(b)
		case p.end != nil && p.lost > 0:
			return 0, &DroppedError{p.lost}
		case p.end != nil:
			return 0, p.end
		}
		p.changed.Wait()
	}
}

func (p *PipeReader) readSpill(b []byte) (int, error) {
	n, err := p.spill.ReadAt(b[:min(int64(len(b)), p.to-p.from)], p.from)
	if n == 0 && err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, fmt.Errorf("exec: kept output: %w", err)
	}
	if p.from += int64(n); p.from == p.to {
		p.spill.Close()
		p.spill, p.from, p.to = nil, 0, 0
		p.changed.Broadcast()
	}
	return n, nil
}

// Discard drops what is kept and all that comes, so that the process runs on
// without a reader. Reads wait for the end of the stream.
func (p *PipeReader) Discard() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropping = true
	p.lost += int64(len(p.mem)) + p.to - p.from
	p.free()
	p.changed.Broadcast()
}

// Close closes the pipe: a process that still writes to it gets SIGPIPE, as when
// Java's stream is closed.
func (p *PipeReader) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.free()
	p.changed.Broadcast()
	p.r.Close() // wakes run
	return nil
}

func (p *PipeReader) free() {
	p.mem = nil
	if p.spill != nil {
		p.spill.Close()
		p.spill = nil
	}
	p.from, p.to = 0, 0
}

func (p *PipeReader) processExited() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.exited = true
	p.changed.Broadcast()
}
