package ratelimittest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

const (
	schedules = 12  // keys, each with a schedule of its own
	steps     = 250 // calls of one schedule
)

// windows plays everything at once (costs, refunds, backward steps, bursts) and
// then looks at the admissions that stayed, on true time: the clock without its
// backward steps.
func windows(r run) {
	rnd := random(r.T)
	for i := range schedules {
		key := fmt.Sprint("k", i)
		limit := r.randomLimit(rnd)
		var truth, back, wait time.Duration
		var kept []call
		var last ratelimit.Decision
		for range steps {
			if rnd.IntN(8) == 0 {
				d := r.randomStep(rnd, limit, wait)
				r.Advance(-d)
				back += d
			}
			d := r.randomStep(rnd, limit, wait)
			r.Advance(d)
			truth += d
			if rnd.IntN(10) == 0 && last.Allowed {
				r.refund(key, limit, last)
				kept = kept[:len(kept)-1]
				last = ratelimit.Decision{}
			}
			cost := min(randomCost(rnd, limit), limit.Capacity())
			got := r.allowN(key, limit, cost)
			if wait = got.RetryAfter; wait > r.longest(limit)+back {
				r.Fatalf("P7: a wait of %v under %v, after backward steps of %v", wait, limit, back)
			}
			if got.Allowed {
				last = got
				kept = append(kept, call{truth, cost})
			}
		}
		most := limit.Count
		if r.algorithm == ratelimit.GCRA {
			most += limit.Capacity() - 1
		}
		for j, c := range kept {
			if n := within(kept[:j+1], c.at, limit.Window); n > most {
				r.Fatalf("P1: %d admissions within %v under %v", n, limit.Window, limit)
			}
		}
	}
}

// within is how many admissions are in (now−window, now].
func within(calls []call, now, window time.Duration) int {
	n := 0
	for _, c := range slices.Backward(calls) {
		if now-c.at >= window {
			break
		}
		n += c.cost
	}
	return n
}

// room looks at every refusal: together with what is in the window, and in one
// more part of it under SlidingCounter, the call must be too much.
func room(r run) {
	rnd := random(r.T)
	refused := 0
	for i := range schedules {
		key := fmt.Sprint("k", i)
		limit := r.randomLimit(rnd)
		window := limit.Window
		if r.algorithm == ratelimit.SlidingCounter {
			window += r.part(limit)
		}
		var calls []call
		var wait time.Duration
		for range steps {
			r.Advance(r.randomStep(rnd, limit, wait))
			cost := min(randomCost(rnd, limit), limit.Capacity())
			got := r.allowN(key, limit, cost)
			if wait = got.RetryAfter; got.Allowed {
				calls = append(calls, call{r.now(), cost})
				continue
			}
			refused++
			if n := within(calls, r.now(), window); n+cost <= limit.Count {
				r.Fatalf("P2: a cost of %d refused with %d in the last %v under %v", cost, n, window, limit)
			}
		}
	}
	if refused < schedules {
		r.Errorf("only %d refusals", refused)
	}
}

func refundModel(r run)   { compare(r, play{refunds: true}) }
func backwardModel(r run) { compare(r, play{backward: true}) }
func costBackModel(r run) { compare(r, play{costs: true, backward: true}) }
func costModel(r run)     { compare(r, play{costs: true, refunds: true}) }
func tierModel(r run)     { compare(r, play{tiers: true, costs: true}) }
func tierBackModel(r run) { compare(r, play{tiers: true, backward: true}) }

// play is what a schedule has beside calls.
type play struct{ refunds, backward, costs, tiers bool }

