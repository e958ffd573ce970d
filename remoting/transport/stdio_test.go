package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/wire"
)

// peer is the controller's end of a pair of pipes.
type peer struct {
	in  *io.PipeReader // what the agent writes
	out *io.PipeWriter
}

func newPeer(s *Stdio) *peer {
	ar, aw := io.Pipe()
	br, bw := io.Pipe()
	s.In, s.Out = br, aw
	return &peer{in: ar, out: bw}
}

func (p *peer) send(t *testing.T, text string) {
	_, err := io.WriteString(p.out, text)
	require.NoError(t, err)
}

func (p *peer) expect(t *testing.T, text string) {
	got := make([]byte, len(text))
	_, err := io.ReadFull(p.in, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

func (p *peer) close() { p.in.Close(); p.out.Close() }

type dialled struct {
	conn *Conn
	err  error
}

func dialStdio(s *Stdio) <-chan dialled {
	done := make(chan dialled, 1)
	go func() {
		c, err := s.Dial(context.Background())
		done <- dialled{c, err}
	}()
	return done
}

var hello = preambleCapability + wire.CapDefault.Base64()

func TestStdioModes(t *testing.T) {
	tests := []struct {
		name         string
		ours         Mode
		noise        string
		theirs       string
		want, answer string // what we send, before and after hearing the peer
		text         bool
	}{
		{"binary", ModeBinary, "", preambleBinary, preambleBinary, "", false},
		{"text", ModeText, "", preambleText, preambleText, "", true},
		{"negotiated binary", ModeNegotiate, "", preambleBinary, "", preambleBinary, false},
		{"negotiated text", ModeNegotiate, "", preambleText, "", preambleText, true},
		{"banner", ModeBinary, "Welcome <===[JENKINS\nlast line without end", preambleBinary, preambleBinary, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var noise bytes.Buffer
			s := &Stdio{Mode: tt.ours, Noise: &noise}
			p := newPeer(s)
			defer p.close()
			done := dialStdio(s)
			p.expect(t, hello+tt.want)
			p.send(t, tt.noise+hello+tt.theirs)
			p.expect(t, tt.answer)
			d := <-done
			require.NoError(t, d.err)
			require.Equal(t, tt.noise, noise.String())
			require.Equal(t, "Standard in/out", d.conn.Protocol())
			require.Equal(t, wire.CapDefault, d.conn.RemoteCapability())

			cmd := bytes.Repeat([]byte("command "), 2000)
			framed := string(wire.AppendFrames(nil, cmd))
			if tt.text {
				framed = base64.StdEncoding.EncodeToString([]byte(framed))
			}
			written := make(chan error, 1)
			go func() { written <- d.conn.WriteCommand(cmd) }()
			p.expect(t, framed)
			require.NoError(t, <-written)
			go func() {
				_, err := io.WriteString(p.out, framed)
				p.out.Close()
				written <- err
			}()
			got, err := d.conn.ReadCommand()
			require.NoError(t, err)
			require.True(t, bytes.Equal(cmd, got))
			require.NoError(t, <-written)
			_, err = d.conn.ReadCommand()
			require.Equal(t, io.EOF, err)
			require.NoError(t, d.conn.Close())
		})
	}
}

func TestStdioRefuses(t *testing.T) {
	tests := []struct {
		name, theirs, text string
		stdio              Stdio
	}{
		{"another mode", hello + preambleText, "add or remove -text", Stdio{}},
		{"end of file", "ssh: not found\n", "closed before any preamble", Stdio{}},
		{"no capability at all", preambleBinary, "older than 2013", Stdio{}},
		{"no chunks", preambleCapability + wire.Capability(6).Base64() + preambleBinary, "older than 2013", Stdio{}},
		{"bad base64", preambleCapability + "!!!!", "not base64", Stdio{}},
		{"another object", preambleCapability + "rO0ABXVy", "not a capability", Stdio{}},
		{"noise without end", strings.Repeat("x", 2000), "no preamble in the first 1000 bytes", Stdio{MaxNoise: 1000}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.stdio
			p := newPeer(&s)
			defer p.close()
			done := dialStdio(&s)
			go func() { _, _ = io.Copy(io.Discard, p.in) }()
			go func() { _, _ = io.WriteString(p.out, tt.theirs); p.out.Close() }()
			d := <-done
			require.ErrorContains(t, d.err, tt.text)
		})
	}
}

func TestStdioSilentPeer(t *testing.T) {
	s := &Stdio{Timeout: 30 * time.Millisecond}
	p := newPeer(s)
	defer p.close()
	go func() { _, _ = io.Copy(io.Discard, p.in) }()
	_, err := s.Dial(t.Context())
	require.ErrorContains(t, err, "no preamble in time")

	s = &Stdio{}
	p = newPeer(s)
	defer p.close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = s.Dial(ctx) // blocked in its first write
	require.ErrorIs(t, err, context.Canceled)
}

// stuck is a file descriptor whose system calls do not return on Close.
type stuck struct {
	forever chan struct{}
	closed  chan struct{}
}

