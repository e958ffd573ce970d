package wire

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Capability is the feature mask of hudson.remoting.Capability, field "mask".
// Each end announces what it understands; a feature is used when both do.
type Capability uint64

// The bits, named as in hudson.remoting.Capability. Bit 0 was never used.
const (
	CapMultiClassLoader        Capability = 1 << 1 // class-loader annotations in user payloads
	CapPipeThrottling          Capability = 1 << 2 // pipe windows and acks
	CapMimicException          Capability = 1 << 3 // no meaning any more
	CapPrefetch                Capability = 1 << 4 // class images with references
	CapGreedyRemoteInputStream Capability = 1 << 5 // RemoteInputStream may push through a pipe
	CapProxyWriter             Capability = 1 << 6 // ProxyWriter with acks, since 2.35
	CapChunkedEncoding         Capability = 1 << 7 // chunk framing on stdin/stdout
	CapProxyExceptionFallback  Capability = 1 << 8 // NormalResponse and ExceptionResponse

	// CapDefault (0x1FE) is what the official agent announces; so do we.
	CapDefault = CapMultiClassLoader | CapPipeThrottling | CapMimicException | CapPrefetch |
		CapGreedyRemoteInputStream | CapProxyWriter | CapChunkedEncoding | CapProxyExceptionFallback
	// CapNone is assumed of a peer on stdin/stdout that announces nothing.
	CapNone Capability = 0
)

const (
	// CapabilityHeader is the HTTP header that carries the base64 form
	// (hudson.remoting.Capability.KEY).
	CapabilityHeader = "X-Remoting-Capability"
	// CapabilitySize is the length of Encode's result in bytes.
	CapabilitySize = 62

	capabilityClass = "hudson.remoting.Capability"
	maxCapability   = 4096 // bytes of a serialized capability that we are ready to look at
)

// Has reports whether every bit of want is set.
func (c Capability) Has(want Capability) bool { return c&want == want }

// Encode returns the Java object stream of the capability, byte for byte what
// Capability.write produces.
func (c Capability) Encode() []byte {
	b := make([]byte, 0, CapabilitySize)
	b = append(b, 0xAC, 0xED, 0x00, 0x05) // stream magic, version 5
	b = append(b, tcObject, tcClassDesc)
	b = appendJavaString(b, capabilityClass)
	b = binary.BigEndian.AppendUint64(b, 1) // serialVersionUID
	b = append(b, 0x02)                     // SC_SERIALIZABLE
	b = binary.BigEndian.AppendUint16(b, 1) // one field: long mask
	b = append(b, 'J')
	b = appendJavaString(b, "mask")
	b = append(b, tcEndBlockData, tcNull) // no annotation, no superclass
	return binary.BigEndian.AppendUint64(b, uint64(c))
}

// Base64 returns the form used in the HTTP header, in JNLP4-connect and in the
// stdin/stdout preamble: standard alphabet with padding, no line breaks.
func (c Capability) Base64() string { return base64.StdEncoding.EncodeToString(c.Encode()) }

// ParseCapability reads the base64 form. Bits we do not know are kept. Bytes
// behind the object are ignored.
func ParseCapability(text string) (Capability, error) {
	if len(text) > base64.StdEncoding.EncodedLen(maxCapability) {
		return 0, fmt.Errorf("wire: capability of %d characters is too long", len(text))
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("wire: capability is not base64: %w", err)
	}
	c, _, err := DecodeCapability(raw)
	return c, err
}

// ErrIncomplete means that the bytes end before the object does.
var ErrIncomplete = errors.New("wire: capability is incomplete")

// DecodeCapability reads a serialized capability from the start of raw and
// returns how many bytes it takes; ErrIncomplete asks for more. Only the class
// itself is accepted, as in Java (Capability.read has a white list); later
// versions may add primitive fields and strings, which are skipped.
func DecodeCapability(raw []byte) (c Capability, size int, err error) {
	d := capDecoder{b: raw}
	c = d.decode()
	if d.err == nil && d.at > maxCapability {
		d.err = errors.New("wire: capability is too long")
	}
	if d.err != nil {
		return 0, 0, d.err
	}
	return c, d.at, nil
}

// String lists the features by name.
func (c Capability) String() string {
	names := []struct {
		bit  Capability
		name string
	}{
		{CapMultiClassLoader, "multi-classloader"}, {CapPipeThrottling, "pipe-throttling"},
		{CapMimicException, "mimic-exception"}, {CapPrefetch, "prefetch"},
		{CapGreedyRemoteInputStream, "greedy-input"}, {CapProxyWriter, "proxy-writer"},
		{CapChunkedEncoding, "chunked"}, {CapProxyExceptionFallback, "proxy-exception-fallback"},
	}
	var out []string
	for _, n := range names {
		if c.Has(n.bit) {
			out = append(out, n.name)
			c &^= n.bit
		}
	}
	if c != 0 {
		out = append(out, fmt.Sprintf("%#x", uint64(c)))
	}
	return "[" + strings.Join(out, " ") + "]"
}
