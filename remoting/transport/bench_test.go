package transport

import (
	"fmt"
	"io"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/footman-ci/footman/remoting/wire"
)

func BenchmarkWebSocketWrite(b *testing.B) {
	for _, size := range []int{200, 8398, 512 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := newWSController(b, false)
			c.serve = func(ws *websocket.Conn) { _, _ = io.Copy(io.Discard, ws.NetConn()) }
			conn, err := c.dialer().Dial(b.Context())
			require.NoError(b, err)
			defer conn.Close()
			cmd := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, conn.WriteCommand(cmd))
			}
		})
	}
}

func BenchmarkWebSocketRead(b *testing.B) {
	for _, size := range []int{200, 8398, 512 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := newWSController(b, false)
			c.serve = func(ws *websocket.Conn) {
				go drain(ws)
				framed := wire.AppendFrames(nil, make([]byte, size))
				for {
					for rest := framed; len(rest) > 0; {
						n := min(len(rest), 8194)
						if ws.WriteMessage(websocket.BinaryMessage, rest[:n]) != nil {
							return
						}
						rest = rest[n:]
					}
				}
			}
			conn, err := c.dialer().Dial(b.Context())
			require.NoError(b, err)
			defer conn.Close()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, err := conn.ReadCommand()
				require.NoError(b, err)
			}
		})
	}
}
