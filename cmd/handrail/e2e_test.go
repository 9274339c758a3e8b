package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"

	"github.com/handrail-go/handrail/internal/testenv"
)

const loginLimit = 8

// logins posts to /login n times and counts the statuses.
func logins(p *process, n int) map[int]int {
	counts := map[int]int{}
	for range n {
		counts[p.do("POST", "/login", "").status]++
	}
	return counts
}

func TestNinthLoginIsRefusedWithTheExactWait(t *testing.T) {
	redis := testenv.Redis(t)
	a := newApp(t)
	p := serve(t, config(a.URL, ""), "REDIS_URL="+redis.URL())
	first := time.Now()
	if got := logins(p, loginLimit); got[200] != loginLimit {
		t.Fatalf("the first %d logins: %v", loginLimit, got)
	}
	refused := p.do("POST", "/login", "")
	elapsed := time.Since(first)
	if refused.status != 429 || refused.body != "{\"error\":\"rate_limited\"}\n" {
		t.Fatalf("the ninth: %d %q", refused.status, refused.body)
	}
	// Exact to the second: the first login leaves the window after 600 s.
	wait, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if err != nil || wait > 600 || float64(wait) < 600-elapsed.Seconds() {
		t.Errorf("Retry-After: %q after %s", refused.header.Get("Retry-After"), elapsed)
	}
	for name, want := range map[string]string{
		"Cache-Control": "no-store", "RateLimit-Policy": `"auth";q=8;w=600`, "RateLimit": fmt.Sprintf(`"auth";r=0;t=%d`, wait),
	} {
		if got := refused.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if n := len(a.requests("/login")); n != loginLimit {
		t.Errorf("the app saw %d logins", n)
	}
	if got := p.do("GET", "/login", ""); got.status != 200 {
		t.Errorf("the login page: %d", got.status)
	}
	for _, variant := range []string{"/LOGIN", "//login", "/login/", "/x/../login", "/%6cogin", "/login;v=1"} {
		if got := p.do("POST", variant, ""); got.status != 429 {
			t.Errorf("POST %s: %d", variant, got.status)
		}
	}
}

func TestWaitingAsToldAdmitsAgain(t *testing.T) {
	redis := testenv.Redis(t)
	p := serve(t, config(newApp(t).URL, `
rate_limits:
  - {name: short, match: {paths: ["/login"]}, limit: 2, window: 3s}
`), "REDIS_URL="+redis.URL())
	if got := logins(p, 3); got[200] != 2 || got[429] != 1 {
		t.Fatalf("got %v", got)
	}
	wait, err := strconv.Atoi(p.do("POST", "/login", "").header.Get("Retry-After"))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(wait) * time.Second) // the promise itself is under test
	if got := p.do("POST", "/login", ""); got.status != 200 {
		t.Errorf("after %d s: %d", wait, got.status)
	}
}

func TestThreeSidecarsOnOneRedisAdmitEight(t *testing.T) {
	redis := testenv.Redis(t)
	a := newApp(t)
	var sidecars []*process
	for range 3 {
		sidecars = append(sidecars, serve(t, config(a.URL, `
rate_limits:
  - {name: auth, match: {methods: [POST], paths: ["/login"]}, limit: 8, window: 10m, on_store_error: deny}
`), "REDIS_URL="+redis.URL()))
	}
	var wg sync.WaitGroup
	statuses := make(chan int, 90)
	for i := range 90 {
		wg.Go(func() { statuses <- sidecars[i%3].do("POST", "/login", "").status })
	}
	wg.Wait()
	close(statuses)
	counts := map[int]int{}
	for s := range statuses {
		counts[s]++
	}
	// A busy machine may not hear from Redis within 100 ms. Such a request is
	// refused, and may have taken a place.
	lost := counts[503]
	if n := counts[200]; n > loginLimit || n < loginLimit-lost || n+counts[429]+lost != 90 {
		t.Errorf("statuses of 90 concurrent logins: %v", counts)
	}
	if n := len(a.requests("/login")); n != counts[200] {
		t.Errorf("the app saw %d logins, %d were admitted", n, counts[200])
	}
}

