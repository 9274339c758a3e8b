package observe_test

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/handrail-go/handrail/observe"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// answer is a handler that allocates nothing itself.
func answer() http.Handler {
	body := []byte("hello")
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
}

func chain(tb testing.TB, cfg observe.Config) func() {
	m, err := observe.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	h, w := m.Wrap(answer()), discard{make(http.Header)}
	r := httptest.NewRequest("GET", "/users/7", nil)
	r.RemoteAddr = "192.0.2.7:1234"
	return func() {
		delete(r.Header, "X-Request-Id")
		h.ServeHTTP(w, r)
	}
}

func BenchmarkMiddleware(b *testing.B) {
	for _, bb := range []struct {
		name string
		cfg  observe.Config
	}{
		{"id+recovery+event", observe.Config{OnRequest: func(observe.RequestEvent) {}}},
		{"id+recovery+event+route", observe.Config{Routes: []string{"/users/{id}"}, OnRequest: func(observe.RequestEvent) {}}},
		{"id+recovery+log", observe.Config{Log: slog.New(slog.NewJSONHandler(io.Discard, nil))}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			f := chain(b, bb.cfg)
			b.ReportAllocs()
			for b.Loop() {
				f()
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	for _, tt := range []struct {
		rule string
		cfg  observe.Config
		max  float64
	}{
		{"id, recovery and event: the exchange, the id, the request", observe.Config{OnRequest: func(observe.RequestEvent) {}}, 3},
		{"with the access log at most five", observe.Config{Log: slog.New(slog.NewJSONHandler(io.Discard, nil))}, 5},
	} {
		if n := testing.AllocsPerRun(200, chain(t, tt.cfg)); n > tt.max {
			t.Errorf("%s: %v allocations, want at most %v", tt.rule, n, tt.max)
		}
	}
}
