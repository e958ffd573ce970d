package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8)
	}
	return b
}

func TestAppendFrames(t *testing.T) {
	tests := []struct {
		name    string
		size    int
		headers []Header
	}{
		{"empty", 0, []Header{0}},
		{"one byte", 1, []Header{1}},
		{"one frame less one", 8191, []Header{8191}},
		{"exactly one frame", 8192, []Header{8192}},
		{"the 8 KiB pipe write of the notes: 8398 bytes", 8398, []Header{8192 | 0x8000, 206}},
		{"exactly two frames", 16384, []Header{8192 | 0x8000, 8192}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := pattern(tt.size)
			framed := AppendFrames([]byte("x"), cmd)[1:]
			require.Len(t, framed, FramedSize(tt.size))
			var joined []byte
			for _, want := range tt.headers {
				h := ParseHeader([2]byte(framed))
				require.Equal(t, want, h)
				joined = append(joined, framed[2:2+h.Size()]...)
				framed = framed[2+h.Size():]
			}
			require.Empty(t, framed)
			require.True(t, bytes.Equal(cmd, joined))
		})
	}
	require.Panics(t, func() { MakeHeader(MaxPayload+1, false) })
}

func TestReader(t *testing.T) {
	one, two := pattern(20000), pattern(3)
	stream := AppendFrames(nil, one)
	stream = append(stream, 0, 0)             // ignored
	stream = append(stream, 0x80, 0, 0, 0)    // ignored, in two frames
	stream = append(stream, 0x80, 2, 0, 7, 1) // two frames: the first of two bytes
	stream = stream[:len(stream)-5]
	stream = AppendFrames(stream, two)
	readers := map[string]func(io.Reader) io.Reader{
		"whole":        func(r io.Reader) io.Reader { return r },
		"byte by byte": iotest.OneByteReader,
		"halves":       iotest.HalfReader,
		"data and EOF": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		t.Run(name, func(t *testing.T) {
			r := NewReader(wrap(bytes.NewReader(stream)), 0)
			got, err := r.ReadCommand()
			require.NoError(t, err)
			require.True(t, bytes.Equal(one, got))
			got, err = r.ReadCommand()
			require.NoError(t, err)
			require.Equal(t, two, got)
			_, err = r.ReadCommand()
			require.Equal(t, io.EOF, err)
		})
	}
}

func TestReaderTruncated(t *testing.T) {
	stream := AppendFrames(nil, pattern(9000))
	for _, cut := range []int{1, 2, 3, 8193, 8194, 8195, 8196, len(stream) - 1} {
		_, err := NewReader(bytes.NewReader(stream[:cut]), 0).ReadCommand()
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "cut at %d", cut)
	}
}

func TestReaderLimit(t *testing.T) {
	stream := AppendFrames(nil, pattern(50000))
	stream = AppendFrames(stream, pattern(10000))
	stream = AppendFrames(stream, pattern(10001))
	stream = AppendFrames(stream, []byte("after"))
	r := NewReader(bytes.NewReader(stream), 10000)
	var tooLarge *CommandTooLargeError
	_, err := r.ReadCommand()
	require.ErrorAs(t, err, &tooLarge)
	require.Equal(t, 10000, tooLarge.Limit)
	got, err := r.ReadCommand()
	require.NoError(t, err)
	require.Len(t, got, 10000)
	_, err = r.ReadCommand()
	require.ErrorAs(t, err, &tooLarge)
	got, err = r.ReadCommand()
	require.NoError(t, err)
	require.Equal(t, "after", string(got))
}

// A peer that never ends its command costs the limit and no more.
func TestReaderEndlessCommand(t *testing.T) {
	frame := append([]byte{0xFF, 0xFF}, make([]byte, MaxPayload)...)
	r := NewReader(io.LimitReader(&repeat{frame: frame}, 100<<20), 1<<20)
	_, err := r.ReadCommand()
	var tooLarge *CommandTooLargeError
	require.ErrorAs(t, err, &tooLarge)
	require.Zero(t, cap(r.buf))
	_, err = r.ReadCommand()
	require.Error(t, err)
	require.LessOrEqual(t, cap(r.buf), 2<<20)
}

