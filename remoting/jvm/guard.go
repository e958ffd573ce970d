package jvm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/footman-ci/footman/remoting/wire"
)

// guard watches the bytes on their way from the JVM's standard output, which
// native libraries may print to as well. After the preambles these are
//
//	header of a chunk ─ bytes ─ header ─ bytes …   see package wire
//	                    └ AC ED 00 05 at the beginning of a command
//
// What begins otherwise is no command, and nobody can say where the next one
// begins: the JVM is ended. So is one that stops in the middle of a command.
// Otherwise its calls would wait for ever.
type guard struct {
	io.ReadCloser
	p        *process
	patience time.Duration
	half     *time.Timer // runs while a command is incomplete

	zeros  int     // of the binary preamble, 4 end it
	header [2]byte // of a chunk
	have   int     // bytes of header
	left   int     // bytes of the chunk
	more   bool    // the command goes on behind it
	magic  int     // bytes of the command that were compared
	err    error
}

// streamHeader begins every command: magic and version of a Java object stream.
var streamHeader = [4]byte{0xAC, 0xED, 0, 5}

func newGuard(p *process, r io.ReadCloser, patience time.Duration) *guard {
	g := &guard{ReadCloser: r, p: p, patience: patience}
	g.half = time.AfterFunc(time.Hour, func() {
		p.kill(fmt.Sprintf("its standard output stopped in the middle of a command for %v", patience))
	})
	g.half.Stop()
	return g
}

// Read implements io.Reader.
func (g *guard) Read(b []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.ReadCloser.Read(b)
	if bad := g.check(b[:n]); bad != nil {
		g.half.Stop()
		g.err = bad
		g.p.kill(bad.Error())
		return 0, bad
	}
	switch {
	case err != nil:
		g.half.Stop()
	case g.zeros == len(preambleEnd) && (g.have > 0 || g.left > 0 || g.more):
		g.half.Reset(g.patience)
	default:
		g.half.Stop()
	}
	return n, err
}

// preambleEnd is the preamble of binary mode, the last one.
var preambleEnd = [4]byte{}

func (g *guard) check(b []byte) error {
	for len(b) > 0 && g.zeros < len(preambleEnd) {
		if g.zeros++; b[0] != 0 {
			g.zeros = 0
		}
		b = b[1:]
	}
	for len(b) > 0 {
		if g.left == 0 {
			g.header[g.have] = b[0]
			b = b[1:]
			if g.have++; g.have < len(g.header) {
				continue
			}
			if g.have = 0; !g.more {
				g.magic = 0
			}
			h := wire.ParseHeader(g.header)
			g.left, g.more = h.Size(), h.More()
			continue
		}
		part := b[:min(g.left, len(b))]
		if k := min(len(streamHeader)-g.magic, len(part)); k > 0 {
			if !bytes.Equal(part[:k], streamHeader[g.magic:g.magic+k]) {
				return errors.New("its standard output carried something that is no command; does a native library print there?")
			}
			g.magic += k
		}
		g.left -= len(part)
		b = b[len(part):]
	}
	return nil
}
