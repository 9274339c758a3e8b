package ratelimit_test

import (
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// TestEarningDoesNotDrift: a third of a second is no whole number of
// nanoseconds, but three of them are a second.
func TestEarningDoesNotDrift(t *testing.T) {
	b := newBox(t, 0)
	limit := ratelimit.Limit{Count: 3, Window: time.Second, Algorithm: ratelimit.GCRA, Burst: 1}
	start := b.Now()
	for i := range 3000 {
		d := b.allow("k", limit)
		if !d.Allowed {
			t.Fatalf("call %d refused for %v", i, d.RetryAfter)
		}
		if d = b.allow("k", limit); d.Allowed {
			t.Fatalf("call %d: two at once", i)
		}
		b.Advance(d.RetryAfter)
	}
	// Each wait is rounded up, and the rest of the nanosecond is lost with it.
	if took := b.Now().Sub(start); took < 1000*time.Second || took > 1000*time.Second+3000 {
		t.Errorf("3000 calls took %v", took)
	}
	limit.Burst = 3
	for range 1000 {
		b.Advance(time.Second)
		for i := range 3 {
			if d := b.allow("k", limit); !d.Allowed {
				t.Fatalf("call %d of the burst refused for %v", i, d.RetryAfter)
			}
		}
		if d := b.allow("k", limit); d.Allowed || d.RetryAfter != 333_333_334 {
			t.Fatalf("%+v", d)
		}
	}
}

func TestIntervalsMayBeFarBelowANanosecond(t *testing.T) {
	b := newBox(t, 0)
	limit := ratelimit.Limit{Count: 1e9, Window: time.Millisecond, Algorithm: ratelimit.GCRA}
	for range 10 {
		if d, _ := b.AllowN(t.Context(), "k", limit, 1e9-1); !d.Allowed {
			t.Fatalf("%+v", d)
		}
		if d := b.allow("k", limit); !d.Allowed {
			t.Fatalf("the last of the burst: %+v", d)
		}
		if d := b.allow("k", limit); d.Allowed || d.RetryAfter != 1 {
			t.Fatalf("one more: %+v", d)
		}
		if d, _ := b.AllowN(t.Context(), "k", limit, 1e9); d.Allowed || d.RetryAfter != time.Millisecond {
			t.Fatalf("a burst more: %+v", d)
		}
		b.Advance(time.Millisecond)
	}
}

// TestALateRefundMakesRoomForNoMoreThanItsOwn gives back what has been earned
// back in any case.
func TestALateRefundMakesRoomForNoMoreThanItsOwn(t *testing.T) {
	b := newBox(t, 0)
	limit := ratelimit.Limit{Count: 4, Window: time.Minute, Algorithm: ratelimit.GCRA}
	for range 10 {
		var old []ratelimit.Decision
		for range 4 {
			old = append(old, b.allow("k", limit))
		}
		b.Advance(time.Minute)
		for range 4 {
			if !b.allow("k", limit).Allowed {
				t.Fatal("refused within the burst")
			}
		}
		for _, d := range old {
			_ = b.Refund(t.Context(), "k", limit, d)
		}
		if d := b.allow("k", limit); d.Allowed || d.RetryAfter != 15*time.Second {
			t.Fatalf("after late refunds: %+v", d)
		}
		b.Advance(time.Minute)
	}
}

func TestARefundOfAnotherAlgorithmChangesNothing(t *testing.T) {
	for name, limit := range limits {
		for other, under := range limits {
			if limit.Algorithm == under.Algorithm {
				continue
			}
			b := newBox(t, 0)
			old := b.allow("k", under)
			for range 2 {
				b.allow("k", limit)
			}
			_ = b.Refund(t.Context(), "k", under, old)
			_ = b.Refund(t.Context(), "k", ratelimit.Limit{}, old)
			if b.allow("k", limit).Allowed {
				t.Errorf("%s: a refund under %s made room", name, other)
			}
		}
	}
}

// TestARefundFromBeforeTheKeyCameToBeChangesNothing: it was reset, counted under
// another algorithm or driven out since.
func TestARefundFromBeforeTheKeyCameToBeChangesNothing(t *testing.T) {
	limits := map[string]ratelimit.Limit{
		"sliding window":  {Count: 8, Window: 10 * time.Minute},
		"sliding counter": {Count: 8, Window: 10 * time.Minute, Algorithm: ratelimit.SlidingCounter},
		"gcra":            {Count: 8, Window: 10 * time.Minute, Algorithm: ratelimit.GCRA},
	}
	for name, limit := range limits {
		for since, again := range map[string]func(b box){
			"a reset": func(b box) { _ = b.Reset(b.t.Context(), "k") },
			"another algorithm": func(b box) {
				for _, other := range limits {
					b.allow("k", other)
				}
			},
			"another key in its place": func(b box) { b.allow("l", limit) },
		} {
			t.Run(name+", "+since, func(t *testing.T) {
				b := newBox(t, 1)
				fill := func() (list []ratelimit.Decision) {
					for {
						d := b.allow("k", limit)
						if !d.Allowed {
							return list
						}
						list = append(list, d)
					}
				}
				before := fill()
				b.Advance(1) // an admission of the same moment is the same to an exact window
				again(b)
				b.Advance(1)
				// What the other algorithms left may be this one's.
				now := fill()
				for _, d := range before {
					_ = b.Refund(t.Context(), "k", limit, d)
				}
				if d := b.allow("k", limit); d.Allowed {
					t.Fatalf("%d admitted, one too many", len(now)+1)
				}
				for _, d := range now {
					_ = b.Refund(t.Context(), "k", limit, d)
				}
				if n := len(fill()); n != len(now) {
					t.Errorf("%d given back, %d admitted", len(now), n)
				}
			})
		}
	}
}
