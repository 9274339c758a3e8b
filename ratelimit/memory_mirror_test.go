package ratelimit_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// many are limits of each kind with more than a few admissions.
var many = map[string]ratelimit.Limit{
	"sliding window":  {Count: 20, Window: time.Minute},
	"sliding counter": {Count: 20, Window: time.Minute, Algorithm: ratelimit.SlidingCounter},
	"gcra":            {Count: 20, Window: time.Minute, Algorithm: ratelimit.GCRA, Burst: 7},
	"lockout": {Count: 20, Window: time.Minute, Lockout: &ratelimit.Lockout{Tiers: []ratelimit.Tier{
		{Count: 30, Window: 3 * time.Minute, Block: 2 * time.Minute},
		{Count: 60, Window: 9 * time.Minute, Block: 5 * time.Minute},
	}}},
}

func TestMirrorMakesTheSameDecisions(t *testing.T) {
	for name, limit := range many {
		t.Run(name, func(t *testing.T) {
			leader, follower := newBox(t, 0), newBox(t, 0)
			rnd := rand.New(rand.NewPCG(1, 2))
			for range 2000 {
				step := time.Duration(rnd.Int64N(int64(4 * time.Second)))
				leader.Advance(step)
				follower.Advance(step)
				d, err := leader.AllowN(t.Context(), "k", limit, 1+rnd.IntN(20)/18)
				if err != nil {
					t.Fatal(err)
				}
				m := follower.Mirror("k", limit, d)
				if m.Allowed != d.Allowed || m.Cost != d.Cost {
					t.Fatalf("decision %+v, mirrored %+v", d, m)
				}
				if d.Allowed && rnd.IntN(4) == 0 {
					_ = leader.Refund(t.Context(), "k", limit, d)
					_ = follower.Refund(t.Context(), "k", limit, m)
				}
			}
			// A refusal of 2 holds 1 as well in the follower.
			leader.Advance(10 * time.Minute)
			follower.Advance(10 * time.Minute)
			for {
				d, m := leader.allow("k", limit), follower.allow("k", limit)
				if d.Allowed != m.Allowed || d.RetryAfter != m.RetryAfter {
					t.Fatalf("leader %+v, follower %+v", d, m)
				}
				if !d.Allowed {
					return
				}
			}
		})
	}
}

func TestMirroredRefusalBlocksForAsLong(t *testing.T) {
	type limit = ratelimit.Limit
	lockout := &ratelimit.Lockout{Tiers: []ratelimit.Tier{{Count: 512, Window: time.Hour, Block: 24 * time.Hour}}}
	for name, tt := range map[string]struct {
		limit limit
		wait  time.Duration
		late  time.Duration // by as much longer
	}{
		"1":               {limit{Count: 1, Window: time.Minute}, 20 * time.Second, 0},
		"8":               {limit{Count: 8, Window: time.Minute}, 20 * time.Second, 0},
		"9":               {limit{Count: 9, Window: time.Minute}, 20 * time.Second, 0},
		"512":             {limit{Count: 512, Window: time.Minute}, 20 * time.Second, 0},
		"lockout":         {limit{Count: 8, Window: time.Minute, Lockout: lockout}, 24 * time.Hour, 0},
		"gcra":            {limit{Count: 7, Window: time.Minute, Algorithm: ratelimit.GCRA}, 20 * time.Second, 0},
		"gcra, whole":     {limit{Count: 7, Window: time.Minute, Algorithm: ratelimit.GCRA}, time.Minute, 0},
		"counter":         {limit{Count: 7, Window: time.Minute, Algorithm: ratelimit.SlidingCounter}, 20 * time.Second, time.Second},
		"counter, at end": {limit{Count: 7, Window: time.Minute, Algorithm: ratelimit.SlidingCounter}, 61 * time.Second, time.Second},
		"counter, large":  {limit{Count: 1e9, Window: time.Minute, Algorithm: ratelimit.SlidingCounter}, time.Millisecond, time.Second},
	} {
		for _, known := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				b := newBox(t, 0)
				var first ratelimit.Decision
				for i := range min(tt.limit.Count/2, 100) {
					if known {
						if d := b.allow("k", tt.limit); i == 0 {
							first = d
						}
					}
				}
				b.Advance(1100 * time.Millisecond)
				for range 3 {
					b.Mirror("k", tt.limit, ratelimit.Decision{RetryAfter: tt.wait})
				}
				d := b.allow("k", tt.limit)
				if d.Allowed || d.RetryAfter < tt.wait || d.RetryAfter > tt.wait+tt.late {
					t.Fatalf("%+v", d)
				}
				b.Advance(-time.Minute)
				if e := b.allow("k", tt.limit); e.Allowed || e.RetryAfter != d.RetryAfter+time.Minute {
					t.Fatalf("a minute earlier: %+v", e)
				}
				b.Advance(time.Minute + d.RetryAfter - 1)
				if d := b.allow("k", tt.limit); d.Allowed || d.RetryAfter != 1 {
					t.Fatalf("one nanosecond early: %+v", d)
				}
				b.Advance(1)
				if d := b.allow("k", tt.limit); !d.Allowed {
					t.Errorf("still refused, %+v", d)
				}
				_ = b.Refund(t.Context(), "k", tt.limit, first) // no longer recorded
			})
		}
	}
}

func TestMirroredAdmissionsCountBeyondTheLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		limit ratelimit.Limit
		wait  time.Duration
	}{
		"sliding window":  {ratelimit.Limit{Count: 2, Window: time.Minute}, 59 * time.Second},
		"sliding counter": {ratelimit.Limit{Count: 2, Window: time.Minute, Algorithm: ratelimit.SlidingCounter}, time.Minute},
		// Nobody owes more than the burst of 2 minutes.
		"gcra": {ratelimit.Limit{Count: 1, Window: time.Minute, Algorithm: ratelimit.GCRA, Burst: 2}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, 0)
			for range 5 {
				b.Advance(time.Second)
				b.Mirror("k", tt.limit, ratelimit.Decision{Allowed: true})
			}
			if d := b.allow("k", tt.limit); d.Allowed || d.RetryAfter != tt.wait {
				t.Errorf("%+v", d)
			}
			b.Mirror("k", ratelimit.Limit{}, ratelimit.Decision{Allowed: true}) // out of bounds: nothing
			b.Mirror("k", tt.limit, ratelimit.Decision{})                       // refused for ever: nothing
			b.Advance(tt.wait)
			if d := b.allow("k", tt.limit); !d.Allowed {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestWhatIsMirroredStaysWithinBounds tells costs and waits that no Limiter has.
func TestWhatIsMirroredStaysWithinBounds(t *testing.T) {
	const most = 1<<63 - 1
	for name, limit := range many {
		b := newBox(t, 0)
		for range 100 {
			d := b.Mirror("k", limit, ratelimit.Decision{Allowed: true, Cost: most})
			if d.Cost != limit.Capacity() {
				t.Fatalf("%s: %+v", name, d)
			}
			b.Mirror("k", limit, ratelimit.Decision{RetryAfter: most})
			if got := b.allow("k", limit); got.Allowed || got.RetryAfter <= 0 {
				t.Fatalf("%s: %+v", name, got)
			}
			_ = b.Refund(t.Context(), "k", limit, ratelimit.Decision{Allowed: true, Cost: most, Token: d.Token})
		}
		b.Advance(3 * ratelimit.MaxWindow)
		if !b.allow("k", limit).Allowed {
			t.Errorf("%s: blocked for ever", name)
		}
	}
}
