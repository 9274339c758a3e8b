package sqlstore_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

// BenchmarkSQLiteWriters claims and completes events from several goroutines at
// once, each as fast as it can, and says how long one event takes.
func BenchmarkSQLiteWriters(b *testing.B) {
	for _, workers := range []int{1, 8, 64, 256} {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "d.sqlite"))
			event := func(n int64) error {
				key := fmt.Sprintf("stripe/evt_%d", n)
				c, err := s.Claim(b.Context(), key, claimRequest)
				if err != nil || c.Status != webhook.Claimed {
					return fmt.Errorf("%v, %w", c.Status, err)
				}
				return s.Complete(b.Context(), key, c.Fence, nil)
			}
			var mu sync.Mutex
			var took []time.Duration
			concurrently(b, workers, func(n int64) error {
				began := time.Now()
				err := event(n)
				d := time.Since(began)
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
				return err
			})
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
