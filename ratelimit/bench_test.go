package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

const benchKey = "handrail:{default:auth:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU}"

func newMemory(t testing.TB, cfg ratelimit.MemoryConfig) *ratelimit.Memory {
	t.Helper()
	m, err := ratelimit.NewMemory(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

const benchKeyZero = "handrail:{default:auth:0000000000000000000000000000000000000000000}"

func benchKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("handrail:{default:auth:%043d}", i)
	}
	return keys
}

// BenchmarkMemoryAdmitted: the window is so short that every call is admitted.
func BenchmarkMemoryAdmitted(b *testing.B) {
	m := newMemory(b, ratelimit.MemoryConfig{})
	limit := ratelimit.Limit{Count: 512, Window: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Allow(b.Context(), benchKey, limit)
	}
}

func BenchmarkMemoryDenied(b *testing.B) {
	m := newMemory(b, ratelimit.MemoryConfig{})
	limit := ratelimit.Limit{Count: 8, Window: time.Hour}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Allow(b.Context(), benchKey, limit)
	}
}

func BenchmarkMemoryParallel(b *testing.B) {
	m := newMemory(b, ratelimit.MemoryConfig{})
	keys := benchKeys(1 << 12)
	limit := ratelimit.Limit{Count: 8, Window: 10 * time.Minute}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			_, _ = m.Allow(b.Context(), keys[i*2654435761%len(keys)], limit)
		}
	})
}

func BenchmarkMemoryOneKeyParallel(b *testing.B) {
	m := newMemory(b, ratelimit.MemoryConfig{})
	limit := ratelimit.Limit{Count: 8, Window: 10 * time.Minute}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = m.Allow(b.Context(), benchKey, limit)
		}
	})
}

func BenchmarkMemoryAlgorithms(b *testing.B) {
	for name, limit := range map[string]ratelimit.Limit{
		"counter": {Count: 1e9, Window: time.Minute, Algorithm: ratelimit.SlidingCounter},
		"gcra":    {Count: 1e9, Window: time.Minute, Algorithm: ratelimit.GCRA},
	} {
		b.Run(name, func(b *testing.B) {
			m := newMemory(b, ratelimit.MemoryConfig{})
			b.ReportAllocs()
			for b.Loop() {
				_, _ = m.Allow(b.Context(), benchKey, limit)
			}
		})
	}
}

// BenchmarkMemoryMillionKeys goes through a million kept keys in random order.
// The keys come from memory, which takes more time than the decision, or are made
// anew, as for a request: that allocates them.
func BenchmarkMemoryMillionKeys(b *testing.B) {
	const n = 1 << 20
	keys := benchKeys(n)
	limit := ratelimit.Limit{Count: 8, Window: 10 * time.Minute}
	for name, key := range map[string]func(int) string{
		"kept": func(i int) string { return keys[i] },
		"made": func(i int) string {
			key := []byte(benchKeyZero)
			for at := len(key) - 1; i > 0; i /= 10 {
				at--
				key[at] = byte('0' + i%10)
			}
			return string(key)
		},
	} {
		b.Run(name, func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			m := newMemory(b, ratelimit.MemoryConfig{MaxKeys: n + n/8})
			for _, k := range keys {
				_, _ = m.Allow(b.Context(), k, limit)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			for order, next := range orders(n) {
				b.Run(order, func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						_, _ = m.Allow(b.Context(), key(next()), limit)
					}
				})
			}
			b.Logf("%.0f B/key", float64(after.HeapAlloc-before.HeapAlloc)/float64(m.Len()))
		})
	}
}

// orders are orders of asking for n keys: one of them only, as often as traffic
// comes back (Zipf, s = 1.1), and each as often as any other.
func orders(n int) map[string]func() int {
	picks := make([]int32, 1<<16)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(n-1))
	for i := range picks {
		picks[i] = int32(zipf.Uint64() * 2654435761 % uint64(n))
	}
	at := 0
	return map[string]func() int{
		"one":     func() int { return 12345 },
		"zipf":    func() int { at++; return int(picks[at&(1<<16-1)]) },
		"uniform": func() int { at = (at*5 + 12345) & (n - 1); return at },
	}
}

// BenchmarkMemoryFlood brings a new key with every call into a full Memory.
func BenchmarkMemoryFlood(b *testing.B) {
	m := newMemory(b, ratelimit.MemoryConfig{MaxKeys: 1 << 16})
	keys := benchKeys(1 << 18)
	limit := ratelimit.Limit{Count: 8, Window: 10 * time.Minute}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		_, _ = m.Allow(b.Context(), keys[i&(1<<18-1)], limit)
		i++
	}
}

// BenchmarkCachedRemembered answers for one blocked key, and for as many as are
// remembered, from both processors.
func BenchmarkCachedRemembered(b *testing.B) {
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	for _, n := range []int{1, 1 << 13} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newCached(b, ratelimit.CachedConfig{Limiter: newMemory(b, ratelimit.MemoryConfig{})})
			keys := benchKeys(n)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					_, _ = c.Allow(b.Context(), keys[i*2654435761%n], limit)
				}
			})
		})
	}
}

// BenchmarkCachedFlood brings ever other blocked keys, so that none is
// remembered for long.
func BenchmarkCachedFlood(b *testing.B) {
	limit := ratelimit.Limit{Count: 1, Window: time.Hour}
	store := newMemory(b, ratelimit.MemoryConfig{MaxKeys: 1 << 20})
	c := newCached(b, ratelimit.CachedConfig{Limiter: store})
	keys := benchKeys(1 << 18)
	for _, k := range keys {
		_, _ = store.Allow(b.Context(), k, limit)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		_, _ = c.Allow(b.Context(), keys[i&(1<<18-1)], limit)
		i++
	}
}
