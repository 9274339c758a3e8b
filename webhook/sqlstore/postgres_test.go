package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

var claimRequest = webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour}

// pgClock is the server's time in milliseconds, of this moment.
const pgClock = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint"

// databases counts those made on the servers of all tests.
var databases atomic.Int64

// database makes an empty database on the server.
func database(t testing.TB, s *testenv.PostgresServer, options string) *pgx.ConnConfig {
	t.Helper()
	name := fmt.Sprintf("d%d", databases.Add(1))
	run(t, parse(t, s.DSN()), "CREATE DATABASE "+name+" "+options)
	cfg := parse(t, s.DSN())
	cfg.Database = name
	return cfg
}

func parse(t testing.TB, dsn string) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// simple is the database with all statements sent by the simple protocol.
func simple(db *pgx.ConnConfig) *pgx.ConnConfig {
	db = db.Copy()
	db.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return db
}

// connect opens a connection past the store.
func connect(t testing.TB, cfg *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// run runs statements on a connection of their own.
func run(t testing.TB, cfg *pgx.ConnConfig, sql string) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// value is the one value that a query returns.
func value[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// openPostgres opens a store that waits as long as a busy machine may need.
func openPostgres(t testing.TB, cfg sqlstore.PostgresConfig) *sqlstore.Store {
	t.Helper()
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	s, err := sqlstore.OpenPostgres(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// agePostgres moves all that is stored into the past.
func agePostgres(t testing.TB, conn *pgx.Conn, d time.Duration) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `UPDATE handrail.webhook_deliveries
		SET lease_until = lease_until - $1, expires_at = expires_at - $1, updated_at = updated_at - $1,
			received_at = received_at - $1, begun_at = begun_at - $1, due_at = due_at - $1`, d.Milliseconds())
	if err != nil {
		t.Error(err)
	}
}

// TestOnPostgres runs what needs no server of its own on one: to start a server
// takes longer than most of it.
func TestOnPostgres(t *testing.T) {
	t.Parallel()
	server := testenv.Postgres(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *testenv.PostgresServer)
	}{
		{"Postgres", testPostgres},
		{"PostgresSharedByThreeStores", testPostgresSharedByThreeStores},
		{"PostgresLedger", testPostgresLedger},
		{"PostgresInbox", testPostgresInbox},
		{"PostgresTakeIsBoundedInBytes", testPostgresTakeIsBoundedInBytes},
		{"PostgresLargeMessage", testPostgresLargeMessage},
		{"PostgresWhatCannotBeReadIsGivenUp", testPostgresWhatCannotBeReadIsGivenUp},
		{"PostgresTakePassesOverWhatOthersHold", testPostgresTakePassesOverWhatOthersHold},
		{"PostgresPutsOfAnOrderWaitForEachOther", testPostgresPutsOfAnOrderWaitForEachOther},
		{"PostgresStatementsOfInboxSteps", testPostgresStatementsOfInboxSteps},
		{"PostgresInboxConnectionLostInAStep", testPostgresInboxConnectionLostInAStep},
		{"PostgresOfTheFirstSchemaGoesOn", testPostgresOfTheFirstSchemaGoesOn},
		{"PostgresPageLooksAtNoMoreThanItMay", testPostgresPageLooksAtNoMoreThanItMay},
		{"PostgresListsInAnyCollation", testPostgresListsInAnyCollation},
		{"PostgresListGoesByTheIndex", testPostgresListGoesByTheIndex},
		{"PostgresInboxThroughKills", testPostgresInboxThroughKills},
		{"PostgresKeysAndContentTypesMayHoldAnyByte", testPostgresKeysAndContentTypesMayHoldAnyByte},
		{"LongAnswersAreNotKept", testLongAnswersAreNotKept},
		{"PostgresUsesNoMoreConnectionsThanItMay", testPostgresUsesNoMoreConnectionsThanItMay},
		{"PostgresClosedStoreRefusesSteps", testPostgresClosedStoreRefusesSteps},
		{"PostgresCheckSaysReadOnly", testPostgresCheckSaysReadOnly},
		{"PostgresPurgeLeavesWhatIsClaimedMeanwhile", testPostgresPurgeLeavesWhatIsClaimedMeanwhile},
		{"PostgresPurgeDoesNotWaitForRowsInUse", testPostgresPurgeDoesNotWaitForRowsInUse},
		{"PostgresPurgeGoesThroughAllBatchesByTheIndex", testPostgresPurgeGoesThroughAllBatchesByTheIndex},
		{"PostgresTimeIsTheServersAtTheStep", testPostgresTimeIsTheServersAtTheStep},
		{"PostgresRights", testPostgresRights},
		{"PostgresStoresThatStartTogetherMakeTheTablesOnce", testPostgresStoresThatStartTogetherMakeTheTablesOnce},
		{"PostgresNewerSchemaIsRefusedAndLeftAlone", testPostgresNewerSchemaIsRefusedAndLeftAlone},
		{"PostgresOfCopiesInSeveralProcessesOneClaims", testPostgresOfCopiesInSeveralProcessesOneClaims},
		{"PostgresStatementsOfSteps", testPostgresStatementsOfSteps},
		{"PostgresDuplicatesLockNothing", testPostgresDuplicatesLockNothing},
		{"PostgresStatementsArePlannedAnew", testPostgresStatementsArePlannedAnew},
		{"PostgresThroughPgBouncer", testPostgresThroughPgBouncer},
		{"PostgresWarnings", testPostgresWarnings},
		{"PostgresThroughPooler", testPostgresThroughPooler},
		{"PostgresTablesChangeUnderPreparedStatements", testPostgresTablesChangeUnderPreparedStatements},
		{"PostgresConnectionLostInAStep", testPostgresConnectionLostInAStep},
		{"PostgresStepsEndWithinTheirTimeout", testPostgresStepsEndWithinTheirTimeout},
		{"PostgresHistoriesAreLinearizableThoughConnectionsAreLost", testPostgresHistoriesAreLinearizableThoughConnectionsAreLost},
		{"ClaimTx", testClaimTx},
		{"SecondClaimTxWaitsForTheFirst", testSecondClaimTxWaitsForTheFirst},
		{"ClaimTxOfManyHasOneEffect", testClaimTxOfManyHasOneEffect},
		{"ClaimTxWaitEndsWithItsContext", testClaimTxWaitEndsWithItsContext},
		{"ClaimTxIsUndoneWithItsSavepoint", testClaimTxIsUndoneWithItsSavepoint},
		{"ClaimTxKeysAreApartFromThoseOfTheStore", testClaimTxKeysAreApartFromThoseOfTheStore},
		{"ClaimTxIsKeptForItsRetention", testClaimTxIsKeptForItsRetention},
		{"ClaimTxTimeIsThatOfTheStep", testClaimTxTimeIsThatOfTheStep},
		{"ClaimTxSaysWhichStatementsMakeTheTables", testClaimTxSaysWhichStatementsMakeTheTables},
		{"ClaimSQLTx", testClaimSQLTx},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, server) })
	}
}

