package ratelimit_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/handrail-go/handrail/ratelimit"
)

func TestANetworkThatIsDeniedIsAnswered403(t *testing.T) {
	denied := policy(func(p *ratelimit.Policy) {
		p.Deny, p.Allow = []string{"192.0.2.0/24"}, []string{"192.0.2.1", "10.0.0.1"}
	})
	a := newApp(t, one(denied, keyed("other", 1, "ip")))
	resp := a.do(login())
	var body map[string]string
	_ = json.NewDecoder(resp.Body).Decode(&body)
	if resp.StatusCode != http.StatusForbidden || body["error"] != "address_denied" || resp.Header.Get("Cache-Control") != "no-store" ||
		resp.Header.Get("Retry-After") != "" {
		t.Errorf("status %d, headers %v, body %v", resp.StatusCode, resp.Header, body)
	}
	if diff := cmp.Diff([]string{"auth deny_listed", "other skipped"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
	a.want(200, 1, from("10.0.0.1:1"))
	a.want(429, 1, from("10.0.0.1:1"))
}

func TestAShadowPolicyDeniesNoNetwork(t *testing.T) {
	a := newApp(t, one(policy(func(p *ratelimit.Policy) { p.Deny, p.Mode = []string{"192.0.2.0/24"}, ratelimit.Shadow })))
	a.want(200, 20)
	if diff := cmp.Diff([]string{"auth shadow_denied"}, a.outcomes()); diff != "" {
		t.Errorf("outcomes: -want +got\n%s", diff)
	}
}

func TestARequestTakesWhatItCosts(t *testing.T) {
	cost := map[string]int{"small": -1, "large": 5, "huge": 9}
	p := policy(func(p *ratelimit.Policy) {
		p.Cost = func(r *http.Request) int { return cost[r.Header.Get("X-Size")] }
	})
	a := newApp(t, one(p))
	a.want(200, 1, with("X-Size", "large"))
	a.want(429, 1, with("X-Size", "large"))
	a.want(200, 3, with("X-Size", "small"))
	resp := a.do(login(with("X-Size", "huge")))
	if _, told := resp.Header["Retry-After"]; told || resp.StatusCode != 429 || resp.Header.Get("Ratelimit") != "" {
		t.Errorf("what is never possible: status %d, headers %v", resp.StatusCode, resp.Header)
	}
	a.want(429, 1)
}

func TestAnInstanceAdmitsItsShareWhileTheStoreFails(t *testing.T) {
	f := newFailing(t)
	cfg := one(policy())
	cfg.Limiter, cfg.Replicas = f, 3
	a := newApp(t, cfg)
	f.err = errDown
	a.want(200, 3) // of 8, rounded up
	a.want(429, 1)
	f.err = nil
	b := newApp(t, cfg)
	b.want(200, 8)
	f.err = errDown
	b.want(429, 1)
}

func TestTheShareOfOneIsOne(t *testing.T) {
	f := newFailing(t)
	p := keyed("p", 1, "ip")
	p.Lockout = []ratelimit.Tier{{Count: 2, Window: time.Minute, Block: time.Hour}, {Count: 3, Window: time.Minute, Block: 2 * time.Hour}}
	cfg := one(p)
	cfg.Limiter, cfg.Replicas, f.err = f, 100, errDown
	a := newApp(t, cfg)
	a.want(200, 1)
	a.want(429, 1)
}

func TestReplicasAreChecked(t *testing.T) {
	for _, n := range []int{-1, 10_001} {
		if _, err := ratelimit.New(ratelimit.Config{Replicas: n}); err == nil {
			t.Errorf("%d replicas were taken", n)
		}
	}
}

func TestWhatLimitsGETLimitsHEAD(t *testing.T) {
	p := keyed("p", 1, "ip")
	p.Methods = []string{http.MethodGet}
	a := newApp(t, one(p))
	head := func(r *http.Request) { r.Method = http.MethodHead }
	a.want(200, 1, head)
	a.want(429, 1, head)
	a.want(429, 1, func(r *http.Request) { r.Method = http.MethodGet })
	a.want(200, 1) // POST is another matter
}

// While two good sign-ins are under way a third is refused; when they end, nobody
// is blocked.
func TestWhoWasRefusedWhileSuccessesWereUnderWayIsNotListed(t *testing.T) {
	watch, err := ratelimit.NewWatch(ratelimit.WatchConfig{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := one(failures())
	cfg.Watch = watch
	var inner http.Handler
	h, _ := inFrontOf(t, cfg, func(w http.ResponseWriter, _ *http.Request) {
		rec := httptest.NewRecorder()
		if inner.ServeHTTP(rec, login()); rec.Code != 429 || len(watch.Refused()) != 1 {
			t.Errorf("meanwhile: status %d, blocked %v", rec.Code, watch.Refused())
		}
		w.WriteHeader(http.StatusSeeOther)
	})
	inner = h
	h.ServeHTTP(httptest.NewRecorder(), login())
	if blocked := watch.Refused(); len(blocked) != 0 {
		t.Errorf("blocked afterwards: %v", blocked)
	}
}

// What waits for a place of its own costs no more than it costs the others.
func TestAWaitIsThatOfTheRequestsOwnCost(t *testing.T) {
	costly := policy(func(p *ratelimit.Policy) {
		p.Cost = func(*http.Request) int { return 5 }
	})
	a := newApp(t, one(costly, keyed("other", 99, "ip")))
	a.want(200, 1)
	a.Advance(time.Minute)
	for _, want := range []string{"540", "539"} {
		if got := a.do(login()).Header.Get("Retry-After"); got != want {
			t.Errorf("Retry-After %q, want %q", got, want)
		}
		a.Advance(time.Second)
	}
}

func TestWhatCostsMoreThanTheShareWaitsForAllOfIt(t *testing.T) {
	f := newFailing(t)
	cost := 5
	cfg := one(policy(func(p *ratelimit.Policy) { p.Cost = func(*http.Request) int { return cost } }))
	cfg.Limiter, cfg.Replicas, f.err = f, 4, errDown
	a := newApp(t, cfg)
	a.want(200, 1)
	if got := a.do(login()).Header.Get("Retry-After"); got != "600" {
		t.Errorf("Retry-After %q", got)
	}
	cost = 9 // more than the limit itself ever has
	a.Advance(time.Hour)
	if resp := a.do(login()); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "" {
		t.Errorf("status %d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}