func (s *stuck) Read([]byte) (int, error)    { <-s.forever; return 0, io.EOF }
func (s *stuck) Write(p []byte) (int, error) { <-s.forever; return len(p), nil }
func (s *stuck) Close() error                { close(s.closed); return nil }

func TestPipePairCloseUnblocks(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	in, out := &stuck{forever, make(chan struct{})}, &stuck{forever, make(chan struct{})}
	s := wire.NewStream(newPipePair(in, out), wire.StreamConfig{})
	errs := make(chan error, 2)
	go func() { _, err := s.ReadCommand(); errs <- err }()
	go func() { errs <- s.WriteCommand([]byte("x")) }()
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-errs, net.ErrClosed)
	require.ErrorIs(t, <-errs, net.ErrClosed)
	<-in.closed
	<-out.closed
}

// Real descriptors: blocking pipes, as a controller gives them.
func TestStdioFiles(t *testing.T) {
	r1, w1, err := os.Pipe()
	require.NoError(t, err)
	r2, w2, err := os.Pipe()
	require.NoError(t, err)
	for _, f := range []*os.File{r1, w1, r2, w2} {
		_ = f.Fd() // makes it blocking
	}
	a := dialStdio(&Stdio{In: r1, Out: w2})
	b := dialStdio(&Stdio{In: r2, Out: w1, Mode: ModeNegotiate})
	left, right := <-a, <-b
	require.NoError(t, left.err)
	require.NoError(t, right.err)
	require.NoError(t, left.conn.WriteCommand([]byte("over the pipe")))
	got, err := right.conn.ReadCommand()
	require.NoError(t, err)
	require.Equal(t, "over the pipe", string(got))
	ended := make(chan error, 1)
	go func() { _, err := left.conn.ReadCommand(); ended <- err }()
	require.NoError(t, left.conn.Close())
	require.ErrorIs(t, <-ended, net.ErrClosed)
	_, err = right.conn.ReadCommand()
	require.Equal(t, io.EOF, err)
	require.NoError(t, right.conn.Close())
}

// nextString is a stand-in for the object reader of package jser: objects are
// short strings.
func nextString(r io.Reader) ([]byte, error) {
	br := r.(io.ByteReader)
	var b []byte
	for n := 3; len(b) < n; {
		c, err := br.ReadByte()
		if err != nil {
			return nil, err
		}
		if b = append(b, c); len(b) == 3 {
			if b[0] != 0x74 {
				return nil, errors.New("not a string")
			}
			n += int(b[1])<<8 | int(b[2])
		}
	}
	return b, nil
}

func TestStdioClassic(t *testing.T) {
	for _, mode := range []Mode{ModeBinary, ModeText} {
		t.Run(mode.String(), func(t *testing.T) {
			s := &Stdio{Mode: ModeNegotiate, NextObject: nextString, MaxCommand: 1000}
			p := newPeer(s)
			defer p.close()
			encode := func(s string) string {
				if mode == ModeText {
					return base64.StdEncoding.EncodeToString([]byte(s))
				}
				return s
			}
			done := dialStdio(s)
			p.expect(t, hello)
			p.send(t, preambleCapability+wire.Capability(2).Base64()+modePreamble(mode))
			p.expect(t, modePreamble(mode))
			p.expect(t, encode("\xac\xed\x00\x05"))
			d := <-done
			require.NoError(t, d.err)
			require.Equal(t, wire.CapMultiClassLoader, d.conn.RemoteCapability())

			// Java flushes the object and leaves the reset for the next flush.
			go func() {
				for _, part := range []string{"\xac\xed\x00\x05", "t\x00\x02hi", "yt\x00\x03you", "yyt\x03\xe8" + strings.Repeat("x", 1000)} {
					_, _ = io.WriteString(p.out, encode(part))
				}
			}()
			for _, want := range []string{"t\x00\x02hi", "t\x00\x03you"} {
				got, err := d.conn.ReadCommand()
				require.NoError(t, err)
				require.Equal(t, "\xac\xed\x00\x05"+want, string(got))
			}
			_, err := d.conn.ReadCommand()
			require.ErrorContains(t, err, "larger than the limit of 1000 bytes")

			written := make(chan error, 1)
			go func() { written <- d.conn.WriteCommand([]byte("\xac\xed\x00\x05t\x00\x01A")) }()
			p.expect(t, encode("t\x00\x01Ay"))
			require.NoError(t, <-written)
			require.Error(t, d.conn.WriteCommand([]byte("t\x00\x01A")))
			require.NoError(t, d.conn.Close())
		})
	}
}

