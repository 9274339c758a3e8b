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

// windows plays everything at once (refunds, backward steps, bursts) and then
// looks at the admissions that stayed, on true time: the clock without its
// backward steps.
func windows(r run) {
	rnd := random(r.T)
	for i := range schedules {
		key := fmt.Sprint("k", i)
		limit := randomLimit(rnd, r.Tick)
		var truth time.Duration
		var kept []time.Duration
		var last ratelimit.Decision
		var wait time.Duration
		for range steps {
			if rnd.IntN(8) == 0 {
				r.Advance(-randomStep(rnd, limit, wait, r.Tick))
			}
			d := randomStep(rnd, limit, wait, r.Tick)
			r.Advance(d)
			truth += d
			if rnd.IntN(10) == 0 && last.Allowed {
				r.refund(key, limit, last)
				kept = kept[:len(kept)-1]
				last = ratelimit.Decision{}
			}
			got := r.allow(key, limit)
			wait = got.RetryAfter
			if got.Allowed {
				last = got
				kept = append(kept, truth)
			}
		}
		for j := limit.Count; j < len(kept); j++ {
			if age := kept[j] - kept[j-limit.Count]; age < limit.Window {
				r.Fatalf("P1: %d admissions within %v under %v", limit.Count+1, age, limit)
			}
		}
	}
}

func refundModel(r run)   { compare(r, true, false) }
func backwardModel(r run) { compare(r, false, true) }

// compare plays random schedules against a model that forgets nothing.
func compare(r run, refunds, backward bool) {
	rnd := random(r.T)
	for i := range schedules {
		key := fmt.Sprint("k", i)
		limit := randomLimit(rnd, r.Tick)
		m := model{epoch: r.Now()}
		var admitted []ratelimit.Decision
		var wait time.Duration
		for step := range steps {
			r.Advance(randomStep(rnd, limit, wait, r.Tick))
			if backward && rnd.IntN(8) == 0 {
				r.Advance(-randomStep(rnd, limit, wait, r.Tick))
			}
			if rnd.IntN(16) == 0 {
				limit.Count = randomLimit(rnd, r.Tick).Count
			}
			if refunds && rnd.IntN(10) == 0 && len(admitted) > 0 {
				j := len(admitted) - 1 - rnd.IntN(min(len(admitted), 3))
				r.refund(key, limit, admitted[j])
				admitted = slices.Delete(admitted, j, j+1)
				m.times = slices.Delete(m.times, j, j+1)
			}
			want := m.allow(r.Now(), limit)
			got := r.allow(key, limit)
			if got.Allowed != want.Allowed || got.RetryAfter != want.RetryAfter {
				r.Fatalf("schedule %d, step %d, %v: admitted %v, wait %v; the model says %v, %v",
					i, step, limit, got.Allowed, got.RetryAfter, want.Allowed, want.RetryAfter)
			}
			wait = got.RetryAfter
			if got.Allowed {
				admitted = append(admitted, got)
			}
		}
	}
}

// model is the rule itself: every admission there ever was, counted.
type model struct {
	epoch time.Time
	times []time.Duration
}

func (m *model) allow(clock time.Time, limit ratelimit.Limit) ratelimit.Decision {
	now := clock.Sub(m.epoch)
	at := now
	if len(m.times) > 0 {
		at = max(now, m.times[len(m.times)-1])
	}
	inWindow := 0
	for _, t := range m.times {
		if at-t < limit.Window {
			inWindow++
		}
	}
	if inWindow < limit.Count {
		m.times = append(m.times, at)
		return ratelimit.Decision{Allowed: true}
	}
	return ratelimit.Decision{RetryAfter: m.times[len(m.times)-limit.Count] + limit.Window - now}
}

func randomLimit(rnd *rand.Rand, tick time.Duration) ratelimit.Limit {
	counts := []int{1, 2, 3, 8, 9, 20, 64}
	windows := []time.Duration{ratelimit.MinWindow, time.Second, 10 * time.Minute, 24 * time.Hour}
	w := windows[rnd.IntN(len(windows))]
	return ratelimit.Limit{
		Count:  counts[rnd.IntN(len(counts))],
		Window: w + tick*time.Duration(rnd.Int64N(int64(w/tick))),
	}
}

// randomStep is how far the clock goes before a call: not at all, by one tick,
// by a share of the window, to the edge of what was refused, or past it all.
func randomStep(rnd *rand.Rand, limit ratelimit.Limit, wait, tick time.Duration) time.Duration {
	switch n := rnd.IntN(20); {
	case n < 8:
		return 0
	case n < 10:
		return tick
	case n < 15:
		return tick * time.Duration(rnd.Int64N(2*int64(limit.Window/tick)/int64(limit.Count)+1))
	case n < 17 && wait > 0:
		return wait - tick
	case n < 19 && wait > 0:
		return wait
	default:
		return limit.Window
	}
}
