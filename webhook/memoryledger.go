package webhook

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

var errForeignAfter = errors.New("webhook: the After of a query is not one that a page ended with")

// afterMark begins each After, so that no page ends with an empty one before
// the last.
const afterMark = "k"

// List implements [Ledger], in the order of keys. Errors: [*ConfigError], or
// that of ctx.
func (m *Memory) List(ctx context.Context, q Query) ([]Entry, string, error) {
	if err := q.Check(); err != nil {
		return nil, "", err
	}
	last, given := strings.CutPrefix(q.After, afterMark)
	if q.After != "" && !given {
		return nil, "", errForeignAfter
	}
	keys, err := m.selected(ctx, q, func(key string) bool { return !given || key > last })
	if err != nil {
		return nil, "", err
	}
	slices.Sort(keys) // without the lock: of many keys it takes a while
	after := ""
	if len(keys) > q.Limit {
		keys = keys[:q.Limit]
		after = afterMark + keys[q.Limit-1]
	}
	var page []Entry
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, key := range keys {
		if r := m.live(key, now); r != nil && q.Selects(key, r.State) {
			page = append(page, r.entry(key))
		}
	}
	return page, after, nil
}

// selected are the keys that q selects and follow tells to follow its After.
func (m *Memory) selected(ctx context.Context, q Query, follows func(key string) bool) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	var keys []string
	for key, r := range m.records {
		if now.Before(r.expiresAt) && follows(key) && q.Selects(key, r.State) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// Entry implements [Ledger]. Errors: [ErrUnknownDelivery], or that of ctx.
func (m *Memory) Entry(ctx context.Context, key string) (Entry, error) {
	var e Entry
	err := m.operate(ctx, key, func(r *memoryRecord, _ time.Time) error {
		e = r.entry(key)
		return nil
	})
	return e, err
}

// Revive implements [Ledger]. Errors: [ErrUnknownDelivery], [ErrWrongState], or
// that of ctx.
func (m *Memory) Revive(ctx context.Context, key string) error {
	return m.operate(ctx, key, func(r *memoryRecord, now time.Time) error {
		if r.State != StateDead {
			return ErrWrongState
		}
		r.State, r.MaybeProcessed, r.Attempt = StateRetry, true, 0
		m.keep(r, now, now.Add(r.retention))
		return nil
	})
}

// Discard implements [Ledger]. Errors: [ErrUnknownDelivery], [ErrWrongState], or
// that of ctx.
func (m *Memory) Discard(ctx context.Context, key string) error {
	return m.operate(ctx, key, func(r *memoryRecord, now time.Time) error {
		switch r.State {
		case StateDead:
			return nil
		case StateRetry:
			r.State = StateDead
			m.keep(r, now, now.Add(r.retention))
			return nil
		}
		return ErrWrongState
	})
}

// operate calls do for the delivery of key.
func (m *Memory) operate(ctx context.Context, key string, do func(r *memoryRecord, now time.Time) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	r := m.live(key, now)
	if r == nil {
		return ErrUnknownDelivery
	}
	return do(r, now)
}

func (r *memoryRecord) entry(key string) Entry {
	e := Entry{Key: key, Record: r.Record, Updated: r.updated, Expires: r.expiresAt}
	if r.State == StateClaimed {
		e.LeaseUntil = r.leaseUntil
	}
	return e
}
