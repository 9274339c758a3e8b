package ratelimit_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// TestAMirroredAdmissionEndsWhatARefusalHeld: the store has forgotten what it
// refused, after an unblock elsewhere or because it came back empty.
func TestAMirroredAdmissionEndsWhatARefusalHeld(t *testing.T) {
	for name, limit := range many {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, 0)
			b.Mirror("k", limit, ratelimit.Decision{RetryAfter: limit.Window})
			b.Advance(time.Second)
			if d := b.allow("k", limit); d.Allowed || d.RetryAfter != limit.Window-time.Second {
				t.Fatalf("before: %+v", d)
			}
			b.Mirror("k", limit, ratelimit.Decision{Allowed: true, Cost: 1})
			for i := range limit.Capacity() - 1 {
				if d := b.allow("k", limit); !d.Allowed {
					t.Fatalf("call %d of what is left: refused for %v", i, d.RetryAfter)
				}
			}
			if d := b.allow("k", limit); d.Allowed {
				t.Error("what the other admitted does not count")
			}
		})
	}
}

// TestARefundDoesNotEndWhatARefusalHeld: whether the block went with what was
// given back is the store's to say.
func TestARefundDoesNotEndWhatARefusalHeld(t *testing.T) {
	for name, limit := range many {
		t.Run(name, func(t *testing.T) {
			b := newBox(t, 0)
			mine := b.Mirror("k", limit, ratelimit.Decision{Allowed: true, Cost: 1})
			b.Mirror("k", limit, ratelimit.Decision{RetryAfter: 24 * time.Hour})
			_ = b.Refund(t.Context(), "k", limit, mine)
			if d := b.allow("k", limit); d.Allowed || d.RetryAfter != 24*time.Hour {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestAHoldGoesWithItsKey: neither a reset nor another algorithm keeps it.
func TestAHoldGoesWithItsKey(t *testing.T) {
	for name, limit := range many {
		for other, next := range many {
			b := newBox(t, 0)
			b.Mirror("k", limit, ratelimit.Decision{RetryAfter: time.Hour})
			_ = b.Reset(t.Context(), "k")
			if !b.allow("k", next).Allowed {
				t.Errorf("%s, reset, %s: refused", name, other)
			}
			if next.Algorithm == limit.Algorithm {
				continue
			}
			b.Mirror("l", limit, ratelimit.Decision{RetryAfter: time.Hour})
			if !b.allow("l", next).Allowed {
				t.Errorf("%s, then %s: refused", name, other)
			}
		}
	}
}

// admission is a call that was admitted.
type admission struct {
	at   time.Duration
	cost int
}

// within is what was admitted in (now−window, now].
func within(list []admission, now, window time.Duration) int {
	n := 0
	for _, a := range list {
		if now-a.at < window {
			n += a.cost
		}
	}
	return n
}

// TestFlappingAddsAtMostTheLimit changes places with a store that others use and
// reset as well. Whatever happens there, what went through here counts here.
func TestFlappingAddsAtMostTheLimit(t *testing.T) {
	for name, limit := range many {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			rnd := rand.New(rand.NewPCG(seed, 0))
			store, fallback := newBox(t, 0), newBox(t, 0)
			start := store.Now()
			var through, local []admission
			up := true
			for range 3000 {
				step := time.Duration(rnd.Int64N(int64(limit.Window / 20)))
				if rnd.IntN(50) == 0 {
					step = 10 * limit.Window // longer than any block
				}
				store.Advance(step)
				fallback.Advance(step)
				now, cost := store.Now().Sub(start), 1+rnd.IntN(20)/16
				switch n := rnd.IntN(20); {
				case n == 0:
					up = !up
				case n == 1:
					_ = store.Reset(t.Context(), "k")
				case n < 6:
					_, _ = store.AllowN(t.Context(), "k", limit, cost) // of another instance
				case up:
					d, _ := store.AllowN(t.Context(), "k", limit, cost)
					fallback.Mirror("k", limit, d)
					if d.Allowed {
						through = append(through, admission{now, cost})
					}
				default:
					d, _ := fallback.AllowN(t.Context(), "k", limit, cost)
					if !d.Allowed {
						continue
					}
					through, local = append(through, admission{now, cost}), append(local, admission{now, cost})
					if limit.Algorithm == ratelimit.GCRA {
						if n := within(local, now, limit.Window); n > limit.Count+limit.Capacity()-1 {
							t.Fatalf("%d added", n)
						}
					} else if n := within(through, now, limit.Window); n > limit.Count {
						t.Fatalf("added up to %d", n)
					}
				}
			}
			if len(local) == 0 {
				t.Error("no local admission")
			}
		})
	}
}

// TestAnUnblockElsewhereReachesTheFallback: the store fails just after it has
// admitted again somebody whom it had refused here.
func TestAnUnblockElsewhereReachesTheFallback(t *testing.T) {
	for name, tiers := range map[string][]ratelimit.Tier{
		"window":  nil,
		"lockout": {{Count: 8, Window: 24 * time.Hour, Block: 24 * time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFailing(t)
			cfg := one(policy(func(p *ratelimit.Policy) { p.Limit, p.Window, p.Lockout = 8, 10*time.Minute, tiers }))
			cfg.Limiter = f
			a := newApp(t, cfg)
			a.want(200, 1)
			limit := ratelimit.Limit{Count: 8, Window: 10 * time.Minute, Lockout: &ratelimit.Lockout{Tiers: tiers}}
			for range 7 { // by another instance, as is the reset
				_, _ = f.Allow(t.Context(), f.keys[0], limit)
			}
			a.want(429, 1)
			_ = f.Reset(t.Context(), f.keys[0])
			a.Advance(time.Second)
			a.want(200, 1)
			f.err = errDown
			a.want(200, 6)
			a.want(429, 1)
		})
	}
}
