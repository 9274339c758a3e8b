package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// txPrefix begins the stored keys of ClaimTx. escape returns nothing that begins
// so: the keys of a Store are others, whatever they are.
const txPrefix = `\tx/`

// claimTx makes an absent key done, or one past its retention; of any other it
// returns no row. It waits for a transaction that does the same.
// $1 key, $2 retention.
const claimTx = `
INSERT INTO handrail.webhook_deliveries AS d
  (event_key, state, fence, attempt, maybe_processed, body_digest,
   lease_until, retention_ms, expires_at, updated_at)
SELECT $1::text, 3, 1, 1, 0, '', t.now, $2::bigint, t.now + $2::bigint, t.now
FROM (SELECT ` + pgNow + ` AS now) AS t
WHERE true
ON CONFLICT (event_key) DO UPDATE SET
  lease_until = excluded.lease_until,
  retention_ms = excluded.retention_ms,
  expires_at = excluded.expires_at,
  updated_at = excluded.updated_at
WHERE d.expires_at <= excluded.updated_at
RETURNING true`

// ClaimTx makes the effect of an event and the mark that it was had one
// transaction of the service's own PostgreSQL database. It reports whether the
// effect is this transaction's: true, then the commit makes it done; false, then
// it was had before, and nothing is to be done.
//
//	tx, err := db.Begin(ctx)
//	defer tx.Rollback(ctx)
//	mine, err := sqlstore.ClaimTx(ctx, tx, delivery.IdempotencyKey, 30*24*time.Hour)
//	if mine { …the effect, through tx… }
//	err = tx.Commit(ctx) // an error other than nil: answer 5xx, it may be delivered again
//
// A rollback, of the transaction or to a savepoint before, leaves nothing. Of
// two transactions with one key the second waits until the first has ended, or
// until ctx ends, and then sees its outcome. At REPEATABLE READ and SERIALIZABLE
// it may get a serialization failure (SQLSTATE 40001) instead; the whole
// transaction is then tried again, as always there. A commit whose answer was
// lost may have happened: the next delivery of the event finds out.
//
// The effect is had once for as long as retention, whole milliseconds, above 0:
// not less than the provider goes on delivering. The tables are those of
// [OpenPostgres] or [DDL], and the store deletes what is past its retention.
// Keys are apart from those of the [Store], so that within a webhook.Middleware,
// on whichever store, its delivery's IdempotencyKey serves.
//
// Errors: [ErrNoRights], those of the database and of ctx. After one the
// transaction is of no use but to be rolled back. The wait is bounded by ctx
// alone: one that ends cuts the connection, as pgx does.
func ClaimTx(ctx context.Context, tx pgx.Tx, key string, retention time.Duration) (bool, error) {
	return claimIn(key, retention, func(key string, ms int64) scanner { return tx.QueryRow(ctx, claimTx, key, ms) })
}

// ClaimSQLTx is [ClaimTx] for database/sql, with any driver for PostgreSQL.
func ClaimSQLTx(ctx context.Context, tx *sql.Tx, key string, retention time.Duration) (bool, error) {
	return claimIn(key, retention, func(key string, ms int64) scanner { return tx.QueryRowContext(ctx, claimTx, key, ms) })
}

type scanner interface{ Scan(dest ...any) error }

func claimIn(key string, retention time.Duration, query func(key string, ms int64) scanner) (bool, error) {
	var mine bool
	if retention < time.Millisecond {
		return false, fmt.Errorf("sqlstore: claim: a retention of %v is too short", retention)
	}
	if err := ignoreNone(query(txPrefix+escape(key), retention.Milliseconds()).Scan(&mine)); err != nil {
		return false, failed("claim", noRights(err))
	}
	return mine, nil
}
