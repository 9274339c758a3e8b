package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

const kept = 720 * time.Hour

// payments is a database with the store's tables and those of a service that
// has an effect for each event.
func payments(t testing.TB, server *testenv.PostgresServer) *pgx.ConnConfig {
	t.Helper()
	db := database(t, server, "")
	run(t, db, sqlstore.DDL()+"CREATE TABLE payments (event text)")
	return db
}

// pay has the effect of the event in a transaction, if it was not had before,
// and leaves the transaction open.
func pay(ctx context.Context, conn *pgx.Conn, iso pgx.TxIsoLevel, event string) (pgx.Tx, bool, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: iso})
	if err != nil {
		return nil, false, err
	}
	mine, err := sqlstore.ClaimTx(ctx, tx, event, kept)
	if err == nil && mine {
		_, err = tx.Exec(ctx, "INSERT INTO payments VALUES ($1)", event)
	}
	return tx, mine, err
}

func paid(t testing.TB, db *pgx.ConnConfig) int {
	t.Helper()
	return value[int](t, connect(t, db), "SELECT count(*) FROM payments")
}

func testClaimTx(t *testing.T, server *testenv.PostgresServer) {
	db := payments(t, server)
	commit := func(t *testing.T, tx pgx.Tx, _ *pgx.Conn) { t.Helper(); noError(t, tx.Commit(t.Context())) }
	tests := []struct {
		rule  string
		end   func(t *testing.T, tx pgx.Tx, conn *pgx.Conn)
		again bool // the next one has the effect
	}{
		{"a commit makes it done", commit, false},
		{"a rollback leaves nothing", func(t *testing.T, tx pgx.Tx, _ *pgx.Conn) { t.Helper(); noError(t, tx.Rollback(t.Context())) }, true},
		{"a connection that ends without a commit leaves nothing", func(t *testing.T, _ pgx.Tx, conn *pgx.Conn) {
			t.Helper()
			noError(t, conn.PgConn().Conn().Close())
		}, true},
		{"a session that is killed leaves nothing", func(t *testing.T, _ pgx.Tx, conn *pgx.Conn) {
			t.Helper()
			if !value[bool](t, connect(t, db), "SELECT pg_terminate_backend($1, 10000)", conn.PgConn().PID()) {
				t.Error("not killed")
			}
		}, true},
	}
	for _, tt := range tests {
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			t.Run(fmt.Sprint(tt.rule, "/", mode), func(t *testing.T) {
				run(t, db, "TRUNCATE payments, handrail.webhook_deliveries")
				cfg := db.Copy()
				cfg.DefaultQueryExecMode = mode
				conn := connect(t, cfg)
				tx, mine, err := pay(t.Context(), conn, pgx.ReadCommitted, "evt_1")
				if err != nil || !mine {
					t.Fatalf("first: %t, %v", mine, err)
				}
				tt.end(t, tx, conn)
				tx, mine, err = pay(t.Context(), connect(t, cfg), pgx.ReadCommitted, "evt_1")
				if err != nil || mine != tt.again {
					t.Errorf("next: %t, %v; want %t", mine, err, tt.again)
				}
				noError(t, tx.Commit(t.Context()))
				if n := paid(t, db); n != 1 {
					t.Errorf("%d effects, want 1", n)
				}
			})
		}
	}
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// awaitLock returns when a session of the database waits for another.
func awaitLock(t testing.TB, watch *pgx.Conn) {
	t.Helper()
	for value[int](t, watch, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()") == 0 {
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
	}
}

func testSecondClaimTxWaitsForTheFirst(t *testing.T, server *testenv.PostgresServer) {
	db := payments(t, server)
	tests := []struct {
		rule          string
		iso           pgx.TxIsoLevel
		commit        bool
		mine          bool
		serialization bool
	}{
		{"and finds it done when that commits", pgx.ReadCommitted, true, false, false},
		{"and has the effect when that rolls back", pgx.ReadCommitted, false, true, false},
		{"and has to begin again at REPEATABLE READ when that commits", pgx.RepeatableRead, true, false, true},
		{"and has the effect at SERIALIZABLE when that rolls back", pgx.Serializable, false, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			run(t, db, "TRUNCATE payments, handrail.webhook_deliveries")
			first, mine, err := pay(t.Context(), connect(t, db), tt.iso, "evt_1")
			if err != nil || !mine {
				t.Fatalf("first: %t, %v", mine, err)
			}
			other, watch := connect(t, db), connect(t, db)
			type outcome struct {
				tx   pgx.Tx
				mine bool
				err  error
			}
			second := make(chan outcome)
			go func() {
				tx, mine, err := pay(t.Context(), other, tt.iso, "evt_1")
				second <- outcome{tx, mine, err}
			}()
			awaitLock(t, watch)
			if tt.commit {
				noError(t, first.Commit(t.Context()))
			} else {
				noError(t, first.Rollback(t.Context()))
			}
			got := <-second
			e, failed := errors.AsType[*pgconn.PgError](got.err)
			if failed != tt.serialization || failed && e.Code != "40001" || !failed && got.err != nil || got.mine != tt.mine {
				t.Fatalf("second: %t, %v; want %t, serialization failure %t", got.mine, got.err, tt.mine, tt.serialization)
			}
			if failed {
				noError(t, got.tx.Rollback(t.Context()))
			} else {
				noError(t, got.tx.Commit(t.Context()))
			}
			if n := paid(t, db); n != 1 {
				t.Errorf("%d effects, want 1", n)
			}
		})
	}
}

