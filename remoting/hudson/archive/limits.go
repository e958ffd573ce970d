package archive

import (
	"fmt"
	"io"
	"sync/atomic"
)

// Limits end the unpacking of archives that are bigger than they look. Zero fields take the default, negative ones
// switch a limit off.
type Limits struct {
	Entries int64 // files, directories and links; 10 million
	Bytes   int64 // unpacked; 1 TiB
	// Ratio of unpacked to packed bytes, looked at once RatioFrom bytes are unpacked: 200 after 16 GiB. Deflate itself
	// ends at 1 : 1032, which a file of zeros reaches, so that there is no sense in less without a floor.
	Ratio     int64
	RatioFrom int64
	// Directory of a zip in bytes, which is held in memory several times over; 256 MiB.
	Directory int64
}

var defaultLimits = Limits{Entries: 10e6, Bytes: 1 << 40, Ratio: 200, RatioFrom: 16 << 30, Directory: 256 << 20}

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		v   *int64
		def int64
	}{
		{&l.Entries, defaultLimits.Entries},
		{&l.Bytes, defaultLimits.Bytes},
		{&l.Ratio, defaultLimits.Ratio},
		{&l.RatioFrom, defaultLimits.RatioFrom},
		{&l.Directory, defaultLimits.Directory},
	} {
		if *f.v == 0 {
			*f.v = f.def
		}
	}
	return l
}

// LimitError says which limit an archive exceeded.
type LimitError struct {
	What  string
	Limit int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("archive: more than %d %s: refused, raise the limit if this archive is meant", e.Limit, e.What)
}

// meter counts what is unpacked.
type meter struct {
	limits  Limits
	packed  func() int64 // bytes of the archive so far
	entries int64
	bytes   int64
}

func (m *meter) entry() error {
	m.entries++
	if m.limits.Entries >= 0 && m.entries > m.limits.Entries {
		return &LimitError{"entries", m.limits.Entries}
	}
	return nil
}

func (m *meter) data(n int) error {
	m.bytes += int64(n)
	switch l := m.limits; {
	case l.Bytes >= 0 && m.bytes > l.Bytes:
		return &LimitError{"bytes unpacked", l.Bytes}
	case l.Ratio >= 0 && m.bytes > l.RatioFrom && m.bytes/l.Ratio > m.packed():
		return &LimitError{"times the size of the archive", l.Ratio}
	}
	return nil
}

// counter counts the bytes read. Its goroutine is the one that reads; the count may be a block behind elsewhere.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
