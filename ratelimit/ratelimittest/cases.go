package ratelimittest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// The cases that hold for every algorithm.

func bucketEdge(r run) {
	limit := r.per(8, 10*time.Minute)
	r.Advance(9*time.Minute + 50*time.Second)
	for range 8 {
		r.admits("k", limit, "P2")
	}
	r.Advance(10 * time.Second)
	for range 8 {
		wait := r.isFull("k", limit, "P1")
		if least := r.longest(limit) / 8; wait < least-10*time.Second-r.Slack {
			r.Fatalf("P1: refused for no more than %v", wait)
		}
	}
}

// burstThenSteady calls as often as the limit is at once, and then once in each
// part of the window that one has: GCRA admits that as well.
func burstThenSteady(r run) {
	const count = 8
	limit := r.per(count, 10*time.Minute)
	admitted := 0
	for range count {
		r.admits("k", limit, "P2")
		admitted++
	}
	for range count - 1 {
		r.Advance(limit.Window/count + r.Slack)
		if r.allow("k", limit).Allowed {
			admitted++
		}
	}
	want := count
	if r.algorithm == ratelimit.GCRA {
		want = 2*count - 1
	}
	if admitted != want {
		r.Fatalf("P1: %d admitted within the window, want %d", admitted, want)
	}
}

func exactWait(r run) {
	rnd := random(r.T)
	refused := 0
	for i := range 60 {
		key := fmt.Sprint("k", i)
		limit := r.per(1+rnd.IntN(20), time.Duration(1+rnd.Int64N(int64(time.Hour/time.Second)))*time.Second)
		for range limit.Count {
			if !r.allow(key, limit).Allowed {
				r.Fatal("P2: refused within the limit")
			}
			r.Advance(r.Tick * time.Duration(rnd.Int64N(int64(limit.Window/r.Tick)/int64(limit.Count)+1)))
		}
		cost := 1 + rnd.IntN(limit.Count)
		d := r.allowN(key, limit, cost)
		if d.Allowed || d.RetryAfter <= r.Tick+r.Slack {
			continue // there is room again by now
		}
		refused++
		r.Advance(d.RetryAfter - r.Tick - r.Slack)
		r.refusesN(key, limit, cost, r.Tick+r.Slack, "P3")
		r.Advance(r.Tick + r.Slack)
		r.admitsN(key, limit, cost, "P3")
	}
	if refused < 10 {
		r.Errorf("only %d refusals", refused)
	}
}

func (r run) state(key string) string {
	if r.State == nil {
		return ""
	}
	return r.State(key)
}

func refusalWritesNothing(r run) {
	limit := r.per(2, time.Minute)
	r.admits("k", limit, "P2")
	r.admits("k", limit, "P2")
	r.Advance(time.Second)
	wait := r.isFull("k", limit, "P1")
	state := r.state("k")
	step := (wait / 50).Truncate(r.Tick)
	for range 40 {
		r.Advance(step)
		wait -= step
		r.refuses("k", limit, wait, "P5")
		r.allowN("k", limit, 2)
	}
	if now := r.state("k"); now != state {
		r.Fatalf("P5: refusals changed the store\nfrom %s\nto   %s", state, now)
	}
	r.Advance(wait + r.Slack)
	r.admits("k", limit, "P5")
}

func keysEnd(r run) {
	if r.Ends == nil {
		r.Skip("the store cannot tell which keys end by themselves")
	}
	limit := r.per(5, time.Minute)
	ends := func(after string) {
		if !r.Ends("k") {
			r.Fatalf("P8: after %s the key has no end", after)
		}
	}
	r.refund("k", limit, ratelimit.Decision{Allowed: true, Token: 1})
	ends("a refund of nothing")
	d := r.admits("k", limit, "P2")
	ends("the first admission")
	r.Advance(time.Second)
	two := r.admitsN("k", limit, 2, "P2")
	ends("a cost of 2")
	r.refund("k", limit, d)
	ends("a refund")
	for r.allow("k", limit).Allowed {
		ends("an admission")
	}
	ends("a refusal")
	r.refund("k", limit, two)
	ends("another refund")
	r.Advance(-2 * time.Second)
	r.allow("k", limit)
	ends("a backward step")
	r.Advance(2 * r.longest(limit))
	r.allow("k", r.per(3, time.Hour))
	ends("a change of the limit")
	r.reset("k")
	ends("a reset")
}

func limitOfOne(r run) {
	limit := r.per(1, time.Minute)
	for range 3 {
		r.admits("k", limit, "P9")
		wait := r.isFull("k", limit, "P9")
		if wait < limit.Window-r.Slack || wait > r.longest(limit) {
			r.Fatalf("P9: refused for %v", wait)
		}
		r.Advance(wait)
	}
}

