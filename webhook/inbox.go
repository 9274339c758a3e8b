package webhook

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Inbox is a [Store] that also keeps the messages themselves until they are
// handled, so that a provider can be answered before they are. Beside the steps
// of a Store it has:
//
//	absent  --Put--> waiting, fence 0, due at once
//	waiting --Take, when due--> claimed, fence+1
//	claimed --its lease ends--> due again: fence+1, maybe processed
//	claimed --Complete(fence)--> done; the message is deleted
//	claimed --Fail(fence)--> waiting until it is due again, or dead, or still
//	                         claimed until its lease ends
//	dead    --Ledger.Revive--> waiting, due at once
//	claimed, its lease over --Ledger.Revive--> waiting, due at once, maybe processed
//	                        --Ledger.Discard--> dead, without its message
//
// A waiting key is in StateRetry. While its message waits or is claimed a key
// is kept without end: its retention counts from when it is done or dead. Of a
// dead one the message is kept as long as the key. Claim answers Waiting for a
// key whose message waits or is claimed by Take, and changes nothing.
//
// Messages of one route with the same Message.Order, other than empty, are taken
// in the order in which they were put, the next one not before the one ahead of
// it is done or dead. Others are taken by when they are due.
//
// Safety: as of a Store. What Put has stored survives the death of the process
// and of the machine.
type Inbox interface {
	Store
	Ledger

	// Put keeps the message under key, unless the key is known. Its Status is
	//
	//	Accepted   the message was kept by this step
	//	Waiting    it was kept before, and is not handled yet
	//	InFlight   a Claim holds the key: nothing was kept
	//	Done, Dead, OtherBody   as of Claim
	//
	// A key to retry that has no message, left by Claim and Release, gets this
	// one, and its fence, attempts and mark stay. Lease is not used.
	Put(ctx context.Context, key string, m Stored, req ClaimRequest) (Claim, error)

	// Take claims up to limit messages of a route that are due, each for lease
	// (whole milliseconds, above 0). None is not an error. An error may come
	// beside messages, which count all the same: of one that cannot be read it is
	// told once, and that one is dead, with the reason "unreadable".
	Take(ctx context.Context, route string, limit int, lease time.Duration) ([]Taken, error)

	// Fail ends the attempt with that fence. Errors: ErrStaleFence, and nothing
	// changes; a repetition of the step succeeds.
	Fail(ctx context.Context, key string, fence int64, f Failure) error

	// Message returns what is kept under key. Errors: ErrNoMessage.
	Message(ctx context.Context, key string) (Stored, error)

	// Backlog tells what is kept, by route, of routes that have something.
	Backlog(ctx context.Context) ([]Backlog, error)
}

// Stored is a verified message as an [Inbox] keeps it.
type Stored struct {
	Route string
	// Order: see Inbox. At most 255 bytes; empty means that order is of no
	// matter.
	Order string
	// Event is what the verified message says of itself.
	Event Verified
	// Target is path and query of the request as they were received, Host and
	// RemoteAddr what the fields of http.Request say.
	Target     string
	Host       string
	RemoteAddr string
	Header     http.Header
	Body       []byte
}

// Taken is a message that was claimed.
type Taken struct {
	Key            string
	Fence          int64
	Attempt        int // since Put, or since Revive; counts from 1
	MaybeProcessed bool
	// Age is the time since Put, or since Revive, by the store's clock.
	Age     time.Duration
	Message Stored
}

// Failure says how an attempt ended that did not succeed.
type Failure struct {
	// Then is StateRetry to give the claim back, StateClaimed to leave it until
	// its lease ends, StateDead for never again.
	Then State
	// After is how long from now the message is not due. Whole milliseconds.
	After time.Duration
	// MaybeProcessed says that the attempt may have had its effect; once set it
	// stays set.
	MaybeProcessed bool
	// Untried says that there was no attempt: what Take has counted is taken
	// back, but for the fence. With StateRetry alone.
	Untried bool
	// Status is the handler's, 0 without a complete answer. Reason is a word for
	// operators, such as "upstream_unreachable", of at most 255 bytes.
	Status int
	Reason string
}

// Backlog is what an [Inbox] keeps for a route.
type Backlog struct {
	Route string
	// Waiting are those not handled yet, claimed ones included.
	Waiting int64
	Dead    int64
	// Oldest is how long the oldest of Waiting has been kept.
	Oldest time.Duration
}

// ErrNoMessage: no message is kept under the key.
var ErrNoMessage = errors.New("webhook: no message is kept")
