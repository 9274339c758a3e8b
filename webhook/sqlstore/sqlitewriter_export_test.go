package sqlstore

import (
	"context"
	"database/sql"
)

// MaxBatch and BatchTime bound a transaction of several steps.
const (
	MaxBatch  = maxBatch
	BatchTime = batchTime
)

// Write takes one step in SQLite, as all that changes something do.
func (s *Store) Write(ctx context.Context, step func(ctx context.Context, tx *sql.Tx) error) error {
	return s.db.(*sqliteDB).writer.write(ctx, step)
}

// Writer is the connection that writes.
func (s *Store) Writer() *sql.DB { return s.db.(*sqliteDB).writer.db }
