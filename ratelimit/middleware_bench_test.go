package ratelimit_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/handrail-go/handrail/ratelimit"
)

// discard takes an answer and keeps its header.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// serve answers r anew.
func serve(h http.Handler, w discard, r *http.Request) {
	clear(w.header)
	h.ServeHTTP(w, r)
}

func wrapped(tb testing.TB, cfg ratelimit.Config) http.Handler {
	tb.Helper()
	m, err := ratelimit.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

func benchMiddleware(b *testing.B, cfg ratelimit.Config, r *http.Request) {
	b.Helper()
	h, w := wrapped(b, cfg), discard{http.Header{}}
	for range ratelimit.AuthPolicy().Limit {
		serve(h, w, r)
	}
	b.ReportAllocs()
	for b.Loop() {
		serve(h, w, r)
	}
}

func BenchmarkMiddlewareDenied(b *testing.B) {
	b.Run("in memory", func(b *testing.B) { benchMiddleware(b, one(ratelimit.AuthPolicy()), login()) })
	b.Run("by a store, remembered", func(b *testing.B) {
		cfg := one(ratelimit.AuthPolicy())
		cfg.Limiter = newFailing(b)
		benchMiddleware(b, cfg, login())
	})
}

func BenchmarkMiddlewareAdmitted(b *testing.B) {
	now := time.Now()
	cfg := one(policy(func(p *ratelimit.Policy) { p.Window = ratelimit.MinWindow }))
	cfg.Now = func() time.Time {
		now = now.Add(ratelimit.MinWindow)
		return now
	}
	benchMiddleware(b, cfg, login())
}

func BenchmarkMiddlewareNoPolicyMatches(b *testing.B) {
	benchMiddleware(b, one(ratelimit.AuthPolicy()), httptest.NewRequest(http.MethodGet, "/products/17", nil))
}