type repeat struct {
	frame []byte
	at    int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.frame[r.at:])
	r.at = (r.at + n) % len(r.frame)
	return n, nil
}

func TestReaderShrinks(t *testing.T) {
	var stream []byte
	for _, size := range []int{3 << 20, 10, 300 << 10} {
		stream = AppendFrames(stream, pattern(size))
	}
	for range smallRun + 2 {
		stream = AppendFrames(stream, pattern(10))
	}
	r := NewReader(bytes.NewReader(stream), 0)
	read := func() int {
		_, err := r.ReadCommand()
		require.NoError(t, err)
		return cap(r.buf)
	}
	require.Greater(t, read(), 3<<20)
	require.LessOrEqual(t, read(), keepAlways, "a huge buffer goes at once")
	require.Greater(t, read(), 300<<10)
	for range smallRun {
		require.Greater(t, read(), 300<<10, "a middling one stays for a while")
	}
	require.LessOrEqual(t, read(), keepAlways)
}

func TestReaderAllocates(t *testing.T) {
	r := NewReader(&repeat{frame: AppendFrames(nil, pattern(8398))}, 0)
	_, err := r.ReadCommand()
	require.NoError(t, err)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = r.ReadCommand() }))
}

func TestStream(t *testing.T) {
	a, b := net.Pipe()
	left, right := NewStream(a, StreamConfig{}), NewStream(b, StreamConfig{})
	sizes := []int{1, 8192, 8193, 70000, 1 << 20}
	done := make(chan error, 1)
	go func() {
		for _, n := range sizes {
			if err := left.WriteCommand(pattern(n)); err != nil {
				done <- err
				return
			}
		}
		done <- left.Close()
	}()
	for _, n := range sizes {
		got, err := right.ReadCommand()
		require.NoError(t, err)
		require.True(t, bytes.Equal(pattern(n), got), "%d bytes", n)
	}
	_, err := right.ReadCommand()
	require.Equal(t, io.EOF, err)
	require.NoError(t, <-done)
	require.NoError(t, right.Close())
	require.NoError(t, right.Close(), "idempotent")
}

func TestStreamCloseUnblocks(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	s := NewStream(a, StreamConfig{})
	errs := make(chan error, 2)
	go func() { _, err := s.ReadCommand(); errs <- err }()
	go func() { errs <- s.WriteCommand(pattern(100)) }()
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-errs, net.ErrClosed)
	require.ErrorIs(t, <-errs, net.ErrClosed)
}

func TestStreamTimeouts(t *testing.T) {
	a, b := net.Pipe()
	defer b.Close()
	s := NewStream(a, StreamConfig{ReadTimeout: 20 * time.Millisecond, WriteTimeout: 20 * time.Millisecond})
	defer s.Close()
	var timeout net.Error
	_, err := s.ReadCommand()
	require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
	err = s.WriteCommand(pattern(10))
	require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
	require.True(t, strings.HasPrefix(err.Error(), "wire: write: "))
}

func FuzzReader(f *testing.F) {
	f.Add(AppendFrames(nil, pattern(100)))
	f.Add(AppendFrames(nil, pattern(9000)))
	f.Add([]byte{0, 0})
	f.Add([]byte{0x80, 0, 0x80, 1, 'x', 0, 0})
	f.Add([]byte{0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 5000
		stream = stream[:min(len(stream), 64<<10)]
		r := NewReader(bytes.NewReader(stream), limit)
		var again []byte
		for calls := 0; ; calls++ {
			if calls > len(stream) {
				t.Fatal("a call consumed nothing")
			}
			cmd, err := r.ReadCommand()
			var tooLarge *CommandTooLargeError
			if errors.As(err, &tooLarge) {
				continue
			}
			if err != nil {
				break
			}
			if len(cmd) == 0 || len(cmd) > limit {
				t.Fatalf("a command of %d bytes", len(cmd))
			}
			again = AppendFrames(again[:0], cmd)
			back, err := NewReader(bytes.NewReader(again), limit).ReadCommand()
			if err != nil || !bytes.Equal(cmd, back) {
				t.Fatalf("framed again it is %x, %v", back, err)
			}
		}
	})
}
