// Package remoting is the agent's end of a Jenkins Remoting channel.
//
//	         commands in                                   commands out
//	Transport ───────▶ reader ──┬─ Request ──▶ Handler ──▶ Response ─┐
//	                            ├─ Response ─▶ the waiting call      │
//	                            ├─ Chunk … ──▶ incoming pipe         ├─▶ writer ─▶ Transport
//	                            └─ Ack ──────▶ window of an outgoing │
//	                                           pipe, Chunk …  ───────┘
//
// A Channel is symmetric: both ends may send any command at any time, and
// every Request is answered by a Response with its id. Objects of one end are
// known to the other by their oid in the export table. The Channel executes no
// callable itself: a Handler does.
//
// Command shapes follow the classes of the package hudson.remoting; each is
// named where it is written (encode.go) and read (command.go).
//
// Numbers that this end allocates (oids, request ids, ioIds) start at FirstID:
// a companion JVM on the same channel counts from 1 and never meets them.
package remoting
