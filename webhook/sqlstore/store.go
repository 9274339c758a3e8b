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

// Store keeps deliveries in a SQL database. It implements [webhook.Store],
// [webhook.Ledger] and [webhook.Inbox].
//
// Safety: one value serves any number of goroutines, and any number of values
// and processes may serve one database. Whoever opened it closes it.
type Store struct{ db database }

// database is one kind of SQL database. Each method is one atomic step.
type database interface {
	// claim says what became of the request: claimed, or why not. Status 0:
	// another claimer came in between, ask again.
	claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error)
	// settle ends the claim with that fence; when there is none it says what there
	// is.
	settle(ctx context.Context, key string, fence int64, to webhook.State, maybe bool, answer *webhook.Answer) (bool, kept, error)
	// get returns the row of key; the zero row when there is none.
	get(ctx context.Context, key string) (row, error)
	// purge deletes up to limit rows past their retention.
	purge(ctx context.Context, limit int64) (int64, error)

	// words are the statements.
	words() *queries
	// look runs f, which changes nothing and waits for nobody.
	look(ctx context.Context, f func(ctx context.Context, s session) error) error
	// change runs f as one step: what of it changes something is one statement, or
	// all of it happens or nothing. Where order is not empty, it waits for others
	// that do so with that order of the route.
	change(ctx context.Context, route, order string, f func(ctx context.Context, s session) error) error
	// takeDue claims messages of a route that are due, the first of them due first.
	takeDue(ctx context.Context, route string, limit int, lease int64) ([]takenRow, error)

	// check reports whether all of the above can be done.
	check(ctx context.Context) error
	close() error
}

// Check reports whether the store can do its work, for a health check. Errors:
// [ErrFileGone], [ErrReadOnly], [ErrNoRights], those of the database.
func (s *Store) Check(ctx context.Context) error {
	if err := s.db.check(ctx); err != nil {
		return failed("check", err)
	}
	return nil
}

// Claim implements [webhook.Store]. Errors: [ErrFileGone], those of the database.
// Its lease counts from the beginning of the step.
//
// A key that cannot be claimed costs one read, which locks no row: a storm of
// duplicates does not hold up first deliveries.
func (s *Store) Claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	for {
		c, err := s.db.claim(ctx, key, req)
		if err != nil {
			return webhook.Claim{}, failed("claim", err)
		}
		if c.Status != 0 {
			return c, nil
		}
	}
}

// maxAnswerBytes and maxTypeBytes bound what is kept of an answer.
const (
	maxAnswerBytes = 64 << 10
	maxTypeBytes   = 1 << 10
)

// Complete implements [webhook.Store]. An answer of more than 64 KiB is not
// kept, its key is done all the same. Errors: [webhook.ErrStaleFence],
// [ErrFileGone], those of the database.
func (s *Store) Complete(ctx context.Context, key string, fence int64, answer *webhook.Answer) error {
	if answer != nil && (len(answer.Body) > maxAnswerBytes || len(answer.ContentType) > maxTypeBytes) {
		answer = nil
	}
	return s.settle(ctx, key, fence, webhook.StateDone, false, answer)
}

// Release implements [webhook.Store]. Errors: [webhook.ErrStaleFence],
// [ErrFileGone], those of the database.
func (s *Store) Release(ctx context.Context, key string, fence int64, maybeProcessed bool) error {
	return s.settle(ctx, key, fence, webhook.StateRetry, maybeProcessed, nil)
}

// Kill implements [webhook.Store]. Errors: [webhook.ErrStaleFence],
// [ErrFileGone], those of the database.
func (s *Store) Kill(ctx context.Context, key string, fence int64) error {
	return s.settle(ctx, key, fence, webhook.StateDead, false, nil)
}

func (s *Store) settle(ctx context.Context, key string, fence int64, to webhook.State, maybe bool, answer *webhook.Answer) error {
	settled, k, err := s.db.settle(ctx, key, fence, to, maybe, answer)
	switch {
	case err != nil:
		return failed(to.String(), err)
	case settled, k.State == to && k.Fence == fence: // now, or said before
		return nil
	}
	return webhook.ErrStaleFence
}

