package webhook

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"
)

// Store is the state machine of deliveries. Each method is one atomic step:
//
//	absent  --Claim--> claimed, fence 1
//	claimed --Complete(fence)--> done
//	claimed --Release(fence)--> retry
//	claimed --its lease ends--> claimable again: fence+1, maybe processed
//	retry   --Claim--> claimed, fence+1
//	claimed --Kill(fence)--> dead
//
// The fence of a key goes up by one with each claim. A step with a fence that
// is not the current one, or for a key that is not claimed, changes nothing
// and returns [ErrStaleFence]; only a repetition of the step that settled the
// claim, with the same fence, succeeds and changes nothing. A claim whose
// lease has ended can still be settled as long as nobody has claimed since.
//
// A done or dead key stays so for the retention given with its claim, counted
// from the step that settled it; a claimed one or one to retry is kept at
// least as long after its lease. After that the key is absent.
//
// Times are those of the store's clock, so that a claimer's own clock does not
// matter. Where a step has returned nil its outcome is durable, as far as the
// store says of itself that it is durable. A step that returned any other
// error than ErrStaleFence may or may not have happened.
//
// Safety: one value serves any number of goroutines, and for a shared store
// any number of processes. [github.com/handrail-go/handrail/webhook/webhooktest]
// holds the suite that every Store passes.
type Store interface {
	// Claim takes key for one attempt, or says why not. Nothing changes
	// unless Claim.Status is Claimed.
	Claim(ctx context.Context, key string, req ClaimRequest) (Claim, error)

	// Complete makes a claimed key done. answer may be nil; it is kept for
	// the retention and handed to later claims.
	Complete(ctx context.Context, key string, fence int64, answer *Answer) error

	// Release gives a claim back before its lease ends. maybeProcessed says
	// that the attempt may have had its effect; once set it stays set.
	Release(ctx context.Context, key string, fence int64, maybeProcessed bool) error

	// Kill makes a claimed key dead: it will not be attempted again.
	Kill(ctx context.Context, key string, fence int64) error

	// Lookup returns the state of key and changes nothing.
	Lookup(ctx context.Context, key string) (Record, error)
}

// Digest is the SHA-256 of a body.
type Digest = [sha256.Size]byte

// ClaimRequest is what a claimer asks for.
type ClaimRequest struct {
	// Lease is how long the claim is exclusive; whole milliseconds, above 0.
	Lease time.Duration
	// Retention is how long the outcome is kept; whole milliseconds, above 0.
	Retention time.Duration
	// BodyDigest is the digest of the body at hand. The first one of a key is
	// kept.
	BodyDigest Digest
	// SameBody refuses, with the status OtherBody, a body that is not the one
	// kept, in whatever state the key is.
	SameBody bool
}

// Claim is the answer to a ClaimRequest.
type Claim struct {
	Status Status
	// Fence and Attempt are those of the current claim: of this one for
	// Claimed, of the last one otherwise. Attempt counts from 1.
	Fence   int64
	Attempt int
	// MaybeProcessed reports whether an earlier attempt may have had its
	// effect: its lease ended, or it was released so.
	MaybeProcessed bool
	// BodyChanged reports that BodyDigest is not the one kept.
	BodyChanged bool
	// LeaseLeft is how long the claim of another may last; InFlight only.
	LeaseLeft time.Duration
	// Answer is what Complete stored; Done only, nil when nothing was stored.
	// Read-only.
	Answer *Answer
}

// Status says what became of a ClaimRequest.
type Status uint8

const (
	// Claimed: the key is the caller's until its lease ends.
	Claimed Status = iota + 1
	// InFlight: another claim holds the key.
	InFlight
	// Done: the event was processed.
	Done
	// Dead: the event is not to be processed.
	Dead
	// OtherBody: the key was used for another body, and SameBody was asked for.
	OtherBody
	// Accepted: the message was kept; of Inbox.Put alone.
	Accepted
	// Waiting: the message was kept before, and is not handled yet; of an Inbox
	// alone.
	Waiting
)

// String is the name of the status, for example "in flight".
func (s Status) String() string {
	switch s {
	case Claimed:
		return "claimed"
	case InFlight:
		return "in flight"
	case Done:
		return "done"
	case Dead:
		return "dead"
	case OtherBody:
		return "other body"
	case Accepted:
		return "accepted"
	case Waiting:
		return "waiting"
	}
	return "invalid status"
}

// Record is what a Store knows of a key.
type Record struct {
	State          State
	Fence          int64
	Attempt        int
	MaybeProcessed bool
	BodyDigest     Digest
	Answer         *Answer // read-only
}

// State is the state of a key.
type State uint8

// The states. A store may keep them by these numbers.
const (
	StateAbsent  State = 0
	StateClaimed State = 1
	StateRetry   State = 2
	StateDone    State = 3
	StateDead    State = 4
)

// String is the name of the state, for example "claimed".
func (s State) String() string {
	switch s {
	case StateAbsent:
		return "absent"
	case StateClaimed:
		return "claimed"
	case StateRetry:
		return "retry"
	case StateDone:
		return "done"
	case StateDead:
		return "dead"
	}
	return "invalid state"
}

// Answer is what was said to a provider, kept to say it again.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

var (
	// ErrStaleFence: the claim is no longer the caller's. Nothing changed.
	ErrStaleFence = errors.New("webhook: stale fence")
	// ErrStoreFull: a bounded store holds nothing that it may forget.
	ErrStoreFull = errors.New("webhook: store full")
)