func forgottenScripts(r run) {
	if r.ForgetScripts == nil {
		r.Skip("the store has no scripts")
	}
	limit := r.per(4, time.Minute)
	var last ratelimit.Decision
	for range 4 {
		r.ForgetScripts()
		last = r.admits("k", limit, "P10")
	}
	r.ForgetScripts()
	r.isFull("k", limit, "P10")
	r.ForgetScripts()
	r.refund("k", limit, last)
	r.ForgetScripts()
	r.admits("k", limit, "P10")
	r.ForgetScripts()
	r.isFull("k", limit, "P10")
}

func concurrent(r run) { r.crowd(func(int) int { return 1 }) }

func concurrentCosts(r run) { r.crowd(func(i int) int { return 1 + i%3 }) }

// crowd makes 2,000 calls at once, of the cost that their number gives.
func (r run) crowd(cost func(int) int) {
	const calls, workers = 2000, 200
	limit := r.per(100, time.Hour)
	var admitted atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range workers {
		wg.Go(func() {
			<-start
			for i := range calls / workers {
				n := cost(i)
				d, err := r.Limiter.AllowN(r.Context(), "k", limit, n)
				if err != nil {
					r.Errorf("AllowN: %v", err)
					return
				}
				if d.Allowed {
					admitted.Add(int64(n))
				}
			}
		})
	}
	close(start)
	wg.Wait()
	if n := admitted.Load(); n != 100 {
		r.Errorf("P11: admitted %d, want 100", n)
	}
}

func wholeCost(r run) {
	limit := r.per(5, time.Minute)
	r.admitsN("k", limit, 5, "whole")
	wait := r.isFull("k", limit, "whole")
	r.Advance(wait - r.Tick - r.Slack)
	r.refuses("k", limit, r.Tick+r.Slack, "whole")
	r.Advance(r.Tick + r.Slack)
	r.admits("k", limit, "whole")

	r.admits("l", limit, "P2")
	if r.allowN("l", limit, 5).Allowed {
		r.Fatal("P1: one and five admitted of five")
	}
	r.admitsN("l", limit, 4, "the refusal took nothing")
	r.isFull("l", limit, "one and four are five")
}

func impossibleCost(r run) {
	limit := r.per(5, time.Minute)
	before := r.state("k")
	r.allowN("k", limit, 6) // wants a refusal for ever
	r.allowN("k", limit, ratelimit.MaxLargeCount+1)
	if now := r.state("k"); now != before {
		r.Fatalf("a cost above the limit changed the store\nfrom %s\nto   %s", before, now)
	}
	r.admitsN("k", limit, 5, "nothing is there")
	r.isFull("k", limit, "P1")
	r.allowN("k", limit, 6)
	if r.algorithm == ratelimit.GCRA {
		limit.Burst = 2
		r.allowN("l", limit, 3)
		r.admitsN("l", limit, 2, "nothing is there")
	}
}

func refundOne(r run) {
	limit := r.per(6, time.Minute)
	r.admits("k", limit, "P2")
	two := r.admitsN("k", limit, 2, "P2")
	one := r.admits("k", limit, "P2")
	r.admitsN("k", limit, 2, "P2")
	r.isFull("k", limit, "P1")
	r.refund("k", limit, one)
	r.admits("k", limit, "refund")
	r.isFull("k", limit, "refund of one")
	r.refund("k", limit, two)
	r.admits("k", limit, "refund")
	r.admits("k", limit, "refund")
	r.isFull("k", limit, "refund of two")
}

func refundNothing(r run) {
	limit := r.per(1, time.Minute)
	r.refund("unknown", limit, ratelimit.Decision{Allowed: true, Token: 1})
	r.admits("unknown", limit, "P2")
	r.isFull("unknown", limit, "refund of an unknown key")
	old := r.admits("k", limit, "P2")
	r.refund("k", limit, ratelimit.Decision{RetryAfter: time.Second, Token: old.Token})
	wait := r.isFull("k", limit, "refund of a refusal")
	if r.algorithm == ratelimit.GCRA {
		return // a store need not tell what was earned back
	}
	r.Advance(wait)
	r.admits("k", limit, "P3")
	r.refund("k", limit, old)
	r.isFull("k", limit, "refund of what has left the window")
}

// refundAfterReset gives back what was under way when the key was reset.
func refundAfterReset(r run) {
	limit := r.per(8, 10*time.Minute)
	var before, since []ratelimit.Decision
	for range 8 {
		before = append(before, r.admits("k", limit, "P2"))
	}
	r.reset("k")
	r.Advance(r.Tick)
	for range 8 {
		since = append(since, r.admits("k", limit, "reset"))
	}
	for _, d := range before {
		r.refund("k", limit, d)
		r.isFull("k", limit, "a refund of what was admitted before the reset")
	}
	for _, d := range since {
		r.refund("k", limit, d)
		r.admits("k", limit, "a refund of what was admitted since")
		r.isFull("k", limit, "a refund of what was admitted since")
	}
}

