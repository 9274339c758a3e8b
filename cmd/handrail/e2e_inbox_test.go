package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handrail-go/handrail/internal/testenv"
	"github.com/handrail-go/handrail/webhook"
)

// inboxes are where messages are kept: what a sidecar needs in its environment.
var inboxes = map[string]func(t *testing.T) string{
	"sqlite":   func(*testing.T) string { return "UNUSED=" },
	"postgres": func(t *testing.T) string { return "DATABASE_URL=" + testenv.Postgres(t).DSN() },
}

func inboxConfig(t *testing.T, upstream, more string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	configure(t, dir, config(upstream, fmt.Sprintf(
		"trusted_proxies: [loopback]\nwebhooks: [{name: stripe, path: /webhooks/stripe, provider: stripe, secrets: [%q], mode: inbox, %s inbox: {first_retry: 20ms, longest_retry: 100ms}}]",
		stripeSecret, more)))
	return dir
}

func configure(t *testing.T, dir, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "handrail.yaml"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func serveIn(t *testing.T, dir string, env ...string) *process {
	t.Helper()
	return launch(t, dir, []string{"serve"}, env...)
}

// A moodyApp answers by what answers says at the time.
type moodyApp struct {
	*app
	mu     sync.Mutex
	answer http.HandlerFunc
}

func newMoodyApp(t *testing.T, answer http.HandlerFunc) *moodyApp {
	t.Helper()
	a := &moodyApp{app: newApp(t), answer: answer}
	inner := a.Config.Handler
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(httptest.NewRecorder(), r)
		a.mu.Lock()
		answer := a.answer
		a.mu.Unlock()
		answer(w, r)
	})
	return a
}

