package transport

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/footman-ci/footman/remoting/wire"
)

// scanPreambles reads up to and including the mode preamble, and nothing
// beyond. The capability comes before it, or never: then it is wire.CapNone.
// Whatever else is there, banners of shells and ssh, goes to noise.
func scanPreambles(in io.ByteReader, noise io.Writer, limit int) (wire.Capability, Mode, error) {
	capability := wire.CapNone
	seen := noiseBuffer{out: noise}
	defer seen.flush()
	for total := 0; total < limit; total++ {
		b, err := in.ReadByte()
		if err != nil {
			if err == io.EOF {
				seen.flush()
				err = fmt.Errorf("the other end closed before any preamble: %w", io.ErrUnexpectedEOF)
			}
			return 0, 0, err
		}
		seen.add(b)
		switch {
		case seen.strip(preambleCapability):
			if capability, err = readCapability(in); err != nil {
				return 0, 0, err
			}
		case seen.strip(preambleHudson):
			// It doesn't know ours either, so that nothing is agreed on.
			if _, err = readCapability(in); err != nil {
				return 0, 0, err
			}
		case seen.strip(preambleText):
			return capability, ModeText, nil
		case seen.strip(preambleBinary):
			return capability, ModeBinary, nil
		}
	}
	return 0, 0, fmt.Errorf("no preamble in the first %d bytes: is the other end a Jenkins controller?", limit)
}

// readCapability reads base64 groups until the object in them is complete; it
// has no other end mark.
func readCapability(in io.ByteReader) (wire.Capability, error) {
	var raw []byte
	var group [4]byte
	var three [3]byte
	for len(raw) < 4096 {
		for i := range group {
			b, err := in.ReadByte()
			if err != nil {
				return 0, err
			}
			group[i] = b
		}
		n, err := base64.StdEncoding.Decode(three[:], group[:])
		if err != nil || n == 0 {
			return 0, fmt.Errorf("the capability of the other end is not base64 but %q", group[:])
		}
		raw = append(raw, three[:n]...)
		c, _, err := wire.DecodeCapability(raw)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, wire.ErrIncomplete) {
			return 0, err
		}
	}
	return 0, errors.New("the capability of the other end does not end")
}

// noiseBuffer collects what may still turn out to be a preamble and passes the
// rest on, line by line.
type noiseBuffer struct {
	out io.Writer
	buf []byte
}

const maxNoiseLine = 4096

func (n *noiseBuffer) add(b byte) {
	n.buf = append(n.buf, b)
	// Preambles hold no line break, so nothing of a line can belong to one.
	if b == '\n' || len(n.buf) > maxNoiseLine {
		keep := 0
		if b != '\n' {
			keep = len(preambleText)
		}
		n.write(n.buf[:len(n.buf)-keep])
		n.buf = append(n.buf[:0], n.buf[len(n.buf)-keep:]...)
	}
}

// strip removes preamble from the end, if it is there.
func (n *noiseBuffer) strip(preamble string) bool {
	if n.buf == nil || !bytes.HasSuffix(n.buf, []byte(preamble)) {
		return false
	}
	n.buf = n.buf[:len(n.buf)-len(preamble)]
	return true
}

func (n *noiseBuffer) flush() {
	n.write(n.buf)
	n.buf = n.buf[:0]
}

func (n *noiseBuffer) write(b []byte) {
	if n.out != nil && len(b) > 0 {
		_, _ = n.out.Write(b) // a log that cannot be written does not stop the agent
	}
}
