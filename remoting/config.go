package remoting

import (
	"log/slog"

	"github.com/footman-ci/footman/remoting/jser"
)

// Config tunes a Channel. Only Handler is required.
type Config struct {
	Handler Handler
	Log     *slog.Logger // nil discards

	// Limits bound what one command and one payload may cost.
	Limits jser.Limits
	// PipeWindow is how many bytes an outgoing pipe may have unacknowledged;
	// default 1 MiB, as hudson.remoting.Channel.pipeWindowSize.
	PipeWindow int
	// PipeBuffer is how many bytes an incoming pipe may hold that its reader
	// has not taken; default 16 MiB. A peer that keeps its own window stays far
	// below it.
	PipeBuffer int
	// Relay, if set, gets what is not for this end.
	Relay Relay
	// UserResponses says that the peer knows neither UserRequest$NormalResponse
	// nor ExceptionResponse, and is answered with UserResponse. That is a peer
	// without PROXY_EXCEPTION_FALLBACK in its Capability.
	UserResponses bool
	// NoThrottling says that the peer acknowledges nothing and wants no
	// acknowledgements: one without PIPE_THROTTLING in its Capability. Its pipe
	// operations are then executed in the order of all commands, as it expects,
	// so that a slow stream slows the whole channel down.
	NoThrottling bool
	// FirstID is the first oid, request id and ioId of this end; default
	// remoting.FirstID. A stand-in for a JVM counts from 1.
	FirstID int32
	// MaxRequests is how many requests of the peer may run at once; default
	// 10 000. One more is answered with an exception.
	MaxRequests int
}

func (c Config) withDefaults() Config {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.PipeWindow <= 0 {
		c.PipeWindow = 1 << 20
	}
	if c.PipeBuffer <= 0 {
		c.PipeBuffer = 16 << 20
	}
	if c.FirstID <= 0 {
		c.FirstID = FirstID
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = 10_000
	}
	return c
}
