package sqlstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// putMessage puts a message under "r/" and its name.
func putMessage(t testing.TB, s *sqlstore.Store, name, order string) {
	t.Helper()
	c, err := s.Put(t.Context(), "r/"+name, webhook.Stored{Route: "r", Order: order, Body: []byte(name)}, claimRequest)
	if err != nil || c.Status != webhook.Accepted {
		t.Fatalf("%s: %v, %v", name, c.Status, err)
	}
}

// names are the keys that a Take returned.
func names(taken []webhook.Taken) string {
	var all []string
	for _, got := range taken {
		all = append(all, strings.TrimPrefix(got.Key, "r/"))
	}
	return strings.Join(all, " ")
}

// A new field must not be forgotten: what is kept of a message is all of it.
func TestEveryFieldOfAMessageIsKept(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "d.sqlite"))
	var m webhook.Stored
	fill(reflect.ValueOf(&m).Elem())
	m.Route = "r"
	if _, err := s.Put(t.Context(), "r/k", m, claimRequest); err != nil {
		t.Fatal(err)
	}
	got, err := s.Message(t.Context(), "r/k")
	if err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%+v, %v; want %+v", got, err, m)
	}
}

// fill gives every field a value that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	default:
		v.Set(reflect.ValueOf(3).Convert(v.Type()))
	}
}

// While another process writes, asking in vain waits for nobody.
func TestIdleTakeTakesNoLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	s, db := open(t, path), raw(t, path)
	putMessage(t, s, "later", "")
	if taken, err := s.Take(t.Context(), "r", 1, time.Minute); err != nil || len(taken) != 1 {
		t.Fatal(taken, err)
	}
	conn, err := db.Conn(t.Context())
	noError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	noError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	for _, route := range []string{"r", "s"} {
		if taken, err := s.Take(ctx, route, 10, time.Minute); err != nil || len(taken) != 0 {
			t.Errorf("%v, %v", taken, err)
		}
	}
	if c, err := s.Put(ctx, "r/later", webhook.Stored{Route: "r"}, claimRequest); err != nil || c.Status != webhook.Waiting {
		t.Errorf("a copy: %v, %v", c.Status, err)
	}
	if d := time.Since(began); d > 4*time.Second { // below the 5 s of the lock
		t.Errorf("took %v", d)
	}
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	noError(t, err)
}

// takesInParts takes four messages of 3 MiB, as far as the table says: 8 MiB at a
// time, and one more.
func takesInParts(t *testing.T, s *sqlstore.Store, pretend func()) {
	t.Helper()
	for _, name := range []string{"0", "1", "2", "3"} {
		putMessage(t, s, name, "")
	}
	pretend()
	for _, want := range []string{"0 1 2", "3", ""} {
		if taken, err := s.Take(t.Context(), "r", 10, time.Minute); err != nil || names(taken) != want {
			t.Errorf("took %q, %v; want %q", names(taken), err, want)
		}
	}
}

// threeMiB gives each message a moment of its own, too.
const threeMiB = " SET body_bytes = 3 << 20, due_at = CAST(substr(event_key, 3) AS INTEGER)"

func TestTakeIsBoundedInBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	takesInParts(t, open(t, path), func() {
		_, err := raw(t, path).Exec("UPDATE handrail_deliveries" + threeMiB)
		noError(t, err)
	})
}

func testPostgresTakeIsBoundedInBytes(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	takesInParts(t, openPostgres(t, sqlstore.PostgresConfig{Conn: db}), func() {
		run(t, db, "UPDATE handrail.webhook_deliveries"+threeMiB)
	})
}

// givesUpWhatCannotBeRead takes messages of which two were damaged.
func givesUpWhatCannotBeRead(t *testing.T, s *sqlstore.Store, damage func()) {
	t.Helper()
	for _, name := range []string{"sound", "newer", "damaged"} {
		putMessage(t, s, name, "")
	}
	putMessage(t, s, "damaged first", "o")
	putMessage(t, s, "behind it", "o")
	damage()
	taken, err := s.Take(t.Context(), "r", 10, time.Minute)
	if err == nil || names(taken) != "sound" {
		t.Errorf("took %q, %v", names(taken), err)
	}
	for _, name := range []string{"newer", "damaged", "damaged first"} {
		if err != nil && strings.Count(err.Error(), `"r/`+name+`" is given up`) != 1 {
			t.Errorf("of %q it tells %v", name, err)
		}
		e, err := s.Entry(t.Context(), "r/"+name)
		if err != nil || e.State != webhook.StateDead || e.MaybeProcessed || e.Kept == nil || e.Kept.LastReason != "unreadable" {
			t.Errorf("%q: %+v, %v", name, e, err)
		}
	}
	// It is told once, and holds nothing up.
	if taken, err := s.Take(t.Context(), "r", 10, time.Minute); err != nil || names(taken) != "behind it" {
		t.Errorf("then %q, %v", names(taken), err)
	}
	// Who knows better, such as a later version, can have it again.
	noError(t, s.Revive(t.Context(), "r/newer"))
	if taken, err := s.Take(t.Context(), "r", 10, time.Minute); err == nil || len(taken) != 0 {
		t.Errorf("revived %q, %v", names(taken), err)
	}
}

func TestWhatCannotBeReadIsGivenUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	givesUpWhatCannotBeRead(t, open(t, path), func() {
		_, err := raw(t, path).Exec(`UPDATE handrail_messages SET head = x'027b7d' WHERE event_key = 'r/newer';
			UPDATE handrail_messages SET head = x'017b22' WHERE event_key LIKE 'r/damaged%'`)
		noError(t, err)
	})
}

func testPostgresWhatCannotBeReadIsGivenUp(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	givesUpWhatCannotBeRead(t, openPostgres(t, sqlstore.PostgresConfig{Conn: db}), func() {
		run(t, db, `UPDATE handrail.webhook_messages SET head = '\x027b7d' WHERE event_key = 'r/newer';
			UPDATE handrail.webhook_messages SET head = '\x017b22' WHERE event_key LIKE 'r/damaged%'`)
	})
}

// largeMessage is of some megabytes: those of a body of 64 MiB take long.
func largeMessage(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	body := make([]byte, 8<<20)
	for i := range body {
		body[i] = byte(i * i >> 8)
	}
	if _, err := s.Put(t.Context(), "r/k", webhook.Stored{Route: "r", Body: body}, claimRequest); err != nil {
		t.Fatal(err)
	}
	taken, err := s.Take(t.Context(), "r", 1, time.Minute)
	if err != nil || len(taken) != 1 || !bytes.Equal(taken[0].Message.Body, body) {
		t.Errorf("%d messages, %v", len(taken), err)
	}
}

func TestLargeMessage(t *testing.T) {
	largeMessage(t, open(t, filepath.Join(t.TempDir(), "d.sqlite")))
}

func testPostgresLargeMessage(t *testing.T, server *testenv.PostgresServer) {
	largeMessage(t, openPostgres(t, sqlstore.PostgresConfig{Conn: database(t, server, "")}))
}

// Takers do not wait for each other, nor for a step under way.
func testPostgresTakePassesOverWhatOthersHold(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db, Timeout: 10 * time.Second}), connect(t, db)
	for _, name := range []string{"1", "2", "3"} {
		putMessage(t, s, name, "")
	}
	tx, err := conn.Begin(t.Context())
	noError(t, err)
	value[string](t, conn, "SELECT event_key FROM handrail.webhook_deliveries WHERE event_key = 'r/1' FOR UPDATE")
	taken, err := s.Take(t.Context(), "r", 10, time.Minute)
	if err != nil || names(taken) != "2 3" {
		t.Errorf("took %q, %v; want 2 3", names(taken), err)
	}
	noError(t, tx.Rollback(t.Context()))
	taken, err = s.Take(t.Context(), "r", 10, time.Minute)
	if err != nil || names(taken) != "1" {
		t.Errorf("took %q, %v; want 1", names(taken), err)
	}
}

// The place in an order is that of the commit, not that of the beginning: a
// transaction that began first and commits last comes last.
func testPostgresPutsOfAnOrderWaitForEachOther(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, db)
	putMessage(t, s, "1", "o")
	watch := connect(t, db)
	locked := func(granted bool) {
		t.Helper()
		const query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted = $1 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
		for until := time.Now().Add(time.Minute); value[int](t, watch, query, granted) == 0; {
			if time.Now().After(until) {
				t.Fatalf("no lock of an order that is granted %t", granted)
			}
		}
	}
	tx, err := conn.Begin(t.Context())
	noError(t, err)
	value[string](t, conn, "SELECT event_key FROM handrail.webhook_deliveries WHERE event_key = 'r/1' FOR UPDATE")
	// A discard holds the order while it waits for the row.
	discarded, put := make(chan error, 1), make(chan error, 1)
	go func() { discarded <- s.Discard(t.Context(), "r/1") }()
	locked(true)
	go func() {
		_, err := s.Put(t.Context(), "r/2", webhook.Stored{Route: "r", Order: "o"}, claimRequest)
		put <- err
	}()
	locked(false)
	putMessage(t, s, "other", "p") // another order waits for nobody
	putMessage(t, s, "none", "")
	noError(t, tx.Rollback(t.Context()))
	noError(t, <-discarded)
	noError(t, <-put)
	taken, err := s.Take(t.Context(), "r", 10, time.Minute)
	if got := names(taken); err != nil || len(taken) != 3 || !strings.Contains(got, "2") {
		t.Errorf("took %q, %v", got, err)
	}
}

