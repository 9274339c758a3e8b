package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"github.com/handrail-go/handrail/webhook"
)

// sqliteDB is the steps of a Store in SQLite.
type sqliteDB struct {
	read   *sql.DB
	reads  compiled // for read
	writer *sqliteWriter
	q      queries
	// present returns an error when what the connections have open is no longer
	// what a restart would open.
	present func() error
}

// compileSQLite compiles the statements of the steps that every delivery takes.
func compileSQLite(ctx context.Context, read, write *sql.DB) (*sqliteDB, error) {
	q := sqliteQueries()
	reads, err := compile(ctx, read, []string{q.get, q.due, q.message})
	if err != nil {
		return nil, err
	}
	writer, err := newSQLiteWriter(ctx, write, q.claim, q.evict, q.settle, q.kept,
		q.put, q.putMessage, q.due, q.take, q.complete, q.deleteMessage, q.promote)
	return &sqliteDB{read: read, reads: reads, writer: writer, q: q}, err
}

func (db *sqliteDB) claim(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	if err := db.present(); err != nil {
		return webhook.Claim{}, err
	}
	r, err := db.get(ctx, key)
	if err != nil {
		return webhook.Claim{}, err
	}
	if c := r.claim(req); c.Status != 0 {
		return c, nil
	}
	return db.take(ctx, key, req)
}

// take claims the key if it still can be; status 0 when not. The commit is what
// makes the claim: an error of it must not be lost.
func (db *sqliteDB) take(ctx context.Context, key string, req webhook.ClaimRequest) (webhook.Claim, error) {
	var c webhook.Claim
	err := db.writer.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var err error
		c, err = scanClaim(db.writer.in(tx).row(ctx, db.q.claim, claimArgs(key, req)...).Scan, req)
		if err == nil && c.Status == 0 {
			_, err = db.remove(ctx, tx, db.q.evict, key)
		}
		return err
	})
	if err != nil {
		return webhook.Claim{}, err
	}
	return c, nil
}

// reading is a session of any of the connections that read.
func (db *sqliteDB) reading() sqlSession {
	return sqlSession{compiledQuerier{db.read, db.reads}}
}

func (db *sqliteDB) get(ctx context.Context, key string) (row, error) {
	return scanRow(db.reading().row(ctx, db.q.get, key).Scan)
}

func (db *sqliteDB) check(ctx context.Context) error {
	if err := db.present(); err != nil {
		return err
	}
	_, err := db.get(ctx, "")
	return err
}

func (db *sqliteDB) close() error { return errors.Join(db.read.Close(), db.writer.close()) }
