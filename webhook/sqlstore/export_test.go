package sqlstore

import (
	"context"
	"time"
)

// WritePragma is the value of a PRAGMA on the connection that writes.
func (s *Store) WritePragma(ctx context.Context, name string) (string, error) {
	var value string
	err := s.db.(*sqliteDB).writer.db.QueryRowContext(ctx, "PRAGMA "+name).Scan(&value)
	return value, err
}

// PurgeStatement is what a purge runs in PostgreSQL.
func PurgeStatement() string { return pgQueries().purge }

// Escape and Unescape are what PostgreSQL gets of a text, and back.
var (
	Escape   = escape
	Unescape = unescape
)

// PostgresQuery is a statement that a step runs in PostgreSQL.
func PostgresQuery(name string) string {
	q := pgQueries()
	return map[string]string{
		"list": q.list, "window": q.window, "due": q.due, "take": q.take, "backlog": q.backlog, "promote": q.promote,
	}[name]
}

// AgeConnections makes the idle connections of a store in PostgreSQL older.
func AgeConnections(s *Store, by time.Duration) {
	p := s.db.(*postgresDB).pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.born = c.born.Add(-by)
	}
}
