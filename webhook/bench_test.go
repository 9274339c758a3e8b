package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handrail-go/handrail/webhook"
)

func answering(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// post returns what became of the delivery, or the status when that is no 2xx.
func post(h http.Handler, body, signature string) string {
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header.Set("Stripe-Signature", signature)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		return strconv.Itoa(w.Code)
	}
	return w.Header().Get("Handrail-Webhook")
}

// BenchmarkMiddleware takes a body of 2 KiB through all but the network. Each
// run includes the recorder and, for first deliveries, the signing. Every run
// opens a store of its own and checks each answer, so that a first delivery is
// one however often the benchmark is repeated.
func BenchmarkMiddleware(b *testing.B) {
	pad := `,"pad":"` + strings.Repeat("x", 2000) + `"}`
	body := func(n int) string { return `{"id":"evt_` + strconv.Itoa(n) + `"` + pad }
	wrap := func(b *testing.B, store webhook.Store) http.Handler {
		b.Helper()
		m, _ := build(b, func(c *webhook.Config) { c.Store, c.OnEvent = store, nil })
		return m.Wrap(answering(200))
	}
	repeat := func(b *testing.B, h http.Handler, signature, want string) {
		b.Helper()
		b.ReportAllocs()
		for b.Loop() {
			if got := post(h, body(0), signature); got != want {
				b.Fatalf("%q, want %q", got, want)
			}
		}
	}
	signature := stripeHeader(body(0), time.Now())
	b.Run("plain handler", func(b *testing.B) { repeat(b, answering(200), signature, "") })
	b.Run("forged", func(b *testing.B) {
		repeat(b, wrap(b, memory(b)), stripeHeader("another body", time.Now()), "400")
	})
	for name, open := range stores() {
		b.Run("first delivery/"+name, func(b *testing.B) {
			h := wrap(b, open(b))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				body := body(n)
				if got := post(h, body, stripeHeader(body, time.Now())); got != "processed" {
					b.Fatalf("delivery %d: %q", n, got)
				}
			}
		})
		b.Run("duplicate/"+name, func(b *testing.B) {
			h := wrap(b, open(b))
			post(h, body(0), signature)
			repeat(b, h, signature, "duplicate")
		})
		b.Run("duplicate storm/"+name, func(b *testing.B) {
			h := wrap(b, open(b))
			post(h, body(0), signature)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if got := post(h, body(0), signature); got != "duplicate" {
						b.Errorf("%q, want duplicate", got)
						return
					}
				}
			})
		})
	}
}
