package sqlstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// oldRows are deliveries in columns that the first step of the schema had, kept
// until the year 2286 in either database.
const oldRows = ` (event_key, state, fence, attempt, maybe_processed, body_digest, lease_until, retention_ms, expires_at, updated_at, answer_status, answer_type, answer_body)
VALUES ('r/claimed', 1, 7, 3, 0, 'd', 9999999999000, 1000, 9999999999999, 1, NULL, NULL, NULL),
       ('r/ended', 1, 7, 3, 0, 'd', 1, 1000, 9999999999999, 1, NULL, NULL, NULL),
       ('r/retry', 2, 2, 2, 1, 'd', 1, 3600000, 9999999999999, 1, NULL, NULL, NULL),
       ('r/done', 3, 1, 1, 0, 'd', 1, 1000, 9999999999999, 1, 201, 'text/plain', 'x'),
       ('r/dead', 4, 1, 1, 0, 'd', 1, 1000, 9999999999999, 1, NULL, NULL, NULL),
       ('r/expired', 3, 1, 1, 0, 'd', 1, 1000, 2, 1, NULL, NULL, NULL)`

// goesOn wants the deliveries of oldRows as they were, and an inbox beside them.
func goesOn(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	ctx := t.Context()
	for key, want := range map[string]webhook.Claim{
		"r/claimed": {Status: webhook.InFlight, Fence: 7, Attempt: 3},
		"r/ended":   {Status: webhook.Claimed, Fence: 8, Attempt: 4, MaybeProcessed: true},
		"r/done":    {Status: webhook.Done, Fence: 1, Attempt: 1},
		"r/dead":    {Status: webhook.Dead, Fence: 1, Attempt: 1},
		"r/expired": {Status: webhook.Claimed, Fence: 1, Attempt: 1},
	} {
		c, err := s.Claim(ctx, key, claimRequest)
		if err != nil || c.Status != want.Status || c.Fence != want.Fence || c.Attempt != want.Attempt || c.MaybeProcessed != want.MaybeProcessed {
			t.Errorf("%s: %+v, %v; want %+v", key, c, err, want)
		}
	}
	noError(t, s.Complete(ctx, "r/claimed", 7, nil))
	noError(t, s.Revive(ctx, "r/dead"))
	for _, key := range []string{"r/retry", "r/dead", "r/new"} {
		c, err := s.Put(ctx, key, webhook.Stored{Route: "r", Order: "o", Body: []byte(key)}, claimRequest)
		if err != nil || c.Status != webhook.Accepted {
			t.Errorf("%s: %v, %v", key, c.Status, err)
		}
	}
	for _, key := range []string{"r/retry", "r/dead", "r/new"} {
		taken, err := s.Take(ctx, "r", 10, claimRequest.Lease)
		if err != nil || len(taken) != 1 || taken[0].Key != key || string(taken[0].Message.Body) != key {
			t.Fatalf("%+v, %v; want %s", taken, err, key)
		}
		noError(t, s.Complete(ctx, key, taken[0].Fence, nil))
	}
	page, after, err := s.List(ctx, webhook.Query{Limit: 100})
	if err != nil || after != "" || len(page) != 7 {
		t.Errorf("listed: %d, %q, %v", len(page), after, err)
	}
}

func TestDatabaseOfTheFirstSchemaGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	noError(t, os.WriteFile(path, nil, 0o600))
	db := raw(t, path)
	const first = `PRAGMA journal_mode = WAL;
CREATE TABLE handrail_deliveries (
  event_key       TEXT PRIMARY KEY NOT NULL,
  state           INTEGER NOT NULL,
  fence           INTEGER NOT NULL,
  attempt         INTEGER NOT NULL,
  maybe_processed INTEGER NOT NULL,
  body_digest     BLOB NOT NULL,
  lease_until     INTEGER NOT NULL,
  retention_ms    INTEGER NOT NULL,
  expires_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  answer_status   INTEGER,
  answer_type     TEXT,
  answer_body     BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX handrail_deliveries_expires_at ON handrail_deliveries (expires_at);
PRAGMA user_version = 1;
CREATE TEMP TABLE old AS SELECT * FROM handrail_deliveries;
INSERT INTO old` + oldRows + `;
INSERT INTO handrail_deliveries SELECT event_key, state, fence, attempt, maybe_processed, CAST(body_digest AS BLOB), lease_until,
  retention_ms, expires_at, updated_at, answer_status, answer_type, CAST(answer_body AS BLOB) FROM old;`
	_, err := db.Exec(first)
	noError(t, err)
	noError(t, db.Close())
	goesOn(t, open(t, path))
}

// firstPostgres is what the first step of the schema made.
const firstPostgres = `CREATE SCHEMA handrail;
CREATE TABLE handrail.schema_versions (
  name    text    PRIMARY KEY,
  version integer NOT NULL
);
CREATE TABLE handrail.webhook_deliveries (
  event_key       text     PRIMARY KEY,
  state           smallint NOT NULL,
  fence           bigint   NOT NULL,
  attempt         integer  NOT NULL,
  maybe_processed smallint NOT NULL,
  body_digest     bytea    NOT NULL,
  lease_until     bigint   NOT NULL,
  retention_ms    bigint   NOT NULL,
  expires_at      bigint   NOT NULL,
  updated_at      bigint   NOT NULL,
  answer_status   integer,
  answer_type     text,
  answer_body     bytea    CHECK (octet_length(answer_body) <= 65536)
);
CREATE INDEX webhook_deliveries_expires_at ON handrail.webhook_deliveries (expires_at);
INSERT INTO handrail.schema_versions (name, version) VALUES ('webhook', 1);
INSERT INTO handrail.webhook_deliveries` + oldRows

func testPostgresOfTheFirstSchemaGoesOn(t *testing.T, server *testenv.PostgresServer) {
	for name, migrate := range map[string]func(db *pgx.ConnConfig){
		"by itself":  func(*pgx.ConnConfig) {},
		"with DDL":   func(db *pgx.ConnConfig) { run(t, db, sqlstore.DDL()+sqlstore.DDL()) },
		"in company": func(db *pgx.ConnConfig) { openTogether(t, db) },
	} {
		t.Run(name, func(t *testing.T) {
			db := database(t, server, "")
			run(t, db, firstPostgres)
			migrate(db)
			goesOn(t, openPostgres(t, sqlstore.PostgresConfig{Conn: db}))
		})
	}
}

// openTogether opens four stores at once.
func openTogether(t *testing.T, db *pgx.ConnConfig) {
	t.Helper()
	errs := make(chan error)
	const n = 4
	for range n {
		go func() {
			s, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: db})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range n {
		noError(t, <-errs)
	}
}
