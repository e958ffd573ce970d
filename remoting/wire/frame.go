package wire

import "fmt"

const (
	// HeaderSize is the length of a chunk header in bytes (hudson.remoting.ChunkHeader.SIZE).
	HeaderSize = 2
	// MaxPayload is the largest payload a header can name.
	MaxPayload = 0x7FFF
	// FramePayload is the payload we put in a frame. Java uses the same number
	// (AbstractByteBufferCommandTransport), and a WebSocket message of
	// FramePayload+HeaderSize bytes stays far below Jetty's 64 KiB.
	FramePayload = 8192

	moreFollows = 0x8000
)

// Header is a chunk header: "more" says that further frames of the same
// command follow, size is the payload length (0..MaxPayload).
type Header uint16

// MakeHeader builds a header. It panics when size is out of range, which only
// a bug of the caller can bring about.
func MakeHeader(size int, more bool) Header {
	if size < 0 || size > MaxPayload {
		panic(fmt.Sprintf("wire: payload of %d bytes in one frame", size))
	}
	h := Header(size)
	if more {
		h |= moreFollows
	}
	return h
}

// ParseHeader reads a header from its two bytes.
func ParseHeader(b [HeaderSize]byte) Header { return Header(b[0])<<8 | Header(b[1]) }

// Size is the payload length in bytes.
func (h Header) Size() int { return int(h &^ moreFollows) }

// More reports whether further frames of the same command follow.
func (h Header) More() bool { return h&moreFollows != 0 }

// Append adds the two bytes of h to dst.
func (h Header) Append(dst []byte) []byte { return append(dst, byte(h>>8), byte(h)) }

// AppendFrames appends cmd to dst, cut into frames of at most FramePayload
// bytes. An empty cmd gives one empty frame (00 00), which receivers ignore.
func AppendFrames(dst, cmd []byte) []byte {
	for {
		n := min(len(cmd), FramePayload)
		dst = MakeHeader(n, n < len(cmd)).Append(dst)
		dst = append(dst, cmd[:n]...)
		if cmd = cmd[n:]; len(cmd) == 0 {
			return dst
		}
	}
}

// FramedSize is the number of bytes AppendFrames adds for a command of n bytes.
func FramedSize(n int) int {
	frames := max(1, (n+FramePayload-1)/FramePayload)
	return n + frames*HeaderSize
}
