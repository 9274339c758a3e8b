package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// maxLooked is how many rows a page looks at, at most: a list of few among
// millions takes many pages, each in bounded time.
const maxLooked = 10_000

// The After of a query says with its first byte whether the key that follows is
// the last one that was listed, or the first one that was not looked at.
const (
	afterKey = "a"
	fromKey  = "f"
)

var errForeignAfter = errors.New("the After of a query is not one that a page ended with")

// List implements [webhook.Ledger], in the order of keys. A page looks at 10,000
// deliveries at most. Errors: [*webhook.ConfigError], those of the database.
func (s *Store) List(ctx context.Context, query webhook.Query) (page []webhook.Entry, after string, err error) {
	if err := query.Check(); err != nil {
		return nil, "", err
	}
	q := s.db.words()
	from, below, err := q.bounds(query)
	if err != nil {
		return nil, "", failed("list", err)
	}
	err = s.db.look(ctx, func(ctx context.Context, at session) error {
		var next string
		err := at.row(ctx, q.window, from, below, maxLooked).Scan(&next)
		switch {
		case err == nil:
			after, below = fromKey+q.mark(next), next
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		return at.each(ctx, func(from func(dest ...any) error) error {
			e, err := q.scanEntry(from)
			page = append(page, e)
			return err
		}, q.list, from, below, stateBits(query.States), query.Limit)
	})
	if err != nil {
		return nil, "", failed("list", err)
	}
	if len(page) == query.Limit {
		after = afterKey + escape(page[len(page)-1].Key)
	}
	return page, after, nil
}

// bounds are the first key to look at, and the first one not to.
func (q *queries) bounds(query webhook.Query) (from string, below any, err error) {
	below = q.end
	if query.Route != "" {
		from, below = q.text(query.Route+"/"), q.text(query.Route)+"0" // follows "/"
	}
	if query.After == "" {
		return from, below, nil
	}
	kind, key := query.After[:1], query.After[1:]
	if strings.ContainsFunc(strings.ReplaceAll(key, `\`, ""), needsEscape) || kind != afterKey && kind != fromKey {
		return "", nil, errForeignAfter
	}
	key = q.unmark(key)
	if kind == afterKey {
		key += q.next
	}
	if q.foreign != "" && strings.HasPrefix(key, q.foreign) {
		key = q.afterForeign // there may be many
	}
	return max(from, key), below, nil
}

// stateBits has a bit for each state that is selected.
func stateBits(states []webhook.State) int64 {
	if len(states) == 0 {
		return -1
	}
	var bits int64
	for _, s := range states {
		bits |= 1 << s
	}
	return bits
}

// Entry implements [webhook.Ledger]. Errors: [webhook.ErrUnknownDelivery], those
// of the database.
func (s *Store) Entry(ctx context.Context, key string) (e webhook.Entry, err error) {
	q := s.db.words()
	err = s.db.look(ctx, func(ctx context.Context, at session) error {
		e, err = q.scanEntry(at.row(ctx, q.entry, q.text(key)).Scan)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return webhook.Entry{}, webhook.ErrUnknownDelivery
	}
	return e, failedOrNil("entry", err)
}

// scanEntry reads entryColumns.
func (q *queries) scanEntry(from func(dest ...any) error) (webhook.Entry, error) {
	var (
		e                                 webhook.Entry
		k                                 webhook.Kept
		state, maybe, stored              int64
		updated, lease, expires, received int64
		dueAt                             sql.NullInt64
		digest, body                      []byte
		status                            sql.NullInt64
		contentType                       sql.NullString
		hasMessage                        bool
	)
	err := from(&e.Key, &state, &e.Fence, &e.Attempt, &maybe, &digest, &status, &contentType, &body,
		&updated, &lease, &expires, &stored, &hasMessage, &received, &dueAt,
		&k.Order, &k.EventType, &k.BodyBytes, &k.LastStatus, &k.LastReason)
	if err != nil {
		return webhook.Entry{}, err
	}
	e.Key, e.State, e.MaybeProcessed = q.plain(e.Key), webhook.State(state), maybe != 0
	copy(e.BodyDigest[:], digest)
	if status.Valid {
		e.Answer = &webhook.Answer{Status: int(status.Int64), ContentType: q.plain(contentType.String), Body: body}
	}
	e.Updated = at(updated)
	if e.State == webhook.StateClaimed {
		e.LeaseUntil = at(lease)
	}
	if stored == 0 {
		e.Expires = at(expires)
	}
	if hasMessage {
		k.Received = at(received)
		if dueAt.Valid {
			k.Due = at(dueAt.Int64)
		}
		k.Order, k.EventType, k.LastReason = q.plain(k.Order), q.plain(k.EventType), q.plain(k.LastReason)
		e.Kept = &k
	}
	return e, nil
}

// at is a time of the database.
func at(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// Revive implements [webhook.Ledger]. Errors: [webhook.ErrUnknownDelivery],
// [webhook.ErrWrongState], [ErrFileGone], those of the database.
func (s *Store) Revive(ctx context.Context, key string) error {
	q := s.db.words()
	return s.operate(ctx, "revive", key, func(k kept) bool {
		return k.State == webhook.StateDead || k.waits()
	}, func(ctx context.Context, at session, k kept) (bool, error) {
		if k.order == "" || k.State != webhook.StateDead {
			return one(at.row(ctx, q.revive, q.text(key), k.order))
		}
		// By its place it may be ahead of those that could be taken until now.
		if _, err := at.exec(ctx, q.demote, k.route, k.order); err != nil {
			return false, err
		}
		changed, err := one(at.row(ctx, q.revive, q.text(key), k.order))
		if err != nil {
			return false, err
		}
		return changed, q.letNext(ctx, at, k)
	})
}

// Discard implements [webhook.Ledger]. Errors: [webhook.ErrUnknownDelivery],
// [webhook.ErrWrongState], [ErrFileGone], those of the database.
func (s *Store) Discard(ctx context.Context, key string) error {
	q := s.db.words()
	return s.operate(ctx, "discard", key, func(k kept) bool {
		return k.State == webhook.StateDead || k.State == webhook.StateRetry || k.waits()
	}, func(ctx context.Context, at session, k kept) (bool, error) {
		changed, err := one(at.row(ctx, q.discard, q.text(key), k.order))
		if err != nil || !changed {
			return false, err
		}
		return true, q.gone(ctx, at, key, k)
	})
}

// operate changes a key that fits. When it has changed meanwhile, so that change
// reports false, it is looked at again.
func (s *Store) operate(ctx context.Context, step, key string, fits func(kept) bool, change func(context.Context, session, kept) (bool, error)) error {
	for {
		k, err := s.kept(ctx, key)
		switch {
		case err != nil:
			return failed(step, err)
		case k.State == webhook.StateAbsent:
			return webhook.ErrUnknownDelivery
		case !fits(k):
			return webhook.ErrWrongState
		}
		changed := false
		err = s.db.change(ctx, k.route, k.order, func(ctx context.Context, at session) error {
			changed, err = change(ctx, at, k)
			return err
		})
		if err != nil || changed {
			return failedOrNil(step, err)
		}
	}
}
