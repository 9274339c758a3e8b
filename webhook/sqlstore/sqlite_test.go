package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
	"github.com/handrail-go/handrail/webhook/webhooktest"
)

func open(t testing.TB, path string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.OpenSQLite(t.Context(), path)
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

// raw opens the file past the store.
func raw(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// age moves all that is stored into the past.
func age(t testing.TB, db *sql.DB, d time.Duration) {
	t.Helper()
	_, err := db.Exec(`UPDATE handrail_deliveries SET lease_until = lease_until - ?1, expires_at = expires_at - ?1, updated_at = updated_at - ?1,
		received_at = received_at - ?1, begun_at = begun_at - ?1, due_at = due_at - ?1`, d.Milliseconds())
	if err != nil {
		t.Error(err)
	}
}

// sqliteFixture is a store in a new file.
func sqliteFixture(t *testing.T) webhooktest.Fixture {
	t.Helper()
	path := filepath.Join(t.TempDir(), "d.sqlite")
	s, db := open(t, path), raw(t, path)
	return webhooktest.Fixture{
		Store:   s,
		Another: func() webhook.Store { return open(t, path) },
		Advance: func(d time.Duration) { age(t, db, d) },
	}
}

func TestSQLite(t *testing.T) { webhooktest.Run(t, sqliteFixture) }

// alternating spreads the steps over stores that share one database, as processes
// would.
type alternating struct {
	webhooktest.Between
	next func() *sqlstore.Store
}

func alternate(stores ...*sqlstore.Store) alternating {
	var steps atomic.Int64
	next := func() *sqlstore.Store { return stores[steps.Add(1)%int64(len(stores))] }
	return alternating{webhooktest.Between{Next: func(string) (webhook.Store, error) { return next(), nil }}, next}
}

func (a alternating) Purge(ctx context.Context) (int64, error) { return a.next().Purge(ctx) }

func TestSQLiteSharedByThreeStores(t *testing.T) {
	webhooktest.Run(t, func(t *testing.T) webhooktest.Fixture {
		path := filepath.Join(t.TempDir(), "d.sqlite")
		shared := alternate(open(t, path), open(t, path), open(t, path))
		db := raw(t, path)
		return webhooktest.Fixture{Store: shared, Advance: func(d time.Duration) { age(t, db, d) }}
	})
}

func TestWritesAreOnDiskWhenTheyReturn(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "d.sqlite"))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000"} {
		if got, err := s.WritePragma(t.Context(), name); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestFileAndDirectoryArePrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, filepath.Join(dir, "d.sqlite"))
	if _, err := s.Claim(t.Context(), "k", webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
	want := map[string]fs.FileMode{dir: 0o700, filepath.Dir(dir): 0o700}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) < 3 {
		t.Fatalf("%d files, want the database, its log and its index", len(entries))
	}
	for _, e := range entries {
		want[filepath.Join(dir, e.Name())] = 0o600
	}
	for path, mode := range want {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != mode {
			t.Errorf("%s has mode %o, want %o", path, got, mode)
		}
	}
}

func TestPathIsTakenLiterally(t *testing.T) {
	for _, name := range []string{"a?mode=memory", "a b", "a#b", "a%20b", "ü", "a&_synchronous=OFF"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name, "d.sqlite")
			open(t, path)
			if info, err := os.Stat(path); err != nil || info.Size() == 0 {
				t.Errorf("the database is not at %q: %v", path, err)
			}
			if _, err := os.Stat(path + "-wal"); err != nil {
				t.Errorf("not in WAL mode: %v", err)
			}
		})
	}
}

func TestOutcomesSurviveReopening(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	req := webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour}
	s, err := sqlstore.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"done", "claimed"} {
		if _, err := s.Claim(t.Context(), key, req); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Complete(t.Context(), "done", 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path)
	for key, want := range map[string]webhook.Status{"done": webhook.Done, "claimed": webhook.InFlight} {
		c, err := s.Claim(t.Context(), key, req)
		if err != nil || c.Status != want || c.Fence != 1 {
			t.Errorf("%s: %+v, %v; want %v at fence 1", key, c, err, want)
		}
	}
}

func TestNewerSchemaIsRefusedAndLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	open(t, path)
	db := raw(t, path)
	if _, err := db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlstore.OpenSQLite(t.Context(), path); !errors.Is(err, sqlstore.ErrSchemaNewer) {
		t.Fatalf("error %v, want ErrSchemaNewer", err)
	}
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil || version != 99 {
		t.Errorf("version %d, %v; want 99", version, err)
	}
}

func TestOpenFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"when the file is no database":          file,
		"when the path is a directory":          dir,
		"when the directory cannot be made":     filepath.Join(file, "sub", "d.sqlite"),
		"when the path is empty, a directory's": "",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := sqlstore.OpenSQLite(t.Context(), path)
			if err == nil {
				_ = s.Close()
				t.Fatal("no error")
			}
			if !strings.HasPrefix(err.Error(), "sqlstore: ") {
				t.Errorf("error %q does not name the package", err)
			}
		})
	}
}

func TestStartingTogetherMakesTheSchemaOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "d.sqlite")
	errs := make(chan error)
	const n = 8
	for range n {
		go func() {
			s, err := sqlstore.OpenSQLite(context.Background(), path)
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestRunPurgesUntilItsContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	s := open(t, path)
	req := webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour}
	if _, err := s.Claim(t.Context(), "k", req); err != nil {
		t.Fatal(err)
	}
	age(t, raw(t, path), 2*time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	deleted, ended := make(chan int64, 100), make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx, time.Millisecond, func(n int64, err error) {
			if err != nil {
				t.Error(err)
			}
			select {
			case deleted <- n:
			default:
			}
		})
	}()
	for i, want := range []int64{1, 0, 0} {
		if n := <-deleted; n != want {
			t.Errorf("purge %d deleted %d, want %d", i, n, want)
		}
	}
	cancel()
	<-ended
}

func TestPurgeGoesThroughAllBatches(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.sqlite")
	s, db := open(t, path), raw(t, path)
	const n = 2500
	if _, err := db.Exec(`WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1)
		INSERT INTO handrail_deliveries (event_key, state, fence, attempt, maybe_processed, body_digest, lease_until, retention_ms, expires_at, updated_at)
		SELECT 'k' || i, 3, 1, 1, 0, x'', 0, 0, 0, 0 FROM c`, n); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Purge(t.Context()); err != nil || got != n {
		t.Errorf("Purge: %d, %v; want %d", got, err, n)
	}
}

func BenchmarkSQLite(b *testing.B) {
	req := webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour}
	b.Run("first delivery", func(b *testing.B) {
		s := open(b, filepath.Join(b.TempDir(), "d.sqlite"))
		b.ReportAllocs()
		key := []byte("stripe/evt_00000000")
		for n := 0; b.Loop(); n++ {
			for i, v := len(key)-1, n; v > 0; i, v = i-1, v/10 {
				key[i] = byte('0' + v%10)
			}
			c, err := s.Claim(b.Context(), string(key), req)
			if err != nil || c.Status != webhook.Claimed {
				b.Fatal(c, err)
			}
			if err := s.Complete(b.Context(), string(key), c.Fence, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("duplicate", func(b *testing.B) {
		s := open(b, filepath.Join(b.TempDir(), "d.sqlite"))
		if _, err := s.Claim(b.Context(), "k", req); err != nil {
			b.Fatal(err)
		}
		if err := s.Complete(b.Context(), "k", 1, nil); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if c, err := s.Claim(b.Context(), "k", req); err != nil || c.Status != webhook.Done {
				b.Fatal(c, err)
			}
		}
	})
}

// Removing the file by hand must not lead to answers that a restart forgets.
func TestNothingIsRecordedInAFileThatIsGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "webhooks.db")
	s, err := sqlstore.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	req := webhook.ClaimRequest{Lease: time.Minute, Retention: time.Hour}
	c, err := s.Claim(t.Context(), "stripe/evt_1", req)
	if err != nil || s.Check(t.Context()) != nil {
		t.Fatalf("with the file: %v, %v", err, s.Check(t.Context()))
	}
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	_, claimErr := s.Claim(t.Context(), "stripe/evt_2", req)
	for step, err := range map[string]error{
		"claim":    claimErr,
		"complete": s.Complete(t.Context(), "stripe/evt_1", c.Fence, nil),
		"release":  s.Release(t.Context(), "stripe/evt_1", c.Fence, false),
		"check":    s.Check(t.Context()),
	} {
		if !errors.Is(err, sqlstore.ErrFileGone) {
			t.Errorf("%s: %v", step, err)
		}
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), "stripe/evt_1", c.Fence, nil); err != nil {
		t.Errorf("with the file back: %v", err)
	}
}
