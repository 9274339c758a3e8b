package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// pgSchema holds the steps of the schema: applied in order, counted in
// handrail.schema_versions, never edited once released. Each may be run again.
var pgSchema = []string{`CREATE TABLE IF NOT EXISTS handrail.webhook_deliveries (
  event_key       text     PRIMARY KEY,
  state           smallint NOT NULL, -- 1 claimed, 2 retry, 3 done, 4 dead
  fence           bigint   NOT NULL,
  attempt         integer  NOT NULL,
  maybe_processed smallint NOT NULL, -- 0 or 1
  body_digest     bytea    NOT NULL, -- SHA-256
  lease_until     bigint   NOT NULL, -- times are milliseconds since 1970
  retention_ms    bigint   NOT NULL,
  expires_at      bigint   NOT NULL,
  updated_at      bigint   NOT NULL,
  answer_status   integer,
  answer_type     text,
  answer_body     bytea    CHECK (octet_length(answer_body) <= 65536)
);
CREATE INDEX IF NOT EXISTS webhook_deliveries_expires_at ON handrail.webhook_deliveries (expires_at);
`, `-- Keys are listed in their order, whatever the database's collation.
ALTER TABLE handrail.webhook_deliveries
  ALTER COLUMN event_key TYPE text COLLATE "C",
  ADD COLUMN IF NOT EXISTS stored      smallint NOT NULL DEFAULT 0, -- 1: a message waits, or is claimed
  ADD COLUMN IF NOT EXISTS route       text, -- this and what follows: of a message that is kept, else NULL
  ADD COLUMN IF NOT EXISTS order_key   text COLLATE "C",
  ADD COLUMN IF NOT EXISTS place       bigint,   -- among those of one order_key
  ADD COLUMN IF NOT EXISTS held        smallint, -- 1: another one of its order_key is ahead
  ADD COLUMN IF NOT EXISTS taken       integer,
  ADD COLUMN IF NOT EXISTS received_at bigint,
  ADD COLUMN IF NOT EXISTS begun_at    bigint,
  ADD COLUMN IF NOT EXISTS due_at      bigint,
  ADD COLUMN IF NOT EXISTS event_type  text,
  ADD COLUMN IF NOT EXISTS body_bytes  bigint,
  ADD COLUMN IF NOT EXISTS last_status integer,
  ADD COLUMN IF NOT EXISTS last_reason text;
CREATE INDEX IF NOT EXISTS webhook_deliveries_due ON handrail.webhook_deliveries (route, held, due_at) WHERE stored = 1;
CREATE INDEX IF NOT EXISTS webhook_deliveries_order ON handrail.webhook_deliveries (route, order_key, held, place)
  WHERE stored = 1 AND order_key <> '';
CREATE INDEX IF NOT EXISTS webhook_deliveries_kept ON handrail.webhook_deliveries (route, stored, received_at)
  WHERE place IS NOT NULL;
CREATE TABLE IF NOT EXISTS handrail.webhook_messages (
  event_key text  COLLATE "C" PRIMARY KEY,
  head      bytea NOT NULL, -- all but the body: a byte for the version, then JSON
  body      bytea NOT NULL CHECK (octet_length(body) <= 67108864)
);
ALTER TABLE handrail.webhook_messages ALTER COLUMN body SET STORAGE EXTERNAL;
`}

const (
	createNamespace = "CREATE SCHEMA IF NOT EXISTS handrail;\n"

	createVersions = `CREATE TABLE IF NOT EXISTS handrail.schema_versions (
  name    text    PRIMARY KEY,
  version integer NOT NULL
);
`
	setVersion = `INSERT INTO handrail.schema_versions (name, version) VALUES ('webhook', %d)
ON CONFLICT (name) DO UPDATE SET version = excluded.version WHERE schema_versions.version < excluded.version;
`
	grants = `-- For a role that does not own the tables:
-- GRANT USAGE ON SCHEMA handrail TO app;
-- GRANT SELECT ON handrail.schema_versions TO app;
-- GRANT SELECT, INSERT, UPDATE, DELETE ON handrail.webhook_deliveries, handrail.webhook_messages TO app;
`
	// schemaLock is the advisory lock that those who make the tables hold.
	schemaLock = 0x68616e647261696c // "handrail"
)