// withPostgres runs a suite on stores that prepare their statements, and on some
// that do not.
func withPostgres(t *testing.T, server *testenv.PostgresServer, suite func(t *testing.T, newFixture func(t *testing.T) webhooktest.Fixture)) {
	t.Helper()
	db := database(t, server, "")
	t.Run("prepared", func(t *testing.T) { suite(t, postgresFixture(db)) })
	t.Run("simple", func(t *testing.T) { suite(t, postgresFixture(simple(db))) })
}

// postgresFixture makes stores in a database, an empty one each time.
func postgresFixture(db *pgx.ConnConfig) func(t *testing.T) webhooktest.Fixture {
	return func(t *testing.T) webhooktest.Fixture {
		t.Helper()
		run(t, db, "DROP SCHEMA IF EXISTS handrail CASCADE")
		s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
		return webhooktest.Fixture{
			Store:   s,
			Another: func() webhook.Store { return openPostgres(t, sqlstore.PostgresConfig{Conn: db}) },
			Advance: func(d time.Duration) { agePostgres(t, conn, d) },
		}
	}
}

func testPostgres(t *testing.T, server *testenv.PostgresServer) {
	withPostgres(t, server, webhooktest.Run)
}

func testPostgresSharedByThreeStores(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
		run(t, db, "DROP SCHEMA IF EXISTS handrail CASCADE")
		one := func(db *pgx.ConnConfig) *sqlstore.Store {
			return openPostgres(t, sqlstore.PostgresConfig{Conn: db, MaxConns: 5})
		}
		shared := alternate(one(db), one(db), one(simple(db)))
		conn := connect(t, db)
		return webhooktest.Fixture{Store: shared, Advance: func(d time.Duration) { agePostgres(t, conn, d) }}
	})
}

func TestPostgresConfigNamesEveryProblem(t *testing.T) {
	_, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{MaxConns: -1, Timeout: -time.Second})
	for _, field := range []string{"Conn", "MaxConns", "Timeout"} {
		if err == nil || !strings.Contains(err.Error(), field+":") {
			t.Errorf("%s is not named in %v", field, err)
		}
	}
	if _, ok := errors.AsType[*webhook.ConfigError](err); !ok {
		t.Errorf("%T is no ConfigError", err)
	}
}

