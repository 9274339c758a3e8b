package ratelimit_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

	mu     sync.Mutex // what is given back late is told late
	events []ratelimit.Event
}

func newApp(t *testing.T, cfg ratelimit.Config) *app {
	t.Helper()
	a := &app{Clock: ratelimittest.NewClock(), t: t}
	cfg.Now = a.Now
	cfg.OnEvent = func(e ratelimit.Event) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.events = append(a.events, e)
	}
	m, err := ratelimit.New(cfg)
	if err == nil {
		err = m.Close(t.Context()) // so that a refund is tried once
	}
	if err != nil {
		t.Fatal(err)
	}
	a.handler = m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { a.served++ }))
	return a
}

func (a *app) do(r *http.Request) *http.Response {
	a.t.Helper()
	a.mu.Lock()
	a.events = nil
	a.mu.Unlock()
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

// told are the events of the last request.
func (a *app) told() []ratelimit.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.events)
}

func (a *app) outcomes() []string {
	var out []string
	for _, e := range a.told() {
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

func TestMethodsMatchInEverySpellingThatAFrameworkKnows(t *testing.T) {
	method := func(m string, edit ...func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			r.Method = m
			for _, e := range edit {
				e(r)
			}
		}
	}
	a := newApp(t, one(policy(func(p *ratelimit.Policy) { p.Limit = 1 })))
	a.want(200, 3, method("PUT"))
	a.want(200, 3, method("PUT", with("X-HTTP-Method-Override", "DELETE"), with("X-Method", "POST")))
	a.want(200, 1)
	for _, m := range []string{"post", "Post", "pOsT"} {
		a.want(429, 1, method(m))
	}
	for _, header := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		a.want(429, 1, method("GET", with(header, "POST")))
		a.want(429, 1, method("PUT", with(header, " post\t")))
		a.want(429, 1, method("PUT", with(header, "DELETE, POST")))
		a.want(429, 1, method("PUT", with(header, "DELETE", "POST")))
		a.want(429, 1, method("POST", with(header, "PUT"))) // not every framework heeds it
	}
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
	want := []string{"minute denied", "hour denied", "day skipped"}
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
	if e := a.told()[0]; e.RetryAfter != 5*time.Minute {
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

func TestSubjectsDoNotMixUnderConcurrency(t *testing.T) {
	const subjects, limit = 50, 20
	cfg := one(keyed("account", limit, "header:X-Account"), keyed("ip", 512, "ip"))
	cfg.Policies[1].Window = time.Hour
	cfg.KeySecret = []byte("secret")
	var served [subjects]atomic.Int64
	m, err := ratelimit.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := m.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		i, _ := strconv.Atoi(r.Header.Get("X-Account"))
		served[i].Add(1)
	}))
	var wg sync.WaitGroup
	for i := range 2 * subjects {
		wg.Go(func() {
			for range limit {
				h.ServeHTTP(httptest.NewRecorder(), login(with("X-Account", strconv.Itoa(i%subjects)), from("192.0.2."+strconv.Itoa(i%subjects)+":1")))
			}
		})
	}
	wg.Wait()
	for i := range served {
		if n := served[i].Load(); n != limit {
			t.Errorf("subject %d: %d served, want %d", i, n, limit)
		}
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
