package sqlstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/webhook"
)

// pgQueries are the statements of PostgreSQL, where one can change both tables.
func pgQueries() queries {
	q := pgDialect.render()
	const message = `), message AS (
DELETE FROM {messages} AS m USING gone WHERE m.event_key = gone.event_key`
	q.complete = pgDialect.fill("WITH gone AS (" + completeRow + message + ")\nSELECT event_key FROM gone")
	q.discard = pgDialect.fill("WITH gone AS (" + discardRow + message + ")\nSELECT event_key FROM gone")
	const counted = " AS kept" + message + " AND gone.kept)\nSELECT count(*) FROM gone"
	q.purge = pgDialect.fill("WITH gone AS (" + pgPurge + counted)
	q.evict = pgDialect.fill("WITH gone AS (" + evictRow + counted)
	q.put = pgDialect.fill("WITH kept AS (" + putRow + `RETURNING event_key, fence, attempt, maybe_processed, body_digest
), message AS (
INSERT INTO {messages} (event_key, head, body) SELECT event_key, $9::bytea, $10::bytea FROM kept
ON CONFLICT (event_key) DO UPDATE SET head = excluded.head, body = excluded.body)
SELECT fence, attempt, maybe_processed, body_digest FROM kept`)
	q.take = pgDialect.fill(pgTake)
	q.fail = strings.ReplaceAll(q.fail, "$3", "$3::smallint") // else it is of two types
	q.putMessage, q.deleteMessage = "", ""
	q.mark, q.unmark, q.next, q.end = asItIs, asItIs, "\x01", "\x7f" // keys are of ' ' to '~'
	q.foreign, q.afterForeign = txPrefix, `\tx0`
	return q
}

// pgTake takes what nobody else is about to, of up to $4 bytes together, and one
// more. $1 route, $2 how many, $3 lease.
var pgTake = `WITH due AS (` + dueRows + ` FOR UPDATE OF d SKIP LOCKED
), chosen AS (
SELECT event_key, due_at FROM (
  SELECT event_key, due_at, sum(body_bytes) OVER (ORDER BY due_at, event_key) - body_bytes AS before FROM due) AS sizes
WHERE before < $4
), taken AS (
UPDATE {table} AS d SET` + strings.ReplaceAll(taking, "$2", "$3") + `
FROM chosen WHERE d.event_key = chosen.event_key
RETURNING d.event_key, d.fence, d.taken, d.maybe_processed, {now} - d.begun_at AS age, chosen.due_at)
SELECT t.event_key, t.fence, t.taken, t.maybe_processed, t.age, m.head, m.body
FROM taken AS t JOIN {messages} AS m ON m.event_key = t.event_key ORDER BY t.due_at, t.event_key`

func (db *postgresDB) words() *queries { return &db.q }

func (db *postgresDB) look(ctx context.Context, f func(ctx context.Context, s session) error) error {
	return db.do(ctx, func(ctx context.Context, s pgSession) error { return f(ctx, s) })
}

// change needs no transaction but where several statements see to an order. Then
// each sees what those before it on this lock have done.
func (db *postgresDB) change(ctx context.Context, route, order string, f func(ctx context.Context, s session) error) error {
	if order == "" {
		return db.look(ctx, f)
	}
	return db.do(ctx, func(ctx context.Context, s pgSession) error {
		tx, err := s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }() // does nothing after Commit
		s.db = tx
		if _, err := s.exec(ctx, "SELECT pg_advisory_xact_lock($1)", orderLock(route, order)); err != nil {
			return err
		}
		if err := f(ctx, s); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
}

// orderLock is the advisory lock of an order. Two orders that share one wait for
// each other, and no more.
func orderLock(route, order string) int64 {
	sum := sha256.Sum256([]byte("handrail webhook order\x00" + route + "\x00" + order))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

func (db *postgresDB) settle(ctx context.Context, key string, fence int64, to webhook.State, maybe bool, answer *webhook.Answer) (settled bool, k kept, err error) {
	settleKept := func(ctx context.Context, s session) error {
		settled, err = db.q.settleKept(ctx, s, key, fence, k, to, maybe, answer)
		if err == nil && !settled { // it was settled meanwhile, perhaps by the same step
			k, err = db.q.look(ctx, s, key)
		}
		return err
	}
	err = db.change(ctx, "", "", func(ctx context.Context, s session) error {
		if settled, err = db.q.settleRow(ctx, s, key, fence, to, maybe, answer); settled || err != nil {
			return err
		}
		if to == webhook.StateDone {
			args := append([]any{db.q.text(key), fence}, db.q.answerArgs(answer)...)
			if settled, err = one(s.row(ctx, db.unordered, args...)); settled || err != nil {
				return err
			}
		}
		if k, err = db.q.look(ctx, s, key); err != nil || !k.claimedWith(fence) || k.order != "" {
			return err
		}
		return settleKept(ctx, s)
	})
	if err == nil && !settled && k.claimedWith(fence) && k.order != "" {
		err = db.change(ctx, k.route, k.order, settleKept)
	}
	return settled, k, err
}

func (db *postgresDB) purge(ctx context.Context, limit int64) (n int64, err error) {
	err = db.change(ctx, "", "", func(ctx context.Context, s session) error {
		return s.row(ctx, db.q.purge, limit).Scan(&n)
	})
	return n, err
}

func (db *postgresDB) takeDue(ctx context.Context, route string, limit int, lease int64) (taken []takenRow, err error) {
	err = db.change(ctx, "", "", func(ctx context.Context, s session) error {
		taken = nil
		return s.each(ctx, func(from func(dest ...any) error) error {
			var t takenRow
			if err := from(&t.key, &t.fence, &t.attempt, &t.maybe, &t.ageMS, &t.head, &t.body); err != nil {
				return err
			}
			t.key = unescape(t.key)
			taken = append(taken, t)
			return nil
		}, db.q.take, route, limit, lease, int64(maxTakenBytes))
	})
	return taken, err
}