func (a *moodyApp) becomes(answer http.HandlerFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func fine(http.ResponseWriter, *http.Request) {}

func broken(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }

func hangs(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func (p *process) accepted(id string) {
	p.t.Helper()
	if got := p.deliver(id); got.status != 200 || got.body != `{"status":"accepted"}`+"\n" || got.header.Get("Handrail-Webhook") != "accepted" {
		p.t.Fatalf("%s: %d %q %s", id, got.status, got.header.Get("Handrail-Webhook"), got.body)
	}
}

func TestInboxBringsAMessageAsItCame(t *testing.T) {
	for name, open := range inboxes {
		t.Run(name, func(t *testing.T) {
			a := newMoodyApp(t, fine)
			p := serveIn(t, inboxConfig(t, a.URL, ""), open(t))
			event := signed("evt_1")
			got := p.do("POST", "/webhooks/stripe?shop=%2F1&x=y", string(event.Payload), "Stripe-Signature", event.Header,
				"X-Forwarded-Proto", "https", "X-Forwarded-For", "192.0.2.1", "X-Request-Id", "r1", "Content-Type", "application/json; charset=utf-8")
			if got.status != 200 || got.body != `{"status":"accepted"}`+"\n" {
				t.Fatalf("%d %s", got.status, got.body)
			}
			const path = "/webhooks/stripe?shop=%2F1&x=y"
			p.eventually("the app is called", func() bool { return len(a.requests(path)) == 1 })
			req := a.requests(path)[0]
			if req.sum != sha256.Sum256(event.Payload) || req.method != "POST" {
				t.Error("the app got other bytes")
			}
			for name, want := range map[string]string{
				"Stripe-Signature": event.Header, "Content-Type": "application/json; charset=utf-8", "Idempotency-Key": "stripe/evt_1",
				"Handrail-Webhook-Attempt": "1", "Handrail-Webhook-Fence": "1", "Handrail-Webhook-Maybe-Processed": "",
				"Handrail-Request-Verified": "stripe", "X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1, 127.0.0.1", "X-Request-Id": "r1",
			} {
				if req.header.Get(name) != want {
					t.Errorf("%s: %q, want %q", name, req.header.Get(name), want)
				}
			}
			for range 3 {
				if got := p.deliver("evt_1"); got.status != 200 || got.header.Get("Handrail-Webhook") != "duplicate" {
					t.Errorf("a copy: %d %s", got.status, got.body)
				}
			}
			if code := p.stop(); code != 0 || len(a.requests(path)) != 1 {
				t.Errorf("code %d, the app was called %d times", code, len(a.requests(path)))
			}
		})
	}
}

func TestInboxKeepsAMessageUntilTheAppTakesIt(t *testing.T) {
	for name, open := range inboxes {
		t.Run(name, func(t *testing.T) {
			a := newMoodyApp(t, broken)
			p := serveIn(t, inboxConfig(t, a.URL, ""), open(t))
			p.accepted("evt_1")
			p.eventually("a second attempt", func() bool { return len(a.requests("/webhooks/stripe")) >= 2 })
			a.becomes(fine)
			p.eventually("done", func() bool { return strings.Contains(p.logged(), `"outcome":"processed"`) })
			all := a.requests("/webhooks/stripe")
			if last := all[len(all)-1].header; last.Get("Handrail-Webhook-Maybe-Processed") != "true" || last.Get("Handrail-Webhook-Attempt") != fmt.Sprint(len(all)) {
				t.Errorf("the last attempt had %v", last)
			}
		})
	}
}

func TestInboxOutlivesSIGKILL(t *testing.T) {
	for name, open := range inboxes {
		t.Run(name, func(t *testing.T) {
			env := open(t)
			a := newMoodyApp(t, hangs)
			dir := inboxConfig(t, a.URL, "")
			p := serveIn(t, dir, env)
			const n = 20
			for i := range n {
				p.accepted(fmt.Sprint("evt_", i))
			}
			p.eventually("attempts are under way", func() bool { return len(a.requests("/webhooks/stripe")) >= 8 })
			p.kill()
			a.becomes(fine)
			p = serveIn(t, dir, env)
			// Those that were not under way come now, the others when their lease ends.
			p.eventually("the messages that nobody holds", func() bool { return strings.Count(p.logged(), `"outcome":"processed"`) >= n-8 })
			for i := range n {
				if got := p.deliver(fmt.Sprint("evt_", i)); got.header.Get("Handrail-Webhook") != "duplicate" {
					t.Errorf("evt_%d: %d %s", i, got.status, got.body)
				}
			}
		})
	}
}

func TestTwoSidecarsShareAnInbox(t *testing.T) {
	env := inboxes["postgres"](t)
	a := newMoodyApp(t, fine)
	dir := inboxConfig(t, a.URL, "")
	sidecars := [2]*process{serveIn(t, dir, env), serveIn(t, dir, env)}
	const n = 40
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { sidecars[i%2].deliver(fmt.Sprint("evt_", i/2)) })
	}
	wg.Wait()
	done := func() int {
		return strings.Count(sidecars[0].logged()+sidecars[1].logged(), `"outcome":"processed"`)
	}
	sidecars[0].eventually("all done", func() bool { return done() == n/2 })
	if calls := len(a.requests("/webhooks/stripe")); calls != n/2 {
		t.Errorf("the app was called %d times for %d events", calls, n/2)
	}
}

