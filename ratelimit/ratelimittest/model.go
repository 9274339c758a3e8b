package ratelimittest

import (
	"math"
	"slices"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// model is an algorithm in its simplest form. It forgets nothing. Times count
// from Target.Epoch.
type model interface {
	// wait is how long a call has to wait; 0 when it is admitted.
	wait(now time.Duration, limit ratelimit.Limit, cost int) time.Duration
	record(now time.Duration, limit ratelimit.Limit, cost int)

	// refund takes the i-th of the recorded calls out. It reports false, and does
	// nothing, when what that leads to is not laid down: GCRA knows neither what
	// has been earned back nor what an earlier limit made of it.
	refund(now time.Duration, limit ratelimit.Limit, i int) bool
}

const beforeAll = time.Duration(math.MinInt64)

func newModel(r run) model {
	if r.algorithm == ratelimit.GCRA {
		return &bucket{full: beforeAll}
	}
	return &history{run: r}
}

// call is one that was admitted.
type call struct {
	at   time.Duration
	cost int
}

// history is the model of both windows.
type history struct {
	run
	calls []call
}

// end is when a call ceases to count.
func (h *history) end(c call, limit ratelimit.Limit) time.Duration {
	if h.algorithm == ratelimit.SlidingCounter {
		return h.partEnd(c.at, limit) + limit.Window
	}
	return c.at + limit.Window
}

// clock stands still when now is before the newest call.
func (h *history) clock(now time.Duration) time.Duration {
	if len(h.calls) > 0 {
		return max(now, h.newest())
	}
	return now
}

func (h *history) newest() time.Duration { return h.calls[len(h.calls)-1].at }

func (h *history) wait(now time.Duration, limit ratelimit.Limit, cost int) time.Duration {
	until, sum := beforeAll, cost
	for _, c := range slices.Backward(h.calls) {
		if sum += c.cost; sum > limit.Count {
			until = h.end(c, limit)
			break
		}
	}
	if limit.Lockout != nil && len(h.calls) > 0 {
		for _, tier := range limit.Lockout.Tiers {
			sum := cost
			for _, c := range h.calls {
				if h.newest()-c.at < tier.Window {
					sum += c.cost
				}
			}
			if sum > tier.Count {
				until = max(until, h.newest()+tier.Block)
			}
		}
	}
	if h.clock(now) >= until {
		return 0
	}
	return until - now
}

func (h *history) record(now time.Duration, _ ratelimit.Limit, cost int) {
	h.calls = append(h.calls, call{h.clock(now), cost})
}

func (h *history) refund(_ time.Duration, _ ratelimit.Limit, i int) bool {
	h.calls = slices.Delete(h.calls, i, i+1)
	return true
}

// bucket is the model of GCRA: the time at which all is earned back.
type bucket struct {
	full  time.Duration
	calls []earning
}

// earning is a call under a limit, and when it is earned back.
type earning struct {
	cost  int
	limit ratelimit.Limit
	end   time.Duration
}

func earn(limit ratelimit.Limit, n int) time.Duration {
	return limit.Window / time.Duration(limit.Count) * time.Duration(n)
}

func (b *bucket) wait(now time.Duration, limit ratelimit.Limit, cost int) time.Duration {
	full := max(b.full, now) + earn(limit, cost)
	return max(full-earn(limit, limit.Capacity())-now, 0)
}

func (b *bucket) record(now time.Duration, limit ratelimit.Limit, cost int) {
	b.full = max(b.full, now) + earn(limit, cost)
	b.calls = append(b.calls, earning{cost, limit, b.full})
}

func (b *bucket) refund(now time.Duration, limit ratelimit.Limit, i int) bool {
	c := b.calls[i]
	if c.end <= now || c.limit != limit {
		return false
	}
	b.full = max(b.full-earn(limit, c.cost), now)
	b.calls = slices.Delete(b.calls, i, i+1)
	return true
}