func resetForgets(r run) {
	limit := r.per(3, time.Minute)
	r.reset("k")
	for range 3 {
		r.admits("k", limit, "P2")
		r.admits("l", limit, "P2")
	}
	r.reset("m")
	empty := r.state("m")
	r.isFull("k", limit, "P1")
	r.reset("k")
	if now := r.state("k"); now != empty {
		r.Fatalf("the store still holds %s", now)
	}
	r.admitsN("k", limit, 3, "reset")
	r.isFull("k", limit, "after a reset")
	r.isFull("l", limit, "another key was reset")
}

func otherAlgorithm(r run) {
	limit := r.per(3, time.Minute)
	r.admitsN("k", limit, 3, "P2")
	r.isFull("k", limit, "P1")
	for _, other := range []ratelimit.Algorithm{ratelimit.SlidingWindow, ratelimit.SlidingCounter, ratelimit.GCRA} {
		if other != r.algorithm {
			limit.Algorithm = other
			r.admitsN("k", limit, 3, "another algorithm")
			r.isFull("k", limit, "another algorithm")
		}
	}
	r.reset("k")
	limit.Algorithm = r.algorithm
	r.admitsN("k", limit, 3, "reset, whatever the algorithm")
}

func keysApart(r run) {
	limit := r.per(1, time.Minute)
	for i := range 100 {
		r.admits(fmt.Sprint("k", i), limit, "P2")
	}
	for i := range 100 {
		r.isFull(fmt.Sprint("k", i), limit, "P1")
	}
}

func badLimits(r run) {
	tier := ratelimit.Tier{Count: 2, Window: time.Hour, Block: time.Hour}
	good := ratelimit.Limit{Count: 1, Window: time.Minute}
	with := func(change func(l *ratelimit.Limit)) ratelimit.Limit {
		l := good
		change(&l)
		return l
	}
	for _, limit := range []ratelimit.Limit{
		{},
		r.per(0, time.Minute), r.per(-1, time.Minute), r.per(ratelimit.MaxCount+1, time.Minute),
		r.per(1, 0), r.per(1, -time.Second), r.per(1, ratelimit.MinWindow-1), r.per(1, ratelimit.MaxWindow+1),
		with(func(l *ratelimit.Limit) { l.Algorithm = "fixed_window" }),
		with(func(l *ratelimit.Limit) { l.Burst = 1 }),
		with(func(l *ratelimit.Limit) { l.Algorithm, l.Burst = ratelimit.SlidingCounter, 1 }),
		with(func(l *ratelimit.Limit) { l.Algorithm, l.Burst = ratelimit.GCRA, -1 }),
		with(func(l *ratelimit.Limit) { l.Algorithm, l.Burst = ratelimit.GCRA, ratelimit.MaxLargeCount }),
		with(func(l *ratelimit.Limit) { l.Algorithm, l.Count = ratelimit.GCRA, ratelimit.MaxLargeCount+1 }),
		with(func(l *ratelimit.Limit) { l.Algorithm, l.Count = ratelimit.SlidingCounter, ratelimit.MaxLargeCount+1 }),
		with(func(l *ratelimit.Limit) {
			l.Algorithm, l.Lockout = ratelimit.GCRA, &ratelimit.Lockout{Tiers: []ratelimit.Tier{tier}}
		}),
		with(func(l *ratelimit.Limit) { l.Count, l.Lockout = 3, &ratelimit.Lockout{Tiers: []ratelimit.Tier{tier}} }),
		with(func(l *ratelimit.Limit) { l.Lockout = &ratelimit.Lockout{Tiers: []ratelimit.Tier{tier, tier}} }),
	} {
		_, err := r.Limiter.AllowN(r.Context(), "k", limit, 1)
		if _, ok := errors.AsType[*ratelimit.ConfigError](err); !ok {
			r.Errorf("AllowN with %v: error %v, want a *ConfigError", limit, err)
		}
	}
	for _, cost := range []int{0, -1} {
		_, err := r.Limiter.AllowN(r.Context(), "k", good, cost)
		if _, ok := errors.AsType[*ratelimit.ConfigError](err); !ok {
			r.Errorf("AllowN of %d: error %v, want a *ConfigError", cost, err)
		}
	}
	r.admits("k", r.per(ratelimit.MaxCount, ratelimit.MinWindow), "bounds")
	r.admits("l", r.per(1, ratelimit.MaxWindow), "bounds")
	r.refuses("l", r.per(1, ratelimit.MaxWindow), ratelimit.MaxWindow, "bounds")
}
