package ratelimittest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// A Target is an empty Limiter on virtual time.
type Target struct {
	Limiter ratelimit.Limiter

	Now     func() time.Time    // the clock that Limiter decides by
	Advance func(time.Duration) // moves it; back when negative
	Tick    time.Duration       // the least difference that it knows

	// Epoch is where the parts of SlidingCounter begin to be numbered. Zero means
	// the time at which the Target was opened.
	Epoch time.Time

	// Slack is by how much the times of GCRA may be off, on account of floating
	// point. A wait may be longer by as much, and never shorter.
	Slack time.Duration

	// State is everything that the store holds on key, in any form. Nil means
	// that it cannot be seen; P5 then goes by later decisions alone.
	State func(key string) string

	// Ends reports whether everything that the store holds on key ends by itself;
	// nothing does. Nil means that P8 does not apply.
	Ends func(key string) bool

	// ForgetScripts makes the store forget its scripts. Nil means it has none.
	ForgetScripts func()
}

// Clock is a virtual clock for a Target. It is safe for concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a Clock that stands at the present time.
func NewClock() *Clock { return &Clock{now: time.Now().Round(0)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock, back when d is negative.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// seedEnv names the environment variable that repeats a random schedule.
const seedEnv = "HANDRAIL_TEST_SEED"

// random returns a source whose seed the test logs.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("%s=%d", seedEnv, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// run is one Target under test by one algorithm.
type run struct {
	*testing.T
	Target
	algorithm ratelimit.Algorithm
}

func newRun(t *testing.T, target Target, algorithm ratelimit.Algorithm) run {
	if target.Epoch.IsZero() {
		target.Epoch = target.Now()
	}
	if algorithm != ratelimit.GCRA {
		target.Slack = 0
	}
	return run{t, target, algorithm}
}

// now is the time since Epoch.
func (r run) now() time.Duration { return r.Now().Sub(r.Epoch) }

func (r run) per(count int, window time.Duration) ratelimit.Limit {
	return ratelimit.Limit{Count: count, Window: window, Algorithm: r.algorithm}
}

// part is how long a part of SlidingCounter is: a CounterBuckets-th of the
// window, rounded up to the tick.
func (r run) part(limit ratelimit.Limit) time.Duration {
	return roundUp(limit.Window, ratelimit.CounterBuckets*r.Tick) / ratelimit.CounterBuckets
}

func roundUp(d, unit time.Duration) time.Duration { return (d + unit - 1).Truncate(unit) }

// partEnd is the end of the part that holds at.
func (r run) partEnd(at time.Duration, limit ratelimit.Limit) time.Duration {
	part := r.part(limit)
	return at + part - (at%part+part)%part
}

// longest is the longest that a call can have to wait.
func (r run) longest(limit ratelimit.Limit) time.Duration {
	switch r.algorithm {
	case ratelimit.SlidingCounter:
		return limit.Window + r.part(limit)
	case ratelimit.GCRA:
		burst := float64(limit.Window) / float64(limit.Count) * float64(limit.Capacity())
		return time.Duration(burst) + 2*r.Tick + r.Slack
	default:
		return limit.Window
	}
}

func (r run) allow(key string, limit ratelimit.Limit) ratelimit.Decision {
	r.Helper()
	return r.allowN(key, limit, 1)
}

func (r run) allowN(key string, limit ratelimit.Limit, cost int) ratelimit.Decision {
	r.Helper()
	d, err := r.Limiter.AllowN(r.Context(), key, limit, cost)
	never := cost > limit.Capacity()
	switch {
	case err != nil:
		r.Fatalf("AllowN(%q, %v, %d): %v", key, limit, cost, err)
	case d.Allowed && never:
		r.Fatalf("admitted a cost of %d under %v", cost, limit)
	case d.Allowed && d.RetryAfter != 0:
		r.Fatalf("admitted with RetryAfter %v", d.RetryAfter)
	case d.Allowed && max(d.Cost, 1) != cost:
		r.Fatalf("admitted a cost of %d as %d", cost, d.Cost)
	case !d.Allowed && d.Cost != 0:
		r.Fatalf("refused with a cost of %d", d.Cost)
	case !d.Allowed && never && d.RetryAfter != 0:
		r.Fatalf("a cost of %d under %v: refused for %v, want for ever", cost, limit, d.RetryAfter)
	case !d.Allowed && !never && d.RetryAfter <= 0:
		r.Fatalf("P4: refused with RetryAfter %v", d.RetryAfter)
	}
	return d
}

func (r run) admits(key string, limit ratelimit.Limit, rule string) ratelimit.Decision {
	r.Helper()
	return r.admitsN(key, limit, 1, rule)
}

func (r run) admitsN(key string, limit ratelimit.Limit, cost int, rule string) ratelimit.Decision {
	r.Helper()
	d := r.allowN(key, limit, cost)
	if !d.Allowed {
		r.Fatalf("%s: cost %d refused for %v, want admitted", rule, cost, d.RetryAfter)
	}
	return d
}

func (r run) refuses(key string, limit ratelimit.Limit, wait time.Duration, rule string) {
	r.Helper()
	r.refusesN(key, limit, 1, wait, rule)
}

func (r run) refusesN(key string, limit ratelimit.Limit, cost int, wait time.Duration, rule string) {
	r.Helper()
	d := r.allowN(key, limit, cost)
	if d.Allowed {
		r.Fatalf("%s: cost %d admitted, want refused for %v", rule, cost, wait)
	}
	if off := (d.RetryAfter - wait).Abs(); off > r.Slack {
		r.Fatalf("%s: cost %d refused for %v, want %v", rule, cost, d.RetryAfter, wait)
	}
}

// isFull wants that not even one is admitted, whatever the wait.
func (r run) isFull(key string, limit ratelimit.Limit, rule string) time.Duration {
	r.Helper()
	d := r.allow(key, limit)
	if d.Allowed {
		r.Fatalf("%s: admitted, want refused", rule)
	}
	return d.RetryAfter
}

func (r run) refund(key string, limit ratelimit.Limit, d ratelimit.Decision) {
	r.Helper()
	if err := r.Limiter.Refund(r.Context(), key, limit, d); err != nil {
		r.Fatalf("Refund: %v", err)
	}
}

func (r run) reset(key string) {
	r.Helper()
	if err := r.Limiter.Reset(r.Context(), key); err != nil {
		r.Fatalf("Reset: %v", err)
	}
}
