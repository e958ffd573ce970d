package junit

import (
	"bytes"
	"fmt"
)

// Characters (UTF-16 units) kept at each end of trimmed output
// (CaseResult.HALF_MAX_SIZE, HALF_MAX_FAILING_SIZE).
const (
	halfMaxSize        = 500
	halfMaxFailingSize = 50000
)

// budget counts the bytes of text held at one time.
type budget struct{ used, max int64 }

func errRetained(limit int64) error {
	return &Throwable{Class: ClassIO, Message: fmt.Sprintf(
		"The test reports hold more than %d bytes of text, the limit of this agent. Trim their output or match fewer files.", limit)}
}

func (b *budget) take(n int) error {
	if b.used += int64(n); b.used > b.max {
		return errRetained(b.max)
	}
	return nil
}

func (b *budget) give(n int) { b.used -= int64(n) }

// collector gathers the text of one element in bounded memory:
//
//	full      buf = everything
//	trimming  buf = everything, up to 2 × halfMaxFailingSize characters; beyond,
//	          head = the first halfMaxFailingSize, buf = at least the last ones
//
// Whether a case failed is known only behind its output, so a trimming collector
// keeps what either answer can ask for.
type collector struct {
	full  bool
	bud   *budget
	buf   []byte
	head  []byte
	units int // characters seen
}

const (
	tailKeep = 4*halfMaxFailingSize + 4 // bytes, at least halfMaxFailingSize characters
	tailMax  = 3 * tailKeep
)

func (c *collector) write(b []byte) error {
	if err := c.bud.take(len(b)); err != nil {
		return err
	}
	c.buf = append(c.buf, b...)
	c.units += utf16Len(b)
	if c.full || c.units <= 2*halfMaxFailingSize {
		return nil
	}
	if c.head == nil {
		c.head = bytes.Clone(prefixUnits(c.buf, halfMaxFailingSize))
		if err := c.bud.take(len(c.head)); err != nil {
			return err
		}
	}
	if len(c.buf) > tailMax {
		c.bud.give(len(c.buf) - tailKeep)
		c.buf = append(c.buf[:0], c.buf[len(c.buf)-tailKeep:]...)
	}
	return nil
}

// trimmed is CaseResult.possiblyTrimStdio of the text; nil for no element.
func (c *collector) trimmed(keepAll bool, half int) *string {
	if c == nil {
		return nil
	}
	middle := c.units - 2*half
	if c.head == nil && (keepAll || middle <= 0) {
		return c.all()
	}
	head := c.head
	if head == nil {
		head = c.buf
	}
	s := string(prefixUnits(head, half)) +
		fmt.Sprintf("\n...[truncated %d chars]...\n", middle) +
		string(suffixUnits(c.buf, half))
	return &s
}

// all is the whole text of a full collector; nil for no element.
func (c *collector) all() *string {
	if c == nil {
		return nil
	}
	s := string(c.buf)
	return &s
}

// release gives back what the collector holds; it is empty afterwards.
func (c *collector) release() {
	if c != nil {
		c.bud.give(len(c.buf) + len(c.head))
		c.buf, c.head, c.units = nil, nil, 0
	}
}
