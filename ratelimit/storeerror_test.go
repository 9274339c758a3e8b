package ratelimit_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
)

// failing is a Limiter that fails on demand, in front of a Memory.
type failing struct {
	*ratelimit.Memory
	mu        sync.Mutex
	err       error
	refundErr error
	keys      []string
	onAllow   func()
}

func (f *failing) AllowN(ctx context.Context, key string, limit ratelimit.Limit, cost int) (ratelimit.Decision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys = append(f.keys, key)
	if f.onAllow != nil {
		f.onAllow()
	}
	if f.err != nil {
		return ratelimit.Decision{}, f.err
	}
	if err := ctx.Err(); err != nil {
		return ratelimit.Decision{}, err
	}
	return f.Memory.AllowN(ctx, key, limit, cost)
}

func (f *failing) Refund(ctx context.Context, key string, limit ratelimit.Limit, d ratelimit.Decision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := errors.Join(ctx.Err(), f.refundErr); err != nil {
		return err
	}
	return f.Memory.Refund(ctx, key, limit, d)
}

var errDown = errors.New("the store is down")

func newFailing(tb testing.TB) *failing {
	tb.Helper()
	return &failing{Memory: newMemory(tb, ratelimit.MemoryConfig{})}
}

func TestDenyOnStoreErrorAnswers503(t *testing.T) {
	f := newFailing(t)
	cfg := one(policy(func(p *ratelimit.Policy) { p.OnStoreError = ratelimit.Deny }))
	cfg.Limiter = f
	a := newApp(t, cfg)
	a.want(200, 1)
	f.err = errDown
	resp := a.do(login())
	var body map[string]string
	_ = json.NewDecoder(resp.Body).Decode(&body)
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" || resp.Header.Get("Cache-Control") != "no-store" ||
		body["error"] != "rate_limiter_unavailable" {
		t.Errorf("status %d, headers %v, body %v", resp.StatusCode, resp.Header, body)
	}
	if diff := cmp.Diff([]string{"auth store_error", " degraded", "auth unavailable"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	if !errors.Is(a.told()[0].Cause, errDown) {
		t.Errorf("cause %v", a.told()[0].Cause)
	}
}

func TestStoreErrorOfOnePolicyReleasesTheOthers(t *testing.T) {
	f := newFailing(t)
	f.onAllow = func() {
		f.err = nil
		if len(f.keys)%2 == 0 {
			f.err = errDown
		}
	}
	second := keyed("second", 5, "ip")
	second.OnStoreError = ratelimit.Deny
	cfg := one(keyed("first", 1, "ip"), second)
	cfg.Limiter = f
	a := newApp(t, cfg)
	a.want(503, 5)
	if diff := cmp.Diff([]string{"second store_error", "first released", "second unavailable"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	f.refundErr = errDown
	a.want(503, 1)
	if diff := cmp.Diff([]string{"second store_error", "first store_error", "first released", "second unavailable"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	a.want(429, 1) // what could not be given back stays counted
}

func TestAllowOnStoreErrorPasses(t *testing.T) {
	f := newFailing(t)
	cfg := one(policy(func(p *ratelimit.Policy) { p.OnStoreError = ratelimit.Pass }))
	cfg.Limiter, f.err = f, errDown
	a := newApp(t, cfg)
	a.want(200, 20)
	if diff := cmp.Diff([]string{"auth store_error", "auth allowed"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	f.err = nil
	a.want(200, 8)
	a.want(429, 1)
}

func TestLocalStartsWarmAndFlappingGrantsNothing(t *testing.T) {
	f := newFailing(t)
	cfg := one(ratelimit.AuthPolicy())
	cfg.Limiter = f
	a := newApp(t, cfg)
	passed := 0
	for i := range 60 {
		f.err = nil
		if i%2 == 1 {
			f.err = errDown
		}
		if a.do(login()).StatusCode == 200 {
			passed++
		}
	}
	// The store admits 8. Locally there is no room beyond what both admitted by
	// then: 4 of each, and then the store's other 4.
	if passed != 12 {
		t.Errorf("passed %d, want 12", passed)
	}
	a.Advance(time.Second) // what the store refused is not remembered any longer
	a.want(429, 1)
	if e := a.told()[len(a.told())-1]; !e.Local {
		t.Errorf("event %+v, want a local one", e)
	}
}

func TestARefundReachesTheFallback(t *testing.T) {
	f := newFailing(t)
	cfg := one(keyed("ip", 2, "ip"), keyed("account", 1, "header:X-Account"))
	cfg.Limiter = f
	a := newApp(t, cfg)
	a.want(200, 1, with("X-Account", "alice"))
	a.want(429, 9, with("X-Account", "alice"))
	f.err = errDown
	a.want(200, 1, with("X-Account", "bob"))
	a.want(429, 1, with("X-Account", "carol"))
	a.want(429, 1, with("X-Account", "bob"))
}

func TestFallbackIsKeptAcrossConfigurations(t *testing.T) {
	f := newFailing(t)
	cfg := one(ratelimit.AuthPolicy())
	cfg.Limiter, cfg.Fallback = f, newMemory(t, ratelimit.MemoryConfig{})
	newApp(t, cfg).want(200, 8)
	f.err = errDown
	newApp(t, cfg).want(429, 1)
}

func TestACanceledRequestIsNoStoreErrorAndIsNotServed(t *testing.T) {
	f := newFailing(t)
	cfg := one(keyed("first", 1, "ip"), keyed("second", 1, "ip"))
	cfg.Limiter = f
	a := newApp(t, cfg)
	ctx, cancel := context.WithCancelCause(t.Context())
	f.onAllow = func() {
		if len(f.keys) == 2 {
			cancel(errors.New("client gone"))
		}
	}
	if got := a.do(login().WithContext(ctx)).StatusCode; got != 503 {
		t.Errorf("status %d", got)
	}
	if diff := cmp.Diff([]string{"first released", "second canceled"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	a.want(200, 1) // what the first reserved was given back
	a.want(429, 1)
}
