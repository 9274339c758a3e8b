package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// TestWhatWasDroppedMakesNoRoomWhenTheClockStepsBack looks at the admissions of one
// key on true time, the clock without its backward steps, while others come and
// what has expired is dropped.
func TestWhatWasDroppedMakesNoRoomWhenTheClockStepsBack(t *testing.T) {
	for name, limit := range many {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			b := newBox(t, 1000) // one shard
			brief := ratelimit.Limit{Count: 1, Window: ratelimit.MinWindow}
			most := limit.Count
			if limit.Algorithm == ratelimit.GCRA {
				most += limit.Capacity() - 1
			}
			var truth time.Duration
			var admitted []time.Duration
			dropped := 0
			for i := range 4000 {
				switch rnd.IntN(50) {
				case 0:
					b.Advance(-time.Duration(rnd.Int64N(int64(15 * limit.Window))))
				case 1, 2:
					d := time.Duration(rnd.Int64N(int64(20 * limit.Window)))
					b.Advance(d)
					truth += d
				default:
					d := time.Duration(rnd.Int64N(int64(limit.Window / 30)))
					b.Advance(d)
					truth += d
				}
				before := b.Len()
				b.allow(fmt.Sprint("other", i), brief)
				dropped += before + 1 - b.Len()
				if rnd.IntN(20) > 0 {
					continue
				}
				for range rnd.IntN(limit.Count) {
					if !b.allow("k", limit).Allowed {
						break
					}
					admitted = append(admitted, truth)
					if j := len(admitted) - 1 - most; j >= 0 && truth-admitted[j] < limit.Window {
						t.Fatalf("P1: %d admissions within %v", most+1, truth-admitted[j])
					}
				}
			}
			if dropped < 1000 || len(admitted) < 100 {
				t.Errorf("%d keys dropped, %d calls admitted", dropped, len(admitted))
			}
		})
	}
}
