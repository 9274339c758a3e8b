package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// Store keeps deliveries in a SQL database. It implements [webhook.Store].
//
// Safety: one value serves any number of goroutines, and any number of values
// and processes may serve one database. Whoever opened it closes it.
type Store struct {
	read, write *sql.DB
	q           queries
	// present returns an error when what the connections have open is no longer
	// what a restart would open. Nil: that cannot be.
	present func() error
}

// Check reports whether the store can do its work, for a health check. Errors:
// [ErrFileGone], those of the database.
func (s *Store) Check(ctx context.Context) error {
	if err := s.here(); err != nil {
		return err
	}
	_, err := s.Lookup(ctx, "")
	return err
}

func (s *Store) here() error {
	if s.present == nil {
		return nil
	}
	return s.present()
}

// Claim implements [webhook.Store]. Errors: [ErrFileGone], those of the database.
//
// A key that cannot be claimed costs one read, which takes no lock: a storm of
// duplicates does not hold up first deliveries.
func (s *Store) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	if err := s.here(); err != nil {
		return webhook.Claim{}, err
	}
	for {
		r, err := s.get(ctx, s.read, key)
		if err != nil {
			return webhook.Claim{}, err
		}
		if c := r.claim(req); c.Status != 0 {
			return c, nil
		}
		c, err := s.take(ctx, key, req)
		if err != nil || c.Status == webhook.Claimed {
			return c, err
		}
		// Another claimer came in between: read what it made of the key.
	}
}

// take claims the key if it still can be; status 0 when not. The transaction
// holds the write lock from its beginning, and its commit is what makes the
// claim: an error of it must not be lost.
func (s *Store) take(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return webhook.Claim{}, fmt.Errorf("sqlstore: claim: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	c := webhook.Claim{Status: webhook.Claimed}
	var digest []byte
	err = tx.QueryRowContext(ctx, s.q.claim,
		key, req.BodyDigest[:], req.Lease.Milliseconds(), req.Retention.Milliseconds(), flag(req.SameBody),
	).Scan(&c.Fence, &c.Attempt, &c.MaybeProcessed, &digest)
	if errors.Is(err, sql.ErrNoRows) {
		return webhook.Claim{}, nil
	}
	if err != nil {
		return webhook.Claim{}, fmt.Errorf("sqlstore: claim: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return webhook.Claim{}, fmt.Errorf("sqlstore: claim: %w", err)
	}
	c.BodyChanged = !bytes.Equal(digest, req.BodyDigest[:])
	return c, nil
}

// Complete implements [webhook.Store]. Errors: [webhook.ErrStaleFence],
// [ErrFileGone], those of the database.
func (s *Store) Complete(ctx context.Context, key string, fence int64, answer *webhook.Answer) error {
	var status, contentType, body any
	if answer != nil {
		status, contentType, body = answer.Status, answer.ContentType, answer.Body
	}
	return s.settle(ctx, key, fence, webhook.StateDone, false, status, contentType, body)
}

// Release implements [webhook.Store]. Errors: [webhook.ErrStaleFence], those
// of the database.
func (s *Store) Release(ctx context.Context, key string, fence int64, maybeProcessed bool) error {
	return s.settle(ctx, key, fence, webhook.StateRetry, maybeProcessed, nil, nil, nil)
}

// Kill implements [webhook.Store]. Errors: [webhook.ErrStaleFence], those of
// the database.
func (s *Store) Kill(ctx context.Context, key string, fence int64) error {
	return s.settle(ctx, key, fence, webhook.StateDead, false, nil, nil, nil)
}

func (s *Store) settle(ctx context.Context, key string, fence int64, to webhook.State, maybe bool, answer ...any) error {
	if err := s.here(); err != nil {
		return err
	}
	args := append([]any{key, fence, int64(to), flag(maybe)}, answer...)
	res, err := s.write.ExecContext(ctx, s.q.settle, args...)
	if err != nil {
		return fmt.Errorf("sqlstore: %s: %w", to, err)
	}
	n, err := res.RowsAffected()
	if err != nil {
		return fmt.Errorf("sqlstore: %s: %w", to, err)
	}
	if n == 1 {
		return nil
	}
	r, err := s.get(ctx, s.write, key)
	if err != nil {
		return err
	}
	if r.State == to && r.Fence == fence {
		return nil // said before
	}
	return webhook.ErrStaleFence
}

// Lookup implements [webhook.Store]. Errors: those of the database.
func (s *Store) Lookup(ctx context.Context, key string) (webhook.Record, error) {
	r, err := s.get(ctx, s.read, key)
	return r.Record, err
}

// Purge deletes the rows whose retention has ended, a thousand at a time, and
// returns how many there were. Errors: those of the database; what was deleted
// before stays deleted.
func (s *Store) Purge(ctx context.Context) (int64, error) {
	for total := int64(0); ; {
		res, err := s.write.ExecContext(ctx, s.q.purge, purgeBatch)
		if err != nil {
			return total, fmt.Errorf("sqlstore: purge: %w", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return total, fmt.Errorf("sqlstore: purge: %w", err)
		}
		if total += n; n < purgeBatch {
			return total, nil
		}
	}
}

const purgeBatch = 1000

// Run purges at once and then each time every has passed, until ctx ends.
// Each purge is told to report, which may be nil; a failed one is tried again
// at the next turn. every is above 0.
func (s *Store) Run(ctx context.Context, every time.Duration, report func(deleted int64, err error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		n, err := s.Purge(ctx)
		if ctx.Err() != nil {
			return
		}
		if report != nil {
			report(n, err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Close closes the database. Steps that are under way end first.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

// row is a record and what is left of its lease.
type row struct {
	webhook.Record
	leaseLeft time.Duration
}

// claim says why the row cannot be claimed; status 0 when it can.
func (r row) claim(req webhook.ClaimRequest) webhook.Claim {
	c := webhook.Claim{
		Fence: r.Fence, Attempt: r.Attempt, MaybeProcessed: r.MaybeProcessed,
		BodyChanged: r.BodyDigest != req.BodyDigest,
	}
	switch {
	case r.State == webhook.StateAbsent:
		return webhook.Claim{}
	case c.BodyChanged && req.SameBody:
		c.Status = webhook.OtherBody
	case r.State == webhook.StateDone:
		c.Status, c.Answer = webhook.Done, r.Answer
	case r.State == webhook.StateDead:
		c.Status = webhook.Dead
	case r.State == webhook.StateClaimed && r.leaseLeft > 0:
		c.Status, c.LeaseLeft = webhook.InFlight, r.leaseLeft
	}
	return c
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// get returns the row of key; the zero row when there is none.
func (s *Store) get(ctx context.Context, from querier, key string) (row, error) {
	var (
		r                  row
		state, leaseLeftMS int64
		digest             []byte
		status             sql.NullInt64
		contentType        sql.NullString
		body               []byte
	)
	err := from.QueryRowContext(ctx, s.q.get, key).Scan(
		&state, &r.Fence, &r.Attempt, &r.MaybeProcessed, &digest, &leaseLeftMS, &status, &contentType, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, nil
	}
	if err != nil {
		return row{}, fmt.Errorf("sqlstore: lookup: %w", err)
	}
	r.State = webhook.State(state)
	r.leaseLeft = time.Duration(leaseLeftMS) * time.Millisecond
	copy(r.BodyDigest[:], digest)
	if status.Valid {
		r.Answer = &webhook.Answer{Status: int(status.Int64), ContentType: contentType.String, Body: body}
	}
	return r, nil
}

// flag is a truth value as both databases keep it.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
