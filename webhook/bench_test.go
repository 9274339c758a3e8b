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

func post(h http.Handler, body, signature string) int {
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header.Set("Stripe-Signature", signature)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// BenchmarkMiddleware takes a body of 2 KiB through all but the network. Each
// run includes the recorder and, for first deliveries, the signing.
func BenchmarkMiddleware(b *testing.B) {
	pad := `,"pad":"` + strings.Repeat("x", 2000) + `"}`
	body := func(n int) string { return `{"id":"evt_` + strconv.Itoa(n) + `"` + pad }
	b.Run("plain handler", func(b *testing.B) {
		h := answering(200)
		signature := stripeHeader(body(0), time.Now())
		b.ReportAllocs()
		for b.Loop() {
			post(h, body(0), signature)
		}
	})
	b.Run("forged", func(b *testing.B) {
		m, _ := build(b, func(c *webhook.Config) { c.OnEvent = nil })
		h := m.Wrap(answering(200))
		signature := stripeHeader("another body", time.Now())
		b.ReportAllocs()
		for b.Loop() {
			if code := post(h, body(0), signature); code != 400 {
				b.Fatal(code)
			}
		}
	})
	for name, store := range stores(b) {
		m, _ := build(b, func(c *webhook.Config) { c.Store, c.OnEvent = store, nil })
		h := m.Wrap(answering(200))
		b.Run("first delivery/"+name, func(b *testing.B) {
			store, err := webhook.NewMemory(webhook.MemoryConfig{MaxDeliveries: 1 << 30})
			if err != nil {
				b.Fatal(err)
			}
			h := h
			if name == "memory" {
				m, _ := build(b, func(c *webhook.Config) { c.Store, c.OnEvent = store, nil })
				h = m.Wrap(answering(200))
			}
			b.ReportAllocs()
			for n := 1; b.Loop(); n++ {
				body := body(n)
				if code := post(h, body, stripeHeader(body, time.Now())); code != 200 {
					b.Fatal(code)
				}
			}
		})
		b.Run("duplicate/"+name, func(b *testing.B) {
			body := body(0)
			signature := stripeHeader(body, time.Now())
			post(h, body, signature)
			b.ReportAllocs()
			for b.Loop() {
				if code := post(h, body, signature); code != 200 {
					b.Fatal(code)
				}
			}
		})
		b.Run("duplicate storm/"+name, func(b *testing.B) {
			body := body(0)
			signature := stripeHeader(body, time.Now())
			post(h, body, signature)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					post(h, body, signature)
				}
			})
		})
	}
}
