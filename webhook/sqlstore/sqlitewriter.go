package sqlstore

import (
	"context"
	"database/sql"
)

// sqliteWriter runs the changes of a file. SQLite has one writer at a time.
type sqliteWriter struct{ db *sql.DB }

// write runs step in a transaction that holds the write lock from its beginning,
// and returns nil once it is committed. After an error of step nothing of it
// stays; after another error it may have happened.
//
// A transaction may hold several steps, each within a savepoint. So a step does
// not end it, and does all that it does through tx.
func (w *sqliteWriter) write(ctx context.Context, step func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := step(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// close ends the connection. Steps that are under way end first.
func (w *sqliteWriter) close() error { return w.db.Close() }
