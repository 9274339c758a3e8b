package sqlstore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

const claimerVariable = "HANDRAIL_TEST_CLAIMER_DSN"

// TestMain lets the test binary be one of several processes on a database.
func TestMain(m *testing.M) {
	if dsn := os.Getenv(claimerVariable); dsn != "" {
		if err := claimForParent(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// copiesEach is how many copies of an event each process claims at once.
const copiesEach = 25

// claimForParent opens a store, says so, and for each line that it reads claims
// that key many times at once and prints how many claims were made.
func claimForParent(dsn string) error {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	s, err := sqlstore.OpenPostgres(context.Background(), sqlstore.PostgresConfig{Conn: cfg, Timeout: time.Minute})
	if err != nil {
		return err
	}
	fmt.Println("open")
	for keys := bufio.NewScanner(os.Stdin); keys.Scan(); {
		var claimed atomic.Int64
		var wg sync.WaitGroup
		for range copiesEach {
			wg.Go(func() {
				switch c, err := s.Claim(context.Background(), keys.Text(), claimRequest); {
				case err != nil:
					fmt.Fprintln(os.Stderr, err)
					claimed.Add(1000)
				case c.Status == webhook.Claimed:
					claimed.Add(1)
				}
			})
		}
		wg.Wait()
		fmt.Println(claimed.Load())
	}
	return s.Close()
}

func testPostgresOfCopiesInSeveralProcessesOneClaims(t *testing.T, server *testenv.PostgresServer) {
	db := database(t, server, "")
	dsn := strings.Replace(server.DSN(), "/postgres?", "/"+db.Database+"?", 1)
	const processes = 4
	var (
		says [processes]*bufio.Scanner
		tell [processes]*bufio.Writer
	)
	for i := range processes {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), claimerVariable+"="+dsn)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		says[i], tell[i] = bufio.NewScanner(out), bufio.NewWriter(in)
		t.Cleanup(func() {
			_ = in.Close()
			if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		})
	}
	for _, s := range says {
		if !s.Scan() || s.Text() != "open" {
			t.Fatalf("a process said %q", s.Text())
		}
	}
	for round := range 10 {
		for _, w := range tell {
			fmt.Fprintf(w, "evt_%d\n", round)
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		total := 0
		for _, s := range says {
			var n int
			if !s.Scan() {
				t.Fatal("a process ended")
			}
			if _, err := fmt.Sscan(s.Text(), &n); err != nil {
				t.Fatal(err)
			}
			total += n
		}
		if total != 1 {
			t.Errorf("of %d copies %d claimed, want 1", processes*copiesEach, total)
		}
	}
}

// A pooler in transaction mode gives each statement another session: by the simple
// protocol nothing is prepared, and no transaction is longer than a statement.
func testPostgresStatementsOfSteps(t *testing.T, server *testenv.PostgresServer) {
	w, db := newWire(t, database(t, server, ""))
	for name, db := range map[string]*pgx.ConnConfig{"simple": simple(db), "prepared": db} {
		t.Run(name, func(t *testing.T) { statementsOfSteps(t, w, db) })
	}
}

func statementsOfSteps(t *testing.T, w *wire, db *pgx.ConnConfig) {
	t.Helper()
	run(t, db, "DROP SCHEMA IF EXISTS handrail CASCADE")
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	first := 1
	if db.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol {
		first = 2 // it reads first
	}
	steps := []struct {
		name    string
		step    func() error
		queries int
	}{
		{"a claim", func() error { _, err := s.Claim(t.Context(), "k", claimRequest); return err }, first},
		{"a copy in flight", func() error { _, err := s.Claim(t.Context(), "k", claimRequest); return err }, 1},
		{"a release", func() error { return s.Release(t.Context(), "k", 1, true) }, 1},
		{"a claim after it", func() error { _, err := s.Claim(t.Context(), "k", claimRequest); return err }, 2},
		{"a completion", func() error { return s.Complete(t.Context(), "k", 2, nil) }, 1},
		{"its repetition", func() error { return s.Complete(t.Context(), "k", 2, nil) }, 3},
		{"a duplicate", func() error { _, err := s.Claim(t.Context(), "k", claimRequest); return err }, 1},
		{"a look-up", func() error { _, err := s.Lookup(t.Context(), "k"); return err }, 1},
		{"a purge", func() error { _, err := s.Purge(t.Context()); return err }, 1},
		{"a check", func() error { return s.Check(t.Context()) }, 2},
	}
	for _, tt := range steps {
		// A connection that lay idle for long is asked first: not in this test.
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.set(pass)
		if err := tt.step(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		wantStatements(t, tt.name, w, db, tt.queries)
	}
}

// wantStatements wants n statements to have been sent, and by the simple protocol
// nothing else.
func wantStatements(t *testing.T, step string, w *wire, db *pgx.ConnConfig, n int) {
	t.Helper()
	sent := w.sent()
	if got := sent['Q'] + sent['E']; got != n {
		t.Errorf("%s sent %d statements, want %d", step, got, n)
	}
	if db.DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol && len(sent) != 1 {
		t.Errorf("%s sent more than simple queries: %v", step, sent)
	}
}

// A step whose connection is lost may or may not have happened: it is an error,
// and never ErrStaleFence.
func testPostgresConnectionLostInAStep(t *testing.T, server *testenv.PostgresServer) {
	w, db := newWire(t, database(t, server, ""))
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: db})
	settle := map[string]func(key string) error{
		"complete": func(key string) error { return s.Complete(t.Context(), key, 1, nil) },
		"release":  func(key string) error { return s.Release(t.Context(), key, 1, false) },
		"kill":     func(key string) error { return s.Kill(t.Context(), key, 1) },
	}
	after := map[string]webhook.State{"complete": webhook.StateDone, "release": webhook.StateRetry, "kill": webhook.StateDead}
	for _, f := range []fate{cutBefore, cutAfter} {
		key := fmt.Sprint("claim", f)
		lose := func(step func() error) {
			t.Helper()
			if err := s.Check(t.Context()); err != nil { // a connection that lives
				t.Fatal(err)
			}
			w.set(f)
			if err := step(); err == nil || errors.Is(err, webhook.ErrStaleFence) {
				t.Errorf("error %v, want that of a lost connection", err)
			}
		}
		lose(func() error { _, err := s.Claim(t.Context(), key, claimRequest); return err })
		want := map[fate]webhook.Status{cutBefore: webhook.Claimed, cutAfter: webhook.InFlight}[f]
		if c, err := s.Claim(t.Context(), key, claimRequest); err != nil || c.Status != want || c.Fence != 1 {
			t.Errorf("next claim: %+v, %v; want %v at fence 1", c, err, want)
		}
		for name, step := range settle {
			key := fmt.Sprint(name, f)
			if _, err := s.Claim(t.Context(), key, claimRequest); err != nil {
				t.Fatal(err)
			}
			lose(func() error { return step(key) })
			want := after[name]
			if f == cutBefore {
				want = webhook.StateClaimed
			}
			if r, err := s.Lookup(t.Context(), key); err != nil || r.State != want {
				t.Errorf("%s: then %v, %v; want %v", name, r.State, err, want)
			}
			if err := step(key); err != nil {
				t.Errorf("%s said again: %v", name, err)
			}
		}
	}
}

// impatient opens a store whose steps may take a second. A busy machine may need
// more for that, so it is tried again.
func impatient(t *testing.T, db *pgx.ConnConfig) *sqlstore.Store {
	t.Helper()
	for {
		s, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: db, Timeout: time.Second})
		if err == nil {
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
}

func testPostgresStepsEndWithinTheirTimeout(t *testing.T, server *testenv.PostgresServer) {
	direct := database(t, server, "")
	openPostgres(t, sqlstore.PostgresConfig{Conn: direct})
	conn := connect(t, direct)
	steps := func(s *sqlstore.Store) []func() error {
		return []func() error{
			func() error { _, err := s.Claim(t.Context(), "k", claimRequest); return err },
			func() error { return s.Complete(t.Context(), "k", 1, nil) },
		}
	}
	late := func(step func() error) {
		t.Helper()
		began := time.Now()
		if err := step(); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, webhook.ErrStaleFence) {
			t.Errorf("%v, want the deadline", err)
		}
		if d := time.Since(began); d > 30*time.Second {
			t.Errorf("a step took %v", d)
		}
	}
	goesOn := func(s *sqlstore.Store) {
		t.Helper()
		_, err := s.Lookup(t.Context(), "k")
		for ; errors.Is(err, context.DeadlineExceeded); _, err = s.Lookup(t.Context(), "k") {
		}
		noError(t, err)
	}
	t.Run("when the server does not answer", func(t *testing.T) {
		w, db := newWire(t, direct)
		s := impatient(t, db)
		for _, step := range steps(s) {
			w.set(swallow)
			late(step)
		}
		goesOn(s)
		if n := value[int](t, conn, "SELECT count(*) FROM handrail.webhook_deliveries"); n != 0 {
			t.Errorf("%d deliveries, want none", n)
		}
	})
	t.Run("when another transaction holds the row", func(t *testing.T) {
		s := impatient(t, direct)
		if _, err := conn.Exec(t.Context(), `INSERT INTO handrail.webhook_deliveries VALUES ('k', 1, 1, 1, 0, '', 0, 1, 1::bigint << 60, 0)`); err != nil {
			t.Fatal(err)
		}
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		value[string](t, conn, "SELECT event_key FROM handrail.webhook_deliveries FOR UPDATE")
		for _, step := range steps(s) {
			late(step)
		}
		goesOn(s) // reads wait for nobody
		noError(t, tx.Rollback(t.Context()))
	})
}