// The password is in the configuration that pgx hands out with its error.
func TestPostgresErrorsHoldNoPassword(t *testing.T) {
	t.Parallel()
	server := testenv.Postgres(t)
	server.Stop()
	cfg := parse(t, strings.Replace(server.DSN(), "postgres@", "postgres:s3cret@", 1))
	_, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: cfg})
	if err == nil {
		t.Fatal("no error")
	}
	for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)} {
		if strings.Contains(text, "s3cret") || strings.Contains(text, "postgres://") {
			t.Errorf("%s", text)
		}
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		t.Errorf("the error hands out the configuration: %v", e)
	}
}

func testPostgresKeysAndContentTypesMayHoldAnyByte(t *testing.T, server *testenv.PostgresServer) {
	for _, options := range []string{"", "TEMPLATE template0 ENCODING 'LATIN1'", "TEMPLATE template0 ENCODING 'SQL_ASCII'"} {
		t.Run(options, func(t *testing.T) {
			s := openPostgres(t, sqlstore.PostgresConfig{Conn: database(t, server, options)})
			for _, text := range []string{"", "a'b", `a\b`, `\x61`, "a", `\`, "nul\x00", "\xff\xfe", "é", "😀", "$1", "line\nbreak", `"`, `\x`, `\xg`, "?"} {
				c, err := s.Claim(t.Context(), text, claimRequest)
				if err != nil || c.Status != webhook.Claimed {
					t.Errorf("%q: %v, %v", text, c.Status, err)
					continue
				}
				want := webhook.Answer{Status: 200, ContentType: text, Body: []byte(text)}
				if err := s.Complete(t.Context(), text, c.Fence, &want); err != nil {
					t.Errorf("%q: %v", text, err)
				}
				r, err := s.Lookup(t.Context(), text)
				if err != nil || r.Answer == nil || r.Answer.ContentType != text || string(r.Answer.Body) != text {
					t.Errorf("%q: kept %+v, %v", text, r.Answer, err)
				}
			}
		})
	}
}

func testLongAnswersAreNotKept(t *testing.T, server *testenv.PostgresServer) {
	for name, s := range map[string]*sqlstore.Store{
		"postgres": openPostgres(t, sqlstore.PostgresConfig{Conn: database(t, server, "")}),
		"sqlite":   open(t, t.TempDir()+"/d.sqlite"),
	} {
		for size, kept := range map[int]bool{64 << 10: true, 64<<10 + 1: false} {
			key := fmt.Sprint(size)
			if _, err := s.Claim(t.Context(), key, claimRequest); err != nil {
				t.Fatal(err)
			}
			if err := s.Complete(t.Context(), key, 1, &webhook.Answer{Status: 200, Body: make([]byte, size)}); err != nil {
				t.Errorf("%s, %d bytes: %v", name, size, err)
			}
			r, err := s.Lookup(t.Context(), key)
			if err != nil || r.State != webhook.StateDone || (r.Answer != nil) != kept {
				t.Errorf("%s, %d bytes: %v, kept %t, %v", name, size, r.State, r.Answer != nil, err)
			}
		}
	}
}

