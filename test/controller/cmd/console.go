package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"unicode/utf8"
)

// console prints for people: headings, steps with their output indented, and
// tables. Safe for concurrent use.
type console struct {
	mu    sync.Mutex
	w     io.Writer
	color bool
}

func newConsole(f *os.File) *console {
	st, err := f.Stat()
	terminal := err == nil && st.Mode()&os.ModeCharDevice != 0
	return &console{w: f, color: terminal && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

const bold, dim, plain = "\x1b[1m", "\x1b[2m", "\x1b[0m"

func (c *console) print(style, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	if c.color && style != "" {
		text = style + text + plain
	}
	_, _ = fmt.Fprintln(c.w, text)
}

func (c *console) title(text string) { c.print(bold, "\n%s", text) }

func (c *console) fact(name, format string, args ...any) {
	c.print("", "  %-11s %s", name, fmt.Sprintf(format, args...))
}

func (c *console) step(name string) { c.print(bold, "\n[Pipeline] %s", name) }

func (c *console) result(format string, args ...any) { c.print(dim, "  → "+format, args...) }

// table prints rows with aligned columns.
func (c *console) table(rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, cell := range r {
			b.WriteString("  " + cell + strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell)))
		}
		c.print("", "%s", strings.TrimRight(b.String(), " "))
	}
}

// prefixed is a writer of output that comes in pieces: whole lines are printed
// at once, indented.
func (c *console) prefixed(prefix string) io.WriteCloser { return &lines{c: c, prefix: prefix} }

type lines struct {
	c      *console
	prefix string
	rest   []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.c.print("", "  │ %s%s", l.prefix, l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) Close() error {
	if len(l.rest) > 0 {
		_, _ = l.Write([]byte("\n"))
	}
	return nil
}