func testClaimTxOfManyHasOneEffect(t *testing.T, server *testenv.PostgresServer) {
	db := payments(t, server)
	const workers, events = 16, 20
	var commits atomic.Int64
	done := make(chan error)
	for range workers {
		conn := connect(t, db)
		go func() {
			for i := range events {
				tx, mine, err := pay(t.Context(), conn, pgx.ReadCommitted, fmt.Sprint(i))
				if err == nil {
					err = tx.Commit(t.Context())
				}
				if err != nil {
					done <- err
					return
				}
				if mine {
					commits.Add(1)
				}
			}
			done <- nil
		}()
	}
	for range workers {
		noError(t, <-done)
	}
	if n := paid(t, db); n != events || commits.Load() != events {
		t.Errorf("%d effects, %d told so; want %d", n, commits.Load(), events)
	}
}

func testClaimTxWaitEndsWithItsContext(t *testing.T, server *testenv.PostgresServer) {
	db := payments(t, server)
	if _, _, err := pay(t.Context(), connect(t, db), pgx.ReadCommitted, "evt_1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	other, watch := connect(t, db), connect(t, db)
	second := make(chan error)
	go func() {
		_, _, err := pay(ctx, other, pgx.ReadCommitted, "evt_1")
		second <- err
	}()
	awaitLock(t, watch)
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func testClaimTxIsUndoneWithItsSavepoint(t *testing.T, server *testenv.PostgresServer) {
	conn := connect(t, payments(t, server))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		inner, err := tx.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if mine, err := sqlstore.ClaimTx(t.Context(), inner, "evt_1", kept); err != nil || !mine {
			t.Errorf("%t, %v; want mine", mine, err)
		}
		noError(t, inner.Rollback(t.Context()))
	}
	noError(t, tx.Commit(t.Context()))
}

func testClaimTxKeysAreApartFromThoseOfTheStore(t *testing.T, server *testenv.PostgresServer) {
	db := payments(t, server)
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	for _, key := range []string{"k", `\tx/k`} {
		if _, err := s.Claim(t.Context(), key, claimRequest); err != nil {
			t.Fatal(err)
		}
	}
	tx, mine, err := pay(t.Context(), conn, pgx.ReadCommitted, "k")
	if err != nil || !mine {
		t.Errorf("%t, %v; want mine", mine, err)
	}
	noError(t, tx.Commit(t.Context()))
	for _, key := range []string{"k", `\tx/k`} {
		noError(t, s.Complete(t.Context(), key, 1, nil))
	}
}

func testClaimTxIsKeptForItsRetention(t *testing.T, server *testenv.PostgresServer) {
	db := payments(t, server)
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	step := func(want bool) {
		t.Helper()
		tx, mine, err := pay(t.Context(), conn, pgx.ReadCommitted, "k")
		if err != nil || mine != want {
			t.Errorf("%t, %v; want %t", mine, err, want)
		}
		noError(t, tx.Commit(t.Context()))
	}
	purge := func(want int64) {
		t.Helper()
		if n, err := s.Purge(t.Context()); err != nil || n != want {
			t.Errorf("Purge: %d, %v; want %d", n, err, want)
		}
	}
	step(true)
	agePostgres(t, conn, kept-time.Hour)
	purge(0)
	step(false)
	agePostgres(t, conn, time.Hour)
	step(true) // past its retention, not yet purged
	step(false)
	agePostgres(t, conn, kept)
	purge(1)
	step(true)
	if _, err := sqlstore.ClaimTx(t.Context(), nil, "k", 0); err == nil {
		t.Error("no error without a retention")
	}
}

// now() stands still within a transaction.
func testClaimTxTimeIsThatOfTheStep(t *testing.T, server *testenv.PostgresServer) {
	conn := connect(t, payments(t, server))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	began := value[int64](t, conn, pgClock)
	for value[int64](t, conn, pgClock) < began+20 {
	}
	before := value[int64](t, conn, pgClock)
	if mine, err := sqlstore.ClaimTx(t.Context(), tx, "k", kept); err != nil || !mine {
		t.Fatal(mine, err)
	}
	got := value[int64](t, conn, "SELECT expires_at FROM handrail.webhook_deliveries") - kept.Milliseconds()
	if after := value[int64](t, conn, pgClock); got < before || got > after {
		t.Errorf("kept from %d, not of %d to %d", got, before, after)
	}
	noError(t, tx.Rollback(t.Context()))
}

func testClaimTxSaysWhichStatementsMakeTheTables(t *testing.T, server *testenv.PostgresServer) {
	conn := connect(t, database(t, server, ""))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.ClaimTx(t.Context(), tx, "k", kept); !errors.Is(err, sqlstore.ErrNoRights) {
		t.Errorf("%v, want ErrNoRights", err)
	}
	noError(t, tx.Rollback(t.Context()))
}

func testClaimSQLTx(t *testing.T, server *testenv.PostgresServer) {
	db := payments(t, server)
	pool := sql.OpenDB(connector{db})
	defer pool.Close()
	claim := func(want, commit bool) {
		t.Helper()
		tx, err := pool.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if mine, err := sqlstore.ClaimSQLTx(t.Context(), tx, "evt_1", kept); err != nil || mine != want {
			t.Errorf("%t, %v; want %t", mine, err, want)
		}
		if commit {
			noError(t, tx.Commit())
		} else {
			noError(t, tx.Rollback())
		}
	}
	claim(true, false)
	claim(true, true)
	claim(false, true)
	tx, mine, err := pay(t.Context(), connect(t, db), pgx.ReadCommitted, "evt_1")
	if err != nil || mine {
		t.Errorf("through pgx after database/sql: %t, %v; want false", mine, err)
	}
	noError(t, tx.Commit(t.Context()))
}
