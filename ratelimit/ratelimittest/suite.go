package ratelimittest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// Run checks every rule. Each case opens a Target of its own.
func Run(t *testing.T, open func(t *testing.T) Target) {
	for _, c := range []struct {
		name string
		test func(run)
	}{
		{"P1 no window holds more than the limit whatever the schedule", windows},
		{"P1 P2 P3 P9 every decision is that of the model, with refunds", refundModel},
		{"P1 P2 P3 P7 P9 every decision is that of the model, with backward steps", backwardModel},
		{"P1 eight at the end of a fixed bucket leave none for the next", bucketEdge},
		{"P3 the wait is exact to one tick", exactWait},
		{"P5 a refusal writes nothing", refusalWritesNothing},
		{"P6 age exactly the window admits and is recorded", exactAge},
		{"P7 a backward step neither admits more nor blocks beyond window plus step", backwardStep},
		{"P9 a limit of one admits one", limitOfOne},
		{"P9 a limit raised or lowered counts what is there", liveChange},
		{"a refund makes room for exactly one", refundOne},
		{"a refund of what is not recorded changes nothing", refundNothing},
		{"keys do not touch each other", keysApart},
		{"a limit out of bounds is a ConfigError", badLimits},
		{"P10 scripts forgotten in the middle change nothing", forgottenScripts},
		{"P11 2000 concurrent calls at 100 admit 100", concurrent},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(run{t, open(t)}) })
	}
}

func per(count int, window time.Duration) ratelimit.Limit {
	return ratelimit.Limit{Count: count, Window: window}
}

func bucketEdge(r run) {
	limit := per(8, 10*time.Minute)
	r.Advance(9*time.Minute + 50*time.Second)
	for range 8 {
		r.admits("k", limit, "P2")
	}
	r.Advance(10 * time.Second)
	for range 8 {
		r.refuses("k", limit, 9*time.Minute+50*time.Second, "P1")
	}
}

func exactWait(r run) {
	rnd := random(r.T)
	for i := range 30 {
		key := fmt.Sprint("k", i)
		limit := per(1+rnd.IntN(20), time.Duration(1+rnd.Int64N(int64(time.Hour/time.Second)))*time.Second)
		for range limit.Count {
			r.admits(key, limit, "P2")
			r.Advance(r.Tick * time.Duration(rnd.Int64N(int64(limit.Window/r.Tick)/int64(limit.Count)+1)))
		}
		d := r.allow(key, limit)
		if d.Allowed {
			continue // the first has left the window by now
		}
		r.Advance(d.RetryAfter - r.Tick)
		r.refuses(key, limit, r.Tick, "P3")
		r.Advance(r.Tick)
		r.admits(key, limit, "P3")
	}
}

func refusalWritesNothing(r run) {
	limit := per(2, time.Minute)
	r.admits("k", limit, "P2")
	r.Advance(time.Second)
	r.admits("k", limit, "P2")
	state := ""
	if r.State != nil {
		state = r.State("k")
	}
	for range 50 {
		r.Advance(time.Second)
		if r.allow("k", limit).Allowed {
			r.Fatal("P1: admitted a third in the window")
		}
	}
	if r.State != nil && r.State("k") != state {
		r.Fatalf("P5: refusals changed the store\nfrom %s\nto   %s", state, r.State("k"))
	}
	r.Advance(9 * time.Second)
	r.admits("k", limit, "P5")
	r.refuses("k", limit, time.Second, "P5")
}

func exactAge(r run) {
	limit := per(2, time.Minute)
	r.admits("k", limit, "P2")
	r.admits("k", limit, "P2")
	r.Advance(time.Minute)
	r.admits("k", limit, "P6")
	r.admits("k", limit, "P6")
	r.refuses("k", limit, time.Minute, "P6")
}

func backwardStep(r run) {
	const step = 5 * time.Second
	limit := per(3, time.Minute)
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

func limitOfOne(r run) {
	limit := per(1, time.Minute)
	for range 3 {
		r.admits("k", limit, "P9")
		r.refuses("k", limit, time.Minute, "P9")
		r.Advance(time.Minute)
	}
}

func liveChange(r run) {
	three, five, two := per(3, time.Minute), per(5, time.Minute), per(2, time.Minute)
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

func refundOne(r run) {
	limit := per(3, time.Minute)
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

func refundNothing(r run) {
	limit := per(1, time.Minute)
	r.refund("unknown", limit, ratelimit.Decision{Allowed: true, Token: 1})
	old := r.admits("k", limit, "P2")
	r.refund("k", limit, ratelimit.Decision{RetryAfter: time.Second, Token: old.Token})
	r.refuses("k", limit, time.Minute, "refund of a refusal")
	r.Advance(time.Minute)
	r.admits("k", limit, "P6")
	r.refund("k", limit, old)
	r.refuses("k", limit, time.Minute, "refund of what has left the list")
}

func keysApart(r run) {
	limit := per(1, time.Minute)
	for i := range 100 {
		r.admits(fmt.Sprint("k", i), limit, "P2")
	}
	for i := range 100 {
		r.refuses(fmt.Sprint("k", i), limit, time.Minute, "P1")
	}
}

func badLimits(r run) {
	for _, limit := range []ratelimit.Limit{
		{},
		per(0, time.Minute), per(-1, time.Minute), per(ratelimit.MaxCount+1, time.Minute),
		per(1, 0), per(1, -time.Second), per(1, ratelimit.MinWindow-1), per(1, ratelimit.MaxWindow+1),
	} {
		_, err := r.Limiter.AllowN(r.Context(), "k", limit, 1)
		if _, ok := errors.AsType[*ratelimit.ConfigError](err); !ok {
			r.Errorf("Allow with %v: error %v, want a *ConfigError", limit, err)
		}
	}
	r.admits("k", per(ratelimit.MaxCount, ratelimit.MinWindow), "bounds")
	r.admits("l", per(1, ratelimit.MaxWindow), "bounds")
	r.refuses("l", per(1, ratelimit.MaxWindow), ratelimit.MaxWindow, "bounds")
}

func forgottenScripts(r run) {
	if r.ForgetScripts == nil {
		r.Skip("the store has no scripts")
	}
	limit := per(4, time.Minute)
	for range 4 {
		r.ForgetScripts()
		r.admits("k", limit, "P10")
	}
	r.ForgetScripts()
	r.refuses("k", limit, time.Minute, "P10")
}

func concurrent(r run) {
	const calls, workers = 2000, 200
	limit := per(100, time.Hour)
	var admitted atomic.Int64
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range workers {
		wg.Go(func() {
			<-start
			for range calls / workers {
				d, err := r.Limiter.AllowN(r.Context(), "k", limit, 1)
				if err != nil {
					r.Errorf("Allow: %v", err)
					return
				}
				if d.Allowed {
					admitted.Add(1)
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
