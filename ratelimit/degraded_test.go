package ratelimit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

// A store that comes and goes is one disturbance.
func TestAFailingStoreIsToldOncePerChange(t *testing.T) {
	f := newFailing(t)
	clock := ratelimittest.NewClock()
	cached := newCached(t, ratelimit.CachedConfig{Limiter: f, Now: clock.Now})
	cfg := one(policy(func(p *ratelimit.Policy) { p.Limit = 512 }))
	cfg.Limiter = cached
	a := newApp(t, cfg)
	told := func() (n int, last ratelimit.Outcome) {
		for _, e := range a.told() {
			if e.Outcome == ratelimit.Degraded || e.Outcome == ratelimit.Recovered {
				n, last = n+1, e.Outcome
			}
		}
		return n, last
	}
	a.want(200, 1)
	if n, _ := told(); n != 0 {
		t.Error("told of a store that answers")
	}
	f.err = errDown
	a.want(200, 1)
	if n, last := told(); n != 1 || last != ratelimit.Degraded {
		t.Errorf("%d, %s", n, last)
	}
	since, cause := cached.Degraded()
	if !errors.Is(cause, errDown) || time.Since(since) > time.Minute {
		t.Errorf("Degraded: %v, %v", since, cause)
	}
	for range 5 {
		f.err = nil
		a.want(200, 1)
		if n, _ := told(); n != 0 {
			t.Error("told again, though it fails now and then")
		}
		f.err = errDown
		a.want(200, 1)
	}
	f.err = nil
	clock.Advance(5*time.Second - 1)
	a.want(200, 1)
	if n, _ := told(); n != 0 {
		t.Error("recovered before five seconds have passed")
	}
	clock.Advance(1)
	a.want(200, 1)
	if n, last := told(); n != 1 || last != ratelimit.Recovered {
		t.Errorf("after five seconds: %d, %s", n, last)
	}
	if _, cause := cached.Degraded(); cause != nil {
		t.Error("still degraded")
	}
}

// stuck answers when its context ends.
type stuck struct{ *ratelimit.Memory }

func (s stuck) AllowN(ctx context.Context, _ string, _ ratelimit.Limit, _ int) (ratelimit.Decision, error) {
	<-ctx.Done()
	return ratelimit.Decision{}, ctx.Err()
}

func TestAllDecisionsOnARequestShareOneDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := one(keyed("a", 1, "ip"), keyed("b", 1, "ip"), keyed("c", 1, "ip"))
		cfg.Limiter = stuck{newMemory(t, ratelimit.MemoryConfig{})}
		a := newApp(t, cfg)
		start := time.Now()
		a.want(200, 1)
		if took := time.Since(start); took > 90*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for _, e := range a.told() {
			if e.Outcome == ratelimit.Allowed && !e.Local {
				t.Errorf("event %+v, want a local one", e)
			}
		}
	})
}