// Poolers in transaction mode keep no session: neither does a step. Those that
// see to an order are one transaction.
func testPostgresStatementsOfInboxSteps(t *testing.T, server *testenv.PostgresServer) {
	w, db := newWire(t, database(t, server, ""))
	for name, db := range map[string]*pgx.ConnConfig{"simple": simple(db), "prepared": db} {
		t.Run(name, func(t *testing.T) { statementsOfInboxSteps(t, w, db) })
	}
}

func statementsOfInboxSteps(t *testing.T, w *wire, db *pgx.ConnConfig) {
	t.Helper()
	run(t, db, "DROP SCHEMA IF EXISTS handrail CASCADE")
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	steps := []struct {
		name    string
		step    func() error
		queries int
	}{
		{"a put", func() error { putMessage(t, s, "a", ""); return nil }, 2},
		{"its copy", func() error {
			_, err := s.Put(t.Context(), "r/a", webhook.Stored{Route: "r"}, claimRequest)
			return err
		}, 1},
		{"a put of an order", func() error { putMessage(t, s, "b", "o"); return nil }, 5},
		{"a take", func() error { _, err := s.Take(t.Context(), "r", 10, time.Minute); return err }, 1},
		{"a take in vain", func() error { _, err := s.Take(t.Context(), "r", 10, time.Minute); return err }, 1},
		{"a failure", func() error { return s.Fail(t.Context(), "r/a", 1, webhook.Failure{Then: webhook.StateRetry}) }, 2},
		{"a completion of an order", func() error { return s.Complete(t.Context(), "r/b", 1, nil) }, 8},
		{"a take again", func() error { _, err := s.Take(t.Context(), "r", 10, time.Minute); return err }, 1},
		{"a completion", func() error { return s.Complete(t.Context(), "r/a", 2, nil) }, 2},
		{"a backlog", func() error { _, err := s.Backlog(t.Context()); return err }, 1},
		{"a list", func() error { _, _, err := s.List(t.Context(), webhook.Query{Limit: 5}); return err }, 2},
	}
	for _, tt := range steps {
		noError(t, s.Check(t.Context())) // a connection that is not asked first
		w.set(pass)
		if err := tt.step(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		wantStatements(t, tt.name, w, db, tt.queries)
	}
}

// A step whose connection is lost happened as a whole, or not at all.
func testPostgresInboxConnectionLostInAStep(t *testing.T, server *testenv.PostgresServer) {
	direct := database(t, server, "")
	w, db := newWire(t, direct)
	s, conn := openPostgres(t, sqlstore.PostgresConfig{Conn: db}), connect(t, direct)
	for _, f := range []fate{cutBefore, cutAfter} {
		for _, order := range []string{"", "o"} {
			lose := func(what string, step func() error) {
				t.Helper()
				noError(t, s.Check(t.Context()))
				w.set(f)
				if err := step(); err == nil || errors.Is(err, webhook.ErrStaleFence) {
					t.Errorf("%s: error %v, want that of a lost connection", what, err)
				}
			}
			name := fmt.Sprint(f, order)
			put := func() error {
				_, err := s.Put(t.Context(), "r/"+name, webhook.Stored{Route: "r", Order: order, Body: []byte("b")}, claimRequest)
				return err
			}
			lose("put", put)
			noError(t, put())
			var taken []webhook.Taken
			take := func() (err error) {
				taken, err = s.Take(t.Context(), "r", 10, time.Minute)
				return err
			}
			lose("take", take)
			agePostgres(t, conn, 2*time.Minute)
			noError(t, take())
			if len(taken) != 1 || string(taken[0].Message.Body) != "b" || taken[0].MaybeProcessed != (f == cutAfter) {
				t.Fatalf("%+v", taken)
			}
			complete := func() error { return s.Complete(t.Context(), "r/"+name, taken[0].Fence, nil) }
			lose("complete", complete)
			noError(t, complete())
			if n := value[int](t, conn, "SELECT count(*) FROM handrail.webhook_messages"); n != 0 {
				t.Errorf("%d messages are left", n)
			}
		}
	}
}
