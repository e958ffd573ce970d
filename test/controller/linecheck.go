package controller

import (
	"bytes"
	"fmt"
)

// LineCheck is a log writer that wants prefix000001, prefix000002, … one a line
// and nothing else. It keeps one unfinished line.
type LineCheck struct {
	prefix string
	want   int
	n      int
	rest   []byte
	err    error
}

// NewLineCheck wants that many lines.
func NewLineCheck(prefix string, lines int) *LineCheck {
	return &LineCheck{prefix: prefix, want: lines}
}

// Write implements io.Writer; it never fails.
func (c *LineCheck) Write(p []byte) (int, error) {
	size := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			c.rest = append(c.rest, p...)
			return size, nil
		}
		line := p[:i]
		if len(c.rest) > 0 {
			line = append(c.rest, line...)
			c.rest = c.rest[:0]
		}
		c.n++
		if want := fmt.Sprintf("%s%06d", c.prefix, c.n); c.err == nil && string(line) != want {
			c.err = fmt.Errorf("controller: line %d of the log is %q, want %q", c.n, line, want)
		}
		p = p[i+1:]
	}
}

// Done reports the first wrong line, or that some are missing.
func (c *LineCheck) Done() error {
	if c.err == nil && (c.n != c.want || len(c.rest) > 0) {
		return fmt.Errorf("controller: %d lines and %d bytes of log, want %d lines", c.n, len(c.rest), c.want)
	}
	return c.err
}