func TestInboxSignsAnewForAnAppThatVerifiesAgain(t *testing.T) {
	verifier, err := webhook.NewVerifier(webhook.VerifierConfig{Provider: "stripe", Secrets: []string{stripeSecret}, Tolerance: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	late := make(chan error, 1)
	a := newMoodyApp(t, broken)
	p := serveIn(t, inboxConfig(t, a.URL, "signature: fresh,"), "UNUSED=")
	p.accepted("evt_1")
	p.eventually("an attempt", func() bool { return len(a.requests("/webhooks/stripe")) >= 1 })
	time.Sleep(2 * time.Second) // the provider's own signature is too old by then
	a.becomes(func(_ http.ResponseWriter, r *http.Request) {
		_, err := verifier.Verify(webhook.Message{Header: r.Header, Body: signed("evt_1").Payload})
		late <- err
	})
	select {
	case err := <-late:
		if err != nil {
			t.Errorf("a late attempt: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no attempt came")
	}
}

// A message under way is finished by the drain, one that waits is left to the
// next process.
func TestInboxDrains(t *testing.T) {
	entered := make(chan struct{}, 1)
	a := newMoodyApp(t, func(_ http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		time.Sleep(300 * time.Millisecond)
	})
	p := serveIn(t, inboxConfig(t, a.URL, ""), "UNUSED=")
	p.accepted("evt_1")
	<-entered
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code != 0 || !strings.Contains(p.logged(), `"outcome":"processed"`) {
		t.Errorf("code %d, log:\n%s", code, p.logged())
	}
}

func TestAReloadKeepsBringingMessages(t *testing.T) {
	a, b := newMoodyApp(t, broken), newMoodyApp(t, fine)
	dir := inboxConfig(t, a.URL, "")
	p := serveIn(t, dir, "UNUSED=")
	p.accepted("evt_1")
	p.eventually("an attempt", func() bool { return len(a.requests("/webhooks/stripe")) >= 1 })
	file := filepath.Join(dir, "handrail.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, dir, strings.Replace(string(content), a.URL, b.URL, 1))
	p.signal(syscall.SIGHUP)
	p.eventually("the other app is called", func() bool { return len(b.requests("/webhooks/stripe")) == 1 })
	before := len(a.requests("/webhooks/stripe"))
	p.accepted("evt_2")
	p.eventually("the other app is called again", func() bool { return len(b.requests("/webhooks/stripe")) == 2 })
	if after := len(a.requests("/webhooks/stripe")); after != before {
		t.Errorf("the app before was called %d times more", after-before)
	}
}

// What was acknowledged is delivered, also when its route's store is another one
// by then.
func TestInboxOfTheStoreBeforeIsBroughtToTheApp(t *testing.T) {
	a := newMoodyApp(t, broken)
	dir := inboxConfig(t, a.URL, "")
	p := serveIn(t, dir)
	for i := range 3 {
		p.accepted(fmt.Sprint("evt_", i))
	}
	p.kill()
	a.becomes(fine)
	p = serveIn(t, dir, inboxes["postgres"](t))
	p.eventually("all done", func() bool { return strings.Count(p.logged(), `"outcome":"processed"`) == 3 })
	for _, want := range []string{"is of no route any more", "delivered out of it"} {
		if !strings.Contains(p.logged(), want) {
			t.Errorf("the log does not tell %q", want)
		}
	}
	if got := p.deliver("evt_9"); got.body != `{"status":"accepted"}`+"\n" {
		t.Errorf("a new one: %d %s", got.status, got.body)
	}
}

func TestInboxOfARouteInModeSyncIsToldOf(t *testing.T) {
	a := newMoodyApp(t, broken)
	dir := inboxConfig(t, a.URL, "")
	p := serveIn(t, dir)
	p.accepted("evt_1")
	p.eventually("an attempt", func() bool { return len(a.requests("/webhooks/stripe")) >= 1 })
	p.kill()
	calls := len(a.requests("/webhooks/stripe"))
	configure(t, dir, stripeConfig(a.URL))
	p = serveIn(t, dir)
	p.eventually("it is told", func() bool { return strings.Contains(p.logged(), "no route with mode inbox brings to the app") })
	if got := p.deliver("evt_1"); got.header.Get("Handrail-Webhook") != "duplicate" {
		t.Errorf("a copy: %d %s", got.status, got.body)
	}
	if n := len(a.requests("/webhooks/stripe")); n != calls {
		t.Errorf("the app was called %d times more", n-calls)
	}
}

// A second signal waits for no attempt, however long that may last.
func TestASecondSignalEndsAnAttempt(t *testing.T) {
	a := newMoodyApp(t, hangs)
	dir := inboxConfig(t, a.URL, "")
	file := filepath.Join(dir, "handrail.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	configure(t, dir, strings.Replace(string(content), "inbox: {", "inbox: {timeout: 1h, ", 1))
	p := serveIn(t, dir)
	p.accepted("evt_1")
	p.eventually("an attempt", func() bool { return len(a.requests("/webhooks/stripe")) == 1 })
	p.signal(syscall.SIGTERM)
	p.eventually("draining", func() bool { return strings.Contains(p.logged(), `"draining"`) })
	p.signal(syscall.SIGTERM)
	if code := p.wait(); code == 0 {
		t.Error("it ended well")
	}
}