func testPostgresUsesNoMoreConnectionsThanItMay(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, watch := openPostgres(t, sqlstore.PostgresConfig{Conn: db, MaxConns: 3}), connect(t, db)
	done := make(chan error)
	const workers = 32
	for w := range workers {
		go func() {
			var err error
			for i := 0; i < 20 && err == nil; i++ {
				_, err = s.Claim(t.Context(), fmt.Sprintf("%d/%d", w, i), claimRequest)
			}
			done <- err
		}()
	}
	for range workers {
		n := value[int](t, watch, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'handrail' AND datname = current_database()")
		if n < 1 || n > 3 {
			t.Errorf("%d connections, want 1 to 3", n)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func testPostgresClosedStoreRefusesSteps(t *testing.T, server *testenv.PostgresServer) {
	s, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: database(t, server, "")})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Claim(t.Context(), "k", claimRequest); err == nil {
		t.Error("claimed in a closed store")
	}
}

func testPostgresCheckSaysReadOnly(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	if err := openPostgres(t, sqlstore.PostgresConfig{Conn: db}).Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, db, "ALTER DATABASE "+db.Database+" SET default_transaction_read_only = on")
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	if err := s.Check(t.Context()); !errors.Is(err, sqlstore.ErrReadOnly) {
		t.Errorf("Check: %v, want ErrReadOnly", err)
	}
	if _, err := s.Claim(t.Context(), "k", claimRequest); err == nil {
		t.Error("claimed on a read-only server")
	}
	// As after a failover: the connections that were there are not kept.
	run(t, parse(t, server.DSN()), "ALTER DATABASE "+db.Database+" RESET default_transaction_read_only")
	if c, err := s.Claim(t.Context(), "k", claimRequest); err != nil || c.Status != webhook.Claimed {
		t.Errorf("when it takes writes again: %v, %v", c.Status, err)
	}
}

// A key that was found past its retention may be claimed anew before it is
// deleted.
func testPostgresPurgeLeavesWhatIsClaimedMeanwhile(t *testing.T, server *testenv.PostgresServer) {
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: database(t, server, "")})
	ended, purging := make(chan struct{}), make(chan error)
	go func() {
		for {
			if _, err := s.Purge(t.Context()); err != nil {
				purging <- err
				return
			}
			select {
			case <-ended:
				purging <- nil
				return
			default:
			}
		}
	}()
	short := webhook.ClaimRequest{Lease: time.Millisecond, Retention: time.Millisecond}
	done := make(chan error)
	const workers, rounds = 4, 100
	for w := range workers {
		go func() {
			for i := range rounds {
				if err := expireAndClaim(t.Context(), s, fmt.Sprintf("%d/%d", w, i), short); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range workers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(ended)
	if err := <-purging; err != nil {
		t.Error(err)
	}
}

// expireAndClaim claims key anew as soon as its retention has ended, and
// completes that claim.
func expireAndClaim(ctx context.Context, s *sqlstore.Store, key string, short webhook.ClaimRequest) error {
	if _, err := s.Claim(ctx, key, short); err != nil {
		return err
	}
	if err := s.Complete(ctx, key, 1, nil); err != nil && !errors.Is(err, webhook.ErrStaleFence) {
		return err
	}
	for {
		c, err := s.Claim(ctx, key, claimRequest)
		if err != nil {
			return err
		}
		if c.Status == webhook.Claimed {
			if err := s.Complete(ctx, key, c.Fence, nil); err != nil {
				return fmt.Errorf("complete %q at fence %d: %w", key, c.Fence, err)
			}
			return nil
		}
	}
}

func testPostgresPurgeDoesNotWaitForRowsInUse(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	for _, key := range []string{"a", "b", "c"} {
		if _, err := s.Claim(t.Context(), key, claimRequest); err != nil {
			t.Fatal(err)
		}
	}
	agePostgres(t, conn, 2*time.Hour)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	value[string](t, conn, "SELECT event_key FROM handrail.webhook_deliveries WHERE event_key = 'b' FOR UPDATE")
	for _, want := range []int64{2, 0} {
		if n, err := s.Purge(t.Context()); err != nil || n != want {
			t.Errorf("Purge: %d, %v; want %d", n, err, want)
		}
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Purge(t.Context()); err != nil || n != 1 {
		t.Errorf("Purge: %d, %v; want 1", n, err)
	}
}

func testPostgresPurgeGoesThroughAllBatchesByTheIndex(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	const n = 2500
	if _, err := conn.Exec(t.Context(), `INSERT INTO handrail.webhook_deliveries
		SELECT 'k' || i, 3, 1, 1, 0, '', 0, 0, CASE WHEN i <= $1 THEN i ELSE 1::bigint << 60 END, 0 FROM generate_series(1, $1 + 20000) AS i`, n); err != nil {
		t.Fatal(err)
	}
	run(t, db, "ANALYZE handrail.webhook_deliveries")
	rows, err := conn.Query(t.Context(), "EXPLAIN "+sqlstore.PurgeStatement(), pgx.QueryExecModeSimpleProtocol, 1000)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(plan, "\n"); strings.Contains(text, "Seq Scan") || !strings.Contains(text, "Index Cond: (expires_at <= ") {
		t.Errorf("a purge reads the whole table:\n%s", text)
	}
	if got, err := s.Purge(t.Context()); err != nil || got != n {
		t.Errorf("Purge: %d, %v; want %d", got, err, n)
	}
}

func testPostgresTimeIsTheServersAtTheStep(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	between := func(step string, column string, before, plus int64) {
		t.Helper()
		got := value[int64](t, conn, "SELECT "+column+" FROM handrail.webhook_deliveries") - plus
		if after := value[int64](t, conn, pgClock); got < before || got > after {
			t.Errorf("%s: %s is %d, not of %d to %d", step, column, got, before, after)
		}
	}
	before := value[int64](t, conn, pgClock)
	if _, err := s.Claim(t.Context(), "k", claimRequest); err != nil {
		t.Fatal(err)
	}
	between("claim", "lease_until", before, claimRequest.Lease.Milliseconds())
	before = value[int64](t, conn, pgClock)
	if err := s.Complete(t.Context(), "k", 1, nil); err != nil {
		t.Fatal(err)
	}
	between("complete", "expires_at", before, claimRequest.Retention.Milliseconds())
}
