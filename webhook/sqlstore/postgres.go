package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/webhook"
)

// PostgresConfig says where deliveries are kept and how much of the server is
// used for it.
type PostgresConfig struct {
	// Conn is the database, as pgx.ParseConfig returns it. Required. It is
	// copied. With its DefaultQueryExecMode as it is, QueryExecModeCacheStatement,
	// each connection prepares statements once, until a pooler shows that it does
	// not take them. With any other, all go by the simple protocol, which every
	// pooler passes on.
	Conn *pgx.ConnConfig
	// MaxConns is how many connections are open at most; steps beyond wait for
	// one. Zero means 8.
	MaxConns int
	// Timeout bounds each step: the wait for a connection, connecting, and the
	// statement. Zero means 5 s. Leases should be longer by far.
	Timeout time.Duration
	// AllowDown lets OpenPostgres succeed while the server cannot be reached.
	// Steps then fail until it can be; the first one that reaches it makes the
	// tables. What the server refuses (the password, a right) stays an error.
	AllowDown bool
}

const (
	defaultConns   = 8
	maxConns       = 1000
	defaultTimeout = 5 * time.Second
)

// pgNow is evaluated once in a statement for each time it is written there. It
// is not now(), which is the time at which the transaction began.
const pgNow = "(SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)"

// The rows of ClaimTx are no deliveries of a Store.
var pgDialect = dialect{
	now: pgNow, table: "handrail.webhook_deliveries", messages: "handrail.webhook_messages",
	own:  `NOT (event_key >= '\tx/' AND event_key < '\tx0')`,
	text: escape, plain: unescape,
}

// pgPurge looks again at each row when it is locked: a claim may have brought it
// back to life since it was found. Rows that others hold are left for next time.
const pgPurge = `
DELETE FROM {table} WHERE event_key = ANY (ARRAY(
  SELECT event_key FROM {table} WHERE expires_at <= {now}
  ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)) AND expires_at <= {now}
RETURNING event_key, place IS NOT NULL`

// pgFirst claims a key that has no row, and returns it as getRow does, with the
// state of an absent one; of any other it returns what getRow does. $1 to $4 are
// those of claimRow.
const pgFirst = `
WITH mine AS (
INSERT INTO {table}
  (event_key, state, fence, attempt, maybe_processed, body_digest,
   lease_until, retention_ms, expires_at, updated_at)
SELECT $1, 1, 1, 1, 0, $2, t.now + $3, $4, t.now + $3 + $4, t.now
FROM (SELECT {now} AS now) AS t
ON CONFLICT (event_key) DO NOTHING
RETURNING fence, attempt, maybe_processed, body_digest)
SELECT 0, fence, attempt, maybe_processed, body_digest, 0::bigint, NULL::integer, NULL::text, NULL::bytea, 0 FROM mine
UNION ALL` + getRow

// ErrReadOnly is returned by Check while the server takes no writes, as a
// standby does.
var ErrReadOnly = errors.New("sqlstore: the database server is read-only")

// OpenPostgres opens the store in a PostgreSQL database, in the schema
// "handrail". The tables are made when they are absent and the role may; see
// [DDL] for when it may not.
//
// Errors: *[webhook.ConfigError], [ErrNoRights], [ErrSchemaNewer], those of the
// server and of the network. None holds the address as it was given, nor the
// password.
func OpenPostgres(ctx context.Context, cfg PostgresConfig) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	db := &postgresDB{pool: newPool(cfg), timeout: cfg.Timeout, q: pgQueries(), first: pgDialect.fill(pgFirst)}
	db.unordered = strings.Replace(db.q.complete, "stored = 1", "stored = 1 AND order_key = ''", 1)
	db.simple.Store(cfg.Conn.DefaultQueryExecMode != pgx.QueryExecModeCacheStatement)
	err = db.do(ctx, func(context.Context, pgSession) error { return nil })
	if err != nil && (!cfg.AllowDown || refused(err)) {
		return nil, errors.Join(failed("open", err), db.close())
	}
	return &Store{db: db}, nil
}

