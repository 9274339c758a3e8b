package webhook_test

import (
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/sqlstore"
)

func sqlite(t testing.TB, path string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.OpenSQLite(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// stores makes an empty store of each kind.
func stores() map[string]func(testing.TB) webhook.Store {
	return map[string]func(testing.TB) webhook.Store{
		"memory": func(t testing.TB) webhook.Store {
			t.Helper()
			m, err := webhook.NewMemory(webhook.MemoryConfig{MaxDeliveries: 1 << 30})
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
		"sqlite": func(t testing.TB) webhook.Store {
			t.Helper()
			return sqlite(t, filepath.Join(t.TempDir(), "d.sqlite"))
		},
	}
}

func TestHundredCopiesCallTheHandlerOnce(t *testing.T) {
	for name, open := range stores() {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			var calls atomic.Int32
			m, ev := build(t, func(c *webhook.Config) { c.Store = store })
			h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
			var wg sync.WaitGroup
			start := make(chan struct{})
			codes := make([]int, 100)
			for i := range codes {
				r := stripeRequest(stripeBody)
				wg.Go(func() {
					<-start
					codes[i] = serve(h, r).StatusCode
				})
			}
			close(start)
			wg.Wait()
			if n := calls.Load(); n != 1 {
				t.Errorf("%d calls, want 1", n)
			}
			counts := make(map[webhook.Outcome]int)
			for _, o := range ev.outcomes() {
				counts[o]++
			}
			if counts[webhook.OutcomeProcessed] != 1 || counts[webhook.OutcomeProcessed]+counts[webhook.OutcomeDuplicate]+counts[webhook.OutcomeInFlight] != len(codes) {
				t.Errorf("outcomes %v", counts)
			}
			for _, code := range codes {
				if code != http.StatusOK && code != http.StatusServiceUnavailable {
					t.Errorf("answer %d", code)
				}
			}
			recordIs(t, store, stripeKey, webhook.StateDone, 1, false)
		})
	}
}
