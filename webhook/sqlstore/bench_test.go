package sqlstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// benchVariable names the environment variable with the URL of a PostgreSQL
// server to measure, whose role may create databases. Without it, it is one of
// testenv, which does not sync to disk.
const benchVariable = "HANDRAIL_BENCH_POSTGRES"

// benchDatabase is an empty database for one benchmark.
func benchDatabase(b *testing.B, server *pgx.ConnConfig) *pgx.ConnConfig {
	b.Helper()
	name := fmt.Sprintf("handrail_bench_%d", databases.Add(1))
	run(b, server, "CREATE DATABASE "+name)
	b.Cleanup(func() {
		conn, err := pgx.ConnectConfig(context.Background(), server)
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(context.Background(), "DROP DATABASE "+name); err != nil {
			b.Error(err)
		}
	})
	db := server.Copy()
	db.Database = name
	return db
}

// BenchmarkStores claims and completes events from several goroutines at once,
// and claims one that is done. SQLite syncs each commit; whether PostgreSQL does
// stands in the name.
func BenchmarkStores(b *testing.B) {
	dsn := os.Getenv(benchVariable)
	if dsn == "" {
		dsn = testenv.Postgres(b).DSN()
	}
	server := parse(b, dsn)
	durable := value[string](b, connect(b, server), "SELECT 'fsync ' || current_setting('fsync') || ', commit ' || current_setting('synchronous_commit')")
	stores := []struct {
		name string
		open func(b *testing.B) *sqlstore.Store
	}{
		{"postgres, " + durable, func(b *testing.B) *sqlstore.Store {
			b.Helper()
			return openPostgres(b, sqlstore.PostgresConfig{Conn: benchDatabase(b, server)})
		}},
		{"sqlite", func(b *testing.B) *sqlstore.Store {
			b.Helper()
			return open(b, filepath.Join(b.TempDir(), "d.sqlite"))
		}},
	}
	for _, workers := range []int{1, 16, 64} {
		for _, store := range stores {
			b.Run(fmt.Sprintf("first delivery/%s/%d", store.name, workers), func(b *testing.B) {
				s := store.open(b)
				concurrently(b, workers, func(n int64) error {
					key := fmt.Sprintf("stripe/evt_%d", n)
					c, err := s.Claim(b.Context(), key, claimRequest)
					if err != nil || c.Status != webhook.Claimed {
						return fmt.Errorf("%v, %w", c.Status, err)
					}
					return s.Complete(b.Context(), key, c.Fence, nil)
				})
			})
			b.Run(fmt.Sprintf("duplicate/%s/%d", store.name, workers), func(b *testing.B) {
				s := store.open(b)
				if _, err := s.Claim(b.Context(), "k", claimRequest); err != nil {
					b.Fatal(err)
				}
				if err := s.Complete(b.Context(), "k", 1, nil); err != nil {
					b.Fatal(err)
				}
				concurrently(b, workers, func(int64) error {
					c, err := s.Claim(b.Context(), "k", claimRequest)
					if err == nil && c.Status != webhook.Done {
						err = fmt.Errorf("status %v", c.Status)
					}
					return err
				})
			})
		}
	}
}

// concurrently measures step as workers take it side by side.
func concurrently(b *testing.B, workers int, step func(n int64) error) {
	b.Helper()
	b.ReportAllocs()
	var (
		started atomic.Int64
		wg      sync.WaitGroup
	)
	work := make(chan struct{})
	for range workers {
		wg.Go(func() {
			for range work {
				if err := step(started.Add(1)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
