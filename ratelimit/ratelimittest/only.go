package ratelimittest

import (
	"fmt"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// The cases that hold for one algorithm, or for the two windows.

func exactAge(r run) {
	limit := r.per(2, time.Minute)
	r.admits("k", limit, "P2")
	r.admits("k", limit, "P2")
	r.Advance(time.Minute)
	r.admits("k", limit, "P6")
	r.admits("k", limit, "P6")
	r.refuses("k", limit, time.Minute, "P6")
}

func backwardStep(r run) {
	const step = 5 * time.Second
	limit := r.per(3, time.Minute)
	for range 2 {
		r.admits("k", limit, "P2")
	}
	r.Advance(-step)
	r.admits("k", limit, "P7") // the third is free, and counts from when time stood still
	r.refuses("k", limit, time.Minute+step, "P7")
	r.Advance(time.Minute + step - r.Tick)
	r.refuses("k", limit, r.Tick, "P7")
	r.Advance(r.Tick)
	for range 3 {
		r.admits("k", limit, "P7")
	}
	r.refuses("k", limit, time.Minute, "P7")
}

func liveChange(r run) {
	three, five, two := r.per(3, time.Minute), r.per(5, time.Minute), r.per(2, time.Minute)
	for range 3 {
		r.admits("k", three, "P2")
		r.Advance(time.Second)
	}
	r.refuses("k", three, 57*time.Second, "P9")
	r.admits("k", five, "P9 raised") // ages 3 2 1
	r.Advance(time.Second)
	r.admits("k", five, "P9 raised")
	r.refuses("k", five, 56*time.Second, "P9 raised")
	r.refuses("k", two, 59*time.Second, "P9 lowered") // the second newest is 1 s old
	r.Advance(58 * time.Second)                       // ages 62 61 60 59 58
	r.refuses("k", two, time.Second, "P9 lowered")
	r.admits("k", three, "P9 raised again")
	r.refuses("k", three, time.Second, "P9 raised again")
}

// windowChange changes the window in the middle. What the one before need not
// keep does not count; what it had to keep does.
func windowChange(r run) {
	rnd := random(r.T)
	for i := range schedules {
		key := fmt.Sprint("k", i)
		limit := r.randomLimit(rnd)
		first := limit.Window
		var calls []call
		var known, extra, wait time.Duration
		for range steps {
			r.Advance(r.randomStep(rnd, limit, wait))
			if rnd.IntN(16) == 0 {
				known = max(known, r.now()-limit.Window)
				extra += r.part(limit)
				limit.Window = first/4 + r.Tick*time.Duration(rnd.Int64N(2*int64(first/r.Tick)))
				limit.Window = max(limit.Window.Truncate(r.Tick), ratelimit.MinWindow)
			}
			cost := min(randomCost(rnd, limit), limit.Capacity())
			got := r.allowN(key, limit, cost)
			wait = got.RetryAfter
			if got.Allowed {
				calls = append(calls, call{r.now(), cost})
				if n := within(calls, r.now(), min(limit.Window, r.now()-known)); n > limit.Count {
					r.Fatalf("P1: %d admissions within %v under %v", n, limit.Window, limit)
				}
				continue
			}
			window := limit.Window
			if r.algorithm == ratelimit.SlidingCounter {
				window += extra + r.part(limit)
			}
			if n := within(calls, r.now(), window); n+cost <= limit.Count {
				r.Fatalf("P2: a cost of %d refused with %d in the last %v under %v", cost, n, window, limit)
			}
		}
	}
}

func refundOwn(r run) {
	limit := r.per(3, time.Minute)
	r.admits("k", limit, "P2")
	r.Advance(time.Second)
	d := r.admits("k", limit, "P2")
	r.Advance(time.Second)
	r.admits("k", limit, "P2")
	r.refund("k", limit, d)
	r.admits("k", limit, "refund")
	r.refuses("k", limit, 58*time.Second, "refund")
	r.Advance(58 * time.Second)
	r.admits("k", limit, "refund")
	r.refuses("k", limit, 2*time.Second, "refund")
}

// lockoutEscalates fails in the rhythm of one who waits for every block to end.
func lockoutEscalates(r run) {
	limit := r.per(3, time.Minute)
	limit.Lockout = &ratelimit.Lockout{Tiers: []ratelimit.Tier{
		{Count: 5, Window: time.Hour, Block: 15 * time.Minute},
		{Count: 7, Window: 2 * time.Hour, Block: 24 * time.Hour},
	}}
	for range 3 {
		r.admits("k", limit, "P2")
	}
	r.refuses("k", limit, time.Minute, "the limit itself")
	r.Advance(time.Minute)
	r.admits("k", limit, "P3")
	last := r.admits("k", limit, "P3")
	r.refuses("k", limit, 15*time.Minute, "the first tier")
	r.refund("k", limit, last)
	r.admits("k", limit, "four of five")
	for range 2 {
		r.refuses("k", limit, 15*time.Minute, "the first tier")
		r.Advance(15*time.Minute - r.Tick)
		r.refuses("k", limit, r.Tick, "the first tier")
		r.Advance(r.Tick)
		r.admits("k", limit, "after the block")
	}
	r.refuses("k", limit, 24*time.Hour, "the second tier")
	r.Advance(24 * time.Hour)
	for range 3 {
		r.admits("k", limit, "what came has left its windows")
	}
	r.refuses("k", limit, time.Minute, "the limit itself")
	r.reset("k")
	r.admitsN("k", limit, 3, "reset")
}

func lockoutsEnd(r run) {
	if r.Ends == nil {
		r.Skip("the store cannot tell which keys end by themselves")
	}
	limit := r.per(1, time.Minute)
	limit.Lockout = &ratelimit.Lockout{Tiers: []ratelimit.Tier{{Count: 2, Window: time.Hour, Block: 24 * time.Hour}}}
	r.admits("k", limit, "P2")
	r.Advance(time.Minute)
	d := r.admits("k", limit, "P3")
	if !r.Ends("k") {
		r.Fatal("P8: the key has no end")
	}
	r.refund("k", limit, d)
	if !r.Ends("k") {
		r.Fatal("P8: after a refund the key has no end")
	}
	r.Advance(59*time.Minute - r.Tick)
	r.admits("k", limit, "P2")
	r.refuses("k", limit, 24*time.Hour, "the first of the two is kept for as long as it matters")
}

// partAge: what comes at the beginning of a part counts for all of it, what
// comes at its end for one tick more than the window.
func partAge(r run) {
	limit := r.per(2, time.Minute)
	part := r.part(limit)
	toNext := func() { r.Advance(r.partEnd(r.now(), limit) - r.now()) }
	toNext()
	r.admitsN("k", limit, 2, "P2")
	r.refuses("k", limit, limit.Window+part, "P6 at the beginning of a part")
	r.Advance(limit.Window + part)
	r.admitsN("k", limit, 2, "P6")
	toNext()
	r.Advance(-r.Tick)
	r.admitsN("l", limit, 2, "P2")
	r.refuses("l", limit, limit.Window+r.Tick, "P6 at the end of a part")
	r.Advance(limit.Window + r.Tick)
	r.admitsN("l", limit, 2, "P6")
}

func counterStep(r run) {
	limit := r.per(3, time.Minute)
	end := r.partEnd(r.now(), limit) + limit.Window
	for range 2 {
		r.admits("k", limit, "P2")
	}
	r.Advance(-5 * time.Second)
	r.admits("k", limit, "P7") // the third is free, and counts from when time stood still
	r.refuses("k", limit, end-r.now(), "P7")
	r.Advance(end - r.now() - r.Tick)
	r.refuses("k", limit, r.Tick, "P7")
	r.Advance(r.Tick)
	r.admitsN("k", limit, 3, "P7")
}

// tightBound finds the window that holds as much as GCRA lets through.
func tightBound(r run) {
	limit := r.per(6, time.Minute)
	limit.Burst = 4
	r.admitsN("k", limit, 4, "P2")
	admitted := 4
	for range 5 {
		r.Advance(limit.Window/6 + r.Slack)
		r.admits("k", limit, "P6")
		admitted++
		r.isFull("k", limit, "P1")
	}
	if admitted != limit.Burst+limit.Count-1 {
		r.Errorf("%d admitted", admitted)
	}
}

func intervals(r run) {
	limit := r.per(4, time.Minute)
	r.admitsN("k", limit, 4, "P2")
	r.refuses("k", limit, 15*time.Second, "P6")
	r.refusesN("k", limit, 3, 45*time.Second, "P6")
	r.Advance(45*time.Second + r.Slack)
	r.admitsN("k", limit, 3, "P6")
	r.isFull("k", limit, "P6")
	r.Advance(24 * time.Hour) // what is not used is not saved up
	r.admitsN("k", limit, 4, "P6")
	r.isFull("k", limit, "P1")
}
