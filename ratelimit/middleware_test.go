package ratelimit_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
	"github.com/handrail-go/handrail/ratelimit/ratelimittest"
)

// app counts the requests that reach it, behind a middleware on virtual time.
type app struct {
	*ratelimittest.Clock
	t       *testing.T
	handler http.Handler
	served  int
	events  []ratelimit.Event
}

func newApp(t *testing.T, cfg ratelimit.Config) *app {
	t.Helper()
	a := &app{Clock: ratelimittest.NewClock(), t: t}
	cfg.Now = a.Now
	cfg.OnEvent = func(e ratelimit.Event) { a.events = append(a.events, e) }
	m, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.handler = m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { a.served++ }))
	return a
}

func (a *app) do(r *http.Request) *http.Response {
	a.t.Helper()
	a.events = nil
	served := a.served
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	if passed := w.Code == http.StatusOK; passed != (a.served > served) {
		a.t.Fatalf("status %d, reached the handler: %v", w.Code, a.served > served)
	}
	return w.Result()
}

// want sends n requests made by edit and wants the same status for each.
func (a *app) want(status, n int, edit ...func(*http.Request)) {
	a.t.Helper()
	for i := range n {
		if got := a.do(login(edit...)).StatusCode; got != status {
			a.t.Fatalf("request %d of %d: status %d, want %d", i+1, n, got, status)
		}
	}
}

func (a *app) outcomes() []string {
	var out []string
	for _, e := range a.events {
		out = append(out, e.Policy+" "+string(e.Outcome))
	}
	return out
}

func login(edit ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	r.RemoteAddr = "192.0.2.1:4711"
	for _, e := range edit {
		e(r)
	}
	return r
}

func from(peer string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = peer }
}

func with(name string, values ...string) func(*http.Request) {
	return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
}

func policy(edit ...func(*ratelimit.Policy)) ratelimit.Policy {
	p := ratelimit.AuthPolicy()
	for _, e := range edit {
		e(&p)
	}
	return p
}

func keyed(name string, limit int, key ...string) ratelimit.Policy {
	return ratelimit.Policy{Name: name, Key: key, Limit: limit, Window: time.Minute}
}

func one(p ...ratelimit.Policy) ratelimit.Config { return ratelimit.Config{Policies: p} }

func TestAnswerToTheNinthLogin(t *testing.T) {
	a := newApp(t, one(ratelimit.AuthPolicy()))
	a.want(200, 8)
	a.Advance(100*time.Second + time.Nanosecond)
	resp := a.do(login())
	if resp.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("status %d", resp.StatusCode)
	}
	want := map[string]string{
		"Retry-After":      "500", // 499.999999999 s, rounded up
		"Cache-Control":    "no-store",
		"Content-Type":     "application/json",
		"Ratelimit-Policy": `"auth";q=8;w=600`,
		"Ratelimit":        `"auth";r=0;t=500`,
	}
	got := map[string]string{}
	for name := range want {
		got[name] = resp.Header.Get(name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("headers: -want +got\n%s", diff)
	}
	var body map[string]string
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || !cmp.Equal(body, map[string]string{"error": "rate_limited"}) {
		t.Errorf("body %v, %v", body, err)
	}
	a.Advance(500*time.Second - 2*time.Nanosecond)
	if got := a.do(login()).Header.Get("Retry-After"); got != "1" {
		t.Errorf("one tick before the end: Retry-After %q, want 1", got)
	}
	a.Advance(time.Nanosecond)
	a.want(200, 8)
	a.want(429, 1)
}

func TestProblemJSONWhenAcceptAsksForIt(t *testing.T) {
	a := newApp(t, one(policy(func(p *ratelimit.Policy) { p.Limit = 1 })))
	a.want(200, 1)
	resp := a.do(login(with("Accept", "application/problem+json, */*;q=0.1")))
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 429 || got != "application/problem+json" {
		t.Errorf("status %d, Content-Type %q", resp.StatusCode, got)
	}
}

