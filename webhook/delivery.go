package webhook

import (
	"context"
	"sync/atomic"
)

// Delivery is what a handler knows of the event it is called for.
type Delivery struct {
	Route    string
	Provider string
	// Event is what the verified message says of itself.
	Event Verified
	// Body is the raw body, also readable as the request's. Read-only.
	Body []byte
	// IdempotencyKey names the event, the same on every attempt:
	// "<route>/<event id>". Stored together with the effect it makes a second
	// attempt harmless.
	IdempotencyKey string
	// Attempt counts from 1. Fence goes up with each attempt: a service that
	// stores it can refuse a write by an older one.
	Attempt int
	Fence   int64
	// MaybeProcessed reports that an earlier attempt may have had its effect.
	MaybeProcessed bool
}

// DeliveryFrom returns the delivery that the request with this context is
// made for; false outside of a Middleware.
func DeliveryFrom(ctx context.Context) (Delivery, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return Delivery{}, false
	}
	return a.delivery, true
}

// ReportNotWritten says that the request never reached the service behind the
// handler, for example because the connection was refused: no effect is
// possible, so the event may be tried again at once. What the handler wrote as
// its answer is dropped. A proxy calls it from its error handler, with the
// context of the request it was given.
//
// Safety: only for a request of which not one byte was sent.
func ReportNotWritten(ctx context.Context) { report(ctx, reportedNotWritten) }

// ReportNoAnswer says that the request was sent, or may have been, but no
// complete answer came back: the effect is unknown. What the handler wrote as
// its answer is dropped, the claim is kept until its lease ends, and the next
// attempt is marked as maybe processed. It wins over ReportNotWritten.
func ReportNoAnswer(ctx context.Context) { report(ctx, reportedNoAnswer) }

// Reports in ascending order of weight.
const (
	reportedNothing int32 = iota
	reportedNotWritten
	reportedNoAnswer
)

type attemptKey struct{}

// attempt is one call of the handler.
type attempt struct {
	delivery Delivery
	reported atomic.Int32
}

func report(ctx context.Context, what int32) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return
	}
	for {
		was := a.reported.Load()
		if was >= what || a.reported.CompareAndSwap(was, what) {
			return
		}
	}
}
