package hold

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func frameBytes(t frameType, payload string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{byte(t)}, uint32(len(payload))), payload...)
}

func FuzzReadFrame(f *testing.F) {
	f.Add(frameBytes(frameHello, "version=1\x00nonce=ab\x00"))
	f.Add(frameBytes(frameData, "\x01abc"))
	f.Add(frameBytes(frameWindow, "\x02\x00\x00\x10\x00"))
	f.Add(frameBytes(frameStart, "arg=sh\x00arg=-c\x00env=A=b\x00terminal=1\x00rows=24\x00cols=80\x00leakwait=10\x00"))
	f.Add([]byte{'s', 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, buf := bytes.NewReader(b), []byte(nil)
		for {
			typ, payload, err := readFrame(r, &buf)
			if err != nil {
				return
			}
			require.LessOrEqual(t, len(payload), maxPayload(typ))
			rs, err := parseRecords(payload)
			if err != nil {
				continue
			}
			again, err := rs.encode()
			require.NoError(t, err)
			require.Equal(t, string(payload), string(again))
			cmd, err := parseCommand(rs)
			if err == nil {
				twice, err := parseCommand(cmd.records())
				require.NoError(t, err)
				require.Equal(t, cmd, twice)
			}
			_, _ = parseSize(rs)
			_, _ = graceOf(rs)
			_, _, _ = parseStream(payload)
			_, _ = parseWindow(payload)
		}
	})
}

// nobody is a process that does nothing.
type nobody struct{ piped }

// FuzzSession feeds the frames of a caller to a session that runs a command, and
// those of a hold to a caller.
func FuzzSession(f *testing.F) {
	f.Add(append(frameBytes(frameData, "\x00input"), frameBytes(frameData, "\x00")...))
	f.Add(frameBytes(frameWindow, "\x01\x00\x00\x00\x01"))
	f.Add(frameBytes(frameExit, "code=3\x00signal=9\x00leaked=1\x00oom=x\x00"))
	f.Add(frameBytes(frameBroken, "\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.IndexByte(b, byte(frameSignal)) >= 0 || bytes.IndexByte(b, byte(frameEnd)) >= 0 || bytes.IndexByte(b, byte(frameResize)) >= 0 {
			return // these reach a process
		}
		ours, theirs := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		h := &Hold{Name: "x"}
		h.defaults()
		s := newSession(h, ours)
		for id := range s.outs {
			s.outs[id] = newOutflow(s.c, byte(id))
		}
		s.stdin = newInflow(s.c, streamIn)
		s.r.Reset(bytes.NewReader(b))
		_ = s.read(nobody{})
		require.LessOrEqual(t, s.stdin.held, window)
		cl := &Client{name: "x", c: &conn{Conn: ours}, r: s.r}
		r := &Remote{cl: cl, stdin: newOutflow(cl.c, streamIn), ended: make(chan struct{}), done: make(chan struct{})}
		r.outs[streamOut] = newInflow(cl.c, streamOut)
		s.r.Reset(bytes.NewReader(b))
		_ = r.serve()
		require.LessOrEqual(t, r.outs[streamOut].held, window)
		ours.Close()
		theirs.Close()
	})
}

func FuzzInotify(f *testing.F) {
	f.Add(append(make([]byte, 12), 4, 0, 0, 0, 'a', 'b', 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, e := range parseEvents(b) {
			require.NotContains(t, e.name, "\x00")
		}
	})
}

func FuzzProcessTable(f *testing.F) {
	f.Add([]byte("12 (a) b) S 1 12 12 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 100 1000 50 1"))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseProcess(1, b) })
}

// FuzzLaunchFiles puts anything into the files of a launch: the listener decides
// without running them, and reads no more than it may.
func FuzzLaunchFiles(f *testing.F) {
	f.Add([]byte("'echo' 'hi' "), []byte("sh"), int64(1), true)
	f.Add([]byte("export 'A=x"), []byte("bash -l\n"), int64(5), false)
	f.Fuzz(func(t *testing.T, script, shell []byte, age int64, early bool) {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, fileScript), script, 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fileShell), shell, 0o644))
		h := &Hold{Name: "x"}
		h.defaults()
		l := newFiles(h)
		j := &job{dir: dir, early: early, size: int64(len(script)), since: time.Now().Add(-time.Duration(uint8(age)) * time.Second)}
		_ = l.complete(j)
		_ = quotesEnd(script)
		_, err := readSmall(filepath.Join(dir, fileShell))
		require.Equal(t, len(shell) > maxSmallFile, err != nil)
	})
}