func TestAdmittedAnswersSayNothingOfLimits(t *testing.T) {
	a := newApp(t, one(ratelimit.AuthPolicy()))
	if h := a.do(login()).Header; len(h) != 0 {
		t.Errorf("headers %v", h)
	}
}

func TestEightAtTheEndOfABucketThenEightMore(t *testing.T) {
	a := newApp(t, one(ratelimit.AuthPolicy()))
	a.Advance(9*time.Minute + 50*time.Second)
	a.want(200, 8)
	a.Advance(10 * time.Second) // where a fixed bucket would begin anew
	a.want(429, 8)
	a.Advance(8*time.Minute + 45*time.Second) // where two weighted buckets let go
	a.want(429, 8)
	a.Advance(65 * time.Second)
	a.want(200, 8)
}

func TestBurstThenSteadyStaysAtTheLimit(t *testing.T) {
	a := newApp(t, one(ratelimit.AuthPolicy()))
	a.want(200, 8)
	for range 7 { // where GCRA with burst 8 lets one in every 75 s
		a.Advance(75 * time.Second)
		a.want(429, 1)
	}
	a.Advance(75 * time.Second)
	a.want(200, 8)
}

func TestOnlyWhatThePolicyMatchesIsCounted(t *testing.T) {
	a := newApp(t, one(policy(func(p *ratelimit.Policy) { p.Limit = 1 })))
	path := func(method, target string) func(*http.Request) {
		return func(r *http.Request) {
			r.Method = method
			r.URL = httptest.NewRequest(method, target, nil).URL
		}
	}
	a.want(200, 3, path("GET", "/login"))
	a.want(200, 3, path("POST", "/loginx"))
	a.want(200, 1, path("POST", "/login"))
	for _, same := range []string{"/login", "/LOGIN", "/login/", "/login;jsessionid=1", "//login", "/./login", "/%6cogin", "/x/../login", "/login?a=1"} {
		a.want(429, 1, path("POST", same))
	}
	a.want(429, 1, path("POST", "/api/v2/auth/login"))
	a.want(429, 1, path("POST", "/api/auth/callback/credentials"))
}

func TestNoPolicyMeansNoLimit(t *testing.T) {
	a := newApp(t, ratelimit.Config{})
	a.want(200, 100)
}

