package ratelimit_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// TestAShareOfALimitIsALimit: Memory takes no other.
func TestAShareOfALimitIsALimit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	// Every order of magnitude is as likely.
	number := func(most int64) int64 { return 1 + rnd.Int64N(1+rnd.Int64N(most)>>rnd.IntN(63)) }
	span := func() time.Duration {
		return max(time.Duration(number(int64(ratelimit.MaxWindow))), ratelimit.MinWindow)
	}
	check := func(limit ratelimit.Limit, n int) {
		share := limit.Share(n)
		if err := share.Validate(); err != nil {
			t.Fatalf("%v by %d is %v: %v", limit, n, share, err)
		}
		if share.Count > limit.Count || share.Capacity() > limit.Capacity() || share.Count*n < limit.Count {
			t.Fatalf("%v by %d is %v", limit, n, share)
		}
	}
	year := 8700 * time.Hour
	check(ratelimit.Limit{Count: 1000, Burst: 1001, Window: year, Algorithm: ratelimit.GCRA}, 1000)
	valid := 0
	for valid < 20_000 {
		limit := ratelimit.Limit{Count: int(number(ratelimit.MaxLargeCount)), Window: span()}
		switch rnd.IntN(3) {
		case 0:
			limit.Algorithm = ratelimit.SlidingCounter
		case 1:
			limit.Algorithm = ratelimit.GCRA
			// As large a burst as can be, or near to it.
			longest := float64(ratelimit.MaxWindow) / float64(limit.Window) * float64(limit.Count)
			limit.Burst = int(min(longest, ratelimit.MaxLargeCount)) - rnd.IntN(3)
		default:
			limit.Count = 1 + rnd.IntN(ratelimit.MaxCount)
			limit.Lockout = &ratelimit.Lockout{}
			count, block := limit.Count, time.Duration(0)
			for range rnd.IntN(ratelimit.MaxTiers + 1) {
				count, block = count+rnd.IntN(10), block+span()
				limit.Lockout.Tiers = append(limit.Lockout.Tiers, ratelimit.Tier{Count: count, Window: span(), Block: block})
			}
		}
		if limit.Validate() == nil {
			valid++
			check(limit, 1+int(number(10_000-1)))
		}
	}
}
