// Package jvm runs what Go does not know in a companion: a stock agent.jar
// that shares our channel.
//
//	controller ══ channel ══ us ══ stdin/stdout ══ java -jar agent.jar
//
//	command of the controller         goes to
//	UserRequest, class in our table   us
//	UserRequest, unknown class        the companion (started now, if need be)
//	oid or id below FirstID           the companion
//	oid or id from FirstID            us
//	Request$Cancel                    whoever runs that request
//	Ack, NotifyDeadWriter             whoever writes to that stream
//	CloseCommand                      us; the companion is ended
//
// We number from remoting.FirstID, a JVM from 1: whole commands are passed on
// byte for byte, and no number inside them ever has to be changed. A JVM that
// died may still be referred to by the controller, so the next one of the same
// channel counts from another base, which a class of ours sets at its start.
//
// Callables that we answered and that set up state in a JVM (system
// properties, log levels, the channel property that tells plugins where they
// run) are played to a new companion first, and its answers are dropped.
package jvm