func (c PostgresConfig) withDefaults() (PostgresConfig, error) {
	var problems []error
	bad := func(field, value, reason string) {
		problems = append(problems, &webhook.ConfigError{Field: field, Value: value, Reason: reason})
	}
	if c.Conn == nil {
		bad("Conn", "", "is required")
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultConns
	}
	if c.MaxConns < 1 || c.MaxConns > maxConns {
		bad("MaxConns", fmt.Sprint(c.MaxConns), fmt.Sprintf("must be 1 to %d", maxConns))
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Timeout < time.Millisecond {
		bad("Timeout", c.Timeout.String(), "must be at least 1ms")
	}
	return c, errors.Join(problems...)
}

// postgresDB is the steps of a Store in PostgreSQL. Each changes something in
// one statement at most, which is one transaction; one that sees to an order is a
// transaction of several. The session holds nothing but prepared statements.
type postgresDB struct {
	pool    *pool
	timeout time.Duration
	q       queries
	// first is pgFirst; unordered is complete for a message whose order is of no
	// matter.
	first, unordered string
	// ready: the tables are there and can be used.
	ready atomic.Bool
	// simple: no statement is prepared, since a pooler loses them.
	simple atomic.Bool
}

// do runs f on a connection, within the timeout of a step, with the tables there.
//
// f is run again, by the simple protocol, when one of its statements was refused
// since it is not prepared: then nothing has changed, for what changes something
// is the last statement of f, or all of f is one transaction.
func (db *postgresDB) do(ctx context.Context, f func(ctx context.Context, s pgSession) error) error {
	ctx, cancel := context.WithTimeout(ctx, db.timeout)
	defer cancel()
	if db.simple.Load() {
		return db.on(ctx, true, f)
	}
	err := db.on(ctx, false, f)
	switch {
	case byPooler(err):
		db.simple.Store(true) // from now on
	case !outdated(err):
		return err
	}
	return db.on(ctx, true, f)
}

func (db *postgresDB) on(ctx context.Context, simple bool, f func(ctx context.Context, s pgSession) error) error {
	return db.pool.do(ctx, simple, func(ctx context.Context, conn *pgx.Conn) error {
		if !db.ready.Load() {
			if err := prepare(ctx, conn); err != nil {
				return err
			}
			db.ready.Store(true)
		}
		return f(ctx, pgSession{conn: conn, db: conn, simple: simple})
	})
}

// claim is one statement for an absent key, and for one that cannot be claimed:
// that locks no row, and writes nothing. Where it is not prepared, to plan it costs
// copies more than a new event gains: there it reads first.
func (db *postgresDB) claim(ctx context.Context, key string, req webhook.ClaimRequest) (c webhook.Claim, err error) {
	args := claimArgs(escape(key), req)
	err = db.do(ctx, func(ctx context.Context, s pgSession) error {
		var r row
		var err error
		if !s.simple {
			r, err = scanEscaped(s.row(ctx, db.first, args[:4]...).Scan)
			if err == nil && r.State == webhook.StateAbsent && r.Fence != 0 {
				c = webhook.Claim{Status: webhook.Claimed, Fence: r.Fence, Attempt: r.Attempt}
				return nil
			}
		}
		if err == nil && r.Fence == 0 { // past its retention, or claimed just now
			r, err = scanEscaped(s.row(ctx, db.q.get, args[0]).Scan)
		}
		if c = r.claim(req); err != nil || c.Status != 0 {
			return err
		}
		c, err = scanClaim(s.row(ctx, db.q.claim, args...).Scan, req)
		if err == nil && c.Status == 0 {
			_, err = s.exec(ctx, db.q.evict, args[0])
		}
		return err
	})
	return c, err
}

func (db *postgresDB) get(ctx context.Context, key string) (row, error) {
	var r row
	err := db.do(ctx, func(ctx context.Context, s pgSession) (err error) {
		r, err = scanEscaped(s.row(ctx, db.q.get, escape(key)).Scan)
		return err
	})
	return r, err
}

func (db *postgresDB) check(ctx context.Context) error {
	return db.do(ctx, func(ctx context.Context, s pgSession) error {
		var readOnly bool
		err := s.row(ctx, "SELECT current_setting('transaction_read_only')::boolean").Scan(&readOnly)
		if err != nil {
			return err
		}
		if readOnly {
			return ErrReadOnly
		}
		return allowed(ctx, s)
	})
}

func (db *postgresDB) close() error {
	db.pool.close()
	return nil
}

// scanEscaped is scanRow where text is escaped.
func scanEscaped(from func(dest ...any) error) (row, error) {
	r, err := scanRow(from)
	if err == nil && r.Answer != nil {
		r.Answer.ContentType = unescape(r.Answer.ContentType)
	}
	return r, err
}