// Lookup implements [webhook.Store]. Errors: those of the database.
func (s *Store) Lookup(ctx context.Context, key string) (webhook.Record, error) {
	r, err := s.db.get(ctx, key)
	if err != nil {
		return webhook.Record{}, failed("lookup", err)
	}
	return r.Record, nil
}

// Purge deletes the rows whose retention has ended, a thousand at a time, and
// returns how many there were. Errors: those of the database; what was deleted
// before stays deleted.
func (s *Store) Purge(ctx context.Context) (int64, error) {
	for total := int64(0); ; {
		n, err := s.db.purge(ctx, purgeBatch)
		if err != nil {
			return total, failed("purge", err)
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
func (s *Store) Close() error { return s.db.close() }

// failed is the error of a step. What says all by itself stays as it is.
func failed(step string, err error) error {
	for _, whole := range []error{ErrFileGone, ErrReadOnly, ErrNoRights, ErrSchemaNewer} {
		if errors.Is(err, whole) {
			return err
		}
	}
	return fmt.Errorf("sqlstore: %s: %w", step, err)
}

// row is a record and what is left of its lease.
type row struct {
	webhook.Record
	leaseLeft time.Duration
	stored    bool // a message of it waits, or is claimed
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
	case r.stored:
		c.Status = webhook.Waiting
	case r.State == webhook.StateClaimed && r.leaseLeft > 0:
		c.Status, c.LeaseLeft = webhook.InFlight, r.leaseLeft
	}
	return c
}

// claimArgs are the parameters of claimRow.
func claimArgs(key string, req webhook.ClaimRequest) []any {
	return []any{key, req.BodyDigest[:], req.Lease.Milliseconds(), req.Retention.Milliseconds(), flag(req.SameBody)}
}

// scanClaim reads what claimRow returns; status 0 when that is nothing.
func scanClaim(from func(dest ...any) error, req webhook.ClaimRequest) (webhook.Claim, error) {
	var (
		c      = webhook.Claim{Status: webhook.Claimed}
		maybe  int64
		digest []byte
	)
	if err := from(&c.Fence, &c.Attempt, &maybe, &digest); err != nil {
		return webhook.Claim{}, ignoreNone(err)
	}
	c.MaybeProcessed, c.BodyChanged = maybe != 0, !bytes.Equal(digest, req.BodyDigest[:])
	return c, nil
}

// ignoreNone is nil where there is no row, in either driver.
func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) { // pgx.ErrNoRows is one
		return nil
	}
	return err
}

// scanRow reads the columns of getRow, as either driver hands them out, and those
// after them; the zero row when there is none.
func scanRow(from func(dest ...any) error, more ...any) (row, error) {
	var (
		r                         row
		state, maybe, leaseLeftMS int64
		stored                    int64
		digest, body              []byte
		status                    sql.NullInt64
		contentType               sql.NullString
	)
	dest := []any{&state, &r.Fence, &r.Attempt, &maybe, &digest, &leaseLeftMS, &status, &contentType, &body, &stored}
	err := from(append(dest, more...)...)
	if err != nil {
		return row{}, ignoreNone(err)
	}
	r.State, r.MaybeProcessed, r.stored = webhook.State(state), maybe != 0, stored != 0
	r.leaseLeft = time.Duration(leaseLeftMS) * time.Millisecond
	copy(r.BodyDigest[:], digest)
	if status.Valid {
		r.Answer = &webhook.Answer{Status: int(status.Int64), ContentType: contentType.String, Body: body}
	}
	return r, nil
}

// columns are those of an answer, all NULL without one.
func columns(answer *webhook.Answer) (status, contentType, body any) {
	if answer == nil {
		return nil, nil, nil
	}
	return answer.Status, answer.ContentType, answer.Body
}

// flag is a truth value as both databases keep it.
func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