func TestLongestWaitOfTheRefusingPolicies(t *testing.T) {
	a := newApp(t, one(
		ratelimit.Policy{Name: "minute", Limit: 2, Window: time.Minute},
		ratelimit.Policy{Name: "hour", Limit: 2, Window: time.Hour},
		ratelimit.Policy{Name: "day", Limit: 9, Window: 24 * time.Hour},
	))
	a.want(200, 2)
	resp := a.do(login())
	if got := resp.Header.Get("Retry-After"); got != "3600" {
		t.Errorf("Retry-After %q", got)
	}
	if got := resp.Header.Get("Ratelimit"); got != `"minute";r=0;t=60, "hour";r=0;t=3600` {
		t.Errorf("RateLimit %q", got)
	}
	if got := resp.Header.Get("Ratelimit-Policy"); got != `"minute";q=2;w=60, "hour";q=2;w=3600` {
		t.Errorf("RateLimit-Policy %q", got)
	}
	want := []string{"minute denied", "hour denied", "day released"}
	if diff := cmp.Diff(want, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
}

func TestARefusalGivesBackWhatOtherPoliciesReserved(t *testing.T) {
	a := newApp(t, one(keyed("ip", 3, "ip"), keyed("account", 1, "header:X-Account")))
	a.want(200, 1, with("X-Account", "alice"))
	a.want(429, 20, with("X-Account", "alice"))
	a.want(200, 1, with("X-Account", "bob"))
	a.want(200, 1, with("X-Account", "carol"))
	a.want(429, 1, with("X-Account", "dave"))
}

func TestQuotaIsShownForIPAloneNever(t *testing.T) {
	a := newApp(t, one(keyed("account", 1, "header:X-Account"), keyed("both", 1, "ip", "header:X-Account")))
	a.want(200, 1, with("X-Account", "alice"))
	resp := a.do(login(with("X-Account", "alice")))
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "60" {
		t.Fatalf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	for _, name := range []string{"Ratelimit", "Ratelimit-Policy"} {
		if v := resp.Header.Values(name); len(v) > 0 {
			t.Errorf("%s %q", name, v)
		}
	}
}

func TestFixedRetryAfterIsTheWindow(t *testing.T) {
	a := newApp(t, one(policy(func(p *ratelimit.Policy) { p.RetryAfter = ratelimit.RetryFixed })))
	a.want(200, 8)
	a.Advance(5 * time.Minute)
	h := a.do(login()).Header
	if h.Get("Retry-After") != "600" || h.Get("Ratelimit") != `"auth";r=0;t=600` {
		t.Errorf("headers %v", h)
	}
	if e := a.events[0]; e.RetryAfter != 5*time.Minute {
		t.Errorf("event %+v, want the exact wait", e)
	}
}

func TestShadowRefusesNothingAndHoldsNothingBack(t *testing.T) {
	shadow := keyed("watch", 1, "ip")
	shadow.Mode = ratelimit.Shadow
	a := newApp(t, one(shadow, keyed("real", 3, "ip")))
	a.want(200, 1)
	a.want(200, 2)
	if diff := cmp.Diff([]string{"watch shadow_denied", "real allowed"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	resp := a.do(login())
	if resp.StatusCode != 429 || strings.Contains(resp.Header.Get("Ratelimit-Policy"), "watch") {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	a.Advance(time.Minute)
	a.want(200, 1)
	if diff := cmp.Diff([]string{"watch allowed", "real allowed"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
}

func TestAllowedNetworksAreNeitherCountedNorRefused(t *testing.T) {
	a := newApp(t, one(policy(func(p *ratelimit.Policy) { p.Allow = []string{"192.0.2.0/25", "2001:db8::/32"} })))
	a.want(200, 50)
	a.want(200, 50, from("[2001:db8::1]:1"))
	if diff := cmp.Diff([]string{"auth exempt"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	a.want(200, 8, from("192.0.2.128:1"))
	a.want(429, 1, from("192.0.2.128:1"))
}

// failing is a Limiter that fails on demand, in front of a Memory.
type failing struct {
	*ratelimit.Memory
	mu        sync.Mutex
	err       error
	refundErr error
	keys      []string
	onAllow   func()
}

func (f *failing) Allow(ctx context.Context, key string, limit ratelimit.Limit) (ratelimit.Decision, error) {
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
	return f.Memory.Allow(ctx, key, limit)
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

func newFailing(t *testing.T) *failing {
	return &failing{Memory: newMemory(t, ratelimit.MemoryConfig{})}
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
	if diff := cmp.Diff([]string{"auth store_error", "auth unavailable"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	if !errors.Is(a.events[0].Cause, errDown) {
		t.Errorf("cause %v", a.events[0].Cause)
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
	a.want(429, 1)
	if e := a.events[len(a.events)-1]; !e.Local {
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

func TestEventsNameTheirPolicy(t *testing.T) {
	a := newApp(t, one(ratelimit.AuthPolicy()))
	a.want(200, 8)
	if diff := cmp.Diff([]ratelimit.Event{{Policy: "auth", Outcome: ratelimit.Allowed}}, a.events); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	a.want(429, 1)
	if diff := cmp.Diff([]ratelimit.Event{{Policy: "auth", Outcome: ratelimit.Denied, RetryAfter: 10 * time.Minute}}, a.events); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestConfigIsCopied(t *testing.T) {
	cfg := one(policy(func(p *ratelimit.Policy) { p.Limit = 1 }))
	cfg.KeySecret = []byte("secret")
	f := newFailing(t)
	cfg.Limiter = f
	a := newApp(t, cfg)
	a.want(200, 1)
	cfg.Policies[0].Methods[0], cfg.Policies[0].Paths[0], cfg.KeySecret[0] = "GET", "/x", 'x'
	a.want(429, 1)
	if keys := slices.Compact(f.keys); len(keys) != 1 {
		t.Errorf("keys %v", keys)
	}
}