// The errors of PostgreSQL that mean something here.
const (
	readOnlyTransaction   = "25006"
	invalidAuthorization  = "28000"
	invalidPassword       = "28P01"
	undefinedDatabase     = "3D000"
	invalidSchemaName     = "3F000"
	insufficientPrivilege = "42501"
	undefinedTable        = "42P01"
)

// ErrNoRights is returned when the tables are absent and the role may not make
// them, or when it may not use them.
var ErrNoRights = errors.New("sqlstore: the database role may not create or use the tables of handrail; run, as a role that may, what `handrail webhook ddl` prints")

// DDL returns the statements that make the tables of a PostgreSQL database, for
// a role that may when the one of the service may not. They may be run again.
func DDL() string {
	return createNamespace + createVersions + strings.Join(pgSchema, "") + fmt.Sprintf(setVersion, len(pgSchema)) + grants
}

// prepare makes the tables where they are absent or old, and sees that they can
// be used. Several may do so at once.
func prepare(ctx context.Context, conn *pgx.Conn) error {
	s := pgSession{conn: conn, db: conn, simple: true} // once: there is nothing to gain
	version, err := schemaVersion(ctx, s)
	if err == nil && version < len(pgSchema) {
		version, err = migrate(ctx, s)
	}
	if err != nil {
		return noRights(err)
	}
	if version > len(pgSchema) {
		return ErrSchemaNewer
	}
	return allowed(ctx, s)
}

// refused reports whether the server itself says no, and will go on to.
func refused(err error) bool {
	return errors.Is(err, ErrNoRights) || errors.Is(err, ErrSchemaNewer) ||
		hasCode(err, invalidAuthorization, invalidPassword, undefinedDatabase)
}

// schemaVersion is the number of steps that were applied.
func schemaVersion(ctx context.Context, s pgSession) (version int, err error) {
	err = s.row(ctx, "SELECT version FROM handrail.schema_versions WHERE name = 'webhook'").Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) || hasCode(err, undefinedTable, invalidSchemaName) {
		return 0, nil
	}
	return version, err
}

// migrate brings the schema up to date in one transaction. Those who start
// together do it one after the other, and all but the first find it done.
func migrate(ctx context.Context, s pgSession) (version int, err error) {
	tx, err := s.conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after Commit
	s.db = tx
	if _, err := s.exec(ctx, "SELECT pg_advisory_xact_lock($1)", schemaLock); err != nil {
		return 0, err
	}
	// CREATE SCHEMA asks for the right to create one even where it exists.
	var exists bool
	if err := s.row(ctx, "SELECT to_regnamespace('handrail') IS NOT NULL").Scan(&exists); err != nil {
		return 0, err
	}
	if !exists {
		if _, err := s.exec(ctx, createNamespace); err != nil {
			return 0, err
		}
	}
	if _, err := s.exec(ctx, createVersions); err != nil {
		return 0, err
	}
	if version, err = schemaVersion(ctx, s); err != nil || version >= len(pgSchema) {
		return version, err
	}
	for _, step := range append(pgSchema[version:len(pgSchema):len(pgSchema)], fmt.Sprintf(setVersion, len(pgSchema))) {
		if _, err := s.exec(ctx, step); err != nil {
			return 0, err
		}
	}
	return len(pgSchema), tx.Commit(ctx)
}

// allowed returns ErrNoRights when the role lacks a right that steps need.
func allowed(ctx context.Context, s pgSession) error {
	var all bool
	err := s.row(ctx, `
SELECT bool_and(has_table_privilege('handrail.' || t, p))
FROM unnest(ARRAY['webhook_deliveries', 'webhook_messages']) AS t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p`).Scan(&all)
	switch {
	case err != nil:
		return noRights(err)
	case !all:
		return ErrNoRights
	}
	return nil
}

// noRights says ErrNoRights where the server says so in its way.
func noRights(err error) error {
	if hasCode(err, insufficientPrivilege, undefinedTable, invalidSchemaName) {
		return fmt.Errorf("%w (%w)", ErrNoRights, err)
	}
	return err
}

func hasCode(err error, codes ...string) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, e.Code)
}
