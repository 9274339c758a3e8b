package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite" // also the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// sqliteDialect: 'now' is fixed within a step of a statement.
var sqliteDialect = dialect{
	now:   "CAST(unixepoch('now', 'subsec') * 1000 AS INTEGER)",
	table: "handrail_deliveries", messages: "handrail_messages", own: "true",
	text: asItIs, plain: asItIs,
}

func asItIs(s string) string { return s }

func sqliteQueries() queries {
	q := sqliteDialect.render()
	q.mark, q.unmark, q.next, q.end = escape, unescape, "\x00", []byte{0} // no text is above a blob
	return q
}

// sqliteSchema holds the steps of the schema: applied in order, counted by
// PRAGMA user_version, never edited once released.
var sqliteSchema = []string{`
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
CREATE INDEX handrail_deliveries_expires_at ON handrail_deliveries (expires_at);`, `
ALTER TABLE handrail_deliveries ADD COLUMN stored INTEGER NOT NULL DEFAULT 0;
ALTER TABLE handrail_deliveries ADD COLUMN route TEXT;
ALTER TABLE handrail_deliveries ADD COLUMN order_key TEXT;
ALTER TABLE handrail_deliveries ADD COLUMN place INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN held INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN taken INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN received_at INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN begun_at INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN due_at INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN event_type TEXT;
ALTER TABLE handrail_deliveries ADD COLUMN body_bytes INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN last_status INTEGER;
ALTER TABLE handrail_deliveries ADD COLUMN last_reason TEXT;
CREATE INDEX handrail_deliveries_due ON handrail_deliveries (route, held, due_at) WHERE stored = 1;
CREATE INDEX handrail_deliveries_order ON handrail_deliveries (route, order_key, held, place)
  WHERE stored = 1 AND order_key <> '';
CREATE INDEX handrail_deliveries_kept ON handrail_deliveries (route, stored, received_at) WHERE place IS NOT NULL;
CREATE TABLE handrail_messages (
  event_key TEXT NOT NULL UNIQUE,
  head      BLOB NOT NULL,
  body      BLOB NOT NULL
) STRICT;`}

// ErrSchemaNewer is returned for a database that a later version has written.
var ErrSchemaNewer = errors.New("sqlstore: the database has a newer schema than this program knows")

// ErrFileGone is returned while the file that was opened is not the one at its
// path: it was removed or replaced. What would be recorded now would be lost at
// the next start, so nothing is, until the file is back or the store is opened
// anew.
var ErrFileGone = errors.New("sqlstore: the database file was removed or replaced; restart to begin a new one")

// sqliteReaders is how many reads run side by side. SQLite has one writer.
const sqliteReaders = 4

// OpenSQLite opens the store in the file at path. The file is created with
// mode 0600 when it is absent, and so is its directory with 0700; what exists
// keeps its mode. The schema is brought up to date.
//
// Errors: [ErrSchemaNewer], those of the file system and of SQLite.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	write, err := sql.Open("sqlite", sqliteURI(path, nil))
	if err != nil {
		return nil, fmt.Errorf("sqlstore: %w", err)
	}
	// One connection: steps of this process queue for it, in order, instead of
	// for SQLite's lock, which is polled.
	write.SetMaxOpenConns(1)
	if err := startSQLite(ctx, write); err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read, err := sql.Open("sqlite", sqliteURI(path, url.Values{"_query_only": {"1"}}))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlstore: %w", err), write.Close())
	}
	read.SetMaxOpenConns(sqliteReaders)
	read.SetMaxIdleConns(sqliteReaders)
	db, err := compileSQLite(ctx, read, write)
	if err != nil {
		return nil, errors.Join(err, read.Close(), write.Close())
	}
	opened, err := os.Stat(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sqlstore: %w", err), read.Close(), write.Close())
	}
	db.present = func() error {
		if now, err := os.Stat(path); err != nil || !os.SameFile(opened, now) {
			return ErrFileGone
		}
		return nil
	}
	return &Store{db: db}, nil
}

func sqliteURI(path string, more url.Values) string {
	q := url.Values{
		"mode":          {"rw"}, // the file is there; SQLite would make a public one
		"_busy_timeout": {"5000"},
		"_journal_mode": {"WAL"},
		"_synchronous":  {"FULL"},
		"_txlock":       {"immediate"},
	}
	maps.Copy(q, more)
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: q.Encode()}).String()
}

// createPrivate makes the file before SQLite does, which would make it
// readable by all. SQLite gives the -wal and -shm files the same mode.
func createPrivate(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, fs.ErrExist):
		return nil
	case err != nil:
		return err
	}
	return f.Close()
}

// startTime is how long others that start, or end, at the same time are waited
// for, and startPause how long between two attempts.
const (
	startTime  = 5 * time.Second
	startPause = 10 * time.Millisecond
)

// startSQLite is migrateSQLite while other processes open or close the file. To
// put a new one into WAL mode, or to leave it as the last one, takes a lock that
// SQLite's own timeout does not wait for.
func startSQLite(ctx context.Context, db *sql.DB) error {
	for until := time.Now().Add(startTime); ; {
		err := migrateSQLite(ctx, db)
		if !isBusy(err) || time.Now().After(until) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(startPause):
		}
	}
}

func isBusy(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_BUSY // the rest says why
}

// migrateSQLite applies the steps that are missing, in one transaction that
// holds the write lock, so that processes which start together do it once.
func migrateSQLite(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("sqlstore: schema: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	var version int
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("sqlstore: schema: %w", err)
	}
	if version > len(sqliteSchema) {
		return ErrSchemaNewer
	}
	if version == len(sqliteSchema) {
		return nil
	}
	for _, step := range sqliteSchema[version:] {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return fmt.Errorf("sqlstore: schema: %w", err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(sqliteSchema))); err != nil {
		return fmt.Errorf("sqlstore: schema: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("sqlstore: schema: %w", err)
	}
	return nil
}
