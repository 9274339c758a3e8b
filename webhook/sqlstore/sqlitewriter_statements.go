package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// compiled are the statements that were compiled for a database, by their text:
// SQLite takes longer to compile a statement than to run it.
type compiled map[string]*sql.Stmt

// compile compiles queries. They live as long as db.
func compile(ctx context.Context, db *sql.DB, queries []string) (compiled, error) {
	c := make(compiled, len(queries))
	for _, query := range queries {
		stmt, err := db.PrepareContext(ctx, query) //nolint:sqlclosecheck // closed with db
		if err != nil {
			return nil, fmt.Errorf("sqlstore: %w", err)
		}
		c[query] = stmt
	}
	return c, nil
}

// compiledQuerier runs what is compiled as it is, and the rest by its text.
type compiledQuerier struct {
	querier // what it was compiled for, or a transaction of it
	compiled
}

func (q compiledQuerier) stmt(ctx context.Context, query string) *sql.Stmt {
	stmt := q.compiled[query]
	if tx, ok := q.querier.(*sql.Tx); ok && stmt != nil {
		return tx.StmtContext(ctx, stmt)
	}
	return stmt
}

func (q compiledQuerier) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt := q.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // closed with the database, or the transaction
		return stmt.ExecContext(ctx, args...)
	}
	return q.querier.ExecContext(ctx, query, args...)
}

func (q compiledQuerier) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt := q.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // closed with the database, or the transaction
		return stmt.QueryContext(ctx, args...)
	}
	return q.querier.QueryContext(ctx, query, args...)
}

func (q compiledQuerier) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt := q.stmt(ctx, query); stmt != nil { //nolint:sqlclosecheck // closed with the database, or the transaction
		return stmt.QueryRowContext(ctx, args...)
	}
	return q.querier.QueryRowContext(ctx, query, args...)
}