func TestPostgresThatIsDownAtTheStart(t *testing.T) {
	t.Parallel()
	server := testenv.Postgres(t)
	db := parse(t, server.DSN())
	run(t, db, "CREATE ROLE app LOGIN")
	later := sqlstore.PostgresConfig{Conn: db, AllowDown: true}
	for rule, refused := range map[string]func(*pgx.ConnConfig){
		"a role that is not there":     func(c *pgx.ConnConfig) { c.User = "nobody" },
		"a role without rights":        func(c *pgx.ConnConfig) { c.User = "app" },
		"a database that is not there": func(c *pgx.ConnConfig) { c.Database = "nothing" },
	} {
		cfg := sqlstore.PostgresConfig{Conn: db.Copy(), AllowDown: true}
		refused(cfg.Conn)
		if _, err := sqlstore.OpenPostgres(t.Context(), cfg); err == nil {
			t.Errorf("%s is taken for a server that is down", rule)
		}
	}
	server.Stop()
	if _, err := sqlstore.OpenPostgres(t.Context(), sqlstore.PostgresConfig{Conn: db}); err == nil {
		t.Error("opened without a server")
	}
	s := openPostgres(t, later)
	if _, err := s.Claim(t.Context(), "k", claimRequest); err == nil || s.Check(t.Context()) == nil {
		t.Errorf("without a server: %v, %v", err, s.Check(t.Context()))
	}
	server.Start()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if c, err := s.Claim(t.Context(), "k", claimRequest); err != nil || c.Status != webhook.Claimed {
		t.Errorf("once it is there: %v, %v", c.Status, err)
	}
}

