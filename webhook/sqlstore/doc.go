// Package sqlstore keeps the state of webhook deliveries in a SQL database.
//
// [OpenSQLite] keeps it in one file, for one machine: it survives a crash of
// the process and of the machine. SQLite comes as pure Go
// (modernc.org/sqlite), without cgo.
//
// # Time
//
// Leases run on the database's clock. That of SQLite is the wall clock of the
// machine, read once in each statement, so several processes on the file agree.
// A clock that jumps ahead ends leases early: the event is then claimed again
// with a higher fence and marked as maybe processed. One that jumps back makes
// those under way as much longer.
//
// # Durability
//
// The file is in WAL mode with synchronous=FULL: a step that has returned is on
// disk, so an acknowledged event is not forgotten by a power failure. That is
// one fsync for each step, two for a first delivery, none for a duplicate.
//
// # When the database is down
//
// Each step returns the error, and the middleware answers 503: a full disk, a
// file that is locked for more than 5 s, one that cannot be read.
//
// # Retention
//
// Keys past their retention count as absent. Their rows are deleted by Purge,
// or by Run, which the owner starts.
//
// # Security
//
// The file holds event ids, digests of bodies, and the answers of routes that
// replay them; no bodies, signatures or secrets. It is created with mode 0600,
// in a directory created with mode 0700. It must not lie on a network file
// system: SQLite's locks do not hold there.
package sqlstore
