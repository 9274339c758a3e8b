// Package sqlstore keeps the state of webhook deliveries in a SQL database.
//
// [OpenSQLite] keeps it in one file, for one machine: it survives a crash of
// the process and of the machine. SQLite comes as pure Go
// (modernc.org/sqlite), without cgo.
//
// [OpenPostgres] keeps it in a PostgreSQL database, for any number of instances
// (pgx). A step changes something in one statement; one that sees to the order of
// messages is a transaction that holds an advisory lock until it commits. Nothing
// is kept in the session but prepared statements, and they may be lost: a pooler
// may stand in between (PgBouncer in transaction mode). One that loses them is
// known by the first error that this makes. The step is repeated by the simple
// protocol, since the statement cannot have run, and so go all from then on.
// While they are prepared a connection is used for a minute: a plan that was made
// for a small table is a bad one when the table has grown.
//
// Either is a [webhook.Store], a [webhook.Ledger], and a [webhook.Inbox], which
// keeps messages until they are delivered.
//
// [ClaimTx] is for a service that has its effect in the same PostgreSQL
// database: the effect and the mark that it was had are one transaction.
//
// # Time
//
// Leases run on the database's clock. That of SQLite is the wall clock of the
// machine, read once in each statement, so several processes on the file agree;
// that of PostgreSQL is the server's. A clock that jumps ahead ends leases
// early: the event is then claimed again with a higher fence and marked as maybe
// processed. One that jumps back makes those under way as much longer. After a
// failover the standby's clock counts.
//
// # Durability
//
// The file of SQLite is in WAL mode with synchronous=FULL: a step that has
// returned is on disk, so an acknowledged event is not forgotten by a power
// failure. That is one fsync for each step, two for a first delivery, none for a
// duplicate; steps that wait for each other share a transaction, and its fsync.
// One that fails is undone alone, but a commit that fails is the error of all. A
// step goes on without its caller once it has begun; one that waits for its turn
// ends with its context. PostgreSQL does as its synchronous_commit says, by
// default the same; steps of several connections share an fsync, so that more
// connections (MaxConns) do more where many callers wait. A failover forgets what
// was not replicated, unless synchronous_commit waits for a standby.
//
// # Messages
//
// What is known of a message stands in the row of its key, the message itself in
// a row of its own that is written once and deleted when it is done: to claim it,
// or to give it back, does not write its body again. Instances that take messages
// from PostgreSQL do not wait for each other. Asking in vain costs one read, of an
// index that holds nothing but what could be taken; those behind another one of
// their order are not in its way, however many.
//
// In PostgreSQL messages of one order are put, completed and discarded one after
// the other. Their place is given by the database's clock, and goes up by one at
// least: when that clock jumps back, a message that died before the jump and is
// revived after it may go behind some that came later.
//
// The body of a message is up to 64 MiB. Where a pooler makes it the simple
// protocol, that writes it with two digits for each byte, so that bodies of tens
// of MiB take seconds, and need a longer [PostgresConfig].Timeout. SQLite's file does not become smaller when
// messages go; what they took is used again.
//
// # When the database is down
//
// Each step returns the error, and the middleware answers 503: a full disk, where
// nothing of a message is kept, a
// file that is locked for more than 5 s, one that cannot be read; a server that
// refuses connections, or does not answer within the timeout of a step. The
// store goes on by itself once the database does.
//
// # Retention
//
// Keys past their retention count as absent. Their rows are deleted by Purge,
// or by Run, which the owner starts, and with them the messages of dead ones.
// Several instances may do so at once. A message that waits, or is being
// delivered, has no end.
//
// # Security
//
// What is kept is event ids, digests of bodies, and the answers of routes that
// replay them, up to 64 KiB each; of routes with an inbox also the messages that
// are not done yet: bodies and headers as they came, signatures among them, in
// plain; a secret is among them where a provider sends it as a header (GitLab's
// secret token). SQLite's file is created with mode 0600, in a directory created
// with mode 0700. It must not lie on a network file system: SQLite's locks do not hold there. Errors
// hold neither the address of PostgreSQL as it was given nor the password. Its
// role needs SELECT, INSERT, UPDATE and DELETE on two tables, see [DDL]; a server
// that logs failed statements logs event ids, kept answers and messages with them.
package sqlstore
