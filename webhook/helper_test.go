package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	stripe "github.com/stripe/stripe-go/v79/webhook"

	"github.com/handrail-go/handrail/webhook"
	"github.com/handrail-go/handrail/webhook/stripehook"
)

const (
	stripeSecret = "whsec_test"
	stripeBody   = `{"id":"evt_1","object":"event","api_version":"2024-09-30.acacia","type":"invoice.paid"}`
	stripeKey    = "stripe/evt_1"
)

// githubLike is a provider whose signature covers the body but not the id.
type githubLike struct{}

func (githubLike) Provider() webhook.Provider {
	return webhook.Provider{Name: "github", RetryHorizon: 72 * time.Hour}
}

func (githubLike) Verify(m webhook.Message) (webhook.Verified, error) {
	if m.Header.Get("X-Secret-Down") != "" {
		return webhook.Verified{}, webhook.ErrSecretUnavailable
	}
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write(m.Body)
	got, err := hex.DecodeString(m.Header.Get("X-Signature"))
	if err != nil || !hmac.Equal(mac.Sum(nil), got) {
		return webhook.Verified{}, webhook.ErrSignatureMismatch
	}
	return webhook.Verified{ID: m.Header.Get("X-Delivery")}, nil
}

func githubRequest(id, body string) *http.Request {
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(body))
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
	r.Header.Set("X-Delivery", id)
	return r
}

func stripeHeader(body string, at time.Time) string {
	return stripe.GenerateTestSignedPayload(&stripe.UnsignedPayload{Payload: []byte(body), Secret: stripeSecret, Timestamp: at}).Header
}

func stripeRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header.Set("Stripe-Signature", stripeHeader(body, time.Now()))
	return r
}

func stripeVerifier(t testing.TB) webhook.Verifier {
	t.Helper()
	v, err := stripehook.New(stripehook.Config{Secrets: []string{stripeSecret}})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func memory(t testing.TB) *webhook.Memory {
	t.Helper()
	m, err := webhook.NewMemory(webhook.MemoryConfig{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// events collects what OnEvent is told.
type events struct {
	mu  sync.Mutex
	all []webhook.Event
}

func (e *events) add(_ context.Context, ev webhook.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

func (e *events) each() []webhook.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

func (e *events) outcomes() []webhook.Outcome {
	var all []webhook.Outcome
	for _, ev := range e.each() {
		all = append(all, ev.Outcome)
	}
	return all
}

func (e *events) last(t testing.TB) webhook.Event {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.all) == 0 {
		t.Fatal("no event")
	}
	return e.all[len(e.all)-1]
}

// build returns a middleware for Stripe on a store in memory, unless change
// says otherwise.
func build(t testing.TB, change func(*webhook.Config)) (*webhook.Middleware, *events) {
	t.Helper()
	ev := new(events)
	cfg := webhook.Config{Route: "stripe", Verifier: stripeVerifier(t), OnEvent: ev.add}
	if change != nil {
		change(&cfg)
	}
	if cfg.Store == nil {
		cfg.Store = memory(t)
	}
	m, err := webhook.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m, ev
}

func serve(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t testing.TB, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// answerIs checks the status, the body, Handrail-Webhook, and that a 503 asks
// for a retry.
func answerIs(t testing.TB, res *http.Response, status int, body, mark string) {
	t.Helper()
	got := text(t, res)
	if res.StatusCode != status || (body != "*" && got != body) || res.Header.Get("Handrail-Webhook") != mark {
		t.Errorf("answer %d %q with Handrail-Webhook %q, want %d %q with %q",
			res.StatusCode, got, res.Header.Get("Handrail-Webhook"), status, body, mark)
	}
	if asks := res.Header.Get("Retry-After") != ""; asks != (status == http.StatusServiceUnavailable) {
		t.Errorf("answer %d with Retry-After %q", status, res.Header.Get("Retry-After"))
	}
}

func recordIs(t testing.TB, s webhook.Store, key string, state webhook.State, fence int64, maybe bool) {
	t.Helper()
	r, err := s.Lookup(t.Context(), key)
	if err != nil || r.State != state || r.Fence != fence || r.MaybeProcessed != maybe {
		t.Errorf("%s is %v at fence %d, maybe processed %t, %v; want %v at %d, %t", key, r.State, r.Fence, r.MaybeProcessed, err, state, fence, maybe)
	}
}
