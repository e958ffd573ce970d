// Package wire frames remoting commands on a byte stream and knows the
// capability that both ends exchange before the first command.
//
//	command   AC ED 00 05 …                    one whole Java object stream
//	   │  AppendFrames          ▲  Reader
//	   ▼                        │
//	frames    [hdr 2][≤ 8192 bytes] [hdr 2][…]   bit 15 of hdr: more frames of this command follow
//	   │                        ▲
//	   ▼                        │
//	bytes     WebSocket messages, TLS records, stdin/stdout: a plain byte stream,
//	          borders between messages or records mean nothing
//
// The layout is that of hudson.remoting.ChunkHeader: two bytes, big-endian,
// 0x8000 = more follows, the low 15 bits = payload length.
//
// The package opens no sockets and imports nothing of ours; package transport
// puts it on a wire.
package wire
