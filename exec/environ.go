package exec

import (
	"bytes"
	"iter"
)

// environEntries yields name and value of the entries of a /proc/<pid>/environ
// as ProcessTree reads it: what follows the last NUL is left out, and entries
// without '=' or with an empty name are.
func environEntries(environ []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		for {
			entry, rest, ok := bytes.Cut(environ, []byte{0})
			if !ok {
				return
			}
			environ = rest
			if i := bytes.IndexByte(entry, '='); i > 0 && !yield(entry[:i], entry[i+1:]) {
				return
			}
		}
	}
}