// compare plays random schedules against a model that forgets nothing.
func compare(r run, p play) {
	rnd := random(r.T)
	for i := range schedules {
		key := fmt.Sprint("k", i)
		limit := r.randomLimit(rnd)
		if p.tiers {
			limit.Lockout = r.randomLockout(rnd, limit)
		}
		m := newModel(r)
		var admitted []ratelimit.Decision
		var wait time.Duration
		for step := range steps {
			r.Advance(r.randomStep(rnd, limit, wait))
			if p.backward && rnd.IntN(8) == 0 {
				r.Advance(-r.randomStep(rnd, limit, wait))
			}
			if rnd.IntN(16) == 0 && !p.tiers {
				limit.Count = r.randomLimit(rnd).Count
			}
			if p.refunds && rnd.IntN(10) == 0 && len(admitted) > 0 {
				j := len(admitted) - 1 - rnd.IntN(min(len(admitted), 3))
				if m.refund(r.now(), limit, j) {
					r.refund(key, limit, admitted[j])
					admitted = slices.Delete(admitted, j, j+1)
				}
			}
			cost := 1
			if p.costs {
				cost = randomCost(rnd, limit)
			}
			got := r.allowN(key, limit, cost)
			if cost > limit.Capacity() {
				continue
			}
			want := m.wait(r.now(), limit, cost)
			if off := (got.RetryAfter - want).Abs(); off > r.Slack {
				r.Fatalf("schedule %d, step %d, %v: cost %d admitted %v, wait %v; the model says wait %v",
					i, step, limit, cost, got.Allowed, got.RetryAfter, want)
			}
			if wait = got.RetryAfter; got.Allowed {
				m.record(r.now(), limit, cost)
				admitted = append(admitted, got)
			}
		}
	}
}

// even is divisible by all counts of randomLimit, so that what a model of GCRA
// counts is whole.
const even = 2880

func (r run) randomLimit(rnd *rand.Rand) ratelimit.Limit {
	counts := []int{1, 2, 3, 8, 9, 20, 64}
	if r.algorithm == ratelimit.SlidingCounter {
		counts = append(counts, 1000, 1_000_000_000)
	}
	windows := []time.Duration{ratelimit.MinWindow, time.Second, 10 * time.Minute, 24 * time.Hour}
	w := windows[rnd.IntN(len(windows))]
	limit := r.per(counts[rnd.IntN(len(counts))], w+r.Tick*time.Duration(rnd.Int64N(int64(w/r.Tick))))
	if r.algorithm == ratelimit.GCRA {
		limit.Window = roundUp(limit.Window, even*r.Tick)
		if rnd.IntN(2) == 0 {
			limit.Burst = 1 + rnd.IntN(2*limit.Count)
		}
	}
	return limit
}

// randomLockout has tiers whose windows and blocks may be shorter or longer than
// the window of limit.
func (r run) randomLockout(rnd *rand.Rand, limit ratelimit.Limit) *ratelimit.Lockout {
	span := func() time.Duration { // a fifth to five times the window
		w := limit.Window / r.Tick
		return max(r.Tick*time.Duration(int64(w)/5+rnd.Int64N(5*int64(w))), ratelimit.MinWindow)
	}
	count, block := limit.Count+rnd.IntN(3), time.Duration(0)
	l := &ratelimit.Lockout{}
	for range 1 + rnd.IntN(ratelimit.MaxTiers) {
		block += span()
		l.Tiers = append(l.Tiers, ratelimit.Tier{Count: count, Window: span(), Block: block})
		count += 1 + rnd.IntN(2*limit.Count)
	}
	return l
}

// randomCost is 1 as a rule, and at times more than can be.
func randomCost(rnd *rand.Rand, limit ratelimit.Limit) int {
	switch n := rnd.IntN(16); {
	case n < 8:
		return 1
	case n < 14:
		return 1 + rnd.IntN(limit.Capacity())
	case n < 15:
		return limit.Capacity()
	default:
		return limit.Capacity() + 1
	}
}

// randomStep is how far the clock goes before a call: not at all, by one tick,
// by a share of the window, to the edge of what was refused, or past it all.
func (r run) randomStep(rnd *rand.Rand, limit ratelimit.Limit, wait time.Duration) time.Duration {
	switch n := rnd.IntN(20); {
	case n < 8:
		return 0
	case n < 10:
		return r.Tick
	case n < 15:
		return r.Tick * time.Duration(rnd.Int64N(2*int64(limit.Window/r.Tick)/int64(limit.Count)+1))
	case n < 17 && wait > 0:
		return wait - r.Tick
	case n < 19 && wait > 0:
		return wait
	default:
		return limit.Window
	}
}
