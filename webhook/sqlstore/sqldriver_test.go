package sqlstore_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"

	"github.com/jackc/pgx/v5"
)

// connector is a driver for database/sql on pgx, with no more than ClaimSQLTx
// needs. The one that comes with pgx brings a pool with it.
type connector struct{ cfg *pgx.ConnConfig }

func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, c.cfg)
	if err != nil {
		return nil, err
	}
	return sqlConn{conn}, nil
}

func (connector) Driver() driver.Driver { return nil }

type sqlConn struct{ conn *pgx.Conn }

func (sqlConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }

func (sqlConn) Begin() (driver.Tx, error) { return nil, errors.ErrUnsupported }

func (c sqlConn) Close() error { return c.conn.Close(context.Background()) }

func (c sqlConn) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	tx, err := c.conn.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return sqlTx{tx}, nil
}

func (c sqlConn) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (driver.Rows, error) {
	args := make([]any, len(named))
	for i, n := range named {
		args[i] = n.Value
	}
	rows, err := c.conn.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return sqlRows{rows}, nil
}

type sqlTx struct{ tx pgx.Tx }

func (t sqlTx) Commit() error { return t.tx.Commit(context.Background()) }

func (t sqlTx) Rollback() error { return t.tx.Rollback(context.Background()) }

type sqlRows struct{ rows pgx.Rows }

func (r sqlRows) Columns() []string { return make([]string, len(r.rows.FieldDescriptions())) }

func (r sqlRows) Close() error {
	r.rows.Close()
	return nil
}

func (r sqlRows) Next(dest []driver.Value) error {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	values, err := r.rows.Values()
	for i, v := range values {
		dest[i] = v
	}
	return err
}
