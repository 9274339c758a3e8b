package observe

import (
	"context"
	"net/netip"
	"time"
)

// Outcome is how a request ended, apart from its status.
type Outcome string

// Every Outcome.
const (
	// Completed: the handler returned and nothing says that the answer was
	// cut short.
	Completed Outcome = "completed"
	// Aborted: the client went away, the handler gave up with
	// http.ErrAbortHandler, or fewer bytes were written than announced. The
	// status is what was sent, 0 when nothing was.
	Aborted Outcome = "aborted"
	// Panicked: the handler panicked. The status is 500 when nothing was
	// sent before, else what was sent.
	Panicked Outcome = "panicked"
	// Hijacked: the handler took the connection over, as for WebSockets. The
	// duration is the handler's; what was sent afterwards is not counted.
	Hijacked Outcome = "hijacked"
)

// RequestEvent is a request that ended.
type RequestEvent struct {
	// Context is the one that the handler got: that of OnStart, when set.
	// It may have ended.
	Context context.Context

	Method    string // OtherMethod when unknown
	Route     string // a template of Config.Routes, or Unmatched
	Path      string // percent-encoded, without query, at most 512 bytes
	Status    int    // final status sent; 0 when none was
	Bytes     int64  // of the body, as given to the ResponseWriter
	Start     time.Time
	Duration  time.Duration
	Client    netip.Addr // invalid on a Unix socket
	RequestID string
	TraceID   string // of traceparent, 32 hex digits; "" without
	Outcome   Outcome
}

// PanicEvent is a panic of a handler.
type PanicEvent struct {
	Context   context.Context // as in RequestEvent
	Method    string
	Route     string
	RequestID string
	Value     any    // what panic was called with
	Stack     []byte // as debug.Stack gives it, at most 16 KiB
}