// restartLoad claims and completes events until it is told to end, and keeps
// what it was told of each.
func restartLoad(ctx context.Context, s *sqlstore.Store, worker int, ended <-chan struct{}, succeeded *atomic.Int64) (map[string]webhook.State, error) {
	told := make(map[string]webhook.State)
	for i := 0; ; i++ {
		select {
		case <-ended:
			return told, nil
		default:
		}
		key := fmt.Sprintf("%d/%d", worker, i)
		began := time.Now()
		c, err := s.Claim(ctx, key, claimRequest)
		if err == nil && (c.Status != webhook.Claimed || c.Fence != 1) {
			return nil, fmt.Errorf("claim %q: %+v", key, c)
		}
		if err == nil {
			told[key] = webhook.StateClaimed
			if err = s.Complete(ctx, key, 1, nil); err == nil {
				told[key] = webhook.StateDone
				succeeded.Add(1)
			}
		}
		if errors.Is(err, webhook.ErrStaleFence) {
			return nil, fmt.Errorf("complete %q: %w", key, err)
		}
		if d := time.Since(began); d > time.Minute {
			return nil, fmt.Errorf("two steps took %v: %w", d, err)
		}
	}
}

func TestPostgresRestartsLoseNothing(t *testing.T) {
	t.Parallel()
	server := testenv.Postgres(t)
	s := openPostgres(t, sqlstore.PostgresConfig{Conn: parse(t, server.DSN()), MaxConns: 4})
	const workers = 4
	type outcome struct {
		told map[string]webhook.State
		err  error
	}
	ended, outcomes := make(chan struct{}), make(chan outcome, workers)
	var succeeded atomic.Int64
	for w := range workers {
		go func() {
			told, err := restartLoad(t.Context(), s, w, ended, &succeeded)
			outcomes <- outcome{told, err}
		}()
	}
	goesOn := func() {
		for from, until := succeeded.Load(), time.Now().Add(time.Minute); succeeded.Load() < from+50; {
			if time.Now().After(until) || len(outcomes) > 0 {
				t.Error("the store does not go on")
				return
			}
			time.Sleep(time.Millisecond) // polls; decides nothing
		}
	}
	goesOn()
	for _, end := range []func(){server.Stop, server.Kill, server.Kill} {
		end()
		if _, err := s.Claim(t.Context(), "while it is down", claimRequest); err == nil {
			t.Error("claimed without a server")
		}
		server.Start()
		goesOn()
	}
	close(ended)
	events := 0
	for range workers {
		o := <-outcomes
		if o.err != nil {
			t.Error(o.err)
		}
		for key, state := range o.told {
			events++
			r, err := s.Lookup(t.Context(), key)
			if err != nil || r.Fence != 1 || r.State != state && !(state == webhook.StateClaimed && r.State == webhook.StateDone) {
				t.Errorf("%q was told to be %v and is %v at fence %d, %v", key, state, r.State, r.Fence, err)
			}
		}
	}
	t.Logf("%d events over 3 restarts", events)
}
