package sqlstore

import (
	"context"
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// session runs statements in either driver: each by itself, or all of a
// transaction.
type session interface {
	exec(ctx context.Context, query string, args ...any) (int64, error)
	row(ctx context.Context, query string, args ...any) scanner
	// each calls read for every row; from scans it.
	each(ctx context.Context, read func(from func(dest ...any) error) error, query string, args ...any) error
}

// pgSession is a session on a connection or in a transaction of pgx.
type pgSession struct {
	conn   *pgx.Conn
	db     pgQuerier // conn, or a transaction on it
	simple bool      // each statement goes by the simple protocol
}

type pgQuerier interface {
	Exec(ctx context.Context, query string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, query string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}

// mode puts how pgx is to send a statement before its arguments.
func (s pgSession) mode(args []any) []any {
	if !s.simple {
		return args
	}
	return append([]any{pgx.QueryExecModeSimpleProtocol}, args...)
}

func (s pgSession) exec(ctx context.Context, query string, args ...any) (int64, error) {
	tag, err := s.db.Exec(ctx, query, s.mode(args)...)
	return tag.RowsAffected(), err
}

func (s pgSession) row(ctx context.Context, query string, args ...any) scanner {
	return s.db.QueryRow(ctx, query, s.mode(args)...)
}

func (s pgSession) each(ctx context.Context, read func(from func(dest ...any) error) error, query string, args ...any) error {
	rows, err := s.db.Query(ctx, query, s.mode(args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// sqlSession is a session on a pool or in a transaction of database/sql.
type sqlSession struct{ db querier }

type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func (s sqlSession) exec(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

func (s sqlSession) row(ctx context.Context, query string, args ...any) scanner {
	return s.db.QueryRowContext(ctx, query, args...)
}

func (s sqlSession) each(ctx context.Context, read func(from func(dest ...any) error) error, query string, args ...any) error {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
