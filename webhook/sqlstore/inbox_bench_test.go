package sqlstore_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

// BenchmarkInbox takes messages of 2 KiB through an inbox from several goroutines
// at once: each puts one, takes one and completes it. In order there are 16
// orders. Then what it costs to ask in vain while 10,000 wait behind one.
func BenchmarkInbox(b *testing.B) {
	server := parse(b, testenv.Postgres(b).DSN())
	body := make([]byte, 2<<10)
	for _, store := range []struct {
		name string
		open func(b *testing.B) *sqlstore.Store
	}{
		{"postgres without fsync", func(b *testing.B) *sqlstore.Store {
			b.Helper()
			return openPostgres(b, sqlstore.PostgresConfig{Conn: benchDatabase(b, server)})
		}},
		{"sqlite", func(b *testing.B) *sqlstore.Store {
			b.Helper()
			return open(b, filepath.Join(b.TempDir(), "d.sqlite"))
		}},
	} {
		for _, ordered := range []bool{false, true} {
			for _, workers := range []int{1, 16} {
				b.Run(fmt.Sprintf("%s/ordered %t/%d", store.name, ordered, workers), func(b *testing.B) {
					s := store.open(b)
					concurrently(b, workers, func(n int64) error {
						m := webhook.Stored{Route: "r", Body: body}
						if ordered {
							m.Order = fmt.Sprint("o", n%16)
						}
						if _, err := s.Put(b.Context(), fmt.Sprintf("r/evt_%d", n), m, claimRequest); err != nil {
							return err
						}
						taken, err := s.Take(b.Context(), "r", 1, time.Minute)
						for _, got := range taken {
							err = s.Complete(b.Context(), got.Key, got.Fence, nil)
						}
						return err
					})
				})
			}
		}
		b.Run(store.name+"/in vain", func(b *testing.B) {
			s := store.open(b)
			for n := range 10_000 {
				if _, err := s.Put(b.Context(), fmt.Sprintf("r/evt_%d", n), webhook.Stored{Route: "r", Order: "o"}, claimRequest); err != nil {
					b.Fatal(err)
				}
			}
			if taken, err := s.Take(b.Context(), "r", 1, time.Hour); err != nil || len(taken) != 1 {
				b.Fatal(taken, err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if taken, err := s.Take(b.Context(), "r", 10, time.Minute); err != nil || len(taken) != 0 {
					b.Fatal(taken, err)
				}
			}
		})
	}
}
