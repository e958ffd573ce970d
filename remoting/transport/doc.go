// Package transport brings a connection to a controller up and hands it over
// as whole commands.
//
//	          WebSocket                TCP                          Stdio
//	GET /login ── ready?     GET /tcpSlaveAgentListener/      capability preamble
//	GET /wsagents/ ── 101      identity, host, port           mode preamble
//	     │                   JNLP4-connect: ACK, TLS,              │
//	     │                   identity by public key, headers       │
//	     ▼                        ▼                                ▼
//	messages = bytes         TLS records = bytes          bytes, or base64 quads
//	     └──────────────── chunk frames (package wire) ────────────┘
//	                              │
//	                            Conn      ReadCommand · WriteCommand · Close
//
// Each dialer is a struct of settings with a Dial method that makes exactly one
// attempt: no retry, no back-off, a deadline on each step, names resolved anew.
// Who calls Dial again, and when, is the Engine's business; IsPermanent and
// RefusedError tell it what a failure means.
//
// The secret leaves the process in two places only: the Secret-Key header of
// the WebSocket upgrade and the JNLP4-connect headers, the latter only after
// the controller has proved its instance identity. It is in no log and in no
// error.
package transport