func TestClassicEnds(t *testing.T) {
	for stream, want := range map[string]error{
		"":                           io.EOF,
		"\xac\xed\x00\x05":           io.EOF,
		"\xac\xed\x00\x05yy":         io.EOF,
		"\xac\xed\x00":               io.ErrUnexpectedEOF,
		"\xac\xed\x00\x05yt\x00":     io.ErrUnexpectedEOF,
		"\xac\xed\x00\x05t\x00\x02a": io.ErrUnexpectedEOF,
		"\xca\xfe\xba\xbe":           nil,
	} {
		c, err := newClassic(&joined{strings.NewReader(stream), io.Discard, io.NopCloser(nil)}, nextString, 0)
		require.NoError(t, err)
		_, err = c.ReadCommand()
		require.Error(t, err)
		if want != nil {
			require.ErrorIs(t, err, want, "%q", stream)
		}
	}
}

func TestTextReader(t *testing.T) {
	enc := func(parts ...string) string {
		var b strings.Builder
		for _, p := range parts {
			b.WriteString(base64.StdEncoding.EncodeToString([]byte(p)))
		}
		return b.String()
	}
	long := strings.Repeat("0123456789", 2000)
	tests := []struct {
		name, text, want string
		err              error
	}{
		{"empty", "", "", io.EOF},
		{"padding inside", enc("a", "bc", "def", "g"), "abcdefg", io.EOF},
		{"long", enc(long, "x", long), long + "x" + long, io.EOF},
		{"cut", enc("abc") + "YW", "abc", io.ErrUnexpectedEOF},
		{"not base64", enc("abc") + "YW!=", "abc", nil},
		{"line break", enc("abc") + "\r\nYW", "abc", nil},
		{"padding first", "=abc", "", nil},
		{"padding in the middle", "ab=c", "", nil},
	}
	for _, tt := range tests {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "eof": iotest.DataErrReader,
		} {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				var got bytes.Buffer
				r := newTextReader(wrap(strings.NewReader(tt.text)))
				_, err := io.Copy(&got, r)
				require.Equal(t, tt.want, got.String())
				switch tt.err {
				case io.EOF:
					require.NoError(t, err)
				case nil:
					require.ErrorContains(t, err, "not base64")
				default:
					require.ErrorIs(t, err, tt.err)
				}
			})
		}
	}
}

// What agent.jar and a real controller wrote (fixture 24).
func TestScanRecorded(t *testing.T) {
	in := bufio.NewReader(strings.NewReader(hello + preambleBinary + "rest"))
	c, mode, err := scanPreambles(in, nil, 1000)
	require.NoError(t, err)
	require.Equal(t, wire.CapDefault, c)
	require.Equal(t, ModeBinary, mode)
	rest, err := io.ReadAll(in)
	require.NoError(t, err)
	require.Equal(t, "rest", string(rest), "not a byte too many")
}

// Hudson 1.395 (2011) has another preamble for its capability. It does not read
// ours either, so both ends take each other for one that can do nothing;
// understanding half of that would put them out of step. It is no noise, though.
func TestScanHudson(t *testing.T) {
	var noise bytes.Buffer
	old := "<===[HUDSON REMOTING CAPACITY]===>" + wire.Capability(2).Base64()
	c, mode, err := scanPreambles(bufio.NewReader(strings.NewReader(old+preambleBinary)), &noise, 1000)
	require.NoError(t, err)
	require.Equal(t, wire.CapNone, c)
	require.Equal(t, ModeBinary, mode)
	require.Empty(t, noise.String())
}

func TestScanNoise(t *testing.T) {
	long := strings.Repeat("z", 10000)
	for _, noise := range []string{"", "a\nb\n", "<===[JENKINS REMOTING CAPACITY]", "<<<===[", "\x00\x00\x00x", long, long + "\n" + long} {
		var got bytes.Buffer
		_, _, err := scanPreambles(bufio.NewReader(strings.NewReader(noise+hello+preambleText)), &got, 1<<20)
		require.NoError(t, err, "%.40q", noise)
		require.Equal(t, noise, got.String())
	}
}

func FuzzPreambles(f *testing.F) {
	f.Add([]byte("noise\n" + hello + preambleBinary))
	f.Add([]byte(preambleText))
	f.Add([]byte(preambleCapability + "rO0A"))
	f.Fuzz(func(t *testing.T, stream []byte) {
		const limit = 10000
		var noise bytes.Buffer
		in := bytes.NewReader(stream)
		_, mode, err := scanPreambles(in, &noise, limit)
		require.LessOrEqual(t, noise.Len(), min(len(stream), limit))
		if err == nil {
			read := stream[:len(stream)-in.Len()]
			require.True(t, bytes.HasSuffix(read, []byte(modePreamble(mode))))
			require.True(t, bytes.HasPrefix(stream, noise.Bytes()) || bytes.Contains(stream, []byte(preambleCapability)))
		}
	})
}

func FuzzTextMode(f *testing.F) {
	f.Add([]byte("YQ==YmM="))
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole, err1 := io.ReadAll(newTextReader(bytes.NewReader(stream)))
		slow, err2 := io.ReadAll(newTextReader(iotest.OneByteReader(bytes.NewReader(stream))))
		require.Equal(t, whole, slow)
		require.Equal(t, err1 == nil, err2 == nil)
	})
}
