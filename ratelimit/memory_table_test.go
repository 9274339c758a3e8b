package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// TestEveryKeyKeepsItsOwn plays keys of every kind, which come, go and make room,
// against a count of each. Some have more admissions than an entry holds.
func TestEveryKeyKeepsItsOwn(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	kinds := []ratelimit.Limit{
		{Count: 3, Window: time.Hour},
		{Count: 40, Window: time.Hour},
		{Count: 5, Window: time.Hour, Algorithm: ratelimit.SlidingCounter},
		{Count: 4, Window: time.Hour, Algorithm: ratelimit.GCRA},
	}
	for _, maxKeys := range []int{1000, 1 << 14} {
		b := newBox(t, maxKeys)
		counted := map[int]int{}
		for range 100_000 {
			i := rnd.IntN(700)
			key, limit := fmt.Sprint("policy", i%7, ":", i), kinds[i%len(kinds)]
			switch rnd.IntN(8) {
			case 0:
				if err := b.Reset(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				delete(counted, i)
			case 1:
				d := b.allow(key, limit)
				_ = b.Refund(t.Context(), key, limit, d)
				if d.Allowed != (counted[i] < limit.Count) {
					t.Fatalf("%s: %+v after %d of %d", key, d, counted[i], limit.Count)
				}
			default:
				d := b.allow(key, limit)
				if d.Allowed != (counted[i] < limit.Count) {
					t.Fatalf("%s: %+v after %d of %d", key, d, counted[i], limit.Count)
				}
				if d.Allowed {
					counted[i]++
				}
			}
		}
	}
}

// TestAKeyMayChangeItsKind: what one algorithm left behind must not count under
// the next.
func TestAKeyMayChangeItsKind(t *testing.T) {
	b := newBox(t, 0)
	rnd := rand.New(rand.NewPCG(5, 6))
	kinds := []ratelimit.Limit{
		{Count: 3, Window: time.Hour},
		{Count: 100, Window: time.Hour},
		{Count: 5, Window: time.Hour, Algorithm: ratelimit.SlidingCounter},
		{Count: 4, Window: time.Hour, Algorithm: ratelimit.GCRA},
		{Count: 20, Window: time.Minute, Lockout: &ratelimit.Lockout{
			Tiers: []ratelimit.Tier{{Count: 30, Window: time.Hour, Block: 2 * time.Hour}},
		}},
	}
	var last ratelimit.Algorithm
	for range 2000 {
		limit := kinds[rnd.IntN(len(kinds))]
		if limit.Algorithm == last {
			_ = b.Reset(t.Context(), "k")
		}
		last = limit.Algorithm
		for i := range limit.Count {
			if d := b.allow("k", limit); !d.Allowed {
				t.Fatalf("%v: call %d refused for %v", limit, i, d.RetryAfter)
			}
		}
		if b.allow("k", limit).Allowed {
			t.Fatalf("%v: one too many", limit)
		}
		if rnd.IntN(2) == 0 {
			b.Mirror("k", limit, ratelimit.Decision{RetryAfter: time.Hour})
		}
	}
}