func TestForgedHeadersChangeNothing(t *testing.T) {
	a := newApp(t)
	p := serve(t, config(a.URL, ""))
	for i := range loginLimit + 4 {
		got := p.do("POST", "/login", "", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "Forwarded", fmt.Sprintf("for=198.51.100.%d", i),
			"X-Real-IP", "192.0.2.1", "X-Request-Id", "forged", "Handrail-Flags", `"admin"`, "Handrail-Request-Verified", "stripe", "handrail_flags", `"admin"`)
		if want := map[bool]int{true: 200, false: 429}[i < loginLimit]; got.status != want {
			t.Errorf("login %d: %d, want %d", i+1, got.status, want)
		}
		if id := got.header.Get("X-Request-Id"); id == "forged" || len(id) != 36 {
			t.Errorf("X-Request-Id: %q", id)
		}
	}
	for _, r := range a.requests("/login") {
		for name, values := range r.header {
			if strings.Contains(name, "_") || strings.HasPrefix(name, "Handrail-") || name == "Forwarded" || name == "X-Real-Ip" {
				t.Errorf("the app got %s: %q", name, values)
			}
		}
		if got := r.header.Values("X-Forwarded-For"); len(got) != 1 || got[0] != "127.0.0.1" {
			t.Errorf("the app got X-Forwarded-For: %q", got)
		}
		if r.header.Get("X-Request-Id") == "forged" {
			t.Error("the app got the forged request id")
		}
	}
}

func TestTrustedProxyIsBelieved(t *testing.T) {
	a := newApp(t)
	p := serve(t, config(a.URL, "trusted_proxies: [loopback]"))
	for i := range loginLimit + 2 {
		got := p.do("POST", "/login", "", "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "X-Request-Id", "from-the-proxy")
		if got.status != 200 || got.header.Get("X-Request-Id") != "from-the-proxy" {
			t.Errorf("login %d: %d, id %q", i, got.status, got.header.Get("X-Request-Id"))
		}
	}
	if got := a.requests("/login")[3].header.Get("X-Forwarded-For"); got != "203.0.113.3, 127.0.0.1" {
		t.Errorf("the app got X-Forwarded-For: %q", got)
	}
}

const stripeSecret = "whsec_e2e_0123456789abcdef"

// signed is a Stripe event as Stripe's own library signs it.
func signed(id string) *stripe.SignedPayload {
	return stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{
		Payload: []byte(fmt.Sprintf(`{"id":%q,"object":"event","type":"charge.succeeded","note":"\u00e9 \ud83d\ude00","a":1,"a":2}`, id)),
		Secret:  stripeSecret,
	})
}

func stripeConfig(upstream string) string {
	return config(upstream, fmt.Sprintf("webhooks: [{name: stripe, path: /webhooks/stripe, provider: stripe, secrets: [%q]}]", stripeSecret))
}

func TestStripeEventReachesTheAppOnce(t *testing.T) {
	a := newApp(t)
	p := serve(t, stripeConfig(a.URL))
	event := signed("evt_1")
	deliver := func(body []byte) answer {
		return p.do("POST", "/webhooks/stripe", string(body), "Stripe-Signature", event.Header)
	}
	first := deliver(event.Payload)
	if first.status != 200 || first.header.Get("Handrail-Webhook") != "processed" || first.body != `{"status":"processed"}`+"\n" && first.body != `{"status":"processed"}` {
		t.Fatalf("first: %d %q %q", first.status, first.header.Get("Handrail-Webhook"), first.body)
	}
	got := a.requests("/webhooks/stripe")
	if len(got) != 1 || got[0].sum != sha256.Sum256(event.Payload) {
		t.Fatalf("the app got %d requests, or other bytes", len(got))
	}
	if h := got[0].header; h.Get("Handrail-Request-Verified") != "stripe" || h.Get("Idempotency-Key") != "stripe/evt_1" || h.Get("Stripe-Signature") != event.Header {
		t.Errorf("the app got %v", h)
	}
	for range 3 {
		if again := deliver(event.Payload); again.status != 200 || again.header.Get("Handrail-Webhook") != "duplicate" {
			t.Errorf("repeat: %d %q", again.status, again.header.Get("Handrail-Webhook"))
		}
	}
	for i := range event.Payload {
		flipped := append([]byte{}, event.Payload...)
		flipped[i] ^= 1
		if bad := deliver(flipped); bad.status != 400 || bad.body != "{\"error\":\"invalid_signature\"}\n" {
			t.Fatalf("byte %d flipped: %d %q", i, bad.status, bad.body)
		}
	}
	if bad := p.do("POST", "/webhooks/stripe", string(event.Payload)); bad.status != 400 {
		t.Errorf("without a signature: %d", bad.status)
	}
	if n := len(a.requests("/webhooks/stripe")); n != 1 {
		t.Errorf("the app saw %d deliveries", n)
	}
}

