package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

const (
	// maxTakenBytes bounds what the bodies of one Take are together; the last of
	// them may go beyond.
	maxTakenBytes  = 8 << 20
	maxTaken       = 1000
	maxReasonBytes = 255
)

// kept is a row and of which order its message is.
type kept struct {
	row
	// route and order are those of the message, as the database has them.
	route, order string
	hasMessage   bool
}

// claimedWith reports whether the message is claimed with that fence.
func (k kept) claimedWith(fence int64) bool {
	return k.stored && k.State == webhook.StateClaimed && k.Fence == fence
}

// waits reports whether the message is kept and no attempt is under way.
func (k kept) waits() bool {
	return k.stored && (k.State == webhook.StateRetry || k.State == webhook.StateClaimed && k.leaseLeft <= 0)
}

// takenRow is a message that was claimed, as it is kept.
type takenRow struct {
	key                          string
	fence, attempt, maybe, ageMS int64
	head, body                   []byte
}

// look reads what there is of key.
func (q *queries) look(ctx context.Context, s session, key string) (k kept, err error) {
	k.row, err = scanRow(s.row(ctx, q.kept, q.text(key)).Scan, &k.route, &k.order, &k.hasMessage)
	if k.Answer != nil {
		k.Answer.ContentType = q.plain(k.Answer.ContentType)
	}
	return k, err
}

// answerArgs are the columns of an answer.
func (q *queries) answerArgs(answer *webhook.Answer) []any {
	status, contentType, body := columns(answer)
	if answer != nil {
		contentType = q.text(answer.ContentType)
	}
	return []any{status, contentType, body}
}

// settleRow ends the claim of a key without a message.
func (q *queries) settleRow(ctx context.Context, s session, key string, fence int64, to webhook.State, maybe bool, answer *webhook.Answer) (bool, error) {
	args := append([]any{q.text(key), fence, int64(to), flag(maybe)}, q.answerArgs(answer)...)
	n, err := s.exec(ctx, q.settle, args...)
	return n == 1, err
}

// settleKept ends the claim of a message.
func (q *queries) settleKept(ctx context.Context, s session, key string, fence int64, k kept, to webhook.State, maybe bool, answer *webhook.Answer) (bool, error) {
	if to != webhook.StateDone {
		return q.failKept(ctx, s, key, fence, k, webhook.Failure{Then: to, MaybeProcessed: maybe}, false)
	}
	args := append([]any{q.text(key), fence}, q.answerArgs(answer)...)
	settled, err := one(s.row(ctx, q.complete, args...))
	if err != nil || !settled {
		return false, err
	}
	return true, q.gone(ctx, s, key, k)
}

// gone deletes the message, and lets the next one of its order be taken.
func (q *queries) gone(ctx context.Context, s session, key string, k kept) error {
	if q.deleteMessage != "" {
		if _, err := s.exec(ctx, q.deleteMessage, q.text(key)); err != nil {
			return err
		}
	}
	return q.letNext(ctx, s, k)
}

func (q *queries) letNext(ctx context.Context, s session, k kept) error {
	if k.order == "" {
		return nil
	}
	_, err := s.exec(ctx, q.promote, k.route, k.order)
	return err
}

// failKept ends the attempt; told says that the Failure is one, not a Release or
// a Kill.
func (q *queries) failKept(ctx context.Context, s session, key string, fence int64, k kept, f webhook.Failure, told bool) (bool, error) {
	settled, err := one(s.row(ctx, q.fail, q.text(key), fence, int64(f.Then), f.After.Milliseconds(), flag(f.MaybeProcessed),
		flag(told), int64(f.Status), q.text(f.Reason), flag(f.Untried)))
	if err == nil && settled && f.Then == webhook.StateDead {
		err = q.letNext(ctx, s, k)
	}
	return settled, err
}

