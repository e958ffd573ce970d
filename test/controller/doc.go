// Package controller is a small Jenkins controller for tests, benchmarks and
// `make demo`: it speaks the real wire and sends what a real one sent.
//
//	HTTP  /login  /wsagents/  /tcpSlaveAgentListener/       TCP  JNLP4-connect
//	          │                                              │
//	          └──────────▶  Node  ◀── one connection ────────┘
//	                         │  online: SlaveVersion … CopySystemProperties, Exists
//	                         │  then monitors, pings
//	     Sh, Freestyle, WriteFile, …  ──▶ conn ──▶ commands ──▶ the agent
//	     io.Writer (live log)  ◀── sinks ◀── ProxyOutputStream$Chunk ◀──┘
//
// Requests are not built by hand: templates.jsonl.gz holds one recorded command
// of a real Jenkins 2.541.2 for each (see gen), with its stack traces, class
// names, serialVersionUIDs and class-loader tags. Only ids, oids, paths, scripts
// and environments are put in.
//
// The end of the channel is written anew here, with packages jser and wire below
// it: nothing of package remoting is used, so that a mistake there has no
// counterpart that hides it.
package controller

//go:generate go run ./gen