func TestDeliveriesAreRememberedThroughAKill(t *testing.T) {
	a := newApp(t)
	p := serve(t, stripeConfig(a.URL))
	event := signed("evt_kill")
	if got := p.do("POST", "/webhooks/stripe", string(event.Payload), "Stripe-Signature", event.Header); got.status != 200 {
		t.Fatalf("first: %d", got.status)
	}
	p.kill()
	again := start(t, p.cmd.Dir, []string{"serve", "--config", "handrail.yaml"})
	if got := again.do("POST", "/webhooks/stripe", string(event.Payload), "Stripe-Signature", event.Header); got.header.Get("Handrail-Webhook") != "duplicate" {
		t.Errorf("after SIGKILL: %d %q", got.status, got.body)
	}
	if n := len(a.requests("/webhooks/stripe")); n != 1 {
		t.Errorf("the app saw %d deliveries", n)
	}
}

func TestConcurrentCopiesReachTheAppOnce(t *testing.T) {
	a := newApp(t)
	p := serve(t, stripeConfig(a.URL))
	event := signed("evt_many")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got := p.do("POST", "/webhooks/stripe", string(event.Payload), "Stripe-Signature", event.Header)
			if got.status != 200 && got.header.Get("Handrail-Webhook") != "in-flight" { // which a busy machine may see
				t.Errorf("a copy: %d %s", got.status, got.body)
			}
		})
	}
	wg.Wait()
	if n := len(a.requests("/webhooks/stripe")); n != 1 {
		t.Errorf("the app saw %d deliveries", n)
	}
}

func TestDeliveriesAreNotAcknowledgedOnceTheirFileIsGone(t *testing.T) {
	a := newApp(t)
	p := serve(t, stripeConfig(a.URL))
	deliver := func(id string) answer {
		event := signed(id)
		return p.do("POST", "/webhooks/stripe", string(event.Payload), "Stripe-Signature", event.Header)
	}
	if got := deliver("evt_before"); got.status != 200 {
		t.Fatalf("before: %d", got.status)
	}
	file := filepath.Join(p.cmd.Dir, "handrail-data", "webhooks.db")
	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	if got := deliver("evt_after"); got.status != 503 || len(a.requests("/webhooks/stripe")) != 1 {
		t.Errorf("after: %d, and the app saw %d deliveries", got.status, len(a.requests("/webhooks/stripe")))
	}
	p.eventually("degraded", func() bool { return strings.Contains(p.do("GET", "/health", "").body, `"webhooks":"error"`) })
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a new file was made: %v", err)
	}
}

func TestWebhookWithoutAppIsSentAgain(t *testing.T) {
	a := newApp(t)
	p := serve(t, stripeConfig(a.URL))
	a.Close()
	event := signed("evt_down")
	got := p.do("POST", "/webhooks/stripe", string(event.Payload), "Stripe-Signature", event.Header)
	if got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("while the app is down: %d %v", got.status, got.header)
	}
}

func TestHealthFollowsTheDatabase(t *testing.T) {
	db, redis := testenv.Postgres(t), testenv.Redis(t)
	const interval = 500 * time.Millisecond
	p := serve(t, strings.Replace(config(newApp(t).URL, ""), "interval: 200ms", "interval: 500ms", 1),
		"DATABASE_URL="+db.DSN()+"&schema=public&connection_limit=5&pgbouncer=true", "REDIS_URL="+redis.URL())
	p.eventually("healthy", func() bool {
		got := p.do("GET", "/health", "")
		return got.status == 200 && strings.Contains(got.body, `"database":"ok","redis":"ok"`)
	})
	db.Stop()
	stopped := time.Now()
	p.eventually("degraded", func() bool { return p.status("/health") == http.StatusServiceUnavailable })
	if took := time.Since(stopped); took > 2*interval+time.Second { // and what a loaded test machine adds
		t.Errorf("degraded after %s, with an interval of %s", took, interval)
	}
	got := p.do("GET", "/health", "")
	if !strings.Contains(got.body, `"status":"degraded"`) || !strings.Contains(got.body, `"database":"error"`) {
		t.Errorf("degraded: %s", got.body)
	}
	if p.status("/readyz") != 200 || p.status("/livez") != 200 {
		t.Error("a database that is down takes the instance out of service")
	}
	db.Start()
	p.eventually("healthy again", func() bool { return p.status("/health") == 200 })
}

func TestRedisDownKeepsTheLimit(t *testing.T) {
	redis := testenv.Redis(t)
	a := newApp(t)
	p := serve(t, config(a.URL, ""), "REDIS_URL="+redis.URL())
	if got := logins(p, 5); got[200] != 5 {
		t.Fatalf("with Redis: %v", got)
	}
	redis.Kill()
	if got := logins(p, 10); got[200] != 3 || got[429] != 7 {
		t.Errorf("without Redis, after 5 of 8: %v", got)
	}
	p.eventually("a warning", func() bool { return strings.Contains(p.do("GET", "/health", "").body, `"status":"warning"`) })
}
