package webhooktest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/handrail-go/handrail/webhook"
)

// anyone takes every message as valid, and its body as the id.
type anyone struct{}

func (anyone) Provider() webhook.Provider { return webhook.Provider{Name: "anyone"} }

func (anyone) Verify(m webhook.Message) (webhook.Verified, error) {
	return webhook.Verified{ID: string(m.Body), IDSigned: true}, nil
}

// post sends a body to a handler.
func post(h http.Handler, body string) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader([]byte(body)))))
	return w.Result()
}

var copiesRules = []Rule{
	rule("of 100 concurrent copies through two middlewares one has its effect", func(d *driver) {
		var effects atomic.Int64
		next := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { effects.Add(1) })
		var handlers []http.Handler
		for _, store := range d.handles() {
			m, err := webhook.New(webhook.Config{Route: "r", Verifier: anyone{}, Store: store})
			if err != nil {
				d.failf("%w", err)
				return
			}
			handlers = append(handlers, m.Wrap(next))
		}
		said := make([]string, copies)
		together(copies, func(i int) {
			res := post(handlers[i%len(handlers)], "evt_1")
			said[i] = res.Status + " " + res.Header.Get("Handrail-Webhook")
		})
		counts := make(map[string]int)
		for _, s := range said {
			counts[s]++
		}
		if n := effects.Load(); n != 1 {
			d.failf("%d effects, want 1; the answers are %v", n, counts)
		}
		const processed, duplicate, inFlight = "200 OK processed", "200 OK duplicate", "503 Service Unavailable in-flight"
		if counts[processed] != 1 || counts[duplicate]+counts[inFlight] != copies-1 {
			d.failf("the answers are %v, want one processed, and the others duplicates or in flight", counts)
		}
		for _, h := range handlers {
			if res := post(h, "evt_1"); res.Header.Get("Handrail-Webhook") != "duplicate" {
				d.failf("a copy after all others is answered %s %v", res.Status, res.Header)
			}
		}
		if n := effects.Load(); n != 1 {
			d.failf("%d effects, want 1", n)
		}
	}),
}