// one reports whether a statement that returns a key did.
func one(r scanner) (bool, error) {
	var key string
	err := r.Scan(&key)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Put implements [webhook.Inbox]. Errors: [ErrFileGone], those of the database,
// and of a message that is not kept for its size: a body of more than 64 MiB, an
// order of more than 255 bytes, headers of more than a few MiB.
func (s *Store) Put(ctx context.Context, key string, m webhook.Stored, req webhook.ClaimRequest) (webhook.Claim, error) {
	head, err := encode(m)
	if err != nil {
		return webhook.Claim{}, failed("put", err)
	}
	body := m.Body
	if body == nil {
		body = []byte{} // not NULL
	}
	for {
		c, err := s.put(ctx, key, m, req, head, body)
		if err != nil {
			return webhook.Claim{}, failed("put", err)
		}
		if c.Status != 0 {
			return c, nil
		}
	}
}

// put is one try of Put. Status 0: another came in between.
func (s *Store) put(ctx context.Context, key string, m webhook.Stored, req webhook.ClaimRequest, head, body []byte) (c webhook.Claim, err error) {
	q := s.db.words()
	err = s.db.look(ctx, func(ctx context.Context, at session) error {
		k, err := q.look(ctx, at, key)
		c = k.claim(req)
		return err
	})
	if err != nil || c.Status != 0 {
		return c, err
	}
	route, order, eventType := q.text(m.Route), q.text(m.Order), q.text(m.Event.Type)
	if len(m.Event.Type) > maxTypeBytes {
		eventType = ""
	}
	args := []any{q.text(key), req.BodyDigest[:], req.Retention.Milliseconds(), flag(req.SameBody), route, order, eventType, int64(len(body))}
	if q.putMessage == "" {
		args = append(args, head, body)
	}
	err = s.db.change(ctx, route, order, func(ctx context.Context, at session) error {
		if c, err = scanClaim(at.row(ctx, q.put, args...).Scan, req); err != nil || c.Status == 0 {
			return err
		}
		c.Status = webhook.Accepted
		if q.putMessage != "" {
			_, err = at.exec(ctx, q.putMessage, q.text(key), head, body)
		}
		return err
	})
	if err != nil {
		return webhook.Claim{}, err
	}
	return c, nil
}

// Take implements [webhook.Inbox]. limit is 1 to 1000; of messages with large
// bodies fewer are taken at a time, 8 MiB together and one more. Errors:
// [ErrFileGone], those of the database, and of a message that cannot be read.
func (s *Store) Take(ctx context.Context, route string, limit int, lease time.Duration) ([]webhook.Taken, error) {
	if limit < 1 || limit > maxTaken {
		return nil, fmt.Errorf("sqlstore: take: a limit of %d is not 1 to %d", limit, maxTaken)
	}
	rows, err := s.db.takeDue(ctx, s.db.words().text(route), limit, lease.Milliseconds())
	if err != nil {
		return nil, failed("take", err)
	}
	var taken []webhook.Taken
	var unreadable []error
	for _, r := range rows {
		m, err := decode(r.head, r.body)
		if err != nil { // those beside it are delivered all the same
			err = failed("take", fmt.Errorf("%q is given up: %w", r.key, err))
			unreadable = append(unreadable, err, s.Fail(ctx, r.key, r.fence, webhook.Failure{Then: webhook.StateDead, Reason: "unreadable"}))
			continue
		}
		taken = append(taken, webhook.Taken{
			Key: r.key, Fence: r.fence, Attempt: int(r.attempt), MaybeProcessed: r.maybe != 0,
			Age: time.Duration(r.ageMS) * time.Millisecond, Message: m,
		})
	}
	return taken, errors.Join(unreadable...)
}

// Fail implements [webhook.Inbox]. Errors: [webhook.ErrStaleFence],
// [ErrFileGone], those of the database.
func (s *Store) Fail(ctx context.Context, key string, fence int64, f webhook.Failure) error {
	switch {
	case f.Then != webhook.StateRetry && f.Then != webhook.StateClaimed && f.Then != webhook.StateDead:
		return fmt.Errorf("sqlstore: fail: %v cannot follow a failure", f.Then)
	case f.Untried && f.Then != webhook.StateRetry:
		return fmt.Errorf("sqlstore: fail: %v cannot follow what was not tried", f.Then)
	case len(f.Reason) > maxReasonBytes:
		return fmt.Errorf("sqlstore: fail: a reason of %d bytes is more than %d", len(f.Reason), maxReasonBytes)
	}
	q := s.db.words()
	k, err := s.kept(ctx, key)
	if err != nil {
		return failed("fail", err)
	}
	if k.claimedWith(fence) {
		order := k.order
		if f.Then != webhook.StateDead {
			order = "" // it stays the first of its order
		}
		settled := false
		err := s.db.change(ctx, k.route, order, func(ctx context.Context, at session) error {
			settled, err = q.failKept(ctx, at, key, fence, k, f, true)
			return err
		})
		if err != nil || settled {
			return failedOrNil("fail", err)
		}
		if k, err = s.kept(ctx, key); err != nil {
			return failed("fail", err)
		}
	}
	if k.State == f.Then && k.Fence == fence && k.hasMessage {
		return nil // said before
	}
	return webhook.ErrStaleFence
}

func failedOrNil(step string, err error) error {
	if err == nil {
		return nil
	}
	return failed(step, err)
}

func (s *Store) kept(ctx context.Context, key string) (k kept, err error) {
	err = s.db.look(ctx, func(ctx context.Context, at session) error {
		k, err = s.db.words().look(ctx, at, key)
		return err
	})
	return k, err
}

// Message implements [webhook.Inbox]. Errors: [webhook.ErrNoMessage], those of
// the database.
func (s *Store) Message(ctx context.Context, key string) (webhook.Stored, error) {
	q := s.db.words()
	var head, body []byte
	err := s.db.look(ctx, func(ctx context.Context, at session) error {
		return at.row(ctx, q.message, q.text(key)).Scan(&head, &body)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return webhook.Stored{}, webhook.ErrNoMessage
	}
	if err != nil {
		return webhook.Stored{}, failed("message", err)
	}
	m, err := decode(head, body)
	if err != nil {
		return webhook.Stored{}, failed("message", err)
	}
	return m, nil
}

// Backlog implements [webhook.Inbox]. It counts what is kept. Errors: those of
// the database.
func (s *Store) Backlog(ctx context.Context) (all []webhook.Backlog, err error) {
	q := s.db.words()
	err = s.db.look(ctx, func(ctx context.Context, at session) error {
		return at.each(ctx, func(from func(dest ...any) error) error {
			var b webhook.Backlog
			var oldestMS int64
			if err := from(&b.Route, &b.Waiting, &b.Dead, &oldestMS); err != nil {
				return err
			}
			b.Route, b.Oldest = q.plain(b.Route), time.Duration(oldestMS)*time.Millisecond
			all = append(all, b)
			return nil
		}, q.backlog)
	})
	return all, failedOrNil("backlog", err)
}
