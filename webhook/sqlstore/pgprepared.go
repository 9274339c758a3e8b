package sqlstore

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Statements are prepared on their first use of a connection, under a name that
// is a digest of their text: whoever prepared it, a name means one statement.
//
// A pooler in transaction mode may have a statement run on another connection to
// the server than the one that it was prepared on. Some know what was prepared,
// and prepare it there (PgBouncer from 1.21 on with max_prepared_statements,
// Supavisor, RDS Proxy); of others the server says that the statement does not
// exist, or that it already does.

// The errors by which a statement is refused as it is parsed, or bound.
const (
	featureNotSupported    = "0A000"
	invalidStatementName   = "26000"
	duplicateStatementName = "42P05"
)

// byPooler reports whether a pooler shows itself, by refusing a statement that has
// not run. Their own errors have many codes, and all say what it is about; so do
// the errors of the server that mean the same.
func byPooler(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == invalidStatementName || e.Code == duplicateStatementName ||
		strings.Contains(e.Message, "prepared statement") || strings.Contains(e.Message, "parse message"))
}

// outdated reports whether a statement was refused, and has not run, since a table
// has changed so that it returns something else than when it was prepared. It is
// prepared again the next time.
func outdated(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && e.Code == featureNotSupported && e.Routine == "RevalidateCachedQuery"
}
