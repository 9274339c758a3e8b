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

	// State is everything that the store holds on key, in any form. Nil means
	// that it cannot be seen; P5 then goes by later decisions alone.
	State func(key string) string

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

// run is one Target under test.
type run struct {
	*testing.T
	Target
}

func (r run) allow(key string, limit ratelimit.Limit) ratelimit.Decision {
	r.Helper()
	d, err := r.Limiter.AllowN(r.Context(), key, limit, 1)
	if err != nil {
		r.Fatalf("Allow(%q, %v): %v", key, limit, err)
	}
	switch {
	case d.Allowed && d.RetryAfter != 0:
		r.Fatalf("admitted with RetryAfter %v", d.RetryAfter)
	case !d.Allowed && d.RetryAfter <= 0:
		r.Fatalf("P4: refused with RetryAfter %v", d.RetryAfter)
	}
	return d
}

func (r run) admits(key string, limit ratelimit.Limit, rule string) ratelimit.Decision {
	r.Helper()
	d := r.allow(key, limit)
	if !d.Allowed {
		r.Fatalf("%s: refused for %v, want admitted", rule, d.RetryAfter)
	}
	return d
}

func (r run) refuses(key string, limit ratelimit.Limit, wait time.Duration, rule string) {
	r.Helper()
	d := r.allow(key, limit)
	if d.Allowed {
		r.Fatalf("%s: admitted, want refused for %v", rule, wait)
	}
	if d.RetryAfter != wait {
		r.Fatalf("%s: refused for %v, want %v", rule, d.RetryAfter, wait)
	}
}

func (r run) refund(key string, limit ratelimit.Limit, d ratelimit.Decision) {
	r.Helper()
	if err := r.Limiter.Refund(r.Context(), key, limit, d); err != nil {
		r.Fatalf("Refund: %v", err)
	}
}
