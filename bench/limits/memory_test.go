package limits_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"

	"github.com/handrail-go/handrail/ratelimit"
)

// memoryPeers keep up to that many keys, those that can be told.
func memoryPeers(maxKeys int) []peer {
	ours := func(algorithm ratelimit.Algorithm) func(testing.TB) decide {
		return func(t testing.TB) decide {
			t.Helper()
			m, err := ratelimit.NewMemory(ratelimit.MemoryConfig{MaxKeys: maxKeys})
			if err != nil {
				t.Fatal(err)
			}
			return limiterDecides(m, ratelimit.Limit{Count: count, Window: window, Algorithm: algorithm})
		}
	}
	return []peer{
		{"sliding_window", ours(ratelimit.SlidingWindow)},
		{"sliding_counter", ours(ratelimit.SlidingCounter)},
		{"gcra", ours(ratelimit.GCRA)},
		{"throttled", func(t testing.TB) decide {
			t.Helper()
			return openThrottled(t, maxKeys)
		}},
		{"go-limiter", openGoLimiter},
	}
}

func openThrottled(t testing.TB, maxKeys int) decide {
	t.Helper()
	store, err := memstore.NewCtx(maxKeys)
	if err != nil {
		t.Fatal(err)
	}
	limiter, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{
		MaxRate: throttled.PerDuration(count, window), MaxBurst: count - 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	// Two processors at one key need more attempts than the usual ten.
	limiter.SetMaxCASAttemptsLimit(1000)
	return func(ctx context.Context, key string) (bool, error) {
		limited, _, err := limiter.RateLimitCtx(ctx, key, 1)
		return !limited, err
	}
}

func openGoLimiter(t testing.TB) decide {
	t.Helper()
	store, err := memorystore.New(&memorystore.Config{Tokens: count, Interval: window})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.WithoutCancel(t.Context())) })
	return func(ctx context.Context, key string) (bool, error) {
		_, _, _, ok, err := store.Take(ctx, key)
		return ok, err
	}
}

// A memoryCase is a load on a limiter that has seen each of some keys.
type memoryCase struct {
	name  string
	keys  int // a power of two
	seen  int // calls for each key before
	wants verdict
}

func memoryCases() []memoryCase {
	return []memoryCase{
		{"one key, denied", 1, count, denied},
		{"4,096 keys in random order, denied", 1 << 12, count, denied},
		{"1,048,576 keys in random order, most of them admitted", 1 << 20, 1, anything},
	}
}

// fill opens p and brings it to where the case begins. It tells what the keys
// take of the heap.
func (c memoryCase) fill(t testing.TB, p peer, keys []string) (d decide, bytesPerKey float64) {
	t.Helper()
	before := heap()
	d = p.open(t)
	for range c.seen {
		for _, key := range keys {
			if _, err := d(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	bytesPerKey = float64(heap()-before) / float64(len(keys))
	return d, bytesPerKey
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// drive measures from some goroutines, each in an order of its own.
func (c memoryCase) drive(t testing.TB, d decide, keys []string, goroutines int, seed uint64, duration time.Duration, calls int) stint {
	t.Helper()
	l := load{goroutines: goroutines, wants: c.wants, keys: func(goroutine int) keyring {
		// A generator of Knuth's with the period 2⁶⁴; its upper bits are good.
		state, mask := seed+uint64(goroutine)<<32, uint64(len(keys)-1)
		return func() string {
			state = state*6364136223846793005 + 1442695040888963407
			return keys[state>>32&mask]
		}
	}}
	return l.drive(t, d, duration, calls)
}

func memoryKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = benchKey(i)
	}
	return keys
}

func BenchmarkMemory(b *testing.B) {
	for _, c := range memoryCases() {
		keys := memoryKeys(c.keys)
		for _, p := range memoryPeers(maxKeys(c.keys)) {
			for _, goroutines := range processors() {
				b.Run(fmt.Sprintf("%s/%d/%s", c.name, goroutines, p.name), func(b *testing.B) {
					b.ReportAllocs()
					d, _ := c.fill(b, p, keys)
					s := c.drive(b, d, keys, goroutines, 1, 0, b.N/goroutines+1)
					b.ReportMetric(s.nanoseconds(), "ns/op")
					b.ReportMetric(s.allocations(), "allocs/op")
				})
			}
		}
	}
}

// maxKeys leaves room for shards that are filled unevenly.
func maxKeys(keys int) int { return max(keys+keys/8, ratelimit.DefaultMaxKeys) }

// processors are one goroutine, and as many as may run at once.
func processors() []int {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return []int{1, n}
	}
	return []int{1}
}

func TestMemoryPeersLimitAlike(t *testing.T) {
	for _, p := range memoryPeers(1 << 10) {
		t.Run(p.name, func(t *testing.T) { limitsAlike(t, p.open(t)) })
	}
}
