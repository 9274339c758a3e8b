package webhook

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Ledger is what operators ask of a [Store] beside its steps. The stores of this
// module all have it.
type Ledger interface {
	// List returns deliveries that match q, at most q.Limit, and the After with
	// which the next call goes on; empty when there are no more. A page may hold
	// fewer than there are, or none, and still not be the last one. A key that
	// does not change meanwhile is listed at least once.
	List(ctx context.Context, q Query) (page []Entry, after string, err error)

	// Entry returns the delivery of key. Errors: ErrUnknownDelivery.
	Entry(ctx context.Context, key string) (Entry, error)

	// Revive makes a dead delivery one that may be attempted again: marked as
	// maybe processed, its attempts counted anew, its fence going on. In an
	// [Inbox] it is due at once when its message is kept; else it waits for the
	// provider to send it again. A key to retry with a message is made due at
	// once, and so is a claimed one whose lease has ended, which is marked; their
	// attempts count on. Errors: ErrUnknownDelivery, ErrWrongState for any other
	// state.
	Revive(ctx context.Context, key string) error

	// Discard makes a delivery that waits or is to retry dead, and deletes the
	// message of a dead one: the key stays dead for its retention, and copies of
	// the event are not handled. A claimed one with a message waits once its lease
	// has ended, and is marked. Errors: ErrUnknownDelivery, ErrWrongState for
	// another claimed one, or a done one.
	Discard(ctx context.Context, key string) error
}

// Query selects deliveries.
type Query struct {
	// Route selects one route; empty means all.
	Route string
	// States selects states; empty means all.
	States []State
	// After goes on where a page ended; empty begins.
	After string
	// Limit is how many are returned at most, 1 to 1000.
	Limit int
}

const maxQueryLimit = 1000

// Check reports a Limit that is out of range, as a [*ConfigError].
func (q Query) Check() error {
	if q.Limit < 1 || q.Limit > maxQueryLimit {
		return &ConfigError{Field: "Query.Limit", Value: strconv.Itoa(q.Limit), Reason: "must be 1 to " + strconv.Itoa(maxQueryLimit)}
	}
	return nil
}

// Selects reports whether a delivery is of the Route and in one of the States.
func (q Query) Selects(key string, state State) bool {
	return (q.Route == "" || strings.HasPrefix(key, q.Route+"/")) &&
		(len(q.States) == 0 || slices.Contains(q.States, state))
}

// Entry is what a [Ledger] tells of a delivery. Times are the store's.
type Entry struct {
	Key string
	Record
	// Updated is when the state changed last.
	Updated time.Time
	// LeaseUntil is when the claim ends; zero unless claimed.
	LeaseUntil time.Time
	// Expires is when the key will be absent; zero while a message waits.
	Expires time.Time
	// Kept tells of the message, in an [Inbox] that keeps one; else nil.
	Kept *Kept
}

// Kept is what is known of a message that an [Inbox] keeps.
type Kept struct {
	Received time.Time
	// Due is when it is delivered next, if it waits: in StateRetry, and in
	// StateClaimed once the lease has ended. Else zero.
	Due       time.Time
	Order     string
	EventType string
	BodyBytes int64
	// LastStatus and LastReason are those of the last Failure.
	LastStatus int
	LastReason string
}

var (
	// ErrUnknownDelivery: the key is absent.
	ErrUnknownDelivery = errors.New("webhook: no such delivery")
	// ErrWrongState: the step is not for a delivery in this state.
	ErrWrongState = errors.New("webhook: the delivery is not in a state that allows this")
)
